"""Each channel hears of the scopes that it is for, and mail goes only to what is plainly an address."""

from dataclasses import replace

import pytest

from proxy.alerts.recipients import posts, service_posts
from proxy.core.usage import Spender
from proxy.policy.model import ScopeKind
from proxy.policy.service import Service
from tests.alerts.samples import MAIL, OPS, SPENDER, alerts

USERS = frozenset({ScopeKind.USER})
TENANTS = frozenset({ScopeKind.TENANT})


def test_a_channel_hears_of_its_scopes() -> None:
    said = alerts([OPS, replace(OPS, name="users", scopes=USERS), replace(OPS, name="tenants", scopes=TENANTS)])
    assert posts(said, {ScopeKind.USER}, SPENDER) == (("ops", ""), ("users", ""))
    assert posts(said, {ScopeKind.USER, ScopeKind.TENANT}, SPENDER) == (("ops", ""), ("users", ""), ("tenants", ""))
    assert posts(said, {ScopeKind.GLOBAL}, SPENDER) == (("ops", ""),)


def test_mail_goes_to_the_caller_the_tenants_contacts_and_who_is_named_each_once() -> None:
    channel = replace(MAIL, to=("claim:email", "tenant", "finance@example.com", "u@acme.example"))
    said = alerts([channel], contacts={"acme": ("admin@acme.example",), "other": ("x@other.example",)})
    told = [recipient for _, recipient in posts(said, {ScopeKind.USER}, SPENDER)]
    assert told == ["u@acme.example", "admin@acme.example", "finance@example.com"]


def test_who_has_no_address_is_not_told() -> None:
    said = alerts([replace(MAIL, to=("claim:email", "tenant"))])
    assert posts(said, {ScopeKind.USER}, Spender("enterprise")) == ()


def test_of_the_service_hears_who_is_named_and_nobody_whom_a_budget_would_name() -> None:
    mail = replace(MAIL, to=("claim:email", "tenant", "ops@example.com", "ops@example.com"))
    channels = [OPS, replace(OPS, name="finance"), replace(mail, scopes=USERS)]
    said = alerts(channels, contacts={"acme": ("admin@acme.example",)})
    assert service_posts(said) == ()
    said = replace(said, service=Service({}, to=("ops", "mail", "gone")))
    assert service_posts(said) == (("ops", ""), ("mail", "ops@example.com"))


@pytest.mark.parametrize("claimed", [
    "", "nobody", "a@b@c", "a b@acme.example", "a@acme.example,b@evil.example", "a@acme.example\r\nBcc: b@evil.example",
    "<a@acme.example>", "A <a@acme.example>", "a@", "@acme.example", "a..b@acme.example", '"a b"@acme.example',
    "a@[127.0.0.1]", "a@acme.example\n", "x" * 250 + "@a.example", "\N{CYRILLIC SMALL LETTER A}@acme.example",
])  # fmt: skip
def test_a_claim_that_is_no_plain_address_gets_no_mail(claimed: str) -> None:
    assert posts(alerts([MAIL]), {ScopeKind.USER}, Spender(notify=(("email", claimed),))) == ()


@pytest.mark.parametrize("claimed", ["a@b", "jane.o'hara+ai@mail.acme-corp.example"])
def test_plain_addresses_are_taken(claimed: str) -> None:
    assert posts(alerts([MAIL]), {ScopeKind.USER}, Spender(notify=(("email", claimed),))) == (("mail", claimed),)
