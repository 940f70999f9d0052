"""The way of a call to a provider: read, priced, held, sent, observed, settled.

read → price → bound → admit with its hold → send → relay through a reader of its usage → settle. A request that costs
nothing (a list of models) takes the plain way. An answer whose client has left goes on alone, if the policy says so.
"""

import asyncio
import logging
from collections.abc import Iterable
from time import monotonic
from typing import Final

from proxy.ai.dialects.call import AiCall, Free
from proxy.ai.dialects.edits import wants_usage
from proxy.ai.dialects.registry import DIALECTS
from proxy.ai.refusals import costs_nothing
from proxy.ai.requestjson import with_member
from proxy.ai.usage.body import BodyReader
from proxy.ai.usage.reader import Reader, reader_for
from proxy.core.errors import GatewayError, Reason
from proxy.core.headers import RawHeaders, get_all
from proxy.core.identity import Identity
from proxy.core.units import NANOS
from proxy.gateway.admission import RETRY_WHEN_BACK_MS, admit, count_decision, quota_refusal
from proxy.gateway.answers import Both, Repeated, repeated
from proxy.gateway.budgetrefusal import budget_refusal
from proxy.gateway.callrecord import CallAccount, Ended, Offer, offered_record
from proxy.gateway.exchange import Exchange
from proxy.gateway.forward import Target, check_length, forward, send
from proxy.gateway.pricing import bound, edited, read_call
from proxy.gateway.relay import Observer, body_length, read_body, send_observed
from proxy.gateway.runtime import Runtime
from proxy.metering.decision import Decision
from proxy.metering.takes import Outcome
from proxy.policy.model import RedisDown, Route
from proxy.policy.spending import OnDisconnect, Spending
from proxy.store.errors import StoreAway
from proxy.telemetry.metrics import BUDGET_REFUSALS, STORE_AWAY
from proxy.upstream.framing import NO_BODY
from proxy.upstream.head import Block
from proxy.upstream.response import Response

log = logging.getLogger("sluicegate.worker")

CLOSED_RETRY_MS: Final = 5_000  # a rebuild takes seconds, not minutes
_PLAIN: Final = ((b"Accept-Encoding", b"identity"),)  # so that the answer can be read, and taken out of
_CODED: Final = b"accept-encoding"


async def spend(exchange: Exchange, runtime: Runtime, route: Route, identity: Identity) -> None:
    """Answers one request on a route to a provider. Raises: GatewayError; ConnectionError when the client leaves."""
    spending = route.spending
    assert spending is not None
    check_length(exchange, route.max_body)
    body = await read_body(exchange, route.max_body) if body_length(exchange) != NO_BODY else None
    target = runtime.target(route)
    path, _, query = target.rewritten(exchange).partition("?")
    endpoint = target.upstream.primary[0].base_path + path
    if query:
        runtime.check_provider_query(query)
    headers = _joined(exchange.headers.items())
    call = read_call(spending, exchange.method, endpoint, query, headers, body or b"")
    told, hidden = runtime.told_provider(exchange), runtime.hidden_from_provider(exchange, route)
    if isinstance(call, Free):
        await _forward_free(exchange, runtime, route, identity, target, told, hidden, body)
        return
    again = repeated(exchange, runtime, route, identity, call, f"{endpoint}?{query}", headers, body or b"")
    if again is not None and await again.answered():
        return
    try:
        offer, sent_body = _offer(exchange, runtime, route, identity, call, endpoint, body or b"")
        try:
            account, decision = await _admit(exchange, runtime, route, identity, offer)
        except _Downgrade as cheaper:
            if again is not None:
                again.ends()  # what a cheaper model says is no answer to this call
                again = None
            smaller = with_member((body or b"").decode(), ("model",), cheaper.model).encode()
            call = read_call(spending, exchange.method, endpoint, query, headers, smaller)
            assert isinstance(call, AiCall)
            offer, sent_body = _offer(exchange, runtime, route, identity, call, endpoint, smaller)
            account, decision = await _admit(exchange, runtime, route, identity, offer, downgraded=True)
            exchange.fields.append((b"Sluicegate-Model", cheaper.model.encode("ascii", "replace")))
        way = _Way(exchange, runtime, route, target, account, decision, again)
    except BaseException:
        if again is not None:
            again.ends()
        raise
    await way.go(told, (*hidden, _CODED), sent_body)


def _joined(fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    """By lower-case name; what stands twice is joined, as whoever reads them upstream does (RFC 9110 §5.3)."""
    found: dict[str, str] = {}
    for name, value in fields:
        lower = name.lower()
        found[lower] = f"{found[lower]}, {value}" if lower in found else value
    return found


async def _forward_free(
    exchange: Exchange,
    runtime: Runtime,
    route: Route,
    identity: Identity,
    target: Target,
    told: Block,
    hidden: tuple[bytes, ...],
    body: bytes | None,
) -> None:
    decision = await admit(exchange, runtime, route, identity, 1)
    try:
        await forward(exchange, target, runtime.shared.upstreams, told, hidden, body)
    finally:
        if decision is not None:
            runtime.shared.meters.release(decision)


def _offer(
    exchange: Exchange, runtime: Runtime, route: Route, identity: Identity, call: AiCall, endpoint: str, body: bytes
) -> tuple[Offer, bytes]:
    """What the call would hold, and its body as it goes upstream. Raises: GatewayError."""
    spending, shared = route.spending, runtime.shared
    assert spending is not None
    now_ms = shared.clock.now_ms()
    call, sent_body = edited(call, body, spending)
    exchange.call = call
    quote = runtime.pricing.quote(call, now_ms)
    most = bound(call, quote, spending)
    nanousd, tokens = most.nanousd, most.tokens
    if spending.learnt is not None and not most.fixed:
        estimates = shared.calls.estimates(spending.learnt)
        nanousd = estimates.estimate(quote.model, f"{call.kind} $", nanousd)
        tokens = estimates.estimate(quote.model, f"{call.kind} #", tokens)
    exchange.held = (nanousd, tokens)
    record = offered_record(
        shared.calls.money.new_id(),
        now_ms=now_ms,
        request_id=exchange.request_id,
        route=route.name,
        endpoint=endpoint,
        identity=identity,
        call=call,
        held_nanousd=nanousd,
        price_version=runtime.pricing.version,
        notify=runtime.notified(identity),
    )
    plan = runtime.call_planner.plan(route, identity, exchange.address, quote.model, now_ms)
    return Offer(call, quote, most, plan, nanousd, tokens, record), sent_body


class _Downgrade(Exception):
    """The budgets that refused would rather have a cheaper model."""

    def __init__(self, model: str) -> None:
        super().__init__()
        self.model = model


async def _admit(
    exchange: Exchange, runtime: Runtime, route: Route, identity: Identity, offer: Offer, *, downgraded: bool = False
) -> tuple[CallAccount, Decision]:
    """Limits and hold together, or neither. Raises: GatewayError; _Downgrade at most once."""
    shared = runtime.shared
    now_ms = offer.quote.at_ms
    plan = runtime.planner.plan(route, identity, exchange.address, now_ms)
    amounts = offer.plan.amounts(offer.nanousd, offer.tokens)
    if exchange.trace is not None:
        exchange.trace.mark("admit")
    try:
        hold = shared.calls.money.new(
            offer.plan.plan, amounts, offer.encoded_orphan(), hold_id=bytes.fromhex(offer.record.id)
        )
    except ValueError as error:
        raise GatewayError(Reason.CALL_UNBOUNDED, "it may cost more than can be counted") from error
    started_s = monotonic()
    try:
        decision = await shared.calls.money.admit(plan, hold)
    except StoreAway as away:
        if route.redis_down is RedisDown.CLOSED or amounts:
            shared.metrics.inc(STORE_AWAY, "closed")
            raise GatewayError(Reason.STORE_AWAY, retry_after_ms=RETRY_WHEN_BACK_MS) from away
        shared.metrics.inc(STORE_AWAY, "open")
        decision = shared.meters.admit_locally(plan)
        if decision.admitted:
            try:
                hold = shared.calls.money.admit_alone(hold, now_ms)
            except OSError as error:
                shared.meters.release(decision)
                raise GatewayError(Reason.STORE_AWAY, retry_after_ms=RETRY_WHEN_BACK_MS) from error
    finally:
        exchange.redis_s += monotonic() - started_s
    if decision.outcome is Outcome.CLOSED:
        raise GatewayError(Reason.BUDGETS_CLOSED, retry_after_ms=CLOSED_RETRY_MS)
    if decision.outcome is Outcome.OUTBOX_FULL:
        raise GatewayError(Reason.LEDGER_BEHIND, retry_after_ms=CLOSED_RETRY_MS)
    if decision.admitted:
        hold = decision.holding.hold if decision.holding is not None else hold
        account = CallAccount(shared.calls.money, offer, hold)
        try:
            count_decision(runtime, route, decision)
            exchange.fields += decision.fields(now_ms)
            shared.calls.held(route, offer)
        except BaseException:  # a hold that nobody ends would be renewed for ever
            account.release(status=0, now_ms=now_ms, sent=False)
            shared.meters.release(decision)
            raise
        return account, decision
    count_decision(runtime, route, decision)
    _refuse(exchange, runtime, offer, decision, downgraded=downgraded)
    exchange.fields += decision.fields(now_ms)
    if decision.refused_by or decision.holding is None:
        raise quota_refusal(exchange, decision)
    raise budget_refusal(offer, decision.holding, now_ms)


def _refuse(exchange: Exchange, runtime: Runtime, offer: Offer, decision: Decision, *, downgraded: bool) -> None:
    """Counts the budgets and limits of tokens that refused. Raises: _Downgrade where those that did ask for it."""
    if decision.holding is None:
        exchange.violated = ()
        return
    refused = decision.holding.refused_by()
    meters = decision.holding.hold.plan.meters
    held = [one for one, meter in zip(offer.plan.held, meters, strict=False) if meter in refused]
    may_edit = not (downgraded or offer.call.signed)
    if may_edit and len(held) == len(refused) and not decision.refused_by:
        wanted = {one.budget.downgrade_to for one in held}  # None: that one blocks
        if len(wanted) == 1 and (model := wanted.pop()) is not None:
            raise _Downgrade(model)
    for meter in refused:
        runtime.shared.metrics.inc(BUDGET_REFUSALS, meter.name)
    for one in held:
        if offer.nanousd <= one.meter.capacity:  # else it says nothing of what is left
            runtime.shared.calls.refused(one, offer)
    exchange.violated = (*(limit.name for limit in decision.refused_by), *(meter.name for meter in refused))


class _Way:
    """An admitted call on its way to the provider and back."""

    __slots__ = (
        "_account",
        "_again",
        "_alone",
        "_decision",
        "_exchange",
        "_observer",
        "_reader",
        "_route",
        "_runtime",
        "_spending",
        "_target",
    )

    def __init__(
        self,
        exchange: Exchange,
        runtime: Runtime,
        route: Route,
        target: Target,
        account: CallAccount,
        decision: Decision,
        again: Repeated | None,
    ) -> None:
        assert route.spending is not None
        self._exchange = exchange
        self._runtime = runtime
        self._route = route
        self._spending: Spending = route.spending
        self._target = target
        self._account = account
        self._decision = decision
        self._again = again  # stores the answer, where the same call may come again
        self._reader: Reader | None = None
        self._observer: Observer | None = None  # the reader, and what keeps the answer
        self._alone = False  # its client has left, and its request's line is written

    async def go(self, told: Block, hidden: tuple[bytes, ...], body: bytes) -> None:
        """Raises: GatewayError; ConnectionError and CancelledError when the client leaves."""
        if self._spending.on_disconnect is OnDisconnect.CANCEL:
            await self._carry(told, hidden, body)
            return
        carrying = self._runtime.shared.calls.carry(self._carry(told, hidden, body))
        try:
            await asyncio.shield(carrying)
        except asyncio.CancelledError:
            self._alone = True
            if not self._sent:  # it waits in line: nobody would want the answer any more
                carrying.cancel()
            raise

    async def _carry(self, told: Block, hidden: tuple[bytes, ...], body: bytes) -> None:
        """To the end, whoever still listens. In a task of its own where the answer outlives its client."""
        exchange = self._exchange
        status, whole, left, response = 0, False, True, None
        try:
            upstreams = self._runtime.shared.upstreams
            response = await send(exchange, self._target, upstreams, told, hidden, body, _PLAIN)
            status = response.status
            try:
                whole = await self._relay(response)
                left = False
            except ConnectionError:
                if self._spending.on_disconnect is OnDisconnect.CANCEL:
                    raise
                whole = await self._read_on(response)
                raise
            finally:
                response.close()
        except GatewayError as error:
            status, left = error.status, False
            raise
        finally:
            self._end(status, whole=whole, sent=self._sent)
            self._tell_those_who_wait(response if whole else None, left=left)

    def _tell_those_who_wait(self, response: Response | None, *, left: bool) -> None:
        """``response``: that of an answer that has come wholly. ``left``: where there is none, the client has."""
        again, ended = self._again, self._account.ended
        if again is None:
            return
        if response is not None and ended is not None and not ended.estimated and not ended.released:
            again.keep(response, ended.nanousd)
        elif response is not None or not left:
            again.failed()
        again.ends()

    @property
    def _sent(self) -> bool:
        attempt = self._exchange.attempt
        return attempt is not None and bool(attempt.sent)

    async def _relay(self, response: Response) -> bool:
        call = self._account.offer.call
        take_out = wants_usage(call) and not call.signed
        self._reader = reader_for(
            call,
            content_type=_one(response.headers, b"content-type"),
            content_encoding=_one(response.headers, b"content-encoding"),
            take_out=take_out,
            refused=response.status >= 300,
        )
        shortened = take_out and response.status < 300
        self._observer = self._reader if self._again is None else Both(self._reader, self._again)
        return await send_observed(self._exchange, response, self._observer, shortened=shortened)

    async def _read_on(self, response: Response) -> bool:
        """What is left of an answer that nobody waits for any more. Whether all of it has come."""
        assert self._observer is not None
        try:
            while chunk := await response.read():
                self._observer.feed(chunk)
        except GatewayError:
            return False
        self._observer.end()
        return True

    def _end(self, status: int, *, whole: bool, sent: bool) -> None:
        """Ends the hold: by what was said, or where nothing was, by what must be assumed."""
        shared, account = self._runtime.shared, self._account
        if self._exchange.trace is not None:
            self._exchange.trace.mark("settle")
        now_ms = shared.clock.now_ms()
        try:
            usage = self._reader.usage() if self._reader is not None else None
            known = usage is not None and usage.complete
            if not sent or (whole and not known and self._is_refusal(status)):
                account.release(status=status, now_ms=now_ms, sent=sent)
            else:
                account.settle(usage, status=status, now_ms=now_ms)
        except Exception:  # a hold that nobody ends would be renewed for ever: it ends as what nobody could read does
            log.exception("an answer's usage could not be settled", extra={"fields": {"id": self._exchange.request_id}})
            account.settle(None, status=status, now_ms=now_ms)
        finally:
            shared.meters.release(self._decision)
        if account.ended is not None:
            self._report(account.ended)

    def _is_refusal(self, status: int) -> bool:
        """Whether the provider itself says that it did not do it, and bills nothing. A page is from somebody before it,
        and what became of the call nobody knows."""
        answer = self._reader.answer() if isinstance(self._reader, BodyReader) else None
        return costs_nothing(DIALECTS[self._spending.dialect], status, answer)

    def _report(self, ended: Ended) -> None:
        exchange, offer = self._exchange, self._account.offer
        exchange.spent = ended
        if self._alone and self._sent:
            log.info("call settled", extra={"fields": _settled_line(exchange, ended)})
        self._runtime.shared.calls.spent(self._route, offer, ended)
        if self._spending.learnt is not None and not ended.estimated and not ended.released:
            estimates = self._runtime.shared.calls.estimates(self._spending.learnt)
            used = ended.tokens
            kind, model = offer.call.kind, offer.quote.model
            estimates.learn(model, f"{kind} $", used=ended.nanousd, bound=offer.bound.nanousd)
            total = used.input + used.cached_read + used.cache_write + used.output
            estimates.learn(model, f"{kind} #", used=total, bound=offer.bound.tokens)


def _settled_line(exchange: Exchange, ended: Ended) -> dict[str, object]:
    """What the request's own line could not say yet, by its id."""
    tokens = ended.tokens
    return {
        "id": exchange.request_id,
        "route": exchange.route.name if exchange.route is not None else "",
        "cost_usd": round(ended.nanousd / NANOS, 9),
        "tokens_in": tokens.input + tokens.cached_read + tokens.cache_write,
        "tokens_out": tokens.output,
        "estimated": ended.estimated,
    }


def _one(headers: RawHeaders, name: bytes) -> str:
    values = get_all(headers, name)
    return values[0].decode("latin-1") if len(values) == 1 else ", ".join(v.decode("latin-1") for v in values)
