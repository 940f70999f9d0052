"""A provider that bills honestly: what it says was used is what it charges, to the nano-dollar, and it keeps to caps.

It speaks OpenAI's chat completions on a socket of its own, plain and streamed. A call's user message is JSON that says
how it goes: ``{"prompt": tokens, "output": tokens, "chunks": n, "pause": seconds, "fail": "status"|"cut"|"reset"}``;
one with a ``gate`` waits until that is open.
"""

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from genai_prices import Usage as OracleUsage
from genai_prices import calc_price

from tests.e2e.gateway import Gateway, get, reached, running
from tests.e2e.origin import Exchange, Origin, read_body, running_origin
from tests.e2e.policies import policy

MODEL = "gpt-4o-mini"
CHAT = "/v1/chat/completions"
NANOS = Decimal(10) ** 9


def call(stream: bool = False, cap: int = 1000, model: str = MODEL, **how: Any) -> dict[str, Any]:
    """The body of a request."""
    return {
        "model": model,
        "messages": [{"role": "user", "content": json.dumps(how)}],
        "max_tokens": cap,
        **({"stream": True} if stream else {}),
    }


def post(body: dict[str, Any] | bytes, bearer: str, path: str = CHAT) -> bytes:
    """The whole request of a call."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return get(path, f"Authorization: Bearer {bearer}", method="POST", body=data)


def price(prompt: int, output: int, model: str = MODEL) -> int:
    """Nano-dollars, rounded up: by the library that the gateway's table was compiled from."""
    found = calc_price(OracleUsage(input_tokens=prompt, output_tokens=output), model, provider_id="openai")
    nanos = Decimal(found.total_price) * NANOS
    return int(nanos.to_integral_value(rounding="ROUND_CEILING"))


@dataclass
class Provider:
    """``billed``: provider's request id -> nano-dollars."""

    billed: dict[str, int] = field(default_factory=dict)
    calls: int = 0
    under_way: int = 0
    _open: threading.Event = field(default_factory=threading.Event)

    @property
    def total(self) -> int:
        return sum(self.billed.values())

    def shut(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    def attach(self, origin: Origin, path: str = CHAT) -> None:
        origin.answers[path] = self.complete

    async def complete(self, exchange: Exchange) -> None:
        body = await read_body(exchange.seen, exchange.reader)
        self.calls += 1
        self.under_way += 1
        try:
            await self._answer(exchange, json.loads(body), f"call-{self.calls}")
        finally:
            self.under_way -= 1

    async def _answer(self, exchange: Exchange, asked: dict[str, Any], name: str) -> None:
        how = json.loads(asked["messages"][-1]["content"])
        fail = how.get("fail")
        if "gate" in how:
            await reached(self._open.is_set, 60)
        if how.get("pause") and not asked.get("stream"):
            await asyncio.sleep(how["pause"])
        if fail == "status":
            await exchange.send(_framed(b'{"error": {"message": "overloaded"}}', b"503 Service Unavailable"))
            return
        output = min(how.get("output", 10), asked.get("max_tokens", 1 << 30)) * asked.get("n", 1)
        prompt = how.get("prompt", 20)
        usage = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}
        common = {"id": name, "created": 1, "model": asked["model"]}
        # A provider bills what it computed, whoever is still there to read it.
        self.billed[name] = price(prompt, output, asked["model"])
        if fail == "reset":
            exchange.reset()
            return
        if not asked.get("stream"):
            message = {"role": "assistant", "content": "x" * output}
            choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
            answer = common | {"object": "chat.completion", "choices": choices, "usage": usage}
            await exchange.send(_framed(json.dumps(answer).encode(), b"200 OK"))
            return
        await self._stream(exchange, asked, how, common, usage)

    async def _stream(
        self, exchange: Exchange, asked: dict[str, Any], how: dict[str, Any], common: dict[str, Any], usage: Any
    ) -> None:
        says = bool((asked.get("stream_options") or {}).get("include_usage"))
        chunks = how.get("chunks", 3)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        await exchange.send(head)
        for number in range(chunks):
            last = number == chunks - 1
            choice = {"index": 0, "delta": {"content": "x"}, "finish_reason": "stop" if last else None}
            event = common | {"object": "chat.completion.chunk", "choices": [choice]}
            await self._event(exchange, event | ({"usage": None} if says else {}))
            await asyncio.sleep(how.get("pause", 0))
            if how.get("fail") == "cut" and number == chunks // 2:
                exchange.reset()
                return
        if says:
            await self._event(exchange, common | {"object": "chat.completion.chunk", "choices": [], "usage": usage})
        await exchange.send(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")

    async def _event(self, exchange: Exchange, event: dict[str, Any]) -> None:
        data = b"data: " + json.dumps(event).encode() + b"\n\n"
        await exchange.send(b"%x\r\n%b\r\n" % (len(data), data))


def _framed(body: bytes, status: bytes) -> bytes:
    head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
    return head + body


@dataclass
class Stand:
    """A gateway, the origin behind it, and the provider that is the upstream ``openai`` there."""

    gateway: Gateway
    origin: Origin
    provider: Provider


@contextlib.contextmanager
def standing(rest: str, *, openai: str = "", **more: Any) -> Iterator[Stand]:
    """``rest`` and ``more``: of the policy; ``openai``: more of that upstream's map."""
    with running_origin() as origin:
        provider = Provider()
        provider.attach(origin)
        upstream = f'openai: {{primary: ["http://127.0.0.1:{origin.port}"], dialect: openai, {openai}}}'
        with running(policy(origin.port, rest, upstreams=upstream, **more)) as gateway:
            yield Stand(gateway, origin, provider)
