"""Whether an answer says what was asked for, so that it may be given again. Pure.

A status of 200 and a whole usage prove nothing: a provider that dies amid a stream says so within it, and bills what it
had done. What is not known to have ended well has not.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from proxy.ai.dialects.call import Kind
from proxy.ai.usage.events import objects_in

# How what was asked for ends; a filter, a refusal, a pause or a fault may end it otherwise the next time. Gemini's API
# writes the numbers of its enum where it is asked to.
_ENDS_WELL: Final[Mapping[Kind, frozenset[Any]]] = {
    Kind.CHAT: frozenset({"stop", "length", "model_length", "tool_calls", "function_call"}),
    Kind.MESSAGES: frozenset({"end_turn", "max_tokens", "stop_sequence", "tool_use"}),
    Kind.GENERATE: frozenset({"STOP", "MAX_TOKENS", 1, 2}),
}
_COMPLETED: Final = "response.completed"


def says_done(kind: Kind, content_type: str, body: bytes) -> bool:
    """Of a whole body, without any coding; ``content_type``: as the answer says it."""
    if content_type.partition(";")[0].strip().lower() == "text/event-stream":
        return _says_done(kind, list(objects_in(body)), stream=True)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    if not isinstance(value, list):
        return isinstance(value, dict) and _says_done(kind, [value], stream=False)
    return all(isinstance(one, dict) for one in value) and _says_done(kind, value, stream=True)


def _says_done(kind: Kind, said: list[dict[str, Any]], *, stream: bool) -> bool:
    if not said or any(one.get("error") is not None or one.get("type") == "error" for one in said):
        return False
    if kind is Kind.EMBEDDINGS:
        return True
    if kind is Kind.RESPONSES:
        if not stream:
            return said[0].get("status") == "completed"
        return any(one.get("type") == _COMPLETED and _is_complete(one.get("response")) for one in said)
    well = _ENDS_WELL.get(kind, frozenset())
    ends = _message_ends(said) if kind is Kind.MESSAGES else _choice_ends(said)
    return bool(ends) and all(isinstance(end, str | int) and end in well for end in ends.values())


def _is_complete(response: Any) -> bool:
    return isinstance(response, dict) and response.get("status") == "completed" and response.get("error") is None


def _choice_ends(said: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """How each choice or candidate has ended, by its index; None: it has not, or says that it failed."""
    ends: dict[str, Any] = {}
    for one in said:
        found = one.get("choices", one.get("candidates"))
        for choice in found if isinstance(found, list) else ():
            if not isinstance(choice, dict) or choice.get("error") is not None:
                return {"": None}
            index = str(choice.get("index", 0))  # protocol buffers' JSON leaves a zero out
            ends[index] = choice.get("finish_reason") or choice.get("finishReason") or ends.get(index)
    return ends


def _message_ends(said: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Anthropic's: a message says it itself, a stream in its last delta."""
    end = None
    for one in said:
        delta = one.get("delta")
        end = one.get("stop_reason") or (delta.get("stop_reason") if isinstance(delta, dict) else None) or end
    return {"0": end}
