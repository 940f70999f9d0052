"""A whole body is read at its end, and only if it is there wholly."""

import json

from proxy.ai.dialects.call import Kind
from proxy.ai.usage import body as module
from proxy.ai.usage.body import BodyReader
from tests.ai.usage.streams import USAGE


def test_a_chats_body() -> None:
    data = json.dumps({"id": "c1", "model": "m", "choices": [{}], "usage": USAGE}).encode()
    reader = BodyReader(Kind.CHAT)
    assert reader.feed(data[:20]) == data[:20]
    assert reader.usage() is None
    assert reader.feed(data[20:]) == data[20:]
    assert reader.end() == b""
    usage = reader.usage()
    assert usage is not None
    assert (usage.counts["input_tokens"], usage.complete, usage.streamed_bytes) == (30, True, len(data))


def test_what_is_not_json_says_nothing() -> None:
    reader = BodyReader(Kind.CHAT)
    reader.feed(b"<html>")
    assert reader.usage() is None


def test_megabytes_of_vectors_are_not_parsed() -> None:
    """Their end says what was used."""
    vectors = b'{"object":"list","data":[' + b"0.1," * 100_000 + b'0.1],"model":"e","usage": {"prompt_tokens":7}}\n'
    reader = BodyReader(Kind.EMBEDDINGS)
    reader.feed(vectors[:300_000])
    assert reader.usage() is None
    reader.feed(vectors[300_000:])
    usage = reader.usage()
    assert usage is not None
    assert (usage.counts["input_tokens"], usage.model) == (7, "e")


def test_vectors_after_their_usage_are_parsed() -> None:
    reader = BodyReader(Kind.EMBEDDINGS)
    reader.feed(b'{"usage":{"prompt_tokens":7,"details":{}},"data":[]}')
    assert reader.usage() is not None


def test_a_body_that_is_too_long_is_not_kept() -> None:
    reader = BodyReader(Kind.CHAT)
    start = b'{"usage":{"prompt_tokens":1,"completion_tokens":1},"x":"'
    reader.feed(start)
    for _ in range(module.MAX_BODY // 2**22 + 1):
        reader.feed(b"x" * 2**22)
    assert reader.feed(b'"}') == b'"}'
    assert reader.usage() is None
    assert reader.streamed_bytes > module.MAX_BODY


def test_geminis_vectors_say_it_by_modality_at_their_end() -> None:
    usage = {"promptTokenCount": 9, "promptTokensDetails": [{"modality": "IMAGE", "tokenCount": 9}]}
    data = (
        b'{"embeddings":[' + b"0.1," * 100_000 + b'0.1],"usageMetadata":' + json.dumps(usage, indent=1).encode() + b"}"
    )
    reader = BodyReader(Kind.EMBEDDINGS)
    reader.feed(data)
    found = reader.usage()
    assert found is not None
    assert found.counts == {"input_tokens": 9, "input_image_tokens": 9, "output_tokens": 0}
