"""One policy test: what was before, the request in question, and where what came of it is not as expected. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from multidict import CIMultiDict, CIMultiDictProxy

from proxy.core.errors import GatewayError, Reason
from proxy.core.units import format_duration
from proxy.foresight.doorway import Arrival, Doorway, Request
from proxy.foresight.judge import Call, Judge, Ruling
from proxy.foresight.testwords import Before, Decided, Expected, LimitExpected, PolicyTest
from proxy.foresight.wording import rate_text, written_rate
from proxy.gateway.problem import CONTENT_TYPE, retry_fields
from proxy.metering.keys import scope_text
from proxy.policy.model import MILLI, BatchKind, Limit, Policy, Rate
from proxy.policy.moneywords import dollars
from proxy.policy.problems import KeyPath, meant

DEFAULT_ADDRESS: Final = "192.0.2.1"
DEFAULT_HOST: Final = "localhost"
_PROBLEM: Final = (b"Content-Type", CONTENT_TYPE)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """``path`` is below the test's own."""

    path: KeyPath
    message: str


@dataclass(slots=True)
class Came:
    """What came of the request in question."""

    arrival: Arrival = field(default_factory=Arrival)
    ruling: Ruling | None = None
    error: GatewayError | None = None
    fields: dict[str, str] = field(default_factory=dict)  # by lower-case name
    scopes: dict[str, str] = field(default_factory=dict)  # whose count, by limit
    budget_left: dict[str, int] = field(default_factory=dict)

    @property
    def reason(self) -> Reason | None:
        if self.error is not None:
            return self.error.reason
        return self.ruling.reason if self.ruling is not None else None

    @property
    def status(self) -> int | None:
        """Of the gateway's own answer."""
        return self.arrival.status if self.reason is None else GatewayError(self.reason).status

    @property
    def retry_after_ms(self) -> int | None:
        if self.error is not None:
            return self.error.retry_after_ms
        return self.ruling.decision().retry_after_ms if self.ruling is not None else None

    @property
    def decided(self) -> Decided:
        if self.reason is not None:
            return Decided.REFUSED
        return Decided.ADMITTED if self.arrival.status is None else Decided.ANSWERED


def run(policy: Policy, test: PolicyTest, now_ms: int) -> list[Mismatch]:
    """Where it is not as expected; nothing where it is. ``now_ms``: epoch, when the request in question comes."""
    judge = Judge(policy)
    doorway = Doorway(judge)
    try:
        for place, request, at_ms, ends_ms in _history(test, now_ms):
            try:
                _ask(judge, doorway, request, at_ms, ends_ms)
            except KeyError as error:
                return [_unknown_key((*place, "key"), policy, str(error.args[0]))]
        asked = _whole(test, test, test.path)
        missing = _spend(judge, doorway, asked, test.spent, now_ms)
        came = _ask(judge, doorway, asked, now_ms, None)
    except KeyError as error:
        return [_unknown_key(("key",), policy, str(error.args[0]))]
    found = [_unknown_budget(("spent", name), policy, name) for name in missing]
    route = came.arrival.route
    if test.batch is not None and route is not None and route.batch is not BatchKind.GRAPHQL:
        found.append(Mismatch(("batch",), f"the route {route.name} does not weigh GraphQL batches"))
    return [*found, *_compared(policy, test.expect, came)]


def told(came: Came) -> str:
    """The decision in words: what a failed test shows of it."""
    if came.error is not None:
        detail = f" ({came.error.detail})" if came.error.detail else ""
        return f"refused: {came.error.status} {came.error.reason.value}{detail}"
    if came.arrival.status is not None:
        return f"answered by the gateway itself: {came.arrival.status}"
    if came.ruling is None or came.ruling.admitted:
        return "admitted"
    names = ", ".join(came.ruling.refused_by)
    wait_ms = came.retry_after_ms
    again = "never fits" if wait_ms is None else f"retry after {format_duration(-(-wait_ms // 1000) * 1000)}"
    model = came.ruling.downgrade_to
    return f"refused by {names}, {again}" + (f"; asked again for {model}" if model is not None else "")


# --- what happens ------------------------------------------------------------------------------------------------


def _history(test: PolicyTest, now_ms: int) -> Iterator[tuple[KeyPath, Request, int, int]]:
    """Each request before, by time: its place in the test, when it comes and when it is answered."""
    moments: list[tuple[int, int]] = []
    requests = [_whole(test, before, before.path or test.path) for before in test.before]
    for n, before in enumerate(test.before):
        last_ms = now_ms - before.ago
        gaps = max(1, before.requests - 1)
        # The first comes when the time begins, the last when it ends.
        moments += [(last_ms - before.within * (gaps - k) // gaps, n) for k in range(before.requests - 1)]
        moments.append((last_ms, n))
    for at_ms, n in sorted(moments):
        yield ("before", n), requests[n], at_ms, at_ms + test.before[n].lasting


def _whole(test: PolicyTest, caller: PolicyTest | Before, target: str) -> Request:
    named = caller.claims is not None or caller.key_name is not None or caller.nobody
    headers = caller.headers if caller.headers is not None else test.headers or {}
    host = caller.host or test.host or DEFAULT_HOST
    call = caller.call or test.call
    return Request(
        caller=caller if named else test,
        method=caller.method or test.method or "GET",
        target=target,
        host=host,
        address=caller.address or test.address or DEFAULT_ADDRESS,
        headers=CIMultiDictProxy(CIMultiDict([("Host", host), *headers.items()])),
        call=None if call is None else Call(call.cost, call.tokens, call.model),
        batch=caller.batch if caller.batch is not None else test.batch,
        size=next((size for size in (caller.size, test.size) if size is not None), 0),
    )


def _spend(judge: Judge, doorway: Doorway, request: Request, spent: Mapping[str, int], now_ms: int) -> list[str]:
    """Uses budgets up; the names that are none of this call's budgets."""
    arrival = Arrival()
    try:
        doorway.arrive(request, arrival, now_ms)
    except GatewayError:
        return []  # the request in question will tell
    route, identity = arrival.route, arrival.identity
    if route is None or identity is None or request.call is None or route.spending is None:
        return list(spent)
    return [
        name
        for name, amount in spent.items()
        if not judge.use_up(route, identity, request.address, request.call, name, amount, now_ms)
    ]


def _ask(judge: Judge, doorway: Doorway, request: Request, now_ms: int, ends_ms: int | None) -> Came:
    came = Came()
    arrival = came.arrival
    try:
        doorway.arrive(request, arrival, now_ms)
    except GatewayError as error:
        came.error = error
        came.fields = _texts([_PROBLEM, *error.headers, *arrival.fields, *retry_fields(error)])
        return came
    route, identity, address = arrival.route, arrival.identity, request.address
    if arrival.status is not None or route is None or identity is None:
        came.fields = _texts(arrival.fields)
        return came
    ruling = judge.rule(route, identity, address, now_ms, factor=arrival.factor, ends_ms=ends_ms, call=request.call)
    came.ruling = ruling
    problem = [] if ruling.admitted else [_PROBLEM]
    came.fields = _texts([*problem, *arrival.fields, *ruling.decision().fields(now_ms)])
    limits = ruling.plan.limits
    came.scopes = {limit.name: scope_text(limit.scopes, identity, route.name, address) for limit in limits}
    if ruling.call is not None:
        own = len(ruling.plan.takes)
        for place, held in enumerate(ruling.call.held, own):
            left = int(ruling.answer.meters[3 * place + 1])
            came.budget_left[f"{held.budget.name} {held.budget.period.value}"] = left
            came.budget_left[held.budget.name] = min(left, came.budget_left.get(held.budget.name, left))
        came.scopes |= {held.limit.name: held.scope for held in ruling.call.tokens}
    return came


def _texts(fields: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in fields}


# --- what was expected -------------------------------------------------------------------------------------------


def _compared(policy: Policy, expect: Expected, came: Came) -> Iterator[Mismatch]:
    got = told(came)
    identity, route = came.arrival.identity, came.arrival.route
    facts: dict[str, Any] = {
        "route": None if route is None else route.name,
        "upstream": None if route is None else route.upstream,
        "tenant": None if identity is None else identity.tenant,
        "user": None if identity is None else identity.user,
        "tier": None if identity is None else identity.tier,
    }
    known = {
        "route": [one.name for one in policy.routes],
        "upstream": list(policy.upstreams),
        "tier": list(policy.tiers),
    }
    for name, value in facts.items():
        wanted = getattr(expect, name)
        if wanted is not None and wanted != value:
            lacks = name in known and wanted not in known[name]
            hint = f"; the policy has no {name} {wanted!r}{meant(wanted, known[name])}" if lacks else ""
            shown = "none" if value is None else value
            why = f" ({got})" if value is None and came.error is not None else ""
            yield Mismatch(("expect", name), f"expected {wanted}, got {shown}{why}{hint}")
    decided = came.decided
    # What the gateway answers by itself is not refused either.
    as_expected = {decided, Decided.ADMITTED} if decided is Decided.ANSWERED else {decided}
    if expect.decision is not None and expect.decision not in as_expected:
        yield Mismatch(("expect", "decision"), f"expected {expect.decision.value}, got {got}")
    yield from _refusal(policy, expect, came, got)
    if expect.limits is not None:
        yield from _limits(policy, expect.limits, came, got)
    for name, text in (expect.headers or {}).items():
        sent = came.fields.get(name.lower())
        if sent != text:
            others = ", ".join(sorted(came.fields)) or "none"
            shown = sent if sent is not None else f"no such field; the gateway's are {others}"
            yield Mismatch(("expect", "headers", name), f"expected {text}, got {shown}")
    for name, amount in (expect.budget_left or {}).items():
        left = came.budget_left.get(name)
        if left is None:
            yield _unknown_budget(("expect", "budget_left", name), policy, name, came)
        elif left != amount:
            yield Mismatch(("expect", "budget_left", name), f"expected {dollars(amount)}, got {dollars(left)}")


def _refusal(policy: Policy, expect: Expected, came: Came, got: str) -> Iterator[Mismatch]:
    ruling = came.ruling
    names = {
        "by": () if ruling is None else ruling.refused_by,
        "shadow_by": () if ruling is None else ruling.shadow_refused_by,
    }
    for key, found in names.items():
        wanted: list[str] | None = getattr(expect, key)
        if wanted is not None and set(wanted) != set(found):
            shown = ", ".join(found) or ("none" if key == "shadow_by" else f"none ({got})")
            hints = "".join(_no_limit(policy, one) for one in wanted if one not in found)
            yield Mismatch(("expect", key), f"expected {', '.join(wanted) or 'none'}, got {shown}{hints}")
    reason = came.reason
    status = came.status
    if expect.status is not None and expect.status != status:
        yield Mismatch(("expect", "status"), f"expected {expect.status}, got {got if status is None else status}")
    if expect.reason is not None and expect.reason is not reason:
        shown = got if reason is None else reason.value
        yield Mismatch(("expect", "reason"), f"expected {expect.reason.value}, got {shown}")
    if expect.retry_after is not None:
        wait_ms = came.retry_after_ms
        whole_s = None if wait_ms is None else -(-wait_ms // 1000)
        if whole_s != -(-expect.retry_after // 1000):
            shown = got if whole_s is None else format_duration(whole_s * 1000)
            yield Mismatch(("expect", "retry_after"), f"expected {format_duration(expect.retry_after)}, got {shown}")


def _limits(policy: Policy, wanted: Mapping[str, LimitExpected], came: Came, got: str) -> Iterator[Mismatch]:
    path: KeyPath = ("expect", "limits")
    ruling = came.ruling
    if ruling is None:
        yield Mismatch(path, f"expected {', '.join(wanted) or 'none'}, got {got}")
        return
    tokens = () if ruling.call is None else ruling.call.tokens
    found = [*(limit.name for limit in ruling.plan.limits), *(held.limit.name for held in tokens)]
    for name in found:
        if name not in wanted:
            yield Mismatch(path, f"{name} counts this request, too; all are {', '.join(found)}")
    for name, details in wanted.items():
        here = (*path, name)
        if name not in found:
            counting = ", ".join(found) or "nothing"
            yield Mismatch(here, f"does not count this request; what does: {counting}{_no_limit(policy, name)}")
            continue
        counted = _counted(ruling, name)
        limit, rate, left, shadow = counted.limit, counted.rate, counted.left, counted.shadow
        if details.rate is not None and written_rate(rate) != details.rate:
            yield Mismatch((*here, "rate"), f"expected {rate_text(details.rate)}, got {rate_text(written_rate(rate))}")
        kinds = " ".join(scope.kind.value for scope in limit.scopes)
        if details.scope is not None and details.scope not in (kinds, came.scopes[name]):
            yield Mismatch((*here, "scope"), f"expected {details.scope}, got {kinds}, here {came.scopes[name]}")
        if details.left is not None and details.left != left:
            yield Mismatch((*here, "left"), f"expected {details.left}, got {left}")
        if details.shadow is not None and details.shadow is not shadow:
            yield Mismatch((*here, "shadow"), f"expected {str(details.shadow).lower()}, got {str(shadow).lower()}")


@dataclass(frozen=True, slots=True)
class _Counted:
    """One limit as it stands after the request; ``left`` in whole requests, or tokens."""

    limit: Limit
    rate: Rate
    left: int
    shadow: bool


def _counted(ruling: Ruling, name: str) -> _Counted:
    """Of a limit that the ruling has."""
    plan, meters = ruling.plan, ruling.answer.meters
    for place, limit in enumerate(plan.limits):
        if limit.name == name:
            left = int(meters[3 * place + 1]) // MILLI
            return _Counted(limit, plan.rates[place], left, plan.takes[place].shadow)
    assert ruling.call is not None
    for place, held in enumerate(ruling.call.tokens, len(plan.limits) + len(ruling.call.held)):
        if held.limit.name == name:
            rate = Rate(held.meter.capacity * MILLI, held.meter.a)
            return _Counted(held.limit, rate, int(meters[3 * place + 1]), held.meter.shadow)
    raise KeyError(name)


def _no_limit(policy: Policy, name: str) -> str:
    known = {*policy.limits, *(budget.name for budget in policy.budgets)}
    return "" if name in known else f"; the policy has no limit {name!r}{meant(name, known)}"


def _unknown_budget(path: KeyPath, policy: Policy, name: str, came: Came | None = None) -> Mismatch:
    own = [] if came is None else [one for one in came.budget_left if " " not in one]
    if own or any(name == budget.name for budget in policy.budgets):
        return Mismatch(path, f"no budget of this call{': those are ' + ', '.join(own) if own else ''}")
    return Mismatch(path, f"unknown budget {name!r}{meant(name, {budget.name for budget in policy.budgets})}")


def _unknown_key(path: KeyPath, policy: Policy, name: str) -> Mismatch:
    return Mismatch(path, f"unknown key {name!r}{meant(name, [key.name for key in policy.identity.keys])}")
