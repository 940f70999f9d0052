"""A request is read strictly, and what its table does not know has no bound."""

import json
import time
from unicodedata import normalize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.ai.dialects.call import FREE, AiCall, Kind, Refusal, Why
from proxy.ai.dialects.reading import most_tokens, read_request, without_escapes
from proxy.ai.dialects.registry import DIALECTS
from proxy.ai.requestjson import loads
from tests.ai.dialects.reads import call, read

CHAT = {"model": "gpt-5", "messages": [{"role": "user", "content": "Hi"}]}


def test_a_chat_as_it_is_read() -> None:
    body = CHAT | {"max_completion_tokens": 50, "n": 3, "stream": True, "service_tier": "priority"}
    found = call("openai", body)
    assert (found.kind, found.model, found.stream) == (Kind.CHAT, "gpt-5", True)
    assert (found.output_cap, found.choices) == (50, 3)
    assert found.context == (("service_tier", "priority"),)
    assert found.input_tokens == len(json.dumps(body)) + 1024
    assert (found.external, found.unbounded, found.surcharges) == ((), (), ())
    assert found.may_ask_usage
    assert not found.asks_usage


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/v1/images/generations", Refusal(Why.NOT_LISTED)),
        ("POST", "/v1//chat/completions", Refusal(Why.NOT_LISTED)),
        ("POST", "/v1/chat/completions/", Refusal(Why.NOT_LISTED)),
        ("POST", "/v1/chat%2Fcompletions", Refusal(Why.NOT_LISTED)),
        ("PUT", "/v1/chat/completions", Refusal(Why.METHOD)),
        ("GET", "/v1/models", FREE),
        ("GET", "/v1/models/gpt-5", FREE),
        ("GET", "/v1/models/ft:gpt-4.1:us::x", FREE),
        ("GET", "/v1/responses/resp_1", Refusal(Why.STORED)),
    ],
)
def test_what_is_not_listed_is_refused(method: str, path: str, expected: object) -> None:
    assert read("openai", b"", method=method, path=path) == expected


@pytest.mark.parametrize(
    ("body", "why", "field"),
    [
        (b'{"model":"m","model":"n"}', Why.DUPLICATE_MEMBER, ""),
        (b"{", Why.NOT_JSON, ""),
        (b"[]", Why.NOT_AN_OBJECT, ""),
        (b"{}", Why.NO_MODEL, "model"),
        (CHAT | {"model": ""}, Why.NO_MODEL, "model"),
        (CHAT | {"n": 0}, Why.BAD_FIELD, "n"),
        (CHAT | {"n": True}, Why.BAD_FIELD, "n"),
        (CHAT | {"n": 1.5}, Why.BAD_FIELD, "n"),
        (CHAT | {"max_tokens": "9"}, Why.BAD_FIELD, "max_tokens"),
        (CHAT | {"max_tokens": -1}, Why.BAD_FIELD, "max_tokens"),
        (CHAT | {"max_tokens": 10**12}, Why.BAD_FIELD, "max_tokens"),
        (CHAT | {"stream": "yes"}, Why.BAD_FIELD, "stream"),
        (CHAT | {"tools": {}}, Why.BAD_FIELD, "tools"),
        (CHAT | {"tools": ["x"]}, Why.BAD_FIELD, "tools"),
        (CHAT | {"service_tier": 1}, Why.BAD_FIELD, "service_tier"),
        (CHAT | {"stream": True, "stream_options": [1]}, Why.BAD_FIELD, "stream_options"),
    ],
)
def test_what_cannot_be_priced_is_refused(body: object, why: Why, field: str) -> None:
    assert read("openai", body) == Refusal(why, field)


def test_a_compressed_body_is_refused() -> None:
    assert read("openai", CHAT, content_encoding="gzip") == Refusal(Why.COMPRESSED, "content-encoding")
    assert isinstance(read("openai", CHAT, content_encoding="identity"), AiCall)


def test_an_unlisted_member_has_no_bound_unless_the_policy_vouches_for_it() -> None:
    body = json.dumps(CHAT | {"num_answers": 9}).encode()
    assert call("openai", body).unbounded == ("unlisted:num_answers",)
    vouched = read_request(
        DIALECTS["openai"], "POST", "/v1/chat/completions", "", {}, body, also=frozenset({"num_answers"})
    )
    assert isinstance(vouched, AiCall)
    assert vouched.unbounded == ()


def test_members_of_objects_are_vouched_for_by_their_path() -> None:
    body = json.dumps(CHAT | {"stream_options": {"continuous_usage_stats": True}}).encode()
    name = "stream_options.continuous_usage_stats"
    assert call("openai", body).unbounded == (f"unlisted:{name}",)
    vouched = read_request(DIALECTS["openai"], "POST", "/v1/chat/completions", "", {}, body, also=frozenset({name}))
    assert isinstance(vouched, AiCall)
    assert vouched.unbounded == ()
    assert read("openai", CHAT | {"audio": "loud"}) == Refusal(Why.BAD_FIELD, "audio")


@pytest.mark.parametrize(
    ("name", "query", "read_as"),
    [
        ("openai", "include=usage", Refusal(Why.QUERY, "include")),
        ("azure", "api-version=2024-10-21", None),
        ("azure", "api-version=2024-10-21&api-version=preview", Refusal(Why.QUERY, "api-version")),
        ("azure", "api-version=2024-10-21&x=1", Refusal(Why.QUERY, "x")),
        ("anthropic", "beta=true", None),
        ("anthropic", "beta=true&beta=false", Refusal(Why.QUERY, "beta")),
        ("groq", "x", Refusal(Why.QUERY, "x")),
        ("mistral", "x=%20", Refusal(Why.QUERY, "x")),
    ],
)
def test_a_query_says_nothing_that_the_table_does_not_know(name: str, query: str, read_as: object) -> None:
    found = read(name, CHAT, query=query)
    assert found == read_as if read_as is not None else isinstance(found, AiCall)


def test_null_is_as_good_as_absent() -> None:
    found = call("openai", CHAT | {"max_tokens": None, "n": None, "stream": None, "tools": None, "service_tier": None})
    assert (found.output_cap, found.choices, found.stream, found.context) == (None, 1, False, ())


def test_of_two_caps_the_greater_counts() -> None:
    """Which of them the provider goes by is its business."""
    assert call("openai", CHAT | {"max_tokens": 9, "max_completion_tokens": 5}).output_cap == 9


@pytest.mark.parametrize(
    ("headers", "signed"),
    [
        ({}, False),
        ({"authorization": "Bearer x"}, False),
        ({"authorization": "AWS4-HMAC-SHA256 Credential=x"}, True),
        ({"content_digest": "sha-256=:x:"}, True),
        ({"signature_input": 'a=("content-digest")'}, True),
        ({"x_amz_content_sha256": "ab"}, True),
        ({"x_amz_content_sha256": "UNSIGNED-PAYLOAD"}, False),
    ],
)
def test_a_signed_body_is_known(headers: dict[str, str], signed: bool) -> None:
    assert call("openai", CHAT, **headers).signed is signed


def test_a_batch_has_no_bound_and_is_not_read() -> None:
    found = call("openai", b"not even json", path="/v1/batches")
    assert (found.kind, found.unbounded) == (Kind.OPAQUE, ("batch",))


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=40), st.booleans())
def test_no_text_has_more_bytes_than_are_counted(content: str, escaped: bool) -> None:
    """Neither as it is, nor once a tokenizer has normalised it: ﷺ is 3 bytes and means 33."""
    raw = json.dumps({"model": "m", "messages": content}, ensure_ascii=escaped).encode()
    text, value = loads(raw)
    most = most_tokens(text, without_escapes(text, value))
    assert most >= len(raw)
    for form in ("NFC", "NFKC"):
        assert most >= len(normalize(form, content).encode())


def test_an_escaped_character_counts_for_what_it_becomes() -> None:
    found = call("openai", b'{"model":"m","messages":[{"role":"user","content":"' + b"\\ufdfa" * 100 + b'"}]}')
    assert found.input_tokens >= 3300


def test_a_run_of_combining_marks_is_read_in_linear_time() -> None:
    """Normalising it would take seconds, in which a worker answers nobody."""
    text = "a" + "\u0300" * 60_000 + "\u0316" * 60_000
    raw = json.dumps({"model": "m", "messages": text}, ensure_ascii=False).encode()
    start = time.thread_time()
    assert call("openai", raw).input_tokens >= len(text.encode())
    assert time.thread_time() - start < 0.5
