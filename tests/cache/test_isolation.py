"""What an answer says of its tenant, and what it does not say."""

import gzip
import zlib

import pytest

from proxy.cache.isolation import Belongs, by_body, by_fields, uncoded
from proxy.policy.caching import AssertTenant

FIELD = AssertTenant(header="x-company")
BODY = AssertTenant(json=("data", "company_id"))


@pytest.mark.parametrize(
    ("headers", "belongs"),
    [
        ([(b"X-Company", b"acme")], Belongs.TO_IT),
        ([(b"X-COMPANY", b" acme ")], Belongs.TO_IT),
        ([(b"X-Company", b"acme"), (b"X-Company", b"acme")], Belongs.TO_IT),
        ([(b"X-Company", b"acme"), (b"X-Company", b"umbrella")], Belongs.TO_ANOTHER),
        ([(b"X-Company", b"Acme")], Belongs.TO_ANOTHER),
        ([(b"X-Company", b"acme, umbrella")], Belongs.TO_ANOTHER),
        ([(b"X-Company", b"")], Belongs.TO_ANOTHER),
        ([(b"X-Other", b"acme")], Belongs.UNPROVEN),
    ],
)
def test_every_value_of_the_field_has_to_be_the_tenant(headers, belongs):
    assert by_fields(FIELD, headers, "acme") is belongs


@pytest.mark.parametrize(
    ("body", "belongs"),
    [
        (b'{"data": {"company_id": "acme"}}', Belongs.TO_IT),
        (b'{"data": [{"company_id": "acme"}, {"company_id": "acme"}]}', Belongs.TO_IT),
        (b'[{"data": {"company_id": ["acme"]}}]', Belongs.TO_IT),
        (b'{"data": [{"company_id": "acme"}, {"company_id": "umbrella"}]}', Belongs.TO_ANOTHER),
        (b'{"data": [{"company_id": "acme"}, {"company_id": null}]}', Belongs.UNPROVEN),
        (b'{"data": [{"company_id": null}, {"company_id": "umbrella"}]}', Belongs.TO_ANOTHER),
        (b'{"data": {"company_id": null}}', Belongs.UNPROVEN),
        (b'{"data": {"company_id": []}}', Belongs.UNPROVEN),
        (b'{"data": {"company_id": {"acme": 1}}}', Belongs.TO_ANOTHER),
        (b'{"data": {"company_id": "acme\\u0000"}}', Belongs.TO_ANOTHER),
        (b'{"data": []}', Belongs.UNPROVEN),
        (b'{"company_id": "acme"}', Belongs.UNPROVEN),
        (b"<html>", Belongs.UNPROVEN),
        (b"", Belongs.UNPROVEN),
        (b"\xff", Belongs.UNPROVEN),
    ],
)
def test_every_member_that_names_one_has_to_name_the_tenant(body, belongs):
    assert by_body(BODY, body, "acme") is belongs


def test_null_is_no_tenant_of_that_name():
    """However Python writes it."""
    assert by_body(AssertTenant(json=("id",)), b'{"id": null}', "None") is Belongs.UNPROVEN
    assert by_body(AssertTenant(json=("id",)), b'{"id": null}', "null") is Belongs.UNPROVEN


def test_a_number_is_the_tenant_that_a_token_has_as_text():
    """But true is not 1."""
    assert by_body(AssertTenant(json=("id",)), b'{"id": 17}', "17") is Belongs.TO_IT
    assert by_body(AssertTenant(json=("id",)), b'{"id": true}', "True") is Belongs.TO_ANOTHER
    assert by_body(AssertTenant(json=("id",)), b'{"id": 17.0}', "17") is Belongs.TO_ANOTHER


@pytest.mark.parametrize(
    ("body", "codings"),
    [
        (b"plain", []),
        (b"plain", [b"identity"]),
        (gzip.compress(b"plain", mtime=0), [b"gzip"]),
        (gzip.compress(b"plain", mtime=0), [b"x-gzip"]),
        (zlib.compress(b"plain"), [b"deflate"]),
    ],
)
def test_a_coding_that_nobody_asked_for_hides_nothing(body, codings):
    assert uncoded(body, codings, 5) == b"plain"


@pytest.mark.parametrize(
    ("body", "codings"),
    [
        (b"plain", [b"br"]),
        (b"plain", [b"gzip"]),
        (gzip.compress(b"plain", mtime=0), [b"gzip", b"gzip"]),
        (gzip.compress(b"plain", mtime=0)[:-1], [b"gzip"]),
        (gzip.compress(b"plain", mtime=0) + gzip.compress(b"more", mtime=0), [b"gzip"]),
        (gzip.compress(b"larger", mtime=0), [b"gzip"]),
        (gzip.compress(bytes(10_000_000), mtime=0), [b"gzip"]),
    ],
)
def test_what_can_not_be_read_whole_proves_nothing(body, codings):
    assert uncoded(body, codings, 5) is None
