"""Every flaw has words and a challenge."""

import re

import pytest

from proxy.core.errors import Reason
from proxy.identity.flaws import FLAWS, Flaw, has_ended, missing, refusal


@pytest.mark.parametrize("flaw", list(Flaw))
def test_every_flaw_is_a_401_with_a_challenge(flaw):
    """RFC 6750 §3: error and error_description of printable ASCII without quotes or backslashes."""
    error = refusal(flaw, "cookie")
    assert error.status == 401
    assert error.field == (FLAWS[flaw][1] or "cookie")
    ((name, value),) = error.headers
    assert name == b"WWW-Authenticate"
    assert re.fullmatch(rb'Bearer error="invalid_token", error_description="[^"\\\x00-\x1f\x7f-\xff]+"', value)


def test_what_was_good_once_is_expired_and_the_rest_is_invalid():
    assert {flaw for flaw in Flaw if has_ended(flaw)} == {Flaw.EXPIRED, Flaw.TOO_OLD}
    assert refusal(Flaw.EXPIRED, "authorization").reason is Reason.TOKEN_EXPIRED
    assert refusal(Flaw.EXP_MISSING, "authorization").reason is Reason.TOKEN_INVALID


def test_a_missing_credential_is_asked_for_without_an_error_code():
    """RFC 6750 §3.1."""
    error = missing()
    assert (error.status, error.reason) == (401, Reason.TOKEN_MISSING)
    assert error.headers == ((b"WWW-Authenticate", b'Bearer realm="sluicegate"'),)
