"""Which refusals came before limits."""

from typing import Any

import pytest

from proxy.core.errors import Reason
from proxy.foresight.beforelimits import BEFORE_LIMITS, had_no_credential, refused_before_limits
from tests.foresight.lines import entry

AT_LIMITS_OR_BEHIND = {
    Reason.QUOTA_EXCEEDED, Reason.CONCURRENCY_EXCEEDED, Reason.BUDGET_EXCEEDED, Reason.BUDGETS_CLOSED,
    Reason.LEDGER_BEHIND, Reason.STORE_AWAY, Reason.CLIENT_GONE, Reason.INTERNAL, Reason.OVERLOADED, Reason.NOT_CACHED,
    Reason.TENANT_MISMATCH, Reason.UPSTREAM_REFUSED, Reason.UPSTREAM_TLS, Reason.UPSTREAM_RESET,
    Reason.UPSTREAM_PROTOCOL, Reason.UPSTREAM_TIMEOUT,
}  # fmt: skip


def test_each_reason_is_on_one_side() -> None:
    """A new one has to be put somewhere. Those at the limits themselves are judged anew."""
    assert set(BEFORE_LIMITS.values()) | AT_LIMITS_OR_BEHIND == set(Reason)
    assert not set(BEFORE_LIMITS.values()) & AT_LIMITS_OR_BEHIND


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, None),
        ({"outcome": "refused", "reason": "ip_denied"}, Reason.IP_DENIED),
        ({"outcome": "refused", "reason": "body_too_large"}, Reason.BODY_TOO_LARGE),
        ({"outcome": "refused", "reason": "body_too_large", "upstream": "a:1"}, None),
        ({"outcome": "refused", "reason": "of-tomorrow"}, None),
        ({"status": 413}, None),
        ({"status": 413, "outcome": None}, Reason.BODY_TOO_LARGE),
    ],
)
def test_a_line_tells_it(fields: dict[str, Any], reason: Reason | None) -> None:
    assert refused_before_limits(entry(**fields)) is reason


def test_a_status_alone_tells_of_no_credential_where_nobody_is_named() -> None:
    bare: dict[str, Any] = {"status": 401, "outcome": None}
    assert had_no_credential(entry(**bare, tenant=None, user=None))
    assert not had_no_credential(entry(**bare))
    assert not had_no_credential(entry(status=401, tenant=None, user=None))
