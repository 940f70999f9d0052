"""What has the form of a secret goes nowhere, nor does a value of a query."""

import pytest

from proxy.telemetry.private import FILTERED, query_names, scrubbed

SECRETS = [
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1MSJ9.c2lnbmF0dXJl",
    "Bearer abcdefgh12345678",
    "Basic dXNlcjpwYXNzd29yZA==",
    "sk-live-4242424242424242",
    "sb-project-auth-token",
    "xoxb-123456789012-abcdef",
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_0123456789abcdefghij",
    "ann@private.example",
    "password=hunter2",
    "cookie: session=123",
    "api_key=0123",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_what_has_the_form_of_a_secret_is_hidden(secret: str) -> None:
    told = scrubbed(f"before {secret} after")
    assert secret not in told
    assert told.startswith("before ")


@pytest.mark.parametrize(
    "text", ["acme", "growth_team", "gpt-4o-mini-2024-07-18", "claude-3-5-sonnet@20241022", "/v1/**"]
)
def test_what_has_none_stays(text: str) -> None:
    assert scrubbed(text) == text


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("a=1&b=2", f"a={FILTERED}&b={FILTERED}"),
        ("secret", ""),
        ("eyJhbGciOiJIUzI1NiJ9=1&page=2", f"page={FILTERED}"),
        ("", ""),
        ("a=1=2&&=x", f"a={FILTERED}"),
    ],
)
def test_values_of_a_query_are_hidden(query: str, told: str) -> None:
    assert query_names(query) == told
