"""Random requests of every dialect, and an honest origin that bills each by the most that it could use.

What the origin may use is drawn together with the request, and not read out of it: the reader under test has no part.
It bills by genai-prices itself, unit by unit: all input as whatever is dearest for it, and so all output.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from math import ceil
from typing import Any
from unicodedata import normalize

from genai_prices import types
from genai_prices.data import providers
from hypothesis import strategies as st

AT = datetime(2026, 11, 23, 5, tzinfo=UTC)
PROVIDERS = {provider.id: provider for provider in providers}
TEMPLATE_TOKENS = 300  # of a request's, and of each tool's, that no byte of the body stands for
TEXTS = st.text(alphabet=st.sampled_from('ab {"\\ﷺé日🙂'), max_size=30)
COUNTS = st.integers(1, 5)


@dataclass
class Request:
    dialect: str
    provider: str
    model: str
    path: str
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    cap: int | None = None  # of each choice's output, as the origin keeps to it
    choices: int = 1
    tools: int = 0
    inputs: int = 1  # each is read by itself, and may fill a window
    uses: int = 0  # of server tools: each lets the model read once more
    output_per_pass: bool = False
    beside: bool = False  # reads what is not in the body
    sound_out: bool = False
    pictures_out: bool = False
    hour_cache: bool = False
    tiers: tuple[dict[str, str], ...] = ({},)
    searches: dict[str, int] = field(default_factory=dict)
    geo: bool = False
    predicted: int = 0
    ascii_json: bool = True

    @property
    def raw(self) -> bytes:
        return json.dumps(self.body, ensure_ascii=self.ascii_json).encode()

    @property
    def info(self) -> types.ModelInfo:
        found = PROVIDERS[self.provider].find_model(self.model, all_providers=providers)
        assert found is not None
        return found

    def most_nanousd(self, cap: int | None) -> int:
        """The most that an honest origin bills, if output is capped at ``cap`` where the request has no cap."""
        one_read = 0
        for text in _texts(self.body):
            one_read += max(len(text.encode()), len(normalize("NFKC", text).encode()))
        one_read += TEMPLATE_TOKENS * (1 + self.tools)
        if self.beside or self.uses:
            one_read = (self.info.context_window or one_read) * self.inputs
        inputs = one_read * (1 + self.uses)
        outputs = ((self.cap or cap or 0) * (1 + self.uses * self.output_per_pass) + self.predicted) * self.choices
        return max(self._bill(inputs, outputs, tier) for tier in self.tiers)

    def _bill(self, inputs: int, outputs: int, tier: dict[str, str]) -> int:
        cost = Fraction(0)
        for direction, total in (("input", inputs), ("output", outputs)):
            cost += max(self._price(direction, total, inputs, parts, tier) for parts in self._splits(direction))
        if self.searches:
            base = self._calc({"input_tokens": inputs}, tier)
            cost += self._calc({"input_tokens": inputs} | self.searches, tier) - base
        return ceil(cost * (Fraction(11, 10) if self.geo else 1) * 10**9)

    def _splits(self, direction: str) -> list[tuple[str, ...]]:
        """Which parts all of a direction's tokens may be, one such set at a time."""
        if direction == "output":
            return [(), ("output_reasoning_tokens",)] + [
                (part,)
                for part, may in (("output_audio_tokens", self.sound_out), ("output_image_tokens", self.pictures_out))
                if may
            ]
        splits: list[tuple[str, ...]] = [(), ("cache_read_tokens",), ("cache_write_tokens",)]
        if self.hour_cache:
            splits.append(("cache_write_tokens", "cache_write_1h_tokens"))
        if self.beside:
            splits += [("input_audio_tokens",), ("input_image_tokens",), ("input_video_tokens",)]
        return splits

    def _price(self, direction: str, total: int, inputs: int, parts: tuple[str, ...], tier: dict[str, str]) -> Fraction:
        if direction == "input":
            return self._calc({"input_tokens": total, **dict.fromkeys(parts, total)}, tier)
        counts = {"input_tokens": inputs, "output_tokens": total, **dict.fromkeys(parts, total)}
        return self._calc(counts, tier) - self._calc({"input_tokens": inputs}, tier)

    def _calc(self, counts: dict[str, int], tier: dict[str, str]) -> Fraction:
        price = self.info.calc_price(
            types.Usage(**counts), PROVIDERS[self.provider], genai_request_timestamp=AT, price_context=tier
        )
        return Fraction(price.total_price)


def _texts(value: Any) -> list[str]:
    """Every string of a body, names of members too: all of it may be put before the model."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for name, one in value.items() for text in (name, *_texts(one))]
    return [text for one in value for text in _texts(one)] if isinstance(value, list) else []


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


def put(body: dict[str, Any], name: str, value: Any) -> Any:
    if value is not None:
        body[name] = value
    return value


def openai_tiers(body: dict[str, Any], draw: Any, request: Request) -> None:
    tier = put(body, "service_tier", draw(st.sampled_from([None, "default", "flex", "priority", "fast", "auto"])))
    if tier not in (None, "auto"):
        # The answer may come from another tier than the one that was asked for.
        request.tiers = ({}, {"service_tier": "default"}, {"service_tier": tier})


@st.composite
def chats(draw: Any) -> Request:
    """OpenAI's, Azure's, Groq's and Mistral's chat completions."""
    dialect, provider, path, models = draw(
        st.sampled_from(
            [
                (
                    "openai",
                    "openai",
                    "/v1/chat/completions",
                    ["gpt-5", "gpt-4o", "o3", "gpt-4.1", "gpt-audio"],
                ),
                ("azure", "azure", "/openai/v1/chat/completions", ["gpt-5", "gpt-4o"]),
                ("groq", "groq", "/openai/v1/chat/completions", ["llama-3.3-70b-versatile", "openai/gpt-oss-120b"]),
                ("mistral", "mistral", "/v1/chat/completions", ["mistral-large-latest", "mistral-small-latest"]),
            ]
        )
    )
    body: dict[str, Any] = {"model": draw(st.sampled_from(models))}
    request = Request(dialect, provider, body["model"], path, body, ascii_json=draw(st.booleans()))
    parts: list[Any] = [{"type": "text", "text": draw(TEXTS)}]
    if draw(st.integers(0, 3)) == 0:
        parts.append({"type": "image_url", "image_url": {"url": "https://example.com/x.png"}})
        request.beside = True
    body["messages"] = [
        {"role": "system", "content": draw(TEXTS)},
        {"role": "user", "content": parts},
    ]
    field = "max_tokens" if dialect == "mistral" else draw(st.sampled_from(["max_tokens", "max_completion_tokens"]))
    request.cap = put(body, field, draw(maybe(st.integers(1, 3000))))
    request.choices = put(body, "n", draw(maybe(COUNTS))) or 1
    request.tools = draw(st.integers(0, 2))
    if request.tools:
        body["tools"] = [{"type": "function", "function": {"name": draw(TEXTS)}} for _ in range(request.tools)]
    if dialect == "openai":
        openai_tiers(body, draw, request)
        request.sound_out = bool(put(body, "modalities", draw(maybe(st.just(["text", "audio"])))))
    if dialect in ("openai", "mistral") and draw(st.booleans()):
        text = draw(TEXTS)
        body["prediction"] = {"type": "content", "content": text}
        request.predicted = len(text.encode())
    put(body, "stream", draw(maybe(st.booleans())))
    return request


@st.composite
def responses(draw: Any) -> Request:
    body: dict[str, Any] = {"model": draw(st.sampled_from(["gpt-5", "gpt-4.1", "o3", "gpt-5.2"]))}
    request = Request("openai", "openai", body["model"], "/v1/responses", body)
    body["input"] = draw(TEXTS | st.just([{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]))
    request.beside = isinstance(body["input"], list)
    for name in ("previous_response_id", "conversation"):
        request.beside |= put(body, name, draw(maybe(st.just("x")))) is not None
    put(body, "instructions", draw(maybe(TEXTS)))
    request.cap = put(body, "max_output_tokens", draw(maybe(st.integers(1, 3000))))
    if draw(st.booleans()):
        body["tools"] = [{"type": "web_search"}, {"type": "file_search"}, {"type": "function", "name": "f"}]
        request.tools, request.uses = 3, draw(COUNTS)
        body["max_tool_calls"] = request.uses
        request.searches = {draw(st.sampled_from(["web_searches", "storage_searches"])): request.uses}
    openai_tiers(body, draw, request)
    return request


@st.composite
def embeddings(draw: Any) -> Request:
    model = draw(st.sampled_from(["text-embedding-3-small", "text-embedding-3-large"]))
    body = {
        "model": model,
        "input": draw(TEXTS | st.lists(TEXTS, max_size=3) | st.lists(st.integers(0, 9), max_size=9)),
    }
    return Request("openai", "openai", model, "/v1/embeddings", body)


@st.composite
def gemini_embeddings(draw: Any) -> Request:
    model = draw(st.sampled_from(["gemini-embedding-2", "gemini-embedding-2-preview"]))
    body: dict[str, Any] = {}
    request = Request("gemini", "google", model, f"/v1beta/models/{model}:batchEmbedContents", body)
    request.inputs = draw(COUNTS)
    body["requests"] = []
    for _ in range(request.inputs):
        parts: list[Any] = [{"text": draw(TEXTS)}]
        if draw(st.integers(0, 3)) == 0:
            parts.append({"inlineData": {"mimeType": "image/png", "data": ""}})
            request.beside = True
        body["requests"].append({"model": f"models/{model}", "content": {"parts": parts}})
    return request


@st.composite
def messages(draw: Any) -> Request:
    model = draw(st.sampled_from(["claude-sonnet-4-5", "claude-opus-4-1", "claude-opus-5", "claude-opus-5-5"]))
    body: dict[str, Any] = {"model": model}
    request = Request("anthropic", "anthropic", model, "/v1/messages", body, output_per_pass=True)
    part: dict[str, Any] = {"type": "text", "text": draw(TEXTS)}
    cache = draw(st.sampled_from([None, {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}]))
    put(part, "cache_control", cache)
    request.hour_cache = bool(cache) and "ttl" in cache
    parts = [part]
    if draw(st.integers(0, 3)) == 0:
        parts.append({"type": "document", "source": {"type": "file", "file_id": "f"}})
        request.beside = True
    body["messages"] = [{"role": "user", "content": parts}]
    request.cap = put(body, "max_tokens", draw(maybe(st.integers(1, 3000))))
    put(body, "system", draw(maybe(TEXTS)))
    if draw(st.booleans()):
        request.uses = draw(COUNTS)
        request.tools = 2
        body["tools"] = [{"type": "web_search_20250305", "max_uses": request.uses}, {"name": "f", "input_schema": {}}]
        request.searches = {"web_searches": request.uses}
    if put(body, "speed", draw(maybe(st.sampled_from(["fast", "standard"])))) == "fast":
        request.tiers = ({}, {"speed": "fast"})
    request.geo = put(body, "inference_geo", draw(st.sampled_from([None, "us", "global"]))) == "us"
    return request


@st.composite
def generates(draw: Any) -> Request:
    model = draw(st.sampled_from(["gemini-2.5-flash", "gemini-2.5-pro", "gemini-2.0-flash", "gemini-3-flash-preview"]))
    verb = draw(st.sampled_from(["generateContent", "streamGenerateContent"]))
    snake = draw(st.booleans())
    parts: list[Any] = [{"text": draw(TEXTS)}]
    body: dict[str, Any] = {"contents": [{"role": "user", "parts": parts}]}
    request = Request("gemini", "google", model, f"/v1beta/models/{model}:{verb}", body)
    if draw(st.integers(0, 3)) == 0:
        parts.append({"inline_data" if snake else "inlineData": {"mimeType": "audio/wav", "data": ""}})
        request.beside = True
    request.beside |= put(body, "cachedContent", draw(st.sampled_from([None] * 15 + ["cachedContents/x"]))) is not None
    config: dict[str, Any] = {}
    cap, count = ("max_output_tokens", "candidate_count") if snake else ("maxOutputTokens", "candidateCount")
    request.cap = put(config, cap, draw(maybe(st.integers(1, 3000))))
    request.choices = put(config, count, draw(maybe(COUNTS))) or 1
    if draw(st.booleans()):
        config["responseModalities"] = ["TEXT"]
    else:
        request.sound_out = request.pictures_out = True
    body["generation_config" if snake else "generationConfig"] = config
    tier = put(body, "serviceTier", draw(st.sampled_from([*[None, "flex", "standard"] * 5, "priority"])))
    if tier in ("flex", "priority"):
        request.tiers = ({}, {"service_tier": tier})
    return request


REQUESTS = {
    "chats": chats(),
    "responses": responses(),
    "embeddings": embeddings(),
    "gemini embeddings": gemini_embeddings(),
    "messages": messages(),
    "generates": generates(),
}
