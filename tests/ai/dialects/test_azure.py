"""Azure: OpenAI's shapes under its own paths."""

import pytest

from tests.ai.dialects.reads import call

BODY = {"messages": [{"role": "user", "content": "Hi"}], "stream": True}


def test_the_deployment_is_the_model() -> None:
    assert call("azure", BODY | {"model": "whatever"}).model == "mine"
    assert call("azure", BODY | {"model": "gpt-5"}, path="/openai/v1/chat/completions").model == "gpt-5"


@pytest.mark.parametrize(
    ("query", "may_ask"),
    [
        ("api-version=2024-02-01", False),
        ("api-version=2024-10-21", True),
        ("api-version=2025-04-01-preview", True),
        ("api-version=preview", True),
        ("", True),
    ],
)
def test_old_versions_cannot_be_asked_for_a_streams_usage(query: str, may_ask: bool) -> None:
    assert call("azure", BODY, query=query).may_ask_usage is may_ask


def test_a_tier_that_nobody_priced_has_no_bound() -> None:
    assert call("azure", BODY | {"service_tier": "scale"}).unbounded == ("service_tier",)
    assert call("azure", BODY | {"service_tier": "default"}).context == (("service_tier", "default"),)
