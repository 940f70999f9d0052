"""Gemini: generateContent and embeddings, on /v1 and /v1beta, as google-genai sends them.

Protocol buffers' JSON takes each name in camelCase and in snake_case: both are read, and both at once is refused.
"""

import re
from typing import Final

from proxy.ai.dialects.call import Kind
from proxy.ai.dialects.table import Choice, Content, Dialect, Endpoint, Shape, Tools, snake


def _both(names: str) -> frozenset[str]:
    return frozenset(spelling for name in names.split() for spelling in (name, snake(name)))


_CONTENT: Final = Content(
    fields=("contents", "systemInstruction", "system_instruction", "content"),
    descend=_both("parts functionResponse"),
    # Names of members of a content, of its parts, and of a function's response.
    plain=_both(
        """role parts text thought thoughtSignature functionCall functionResponse executableCode codeExecutionResult
        name id response scheduling willContinue partMetadata"""
    ),
    by_key=True,
)

GENERATE: Final = Shape(
    Kind.GENERATE,
    fields=_both(
        """contents systemInstruction tools toolConfig safetySettings generationConfig cachedContent labels model
        serviceTier store"""
    ),
    members={
        # Not what chooses another model (modelSelectionConfig, routingConfig), nor what is heard or said beside it.
        ("generationConfig",): _both(
            """candidateCount enableAffectiveDialog enableEnhancedCivicAnswers frequencyPenalty imageConfig logprobs
            maxOutputTokens mediaResolution presencePenalty responseFormat responseJsonSchema responseLogprobs
            responseMimeType responseModalities responseSchema seed speechConfig stopSequences temperature
            thinkingConfig topK topP audioTimestamp"""
        )
        | {"_responseJsonSchema"},
        ("generationConfig", "thinkingConfig"): _both("includeThoughts thinkingBudget thinkingLevel"),
        ("toolConfig",): _both("functionCallingConfig includeServerSideToolInvocations retrievalConfig"),
    },
    caps=(("generationConfig", "maxOutputTokens"),),
    choices=("generationConfig", "candidateCount"),
    tiers=Choice(
        ("serviceTier",),
        usual=frozenset({"unspecified", "standard"}),
        priced=frozenset({"flex", "priority"}),
        cheaper=frozenset({"flex", "batch"}),
    ),
    modalities=("generationConfig", "responseModalities"),
    content=_CONTENT,
    # Whatever else a tool's member names (search, maps, code, URLs) runs at Google, as often as the model likes.
    tools=Tools(client=_both("functionDeclarations computerUse"), by_key=True),
    unbounded=frozenset({"cachedContent"}),  # a cache may hold tools of Google's beside contents
)

EMBED: Final = Shape(
    Kind.EMBEDDINGS,
    fields=_both("model content taskType title outputDimensionality embedContentConfig"),
    members={("embedContentConfig",): _both("autoTruncate mimeType outputDimensionality taskType title")},
    content=_CONTENT,
)

EMBED_MANY: Final = Shape(
    Kind.EMBEDDINGS,
    fields=_both("model requests"),  # each request names the model again, and must name the path's
    inputs="requests",
    content=Content(
        fields=("requests",),
        descend=_CONTENT.descend | {"content"},
        plain=_CONTENT.plain | _both("model content taskType title outputDimensionality embedContentConfig"),
        by_key=True,
    ),
)

GEMINI: Final = Dialect(
    "gemini",
    "google",
    (
        Endpoint("POST", "/models/{model}:generateContent", GENERATE, stream=False),
        Endpoint("POST", "/models/{model}:streamGenerateContent", GENERATE, stream=True),
        Endpoint("POST", "/models/{model}:embedContent", EMBED, stream=False),
        Endpoint("POST", "/models/{model}:batchEmbedContents", EMBED_MANY, stream=False),
        Endpoint("POST", "/models/{model}:countTokens"),
        Endpoint("GET", "/models"),
        Endpoint("GET", "/models/{name}"),
        Endpoint("POST", "/models/{model}:batchGenerateContent", opaque="batch"),
    ),
    prefixes=("/v1beta", "/v1"),
    snake_too=True,
    # Not fields, $fields, callback, $alt, which Google's APIs understand too: an answer is the one that we can read.
    query={"alt": re.compile("json|sse"), "key": re.compile(r"[A-Za-z0-9._-]{1,256}")},
)
