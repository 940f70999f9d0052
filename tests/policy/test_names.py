"""What may stand in a header field, a label and a log line."""

import pytest

from proxy.policy.names import name_flaw


@pytest.mark.parametrize("name", ["a", "per-user", "0", "A.b_c-9", "a" * 63])
def test_names(name):
    """Plain and short."""
    assert name_flaw(name) is None


@pytest.mark.parametrize("name", ["", "-a", ".a", "a b", "a\n", "a/b", 'a"', "é", "a" * 64])
def test_what_is_no_name(name):
    """Anything that a header field, a label or a shell would have to quote."""
    assert "is not a name" in name_flaw(name)
