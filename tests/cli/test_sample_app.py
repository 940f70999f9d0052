"""The demo's app behaves as the apps that the gateway is for."""

from collections.abc import AsyncIterator

import openai
import pytest
from aiohttp.test_utils import TestClient, TestServer

from proxy.cli.sample_app import make_app


@pytest.fixture
async def app() -> AsyncIterator[TestClient]:
    async with TestClient(TestServer(make_app())) as client:
        yield client


async def test_resources_have_cache_headers_and_answer_to_validation(app: TestClient) -> None:
    first = await app.get("/api/products/7")
    assert (await first.json())["name"] == "Product 7"
    assert first.headers["Cache-Control"] == "public, max-age=300, stale-while-revalidate=30"
    again = await app.get("/api/products/7", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status == 304
    assert (await app.get("/api/products/none")).status == 404


async def test_reports_are_the_tenants_own(app: TestClient) -> None:
    answer = await app.get("/api/reports/q1", headers={"X-Tenant-ID": "acme"})
    assert (await answer.json())["tenant"] == "acme"
    assert answer.headers["Cache-Control"].startswith("private")


async def test_one_resource_is_slow_and_one_fails(app: TestClient) -> None:
    assert (await (await app.get("/api/slow?seconds=0.01")).json()) == {"slept_s": 0.01}
    assert (await app.get("/api/fail")).status == 500


async def test_uploads_are_counted(app: TestClient) -> None:
    answer = await app.post("/api/upload", data=b"x" * 100_000)
    assert await answer.json() == {"received_bytes": 100_000}


@pytest.mark.parametrize("usage", [True, False])
async def test_the_chat_answers_as_openais_does(app: TestClient, usage: bool) -> None:
    """OpenAI's own client understands it, streamed and not; usage comes when it is asked for."""
    base = str(app.make_url("/v1"))
    messages = [{"role": "user", "content": "hello there"}]
    async with openai.AsyncOpenAI(api_key="x", base_url=base, max_retries=0) as client:
        whole = await client.chat.completions.create(model="sample-1", messages=messages, max_tokens=3)
        assert whole.choices[0].message.content.count(" ") == 2
        assert whole.usage.completion_tokens == 3
        options = {"stream_options": {"include_usage": True}} if usage else {}
        stream = await client.chat.completions.create(
            model="sample-1", messages=messages, max_tokens=3, stream=True, **options
        )
        chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert (chunks[-1].usage is not None) is usage
