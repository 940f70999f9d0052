"""OpenAI's, Anthropic's and Google's answers, plain and streamed, each in its own form: "Hello there", to any call."""

import json
from dataclasses import dataclass
from typing import Any, Final

from tests.e2e.origin import Exchange, Origin, read_body

GEMINI: Final = "gemini-2.5-flash"  # in the path, where others say it in the body
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def framed(value: Any) -> bytes:
    body = json.dumps(value).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    return head + body


@dataclass
class Providers:
    """All three, on one socket. ``usage``: what each says was used, as it says it; ``streamed``: the last stream's
    bytes, without framing."""

    usage: dict[str, dict[str, Any]]
    streamed: bytes = b""

    def attach(self, origin: Origin) -> None:
        origin.answers["/v1/chat/completions"] = self.chat
        origin.answers["/v1/messages"] = self.messages
        for version in ("v1", "v1beta"):
            for method in ("generateContent", "streamGenerateContent"):
                origin.answers[f"/{version}/models/{GEMINI}:{method}"] = self.generate

    async def stream(self, exchange: Exchange, events: list[Any], *, named: bool = False, done: bool = False) -> None:
        await exchange.send(HEAD)
        self.streamed = b""
        for event in events:
            head = b"event: %b\n" % event["type"].encode() if named else b""
            await self.event(exchange, head + b"data: " + json.dumps(event).encode() + b"\n\n")
        if done:
            await self.event(exchange, b"data: [DONE]\n\n")
        await exchange.send(b"0\r\n\r\n")

    async def event(self, exchange: Exchange, data: bytes) -> None:
        self.streamed += data
        await exchange.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def chat(self, exchange: Exchange) -> None:
        asked = json.loads(await read_body(exchange.seen, exchange.reader))
        common = {"id": "chatcmpl-1", "created": 1, "model": asked["model"]}
        if not asked.get("stream"):
            message = {"role": "assistant", "content": "Hello there"}
            choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
            answer = {"object": "chat.completion", "choices": choices, "usage": self.usage["openai"]}
            await exchange.send(framed(common | answer))
            return
        chunk = common | {"object": "chat.completion.chunk"}
        events = [
            chunk | {"choices": [{"index": 0, "delta": {"role": "assistant", "content": word}, "finish_reason": None}]}
            for word in ("Hello", " there")
        ]
        if (asked.get("stream_options") or {}).get("include_usage"):
            events.append(chunk | {"choices": [], "usage": self.usage["openai"]})
        await self.stream(exchange, events, done=True)

    async def messages(self, exchange: Exchange) -> None:
        asked, used = json.loads(await read_body(exchange.seen, exchange.reader)), self.usage["anthropic"]
        message = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": asked["model"],
            "content": [{"type": "text", "text": "Hello there"}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": used,
        }
        if not asked.get("stream"):
            await exchange.send(framed(message))
            return
        whole = {"output_tokens": used["output_tokens"]}
        first = message | {"content": [], "stop_reason": None, "usage": used | {"output_tokens": 1}}
        events: list[Any] = [
            {"type": "message_start", "message": first},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " there"}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": whole},
            {"type": "message_stop"},
        ]
        await self.stream(exchange, events, named=True)

    async def generate(self, exchange: Exchange) -> None:
        await read_body(exchange.seen, exchange.reader)
        content = {"parts": [{"text": "Hello there"}], "role": "model"}
        answer = {"candidates": [{"content": content, "finishReason": "STOP"}], "modelVersion": GEMINI}
        answer |= {"usageMetadata": self.usage["gemini"], "responseId": "r1"}
        if "streamGenerateContent" not in exchange.seen.request_line:
            await exchange.send(framed(answer))
            return
        first = {"candidates": [{"content": {"parts": [{"text": "Hello"}], "role": "model"}}], "modelVersion": GEMINI}
        partial = self.usage["gemini"] | {"candidatesTokenCount": 5, "thoughtsTokenCount": 60}
        rest = {"candidates": [{"content": {"parts": [{"text": " there"}], "role": "model"}, "finishReason": "STOP"}]}
        last = rest | {"modelVersion": GEMINI, "usageMetadata": self.usage["gemini"]}
        await self.stream(exchange, [first | {"usageMetadata": partial}, last])
