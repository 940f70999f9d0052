"""An answer's head says how it is read; what cannot be read passes untouched and says nothing."""

import gzip
import json
import zlib
from dataclasses import replace

import pytest

from proxy.ai.dialects.call import AiCall, Kind
from proxy.ai.usage import reader as module
from proxy.ai.usage.array import ArrayReader
from proxy.ai.usage.body import BodyReader
from proxy.ai.usage.events import EventReader
from proxy.ai.usage.reader import BlindReader, GzipReader, reader_for
from tests.ai.usage.streams import ASKED, USAGE, chunk, cut, sse, through

CHAT = AiCall("openai", "openai", Kind.CHAT, "m", stream=True)
GEMINI = AiCall("gemini", "google", Kind.GENERATE, "m", stream=True)
BODY = json.dumps({"model": "m", "usage": USAGE}).encode()


@pytest.mark.parametrize(
    ("call", "media", "coding", "kind"),
    [
        (CHAT, "text/event-stream; charset=utf-8", "", EventReader),
        (CHAT, "application/json", "identity", BodyReader),
        (GEMINI, "application/json; charset=UTF-8", "", ArrayReader),
        (GEMINI, "text/event-stream", "", EventReader),
        (CHAT, "Text/Event-Stream", "gzip", GzipReader),
        (CHAT, "text/event-stream", "br", BlindReader),
        (CHAT, "text/event-stream", "gzip, gzip", BlindReader),
        (CHAT, "text/html", "", BlindReader),
        (AiCall("openai", "openai", Kind.OPAQUE, "m"), "application/json", "", BlindReader),
    ],
)
def test_the_head_chooses(call: AiCall, media: str, coding: str, kind: type) -> None:
    assert type(reader_for(call, content_type=media, content_encoding=coding)) is kind


@pytest.mark.parametrize("call", [CHAT, GEMINI, AiCall("openai", "openai", Kind.OPAQUE, "m")])
def test_of_a_refusal_the_json_is_read_whatever_was_asked(call: AiCall) -> None:
    reader = reader_for(call, content_type="application/json", refused=True)
    reader.feed(b'{"error":{}}')
    assert isinstance(reader, BodyReader)
    assert reader.answer() == {"error": {}}
    assert isinstance(reader_for(call, content_type="text/html", refused=True), BlindReader)


def test_gzip_is_read_beside_and_passes_untouched() -> None:
    """Also where the gateway asked: under a coding nothing can be taken out."""
    plain = sse(chunk("a"), ASKED, "[DONE]")
    data = gzip.compress(plain)
    reader = reader_for(CHAT, content_type="text/event-stream", content_encoding="gzip", take_out=True)
    assert through(reader, cut(data, range(0, len(data), 7))) == data
    assert reader.streamed_bytes == len(data)
    usage = reader.usage()
    assert usage is not None
    assert usage.counts["output_tokens"] == 12


def test_under_a_coding_too_an_array_is_complete_at_its_end() -> None:
    data = gzip.compress(b'[{"usageMetadata": {"promptTokenCount": 4, "totalTokenCount": 4}}]')
    for sent, complete in ((data, True), (data[:-4], False)):
        reader = reader_for(GEMINI, content_type="application/json", content_encoding="gzip")
        through(reader, [sent])
        usage = reader.usage()
        assert usage is not None
        assert usage.complete is complete


def test_the_reader_knows_how_many_choices_were_asked_for() -> None:
    for media, data in (
        (
            "text/event-stream",
            sse(
                {
                    "candidates": [{"finishReason": "STOP"}],
                    "usageMetadata": {"promptTokenCount": 4, "totalTokenCount": 4},
                }
            ),
        ),
        (
            "application/json",
            b'[{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":4,"totalTokenCount":4}}',
        ),
    ):
        for choices in (1, 2):
            reader = reader_for(replace(GEMINI, choices=choices), content_type=media)
            reader.feed(data)
            usage = reader.usage()
            assert usage is not None
            assert usage.complete is (choices == 1)


@pytest.mark.parametrize(
    "data", [b"not gzip", gzip.compress(BODY, mtime=0)[:-30] + b"x" * 30, gzip.compress(BODY, mtime=0) + b"more"]
)
def test_a_broken_coding_says_nothing(data: bytes) -> None:
    reader = reader_for(CHAT, content_type="application/json", content_encoding="gzip")
    assert reader.feed(data) is data
    assert reader.usage() is None


def test_a_bomb_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_EXPANDED", 4 << 20)
    packer = zlib.compressobj(9, wbits=31)
    bomb = packer.compress(b" " * (32 << 20)) + packer.flush()
    reader = reader_for(CHAT, content_type="application/json", content_encoding="gzip")
    assert reader.feed(bomb) is bomb
    assert reader.usage() is None
    assert isinstance(reader, GzipReader)
    assert reader._inner.streamed_bytes <= 5 << 20
