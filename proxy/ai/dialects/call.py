"""What a request is, once its dialect has read it: priced, free, or refused with a reason. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """How a call is priced, and in which shape its answer says what was used."""

    CHAT = "chat"
    RESPONSES = "responses"
    EMBEDDINGS = "embeddings"
    MESSAGES = "messages"
    GENERATE = "generate"
    OPAQUE = "opaque"  # batches, realtime: only a fixed hold bounds them, and no answer says what was used


class Why(StrEnum):
    """Why a request is refused before anything is held."""

    NOT_LISTED = "not_listed"
    METHOD = "method"
    COMPRESSED = "compressed"
    TOO_LARGE = "too_large"
    NOT_JSON = "not_json"
    DUPLICATE_MEMBER = "duplicate_member"
    TOO_DEEP = "too_deep"
    NOT_AN_OBJECT = "not_an_object"
    BAD_FIELD = "bad_field"
    QUERY = "query"
    NO_MODEL = "no_model"
    STORED = "stored"  # what other callers' calls have left at the provider
    SIGNED = "signed"  # an edit is needed, and would break the client's signature


@dataclass(frozen=True, slots=True)
class Refusal:
    """``field`` names the member, header or parameter at fault; never a value of the body."""

    why: Why
    field: str = ""


@dataclass(frozen=True, slots=True)
class Free:
    """Listed and free: lists of models, counting tokens, stored answers."""


FREE: Final = Free()


@dataclass(frozen=True, slots=True)
class AiCall:
    """A priced request, as far as its price can be known from it.

    ``input_tokens``: at most so many tokens are in the body (proxy.ai.dialects.reading says why).
    ``output_cap``: the request's own cap in tokens for each choice, None where it has none.
    ``context``: what chooses among a model's prices (service tier, speed), as the price table spells it.
    ``as_usual``: choices (by an account or an answer, too) that have the standard price; ``cheaper``: those that cost
    at most that. Any other has a price only where the model has one for it. A kind without either has no choice.
    ``external``: names of what the model reads beside the body, so that only its context window bounds the input.
    ``unbounded``: names of what no field of the request bounds; such a call needs a fixed hold.
    ``surcharges``: (unit, at most so many) of server tools.
    ``sounds``: units of sound that it asks for, and whose price must be known by itself where ``sound_apart``.
    """

    dialect: str
    provider: str
    kind: Kind
    model: str
    stream: bool = False
    output_cap: int | None = None
    input_tokens: int = 0
    choices: int = 1
    inputs: int = 1  # how many inputs it has, each with a context window of its own
    passes: int = 1  # how often the model may read its input: once, and once more for each use of a server tool
    cap_per_pass: bool = False
    extra_output: int = 0  # output tokens that are billed beside the cap: rejected predictions
    has_output: bool = True
    audio_output: bool = True
    image_output: bool = True
    sound_apart: bool = False
    sounds: tuple[str, ...] = ()
    cache_write_1h: bool = False
    long_window: int = 0  # tokens: a window that a header asks for, beyond the model's usual one
    geo: str | None = None
    context: tuple[tuple[str, str], ...] = ()
    as_usual: frozenset[tuple[str, str]] = frozenset()
    cheaper: frozenset[tuple[str, str]] = frozenset()
    external: tuple[str, ...] = ()
    unbounded: tuple[str, ...] = ()
    surcharges: tuple[tuple[str, int], ...] = ()
    cap_path: tuple[str, ...] = ()  # where a cap is written, () where the kind has none
    asks_usage: bool = False  # the client itself asked for the stream's usage
    may_ask_usage: bool = False  # the stream says its usage only when asked
    signed: bool = False
