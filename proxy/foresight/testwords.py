"""Every key of a file of policy tests: what is given, and what is expected of it. As ``policy.schema`` for a policy."""

from enum import StrEnum
from typing import Annotated, Any, Final

from proxy.core.errors import Reason
from proxy.gateway.batch import MAX_CALLS
from proxy.policy import moneywords, words
from proxy.policy.problems import KeyPath, PolicyProblem
from proxy.policy.section import FieldName, Name, Section, Text, key
from proxy.policy.spelling import Shorthand, choice, count, duration, one_or_many, size, written
from proxy.policy.words import WrittenRate

MOST_REQUESTS: Final = 100_000

TARGET: Final = written("a path, with its query if it has one", r"/[^\x00-\x20\x7f]*", "/")
METHOD: Final = written("a method", r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", "GET", str.upper)
BODY: Final = size("0B", "1024GiB")
HOST: Final = written("a host", r"[^\x00-\x20\x7f/@?#]+", "localhost")


class Decided(StrEnum):
    ADMITTED = "admitted"  # by the upstream, or by the gateway itself
    ANSWERED = "answered"  # by the gateway itself
    REFUSED = "refused"


def _named() -> Shorthand:
    """A list of names stands for a map of them without details."""

    def expand(raw: object) -> object:
        named = isinstance(raw, list) and all(isinstance(one, str) for one in raw)
        return {name: {} for name in raw} if named and isinstance(raw, list) else raw

    return Shorthand(expand, lambda _: {"type": "array", "items": {"type": "string"}}, "or a list of names")


class CallGiven(Section):
    cost: Annotated[int, moneywords.MONEY] = key("What it may cost: its hold.")
    tokens: Annotated[int, count(0, 2**48)] = key("What it may use, for limits of tokens.", 0)
    model: Name = key("Where budgets count by it.", "model")


class Caller(Section):
    """Who asks and from where; in `before`, what is left out is as in the test itself."""

    claims: dict[str, Any] | None = key("Of a verified token.", None)
    key_name: Name | None = key("A gateway key of the policy, by its name.", None, alias="key")
    nobody: bool = key("Without a credential.", False)
    address: Text | None = key("The client's; 192.0.2.1 where none is given.", None)
    host: Annotated[str, HOST] | None = key("localhost where none is given.", None)
    headers: dict[Annotated[str, words.FIELD_NAME], Annotated[str, words.FIELD_VALUE]] | None = key(
        "Further fields of the request.", None
    )
    method: Annotated[str, METHOD] | None = key("GET where none is given.", None)
    call: CallGiven | None = key("On a route to a provider: what the call comes to.", None)
    batch: Annotated[int, count(1, MAX_CALLS)] | None = key(
        "On a route that weighs GraphQL batches: how many operations the body holds; 1 where none is given.", None
    )
    size: Annotated[int, BODY] | None = key("Of the body; nothing where none is given.", None)


class Before(Caller):
    requests: Annotated[int, count(1, MOST_REQUESTS)] = key("How many, evenly spread.", 1)
    within: Annotated[int, duration("0s", "366d")] = key("The time that they took.", "0s")
    ago: Annotated[int, duration("0s", "366d")] = key("How long before the request in question they ended.", "0s")
    lasting: Annotated[int, duration("0s", "1d")] = key("How long each is under way.", "0s")
    path: Annotated[str, TARGET] | None = key("The path that they asked for.", None)


class LimitExpected(Section):
    rate: Annotated[WrittenRate, words.EXCEPTION] | None = key("As a policy writes it: 60/1m, 100/day, 5.", None)
    scope: Text | None = key("Whose count: `user`, or whose exactly, `tenant:acme`.", None)
    left: Annotated[int, count(0, 2**48)] | None = key("Whole requests left after this one.", None)
    shadow: bool | None = key("Whether it is in shadow.", None)


class Expected(Section):
    route: Name | None = key("Its name.", None)
    upstream: Name | None = key("Its name.", None)
    tenant: Text | None = key("Who is acted for.", None)
    user: Text | None = key("Who acts.", None)
    tier: Name | None = key("By which limits are chosen.", None)
    decision: Annotated[Decided, choice(Decided)] | None = key("admitted, answered or refused.", None)
    by: Annotated[list[Name], one_or_many()] | None = key("Names of the limits and budgets that refused.", None)
    shadow_by: Annotated[list[Name], one_or_many()] | None = key("Those in shadow that would have.", None)
    status: Annotated[int, count(200, 599)] | None = key("Of the gateway's own answer, a refusal or not.", None)
    reason: Annotated[Reason, choice(Reason)] | None = key("Of a refusal, as the log tells it.", None)
    retry_after: Annotated[int, duration("0s", "366d")] | None = key("How long to wait, rounded up to seconds.", None)
    limits: Annotated[dict[Name, LimitExpected], _named()] | None = key("All limits that count it, by name.", None)
    headers: dict[FieldName, Text] | None = key("Fields of the answer that are the gateway's.", None)
    budget_left: dict[Name, Annotated[int, moneywords.MONEY]] | None = key(
        "By budget, or budget and period (`user day`): what is left for calls after this one.", None
    )


class PolicyTest(Caller):
    name: Text = key("What must be so.")
    at: Annotated[int, words.END] | None = key("When; the file's `at` where none is given.", None)
    path: Annotated[str, TARGET] = key("With its query, as a client sends it.")
    before: Annotated[list[Before], one_or_many()] = key("What was asked for before, oldest first.", [])
    spent: dict[Name, Annotated[int, moneywords.MONEY]] = key("By budget: what this caller has used up of it.", {})
    expect: Expected = key("What must come of it.")


class TestFile(Section):
    __test__ = False  # no class of tests, for pytest

    policy: Text | None = key("The policy file, from this file's folder; --config goes before it.", None)
    at: Annotated[int, words.END] | None = key("When, in epoch time; now where none is given.", None)
    tests: list[PolicyTest] = key("In the order in which they are told; at least one.")


def check_words(file: TestFile, problem: Any) -> list[PolicyProblem]:
    """What the types cannot say. ``problem`` makes one of a path and a message, as ``Document.problem``."""
    found: list[PolicyProblem] = []
    if not file.tests:
        found.append(problem(("tests",), "has no test: nothing would be held to anything"))
    names: dict[str, int] = {}
    for index, test in enumerate(file.tests):
        path: KeyPath = ("tests", index)
        if test.name in names:
            found.append(problem((*path, "name"), f"tests[{names[test.name]}] has this name, too"))
        names.setdefault(test.name, index)
        if not test.expect.model_fields_set:
            found.append(problem((*path, "expect"), "expects nothing; name a route, a decision, limits or headers"))
        if test.spent and test.call is None:
            found.append(problem((*path, "spent"), "is of calls to a provider; say what this call comes to: call"))
        callers: list[tuple[KeyPath, Caller]] = [(path, test)]
        callers += [((*path, "before", n), one) for n, one in enumerate(test.before)]
        for place, caller in callers:
            said = [caller.claims is not None, caller.key_name is not None, caller.nobody]
            if sum(said) > 1:
                found.append(problem(place, "has more than one caller; say claims, key or nobody"))
    return found
