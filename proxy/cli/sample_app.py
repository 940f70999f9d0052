"""The app behind the gateway in `sluicegate demo`: REST resources, a slow one, one that fails, a chat endpoint.

The chat endpoint answers in the shape of OpenAI's chat completions, streamed and not, with usage; the text is canned.
"""

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator
from email.utils import formatdate
from hashlib import sha256
from typing import Any, Final

from aiohttp import web

_WORDS: Final = tuple("Hello! I am the sample app behind Sluicegate; everyone hears these same words from me.".split())  # noqa: SIM905
_PRODUCTS: Final = {str(n): {"id": str(n), "name": f"Product {n}", "price_usd": 10 * n} for n in range(1, 101)}


def _cached(request: web.Request, value: Any, cache_control: str) -> web.Response:
    body = json.dumps(value).encode()
    etag = f'"{sha256(body).hexdigest()[:16]}"'
    headers = {"Cache-Control": cache_control, "ETag": etag, "Last-Modified": formatdate(1_700_000_000, usegmt=True)}
    if request.headers.get("If-None-Match") == etag:
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, content_type="application/json", headers=headers)


async def products(request: web.Request) -> web.Response:
    return _cached(request, list(_PRODUCTS.values()), "public, max-age=60")


async def product(request: web.Request) -> web.Response:
    found = _PRODUCTS.get(request.match_info["id"])
    if found is None:
        return web.json_response({"error": "no such product"}, status=404)
    return _cached(request, found, "public, max-age=300, stale-while-revalidate=30")


async def report(request: web.Request) -> web.Response:
    tenant = request.headers.get("X-Tenant-ID", "nobody")
    value = {"report": request.match_info["id"], "tenant": tenant, "revenue_usd": len(tenant) * 1000}
    return _cached(request, value, "private, max-age=60")


async def whoami(request: web.Request) -> web.Response:
    names = ("X-Tenant-ID", "X-User-ID", "X-Tier", "X-Request-ID", "X-Forwarded-For", "Via")
    return web.json_response({name: request.headers.get(name) for name in names})


async def slow(request: web.Request) -> web.Response:
    seconds = min(float(request.query.get("seconds", "2")), 30.0)
    await asyncio.sleep(seconds)
    return web.json_response({"slept_s": seconds})


async def fail(_: web.Request) -> web.Response:
    return web.json_response({"error": "this resource always fails"}, status=500)


async def upload(request: web.Request) -> web.Response:
    size = 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
    return web.json_response({"received_bytes": size})


def _completion(model: str, kind: str, choice: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-sample",
        "object": kind,
        "created": int(time.time()),
        "model": model,
        "choices": [{"index": 0, "logprobs": None, **choice}],
        **more,
    }


async def chat(request: web.Request) -> web.StreamResponse:
    asked = await request.json()
    model = asked.get("model", "sample-1")
    prompt_tokens = sum(len(str(message.get("content", "")).split()) for message in asked.get("messages", ())) + 3
    words = _WORDS[: asked.get("max_completion_tokens") or asked.get("max_tokens") or len(_WORDS)]
    usage = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": len(words),
        "total_tokens": prompt_tokens + len(words),
    }
    if not asked.get("stream"):
        message = {"role": "assistant", "content": " ".join(words)}
        choice = {"message": message, "finish_reason": "stop"}
        return web.json_response(_completion(model, "chat.completion", choice, usage=usage))
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await response.prepare(request)
    with_usage = bool((asked.get("stream_options") or {}).get("include_usage"))
    for index, word in enumerate(words):
        delta = {"content": word if index == 0 else f" {word}"} | ({"role": "assistant"} if index == 0 else {})
        finish = "stop" if index == len(words) - 1 else None
        chunk = _completion(model, "chat.completion.chunk", {"delta": delta, "finish_reason": finish})
        await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        await asyncio.sleep(0.03)
    if with_usage:
        last = _completion(model, "chat.completion.chunk", {}, usage=usage) | {"choices": []}
        await response.write(b"data: " + json.dumps(last).encode() + b"\n\n")
    await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response


def make_app() -> web.Application:
    app = web.Application()
    app.add_routes(
        [
            web.get("/api/products", products),
            web.get("/api/products/{id}", product),
            web.get("/api/reports/{id}", report),
            web.get("/api/whoami", whoami),
            web.get("/api/slow", slow),
            web.get("/api/fail", fail),
            web.post("/api/upload", upload),
            web.post("/v1/chat/completions", chat),
        ]
    )
    return app


async def _end_with_parent(_: web.Application) -> AsyncIterator[None]:
    """Nobody ever writes to standard input: when it can be read, the other end has gone."""
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin, signal.raise_signal, signal.SIGTERM)
    yield
    loop.remove_reader(sys.stdin)


def main() -> None:
    app = make_app()
    app.cleanup_ctx.append(_end_with_parent)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)


if __name__ == "__main__":
    main()
