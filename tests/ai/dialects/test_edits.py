"""The gateway writes a cap and asks for a stream's usage, and touches nothing else."""

import json

import pytest

from proxy.ai.dialects.call import Refusal, Why
from proxy.ai.dialects.edits import edit, wants_usage
from tests.ai.dialects.reads import call

BODY = b'{ "model":"gpt-5", "messages" : [],\n "temperature":1.0e0, "stream":true }'


def test_both_edits_leave_every_other_byte() -> None:
    before = call("openai", BODY)
    edited = edit(before, BODY, default_cap=64, ask_usage=True)
    assert not isinstance(edited, Refusal)
    after, body = edited
    assert body == b'{"max_completion_tokens":64,"stream_options":{"include_usage":true},' + BODY[1:]
    assert after.output_cap == 64
    assert wants_usage(after)  # the client still did not ask: the chunk is the gateway's


def test_nothing_to_do_is_the_same_body() -> None:
    body = json.dumps({"model": "m", "messages": [], "max_tokens": 5}).encode()
    before = call("openai", body)
    assert edit(before, body, default_cap=64, ask_usage=True) == (before, body)


def test_a_refused_wish_is_overruled_in_place() -> None:
    raw = b'{"model":"m","stream":true,"max_tokens":1,"stream_options":{"include_usage": false,"x":1}}'
    _, body = edit(call("openai", raw), raw, default_cap=None, ask_usage=True)  # type: ignore[misc]
    assert body == raw.replace(b"false", b"true")


def test_the_clients_own_wish_is_not_the_gateways() -> None:
    raw = b'{"model":"m","stream":true,"max_tokens":1,"stream_options":{"include_usage":true}}'
    assert not wants_usage(call("openai", raw))


def test_a_signed_body_is_never_edited() -> None:
    signed = call("openai", BODY, content_digest="sha-256=:x:")
    assert edit(signed, BODY, default_cap=64, ask_usage=True) == Refusal(Why.SIGNED, "max_completion_tokens")
    assert edit(signed, BODY, default_cap=None, ask_usage=True) == (signed, BODY)


@pytest.mark.parametrize(
    ("name", "raw", "made"),
    [
        ("gemini", b'{"contents":[]}', b'{"generationConfig":{"maxOutputTokens":9},"contents":[]}'),
        ("gemini", b'{"generation_config":{"top_k":1}}', b'{"generation_config":{"maxOutputTokens":9,"top_k":1}}'),
        ("mistral", b'{"model":"m"}', b'{"max_tokens":9,"model":"m"}'),
        ("responses", b'{"model":"m"}', b'{"max_output_tokens":9,"model":"m"}'),
        ("embeddings", b'{"model":"m"}', b'{"model":"m"}'),
    ],
)
def test_each_kinds_cap_has_its_place(name: str, raw: bytes, made: bytes) -> None:
    edited = edit(call(name, raw), raw, default_cap=9, ask_usage=True)
    assert not isinstance(edited, Refusal)
    assert edited[1] == made
    if name != "embeddings":
        assert call(name, made).output_cap == 9


def test_a_body_that_is_not_ascii_is_edited_by_characters() -> None:
    raw = '{"model":"é","messages":[{"role":"user","content":"日本語 🙂"}]}'.encode()
    _, body = edit(call("openai", raw), raw, default_cap=9, ask_usage=False)  # type: ignore[misc]
    assert body == b'{"max_completion_tokens":9,' + raw[1:]
