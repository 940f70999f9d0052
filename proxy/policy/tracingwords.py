"""The key of the policy file that speaks of traces, whoever hears of them. A part of ``policy.schema``."""

from typing import Annotated

from proxy.policy.section import Section, key
from proxy.policy.spelling import choice, count
from proxy.policy.tracing import Heeded, Tracing


class TracedRequests(Section):
    decisions: Annotated[Heeded, choice(Heeded)] = key(
        "Whose decision counts, where a request comes with one (`sentry-trace`, `traceparent`): `trusted` are peers in "
        "`listen.trusted_proxies`, which answer for what they pass on.",
        "anyone",
    )
    per_second: Annotated[int, count(1, 100_000)] = key(
        "Traces of one worker; at most half of them by a decision that came along.", 100
    )


def compile_tracing(written: TracedRequests) -> Tracing:
    return Tracing(written.decisions, written.per_second)
