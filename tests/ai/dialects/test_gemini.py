"""Gemini's requests, in both of their spellings."""

import pytest
from google.genai import types
from pydantic.alias_generators import to_camel

from proxy.ai.dialects.call import FREE, AiCall, Kind, Refusal, Why
from proxy.ai.dialects.gemini import GENERATE
from tests.ai.dialects.reads import call, read

CONTENTS = [{"role": "user", "parts": [{"text": "Hi"}]}]
STREAM = "/v1beta/models/gemini-2.5-flash:streamGenerateContent"


def test_the_path_says_model_and_stream() -> None:
    assert call("gemini", {"contents": CONTENTS}).model == "gemini-2.5-flash"
    assert not call("gemini", {"contents": CONTENTS}).stream
    assert call("gemini", {"contents": CONTENTS}, path=STREAM).stream
    assert call("gemini", {"contents": CONTENTS}, path=STREAM.replace("v1beta", "v1")).stream
    assert read("gemini", {"contents": CONTENTS, "model": "models/gemini-2.5-pro"}) == Refusal(Why.NO_MODEL, "model")


@pytest.mark.parametrize(
    ("body", "cap", "choices", "path"),
    [
        ({"generationConfig": {"maxOutputTokens": 9}}, 9, 1, ("generationConfig", "maxOutputTokens")),
        ({"generation_config": {"max_output_tokens": 9}}, 9, 1, ("generation_config", "max_output_tokens")),
        ({"generation_config": {"candidateCount": 3}}, None, 3, ("generation_config", "maxOutputTokens")),
        ({"generationConfig": {"maxOutputTokens": "9"}}, 9, 1, ("generationConfig", "maxOutputTokens")),
        ({"generationConfig": None}, None, 1, ("generationConfig", "maxOutputTokens")),
    ],
)
def test_both_spellings_are_read(body: dict, cap: int | None, choices: int, path: tuple) -> None:
    found = call("gemini", {"contents": CONTENTS} | body)
    assert (found.output_cap, found.choices, found.cap_path) == (cap, choices, path)


@pytest.mark.parametrize(
    ("config", "unlisted"),
    [
        ({"thinkingConfig": {"thinkingBudget": 5}, "temperature": 1}, None),
        ({"thinking_config": {"thinking_budget": 5}, "response_mime_type": "x"}, None),
        ({"modelSelectionConfig": {}}, "generationConfig.modelSelectionConfig"),
        ({"routing_config": {}}, "generationConfig.routing_config"),
        ({"thinkingConfig": {"passes": 5}}, "generationConfig.thinkingConfig.passes"),
    ],
)
def test_a_member_of_an_object_that_the_table_does_not_know_has_no_bound(config: dict, unlisted: str | None) -> None:
    for name in ("generationConfig", "generation_config"):
        found = call("gemini", {"contents": CONTENTS, name: config})
        assert found.unbounded == (() if unlisted is None else (f"unlisted:{unlisted}",))


def test_the_table_knows_the_packages_members_of_a_configuration() -> None:
    """But those that choose another model, and those of sound and video, whose prices nobody listed."""
    said = {to_camel(name) for name in types.GenerationConfig.model_fields}
    assert said - GENERATE.members[("generationConfig",)] == {
        "modelSelectionConfig",
        "routingConfig",
        "translationConfig",
        "audioTranscriptionConfig",
    }
    thinking = {to_camel(name) for name in types.ThinkingConfig.model_fields}
    assert thinking <= GENERATE.members[("generationConfig", "thinkingConfig")]


@pytest.mark.parametrize("cap", ["", "-1", "1e2", "00000000000000000000012", "99999999999999999999999", "²", 1.0])
def test_a_cap_that_readers_may_read_differently_is_refused(cap: object) -> None:
    body = {"contents": CONTENTS, "generationConfig": {"maxOutputTokens": cap}}
    assert read("gemini", body) == Refusal(Why.BAD_FIELD, "generationConfig.maxOutputTokens")


@pytest.mark.parametrize(
    "body",
    [
        {"generationConfig": {}, "generation_config": {}},
        {"generationConfig": {"maxOutputTokens": 9, "max_output_tokens": 9999}},
    ],
)
def test_both_spellings_at_once_are_refused(body: dict) -> None:
    """Which of them the provider goes by, nobody knows."""
    found = read("gemini", {"contents": CONTENTS} | body)
    assert isinstance(found, Refusal)
    assert found.why is Why.BAD_FIELD


@pytest.mark.parametrize(
    ("body", "external", "unbounded"),
    [
        ({"systemInstruction": {"parts": [{"text": "x"}]}}, (), ()),
        ({"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": ""}}]}]}, ("content",), ()),
        ({"contents": [{"parts": [{"file_data": {"fileUri": "gs://x"}}]}]}, ("content",), ()),
        ({"contents": [{"parts": [{"functionCall": {"name": "f", "args": {"inlineData": 1}}}]}]}, (), ()),
        (
            {"contents": [{"parts": [{"functionResponse": {"name": "f", "parts": [{"inlineData": {}}]}}]}]},
            ("content",),
            (),
        ),
        ({"cachedContent": "cachedContents/x"}, (), ("cachedContent",)),  # it may bring tools of Google's along
        ({"cached_content": "cachedContents/x"}, (), ("cachedContent",)),
        ({"tools": [{"functionDeclarations": []}]}, (), ()),
        ({"tools": [{"function_declarations": []}]}, (), ()),
        ({"tools": [{"googleSearch": {}}]}, (), ("tool",)),
        ({"tools": [{"functionDeclarations": [], "codeExecution": {}}]}, (), ("tool",)),
        ({"serviceTier": "priority"}, (), ()),
        ({"serviceTier": "warp"}, (), ("service_tier",)),
    ],
)
def test_what_stands_outside_the_body(body: dict, external: tuple, unbounded: tuple) -> None:
    found = call("gemini", {"contents": CONTENTS} | body)
    assert (found.external, found.unbounded) == (external, unbounded)


@pytest.mark.parametrize(
    ("query", "at_fault"),
    [
        ("", None),
        ("alt=sse", None),
        ("key=AIzaSy_x-1&alt=json", None),
        ("al%74=sse", None),
        ("fields=candidates,usageMetadata.promptTokenCount", "fields"),
        ("%66ields=candidates", "fields"),
        ("%24fields=candidates", "$fields"),
        ("alt=sse&$alt=proto", "$alt"),
        ("alt=media", "alt"),
        ("alt=sse&alt=json", "alt"),
        ("alt=sse;fields=candidates", "alt"),
        ("key=x;fields=candidates", "key"),
        ("fields", "fields"),
        ("callback=f", "callback"),
        ("prettyPrint=false", "prettyPrint"),
        ("$httpMethod=GET", "$httpMethod"),
        ("Alt=sse", "Alt"),
        ("\x00=1", "query"),
        ("=1", ""),
    ],
)
def test_a_client_does_not_choose_what_its_answer_says_it_used(query: str, at_fault: str | None) -> None:
    """Google's APIs leave out of an answer what a query asks them to, in either spelling."""
    found = read("gemini", {"contents": CONTENTS}, query=query)
    assert found == Refusal(Why.QUERY, at_fault) if at_fault is not None else isinstance(found, AiCall)
    assert read("gemini", b"", method="GET", path="/v1beta/models", query="pageSize=5&fields=models.name") == FREE


def test_pictures_may_be_made_unless_only_text_is_asked_for() -> None:
    assert call("gemini", {"contents": CONTENTS}).image_output
    config = {"generationConfig": {"responseModalities": ["TEXT"]}}
    assert not call("gemini", {"contents": CONTENTS} | config).image_output


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("embedContent", {"content": {"parts": [{"text": "x"}]}}),
        ("batchEmbedContents", {"requests": [{"model": "models/e", "content": {"parts": [{"text": "x"}]}}]}),
    ],
)
def test_embeddings(verb: str, body: dict) -> None:
    found = call("gemini", body, path=f"/v1beta/models/e:{verb}")
    assert (found.kind, found.has_output, found.external, found.unbounded) == (Kind.EMBEDDINGS, False, (), ())


def test_each_request_of_a_batch_may_fill_a_window() -> None:
    one = {"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": ""}}]}}
    found = call("gemini", {"requests": [one] * 100}, path="/v1beta/models/e:batchEmbedContents")
    assert (found.inputs, found.external) == (100, ("content",))
    assert call("gemini", {"requests": []}, path="/v1beta/models/e:batchEmbedContents").inputs == 1
    refused = read("gemini", {"requests": one}, path="/v1beta/models/e:batchEmbedContents")
    assert refused == Refusal(Why.BAD_FIELD, "requests")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_verb_that_is_not_listed_is_no_models_name(method: str) -> None:
    found = read("gemini", b"", method=method, path="/v1beta/models/imagen-4:predict")
    assert found == Refusal(Why.NOT_LISTED)
    assert read("gemini", b"", method="GET", path="/v1beta/models/imagen-4") == FREE
