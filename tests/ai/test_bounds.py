"""No request makes an honest origin bill more than was held."""

import json
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.ai.bounds import Hold, NoBound, Refused, hold
from proxy.ai.costs import Account
from proxy.ai.dialects.call import AiCall, Kind, Refusal
from proxy.ai.dialects.edits import edit
from proxy.ai.dialects.reading import read_request
from proxy.ai.dialects.registry import DIALECTS
from proxy.ai.prices.table import ModelPrices, bundled
from tests.ai.dialects.reads import call
from tests.ai.requests import AT, REQUESTS, Request

AT_MS = int(AT.timestamp() * 1000)
CAP = 700
CHAT = {"model": "gpt-5", "messages": [{"role": "user", "content": "Hi"}], "max_completion_tokens": 100}


def priced(provider: str, model: str) -> ModelPrices:
    found = bundled().find(provider, model)
    assert found is not None
    return found


def held(request: Request) -> Hold | Refused | Refusal:
    raw = request.raw
    read = read_request(DIALECTS[request.dialect], "POST", request.path, "", request.headers, raw)
    assert isinstance(read, AiCall), read
    edited = edit(read, raw, default_cap=CAP, ask_usage=True)
    assert not isinstance(edited, Refusal)
    return hold(edited[0], priced(request.provider, read.model), AT_MS)


@pytest.mark.parametrize("shape", REQUESTS)
def test_an_honest_origin_never_bills_more_than_was_held(shape: str) -> None:
    """Whatever shape a request has; and most of what is drawn has a bound, so that refusing is not the trick."""
    bounded = refused = 0

    @settings(derandomize=True, deadline=None, max_examples=150)
    @given(REQUESTS[shape])
    def run(request: Request) -> None:
        nonlocal bounded, refused
        found = held(request)
        if isinstance(found, Hold):
            bounded += 1
            assert request.most_nanousd(CAP) <= found.nanousd
        else:
            refused += 1

    run()
    assert bounded > 4 * refused


BLUNTED: list[tuple[str, dict[str, Any]]] = [
    ("chats", {"choices": 1}),
    ("chats", {"extra_output": 0, "input_tokens": 0}),
    ("chats", {"external": ()}),
    ("chats", {"audio_output": False}),
    ("responses", {"passes": 1}),
    ("responses", {"surcharges": ()}),
    ("messages", {"cache_write_1h": False}),
    ("messages", {"geo": None}),
    ("messages", {"context": ()}),
    ("messages", {"cap_per_pass": False}),
    ("embeddings", {"input_tokens": 0}),
    ("gemini embeddings", {"inputs": 1}),
    ("gemini embeddings", {"external": ()}),
    ("generates", {"choices": 1}),
]


@pytest.mark.parametrize(("shape", "blunt"), BLUNTED, ids=str)
def test_the_simulator_notices_each_factor_that_is_left_out(shape: str, blunt: dict[str, Any]) -> None:
    """The test above can fail: a bound without one of its factors is exceeded."""

    def run(request: Request) -> bool:
        read = read_request(DIALECTS[request.dialect], "POST", request.path, "", {}, request.raw)
        assert isinstance(read, AiCall)
        edited = edit(read, request.raw, default_cap=CAP, ask_usage=True)
        assert not isinstance(edited, Refusal)
        found = hold(replace(edited[0], **blunt), priced(request.provider, read.model), AT_MS)
        return isinstance(found, Hold) and request.most_nanousd(CAP) > found.nanousd

    exceeded = False

    @settings(derandomize=True, deadline=None, max_examples=150, database=None)
    @given(REQUESTS[shape])
    def search(request: Request) -> None:
        nonlocal exceeded
        exceeded = exceeded or run(request)

    search()
    assert exceeded


def test_a_plain_chats_hold_is_bytes_and_cap() -> None:
    found = hold(call("openai", CHAT), priced("openai", "gpt-5"), AT_MS)
    size = len(json.dumps(CHAT)) + 1024
    assert found == Hold(size * 1250 + 100 * 10_000, size, 100)
    assert isinstance(found, Hold)
    assert found.tokens == size + 100


@pytest.mark.parametrize(
    ("name", "more", "model", "why", "what"),
    [
        ("openai", {"max_completion_tokens": None}, "gpt-5", NoBound.UNCAPPED, ("max_completion_tokens",)),
        ("openai", {"surprise": 1}, "gpt-5", NoBound.UNBOUNDED, ("unlisted:surprise",)),
        ("openai", {"tools": [{"type": "web_search"}]}, "gpt-5", NoBound.UNBOUNDED, ("tool",)),
    ],
)
def test_what_has_no_bound_is_refused_or_held_at_what_the_policy_fixed(
    name: str, more: dict, model: str, why: NoBound, what: tuple
) -> None:
    found = call(name, CHAT | more)
    assert hold(found, priced("openai", model), AT_MS) == Refused(why, what)
    assert hold(found, priced("openai", model), AT_MS, fixed_nanousd=5) == Hold(5, 0, 0, fixed=True)


HEARD = {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": ""}}]}]}
SPOKEN = {"modalities": ["text", "audio"], "audio": {"voice": "x"}}


@pytest.mark.parametrize(
    ("name", "model", "more", "missing"),
    [
        ("openai", "gpt-4o-audio-preview", HEARD, ("input_audio_tokens",)),
        ("openai", "gpt-4o-audio-preview", SPOKEN, ("output_audio_tokens",)),
        ("openai", "gpt-4o", HEARD | SPOKEN, ("input_audio_tokens", "output_audio_tokens")),
        ("openai", "gpt-4o-audio-preview", {}, None),
        ("openai", "gpt-audio", HEARD | SPOKEN, None),
        ("mistral", "voxtral-small-24b-2507", HEARD, ("input_audio_tokens",)),
        ("mistral", "voxtral-small-24b-2507", {}, None),
    ],
)
def test_sound_that_is_billed_apart_needs_a_price_of_its_own(
    name: str, model: str, more: dict, missing: tuple | None
) -> None:
    """A token of sound costs up to sixteen of text: by the text's price it would be held and settled far too low."""
    cap = "max_tokens" if name == "mistral" else "max_completion_tokens"
    made = call(name, {"model": model, "messages": CHAT["messages"], cap: 100} | more)
    found = hold(made, priced(name, model), AT_MS)
    assert found == Refused(NoBound.UNPRICED, missing) if missing else isinstance(found, Hold)


def test_geminis_speech_is_what_its_output_costs() -> None:
    """Of those models the table's price of output is that of sound."""
    body = {"contents": [{"parts": [{"text": "x"}]}], "generationConfig": {"responseModalities": ["AUDIO"]}}
    made = replace(call("gemini", body), output_cap=100)
    assert isinstance(hold(made, priced("google", "gemini-2.5-flash-preview-tts"), AT_MS), Hold)


def test_input_beside_the_body_is_the_window_or_has_no_bound() -> None:
    chat = replace(call("openai", CHAT), external=("content",))
    window = priced("openai", "gpt-5").window
    found = hold(chat, priced("openai", "gpt-5"), AT_MS)
    assert isinstance(found, Hold)
    assert found.input_tokens == window
    unknown = replace(priced("openai", "gpt-5"), window=None)
    assert hold(chat, unknown, AT_MS) == Refused(NoBound.NO_WINDOW, ("content",))
    asked = hold(replace(chat, long_window=1_000_000), unknown, AT_MS)
    assert isinstance(asked, Hold)
    assert asked.input_tokens == 1_000_000


def test_a_part_without_a_known_price_is_refused() -> None:
    chat = replace(call("openai", CHAT), surcharges=(("code_executions", 1),))
    assert hold(chat, priced("openai", "gpt-5"), AT_MS) == Refused(NoBound.UNPRICED, ("code_executions",))
    spoken = priced("openai", "whisper-1")
    assert hold(call("openai", CHAT), spoken, AT_MS) == Refused(NoBound.UNPRICED, ("tokens",))


def test_pictures_are_whole_whatever_the_cap() -> None:
    painter = replace(call("openai", CHAT), image_output=True)
    prices = priced("google", "gemini-2.5-flash-image")
    assert hold(painter, prices, AT_MS) == Refused(NoBound.UNBOUNDED, ("image output",))
    assert isinstance(hold(replace(painter, image_output=False), prices, AT_MS), Hold)


def test_the_accounts_own_settings_count_where_the_request_does_not_choose() -> None:
    prices, chat = priced("openai", "gpt-5"), call("openai", CHAT)
    usual = hold(chat, prices, AT_MS)
    fast = hold(chat, prices, AT_MS, account=Account(context=(("service_tier", "priority"),)))
    abroad = hold(chat, prices, AT_MS, account=Account(geo="us"))
    assert isinstance(usual, Hold)
    assert isinstance(fast, Hold)
    assert isinstance(abroad, Hold)
    assert fast.nanousd == 2 * usual.nanousd
    assert abroad.nanousd == -(-usual.nanousd * 11 // 10)


def test_a_cheap_tier_is_held_at_the_usual_price() -> None:
    """The answer may come from the usual tier."""
    prices = priced("openai", "gpt-5")
    flex = replace(call("openai", CHAT), context=(("service_tier", "flex"),))
    assert hold(flex, prices, AT_MS) == hold(replace(flex, context=()), prices, AT_MS)


@pytest.mark.parametrize(
    ("dialect", "provider", "model", "name", "value"),
    [
        ("gemini", "google", "gemini-2.5-flash", "service_tier", "priority"),
        ("openai", "openai", "gpt-5-pro", "service_tier", "priority"),
        ("openai", "openai", "gpt-5", "service_tier", "scale"),
        ("azure", "azure", "gpt-4o", "service_tier", "priority"),
        ("anthropic", "anthropic", "claude-opus-4-6", "speed", "fast"),
    ],
)
def test_a_dearer_tier_or_speed_without_a_price_has_none(
    dialect: str, provider: str, model: str, name: str, value: str
) -> None:
    """Whether the request chooses it or the account does."""
    prices = priced(provider, model)
    asked = replace(call(dialect, {"contents": []} if dialect == "gemini" else CHAT), unbounded=(), output_cap=9)
    chosen = replace(asked, context=((name, value),))
    assert isinstance(hold(asked, prices, AT_MS), Hold)
    assert hold(chosen, prices, AT_MS) == Refused(NoBound.UNPRICED, (name,))
    assert hold(asked, prices, AT_MS, account=Account(context=((name, value),))) == Refused(NoBound.UNPRICED, (name,))
    assert hold(chosen, prices, AT_MS, fixed_nanousd=7) == Hold(7, 0, 0, fixed=True)


def test_a_kind_that_has_no_tiers_has_the_usual_price_whatever_the_account_has() -> None:
    embeddings, prices = (
        call("embeddings", {"model": "text-embedding-3-small", "input": "hi"}),
        "text-embedding-3-small",
    )
    settings = Account(context=(("service_tier", "priority"),))
    usual = hold(embeddings, priced("openai", prices), AT_MS)
    assert hold(embeddings, priced("openai", prices), AT_MS, account=settings) == usual


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.fractions(Fraction(1, 10), 2))
def test_a_contract_multiplies_and_is_rounded_up_once(factor: Fraction) -> None:
    usual = hold(call("openai", CHAT), priced("openai", "gpt-5"), AT_MS)
    agreed = hold(call("openai", CHAT), priced("openai", "gpt-5"), AT_MS, factor=factor)
    assert isinstance(usual, Hold)
    assert isinstance(agreed, Hold)
    assert agreed.nanousd == -(-usual.nanousd * factor.numerator // factor.denominator)


def test_a_batch_is_held_only_at_what_the_policy_fixed() -> None:
    batch = AiCall("openai", "openai", Kind.OPAQUE, "", unbounded=("batch",))
    assert hold(batch, None, AT_MS) == Refused(NoBound.UNBOUNDED, ("batch",))
    assert hold(batch, None, AT_MS, fixed_nanousd=9) == Hold(9, 0, 0, fixed=True)


def test_a_model_that_nobody_priced_is_never_free() -> None:
    assert hold(call("openai", CHAT), None, AT_MS) == Refused(NoBound.UNPRICED, ("model",))
