"""What the gateway changes in a request: a cap where there is none, and the wish for a stream's usage. Pure.

Minimal: one member each, every other byte as the client wrote it; and never in a body that the client signed.
"""

from dataclasses import replace

from proxy.ai.dialects.call import AiCall, Refusal, Why
from proxy.ai.requestjson import with_member


def edit(call: AiCall, body: bytes, *, default_cap: int | None, ask_usage: bool) -> tuple[AiCall, bytes] | Refusal:
    """The request as it goes upstream, and the call that it is then.

    ``default_cap`` (tokens, at least 1) is written where the kind has a cap and the request none; ``ask_usage`` adds
    ``stream_options.include_usage`` where the stream would not say its usage unasked. The call's ``asks_usage`` stays
    what the client asked for: where it is False and the body was edited, the extra chunk is taken out again.
    """
    needs_cap = default_cap is not None and call.output_cap is None and bool(call.cap_path)
    needs_ask = ask_usage and wants_usage(call) and not call.signed
    if needs_cap and call.signed:
        return Refusal(Why.SIGNED, ".".join(call.cap_path))
    if not needs_cap and not needs_ask:
        return call, body
    text = body.decode()
    if needs_ask:
        text = with_member(text, ("stream_options", "include_usage"), True)
    if needs_cap:
        text = with_member(text, call.cap_path, default_cap)
        call = replace(call, output_cap=default_cap)
    return call, text.encode()


def wants_usage(call: AiCall) -> bool:
    """Whether the stream says its usage only if the gateway asks for it."""
    return call.stream and call.may_ask_usage and not call.asks_usage
