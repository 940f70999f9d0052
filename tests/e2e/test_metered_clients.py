"""The providers' own Python clients through metered routes, unchanged but for base URL and key: what each call used is
in the ledger to the nano-dollar, and a stream's bytes are the provider's, but for the chunk that the gateway asked for.
"""

import asyncio
import json
from collections.abc import Iterator
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

import anthropic
import openai
import pytest
from genai_prices import Usage as OracleUsage
from genai_prices import calc_price
from google import genai

from tests.e2e.books import disagreements, rows
from tests.e2e.dialects import GEMINI, Providers
from tests.e2e.gateway import Client, Gateway, eventually, running
from tests.e2e.origin import running_origin
from tests.e2e.policies import policy

KEY = "sg_the-key-of-the-app's-own-server"
OPENAI, CLAUDE = "gpt-4o-mini", "claude-sonnet-5"
ASKED = "Hi. " * 1000  # long enough for all that the provider says it has read
QUESTION: Any = [{"role": "user", "content": ASKED}]
USAGE: dict[str, dict[str, Any]] = {
    "openai": {"prompt_tokens": 1200, "completion_tokens": 30, "total_tokens": 1230}
    | {"prompt_tokens_details": {"cached_tokens": 1024}},
    "anthropic": {
        "input_tokens": 300,
        "output_tokens": 40,
        "cache_creation_input_tokens": 2048,
        "cache_read_input_tokens": 1024,
    },
    "gemini": {
        "promptTokenCount": 500,
        "candidatesTokenCount": 20,
        "thoughtsTokenCount": 60,
        "cachedContentTokenCount": 256,
        "totalTokenCount": 580,
    },
}

ROUTES = """
budgets:
  all: {scope: global, daily: "$100", monthly: "$1000"}
routes:
  - {name: openai, match: {path: "/openai/**"}, upstream: openai, rewrite: {strip: /openai}, limits: [], budgets: [all],
     max_output_tokens: 1000}
  - {name: anthropic, match: {path: "/anthropic/**"}, upstream: anthropic, rewrite: {strip: /anthropic}, limits: [],
     budgets: [all]}
  - {name: gemini, match: {path: "/gemini/**"}, upstream: gemini, rewrite: {strip: /gemini}, limits: [], budgets: [all],
     max_output_tokens: 1000}
"""


@pytest.fixture(scope="module")
def stand() -> Iterator[SimpleNamespace]:
    with running_origin() as origin:
        providers = Providers(USAGE)
        providers.attach(origin)
        upstreams = "\n".join(
            f'{name}: {{primary: ["http://127.0.0.1:{origin.port}"], dialect: {name}}}'
            for name in ("openai", "anthropic", "gemini")
        )
        digest = sha256(KEY.encode()).hexdigest()
        identity = (
            f'keys: {{app: {{sha256: "{digest}", tenant: acme, user: server, feature: chat, cost_centre: "42"}}}}'
        )
        with running(policy(origin.port, ROUTES, identity=identity, upstreams=upstreams)) as gateway:
            yield SimpleNamespace(gateway=gateway, origin=origin, providers=providers)


def of_model(gateway: Gateway, model: str) -> list[dict[str, Any]]:
    """The rows of a model's calls: another test's may still be on its way."""
    return [row for row in rows(gateway) if row["model"] == model]


def newest(gateway: Gateway, model: str, seen: int) -> dict[str, Any]:
    """The row that came after so many."""
    return eventually(lambda: (there := of_model(gateway, model)) and len(there) > seen and there[-1])


def oracle(provider: str, model: str, **tokens: int) -> int:
    total = calc_price(OracleUsage(**tokens), model, provider_id=provider).total_price
    return -int(-total * 10**9 // 1)


def check_row(row: dict[str, Any], provider: str) -> None:
    """What the provider's usage costs by the library, and who is accountable for it."""
    usage: Any = USAGE[provider]
    match provider:
        case "openai":
            cost = oracle("openai", OPENAI, input_tokens=1200, output_tokens=30, cache_read_tokens=1024)
            tokens = (176, 30, 1024, 0)
        case "anthropic":
            whole = 300 + 2048 + 1024
            cost = oracle(
                "anthropic",
                CLAUDE,
                input_tokens=whole,
                output_tokens=40,
                cache_read_tokens=1024,
                cache_write_tokens=2048,
            )
            tokens = (300, 40, 1024, 2048)
        case _:
            cost = oracle("google", GEMINI, input_tokens=500, output_tokens=80, cache_read_tokens=256)
            tokens = (244, usage["candidatesTokenCount"] + usage["thoughtsTokenCount"], 256, 0)
    assert row["cost_nanousd"] == cost
    assert not row["estimated"]
    names = ("input_tokens", "output_tokens", "cached_read_tokens", "cache_write_tokens")
    assert tuple(row[name] for name in names) == tokens
    assert (row["company_id"], row["user_id"], row["credential"]) == ("acme", "server", "app")
    assert (row["feature"], row["cost_centre"]) == ("chat", "42")
    assert row["held_nanousd"] >= cost


def test_openai(stand: SimpleNamespace) -> None:
    with openai.OpenAI(api_key=KEY, base_url=f"{stand.gateway.url}/openai/v1", timeout=10) as client:
        seen = len(of_model(stand.gateway, OPENAI))
        answer = client.chat.completions.create(model=OPENAI, messages=QUESTION)
        assert answer.choices[0].message.content == "Hello there"
        check_row(newest(stand.gateway, OPENAI, seen), "openai")
        with client.chat.completions.create(model=OPENAI, messages=QUESTION, stream=True) as stream:
            assert [event.choices[0].delta.content for event in stream] == ["Hello", " there"]
        check_row(newest(stand.gateway, OPENAI, seen + 1), "openai")


def test_openai_who_asks_for_the_usage_gets_it(stand: SimpleNamespace) -> None:
    with openai.OpenAI(api_key=KEY, base_url=f"{stand.gateway.url}/openai/v1", timeout=10) as client:
        options: Any = {"include_usage": True}
        with client.chat.completions.create(
            model=OPENAI, messages=QUESTION, stream=True, stream_options=options
        ) as stream:
            events = list(stream)
    assert events[-1].choices == []
    assert events[-1].usage is not None
    assert events[-1].usage.total_tokens == 1230


def test_anthropic(stand: SimpleNamespace) -> None:
    with anthropic.Anthropic(api_key=KEY, base_url=f"{stand.gateway.url}/anthropic", timeout=10) as client:
        seen = len(of_model(stand.gateway, CLAUDE))
        answer = client.messages.create(model=CLAUDE, max_tokens=64, messages=QUESTION)
        assert answer.content[0].text == "Hello there"  # type: ignore[union-attr]
        check_row(newest(stand.gateway, CLAUDE, seen), "anthropic")
        with client.messages.stream(model=CLAUDE, max_tokens=64, messages=QUESTION) as stream:
            assert list(stream.text_stream) == ["Hello", " there"]
        check_row(newest(stand.gateway, CLAUDE, seen + 1), "anthropic")


def test_google_genai(stand: SimpleNamespace) -> None:
    options = genai.types.HttpOptions(base_url=f"{stand.gateway.url}/gemini", timeout=10_000)
    with genai.Client(api_key=KEY, vertexai=False, http_options=options) as client:
        seen = len(of_model(stand.gateway, GEMINI))
        answer = client.models.generate_content(model=GEMINI, contents=ASKED)
        assert answer.text == "Hello there"
        check_row(newest(stand.gateway, GEMINI, seen), "gemini")
        words = [event.text for event in client.models.generate_content_stream(model=GEMINI, contents=ASKED)]
        assert words == ["Hello", " there"]
        check_row(newest(stand.gateway, GEMINI, seen + 1), "gemini")


@pytest.mark.parametrize("asks", [False, True])
async def test_a_streams_bytes_are_the_providers_but_for_the_chunk_that_was_asked_for(
    stand: SimpleNamespace, asks: bool
) -> None:
    body = {"model": OPENAI, "messages": QUESTION, "stream": True, "max_tokens": 50}
    data = json.dumps(body | ({"stream_options": {"include_usage": True}} if asks else {})).encode()
    head = f"POST /openai/v1/chat/completions HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {KEY}\r\n"
    async with await Client.connect(stand.gateway) as client:
        await client.send(head.encode() + b"Content-Length: %d\r\n\r\n%b" % (len(data), data))
        answer = await client.answer()
    sent = stand.providers.streamed
    assert b'"usage": {' in sent
    if not asks:
        events = sent.split(b"\n\n")
        sent = b"\n\n".join(event for event in events if b'"usage": {' not in event)
    assert answer.body == sent


async def test_counters_and_ledger_agree(stand: SimpleNamespace) -> None:
    await asyncio.to_thread(
        eventually, lambda: stand.gateway.metric("sluicegate_ai_calls_in_flight") == 0 and rows(stand.gateway)
    )
    assert await asyncio.to_thread(disagreements, stand.gateway) == []
