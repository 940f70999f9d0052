"""How these tests say a request."""

import json
from typing import Any

from proxy.ai.dialects.call import AiCall, Free, Refusal
from proxy.ai.dialects.reading import read_request
from proxy.ai.dialects.registry import DIALECTS

PATHS = {
    "openai": "/v1/chat/completions",
    "responses": "/v1/responses",
    "embeddings": "/v1/embeddings",
    "azure": "/openai/deployments/mine/chat/completions",
    "anthropic": "/v1/messages",
    "gemini": "/v1beta/models/gemini-2.5-flash:generateContent",
    "groq": "/openai/v1/chat/completions",
    "mistral": "/v1/chat/completions",
}
OF = {"responses": "openai", "embeddings": "openai"}


def read(name: str, body: Any, *, path: str = "", query: str = "", method: str = "POST", **headers: str) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {key.replace("_", "-"): value for key, value in headers.items()}
    return read_request(DIALECTS[OF.get(name, name)], method, path or PATHS[name], query, fields, raw)


def call(name: str, body: Any, **more: Any) -> AiCall:
    found: AiCall | Free | Refusal = read(name, body, **more)
    assert isinstance(found, AiCall), found
    return found
