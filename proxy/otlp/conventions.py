"""How OpenTelemetry's semantic conventions name what a traced request did. Pure.

Left out, though asked for: url.path, url.full and client.address, which may hold anything or are somebody's; the
route's pattern stands for them. Of a query there are names alone. Sources: https://opentelemetry.io/docs/specs/semconv/
(http/http-spans, gen-ai/gen-ai-spans, database/redis), as of version 1.38.
"""

from typing import Final

from proxy.otlp.traced import Peer, ProviderCall, Traced
from proxy.telemetry.private import scrubbed

Attribute = str | int | float | bool
Attributes = dict[str, Attribute]

OWN: Final = "sluicegate."
MOST_TEXT: Final = 256
_MOST_READ: Final = 1024
_METHODS: Final = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}
)  # those that are known; what a client invents is no name of a span
_SERVER_FAILED: Final = 500
_CLIENT_FAILED: Final = 400
_PROVIDERS: Final = {
    "openai": "openai",
    "azure": "azure.ai.openai",
    "anthropic": "anthropic",
    "google": "gcp.gemini",
    "groq": "groq",
    "mistral": "mistral_ai",
}
_OPERATIONS: Final = {
    "chat": "chat",
    "responses": "chat",
    "messages": "chat",
    "generate": "generate_content",
    "embeddings": "embeddings",
}


def server(traced: Traced) -> tuple[str, Attributes, bool]:
    """Name, attributes, and whether it failed: of the request itself."""
    named, method = _method(traced.method)
    found: Attributes = {
        "http.request.method": method,
        "http.response.status_code": traced.status,
        "url.scheme": traced.scheme,
        "network.protocol.name": "http",
        "network.protocol.version": traced.version,
    }
    if traced.path_pattern:
        found["http.route"] = traced.path_pattern
    if traced.query:
        found["url.query"] = traced.query
    failed = traced.status >= _SERVER_FAILED
    if failed:
        found["error.type"] = traced.reason or str(traced.status)
    if traced.reason:
        found[OWN + "reason"] = traced.reason
    found |= {OWN + name: _text(value) for name, value in traced.about.items()}
    return f"{named} {traced.path_pattern}".rstrip(), found, failed


def forwarded(traced: Traced) -> tuple[str, Attributes, bool]:
    """The same of what was asked of the upstream: a call of a model where it is one, else plain HTTP."""
    named, method = _method(traced.method)
    found: Attributes = {"http.request.method": method}
    peer = traced.peer or Peer("")
    if peer.name:
        found[OWN + "upstream"] = peer.name
    if peer.host:
        found |= {"server.address": peer.host, "server.port": peer.port, "url.scheme": peer.scheme}
    if peer.resends:
        found["http.request.resend_count"] = peer.resends
    if peer.status:
        found["http.response.status_code"] = peer.status
    failed = peer.status >= _CLIENT_FAILED or (not peer.status and bool(traced.reason))
    if failed:
        found["error.type"] = str(peer.status) if peer.status else traced.reason
    if traced.call is None:
        return named, found, failed
    name, more = _called(traced.call)
    return name, found | more, failed


def _method(method: str) -> tuple[str, str]:
    """As a span is named by it, and as its attribute has it."""
    return (method, method) if method in _METHODS else ("HTTP", "_OTHER")


def _text(value: str) -> str:
    return scrubbed(value[:_MOST_READ])[:MOST_TEXT]


def _called(call: ProviderCall) -> tuple[str, Attributes]:
    operation = _OPERATIONS.get(call.kind, call.kind)
    model = _text(call.model)
    found: Attributes = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": _PROVIDERS.get(call.provider, call.provider),
        "gen_ai.request.model": model,
    }
    if call.stream:
        found[OWN + "stream"] = True
    if call.most_output is not None:
        found["gen_ai.request.max_tokens"] = call.most_output
    if call.cost_usd is not None:
        found |= {
            "gen_ai.usage.input_tokens": call.input + call.cached_read + call.cache_write,
            "gen_ai.usage.output_tokens": call.output,
            OWN + "cost_usd": call.cost_usd,
        }
        if call.cached_read:
            found["gen_ai.usage.cache_read.input_tokens"] = call.cached_read
        if call.cache_write:
            found["gen_ai.usage.cache_creation.input_tokens"] = call.cache_write
        if call.estimated:
            found[OWN + "estimated"] = True
    return f"{operation} {model}".rstrip(), found


ADMITTED: Final[Attributes] = {"db.system.name": "redis", "db.operation.name": "EVALSHA"}
"""Of a phase that waited for Redis: one script for this request and others of the same moment."""
