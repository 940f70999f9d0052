"""A scope reads as a person says it, and what callers are called breaks nothing."""

import pytest

from proxy.alerts.scopes import impersonal, printable, readable


@pytest.mark.parametrize(("scope", "text"), [
    ("global", "everybody"),
    ("tenant:acme", "tenant acme"),
    ("tenant:acme%20corp%25", "tenant acme corp%"),
    ("user:https://id.example u-1", "user u-1"),
    ("user: tenant:acme", "user tenant:acme"),
    ("tenant:acme model:gpt-4o", "tenant acme, model gpt-4o"),
    ("user:iss sub model:gpt-4o", "user sub, model gpt-4o"),
    ("claim:app.role str admin feature:", "app.role admin, feature none"),
    ("user-by-address:192.0.2.1", "address 192.0.2.1"),
    ("ip:2001:db8::", "address 2001:db8::"),
    ("tenant:a%0Ab", "tenant a\ufffdb"),
    ("tenant:ünïcode", "tenant ünïcode"),
    ("planet:mars", "planet:mars"),
    ("user:alone", "user:alone"),
    ("claim:a b", "claim:a b"),
    ("", ""),
])  # fmt: skip
def test_a_scope_is_readable(scope: str, text: str) -> None:
    assert readable(scope) == text


@pytest.mark.parametrize(("scope", "text"), [
    ("tenant:acme", "tenant acme"),
    ("user:iss jane@acme.example model:gpt-4o", "one user, model gpt-4o"),
    ("user-by-address:192.0.2.1", "one ip"),
    ("claim:email str jane@acme.example", "one claim"),
    ("jane@acme.example", "somebody"),
])  # fmt: skip
def test_what_may_name_a_person_is_left_out(scope: str, text: str) -> None:
    assert impersonal(scope) == text


def test_a_line_stays_one() -> None:
    assert printable("a\r\nSubject: b\u2028") == "a\ufffd\ufffdSubject: b\ufffd"
