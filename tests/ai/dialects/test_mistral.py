"""Mistral: what stands at the provider is not listed."""

from proxy.ai.dialects.call import Refusal, Why
from tests.ai.dialects.reads import call, read

BODY = {"model": "mistral-large-latest", "messages": [{"role": "user", "content": "Hi"}], "stream": True}


def test_a_stream_says_its_usage_unasked() -> None:
    assert not call("mistral", BODY).may_ask_usage


def test_agents_are_refused() -> None:
    for path in ("/v1/agents/completions", "/v1/conversations"):
        assert read("mistral", {"agent_id": "a"}, path=path) == Refusal(Why.NOT_LISTED)


def test_documents_stand_outside_the_body() -> None:
    parts = [{"type": "document_url", "document_url": "https://example.com"}]
    assert call("mistral", BODY | {"messages": [{"role": "user", "content": parts}]}).external == ("content",)
