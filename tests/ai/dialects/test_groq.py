"""Groq: tools that a model uses by itself have no bound."""

from tests.ai.dialects.reads import call

BODY = {"model": "llama-3.3-70b-versatile", "messages": [{"role": "user", "content": "Hi"}], "stream": True}


def test_a_stream_says_its_usage_unasked() -> None:
    found = call("groq", BODY)
    assert (found.provider, found.may_ask_usage, found.unbounded) == ("groq", False, ())


def test_compound_models_have_no_bound() -> None:
    assert call("groq", BODY | {"model": "groq/compound-mini"}).unbounded == ("model's own tools",)
    assert call("groq", BODY | {"tools": [{"type": "browser_search"}]}).unbounded == ("tool",)


def test_every_tier_has_the_same_price() -> None:
    assert call("groq", BODY | {"service_tier": "flex"}).context == ()
