"""A request to a provider → what it may cost at most, from its dialect's table. Pure, and strict.

**Why bytes bound tokens.** Tokenizers in use (byte-level BPE, SentencePiece with byte fallback) cut a text into pieces
that are never empty, so a text has at most as many tokens as bytes in UTF-8. JSON only adds bytes: quotes, names,
escapes. Some tokenizers normalise first (NFKC may make 33 bytes of one character's 3), so a body counts for the longest
that this may make of it (proxy.ai.expansion). What templates add is the table's ``overhead_tokens``.
"""

import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Final
from urllib.parse import parse_qsl

from proxy.ai.dialects.call import FREE, AiCall, Free, Kind, Refusal, Why
from proxy.ai.dialects.content import all_in_body, holds_sound
from proxy.ai.dialects.table import Choice, Dialect, Endpoint, Path, Shape, Tools, snake
from proxy.ai.expansion import most_bytes
from proxy.ai.requestjson import FlawedJson, loads

MAX_BODY: Final = 64 << 20
"""Bytes; a route's own bound is usually lower."""
MAX_COUNT: Final = 1 << 31
"""Caps and multipliers above this are no numbers that a provider would take."""
SIGNATURES: Final = frozenset({"content-digest", "content-md5", "digest", "repr-digest", "signature-input"})
"""Fields that say something of the body's bytes (RFC 9530, RFC 9421); with one of them the body is never edited."""


class _Bad(Exception):
    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


def read_request(
    dialect: Dialect,
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    also: frozenset[str] = frozenset(),
    stored: bool = False,
) -> AiCall | Free | Refusal:
    """What the request asks of the provider.

    ``path`` as it goes upstream, without ``query``; ``headers`` by names in lower case; ``also``: members of the body
    that the policy vouches for although the table does not know them; ``stored``: whether it lets what calls have left
    at the provider be asked for.
    """
    lines, model = dialect.find(path)
    if not lines:
        return Refusal(Why.NOT_LISTED)
    line = lines.get(method)
    if line is None:
        return Refusal(Why.METHOD)
    if line.stored and not stored:
        return Refusal(Why.STORED)
    if line.opaque is not None:
        return AiCall(dialect.name, dialect.provider, Kind.OPAQUE, model, unbounded=(line.opaque,))
    if line.shape is None:
        return FREE
    if (parameter := _odd_parameter(dialect, query)) is not None:
        return Refusal(Why.QUERY, parameter)
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        return Refusal(Why.COMPRESSED, "content-encoding")
    if len(body) > MAX_BODY:
        return Refusal(Why.TOO_LARGE)
    try:
        text, value = loads(body)
    except FlawedJson as flaw:
        return Refusal(Why(flaw.flaw.value))
    try:
        return _Reader(dialect, line, line.shape, value).call(model, text, query, headers, also)
    except _Bad as bad:
        return Refusal(Why.NO_MODEL if bad.field == "model" else Why.BAD_FIELD, bad.field)


def _odd_parameter(dialect: Dialect, query: str) -> str | None:
    """A parameter of ``query`` that the dialect does not know, or that stands twice; None: there is none.

    Names are compared as providers read them, decoded. A parameter may choose which members an answer has, those that
    say what was used too (Google's ``fields`` and ``$fields``), or its form: what is not known is not let through.
    """
    seen = set()
    for name, value in parse_qsl(query, keep_blank_values=True):
        form = dialect.query.get(name)
        if form is None or name in seen or form.fullmatch(value) is None:
            return name if name.isascii() and name.isprintable() and len(name) <= 40 else "query"
        seen.add(name)
    return None


def without_escapes(text: str, value: dict[str, Any]) -> str:
    """A body's JSON with every character written as itself, so that words can be looked for in it."""
    return json.dumps(value, ensure_ascii=False) if "\\u" in text else text


def most_tokens(text: str, meant: str) -> int:
    """At most so many tokens are in a body of ``text`` that is ``meant`` without its escapes."""
    return max(len(text.encode()), most_bytes(meant))


class _Reader:
    """One request's walk along its shape."""

    __slots__ = ("body", "dialect", "line", "shape")

    def __init__(self, dialect: Dialect, line: Endpoint, shape: Shape, body: dict[str, Any]) -> None:
        self.dialect = dialect
        self.line = line
        self.shape = shape
        self.body = body

    def call(self, model: str, text: str, query: str, headers: Mapping[str, str], also: frozenset[str]) -> AiCall:
        shape, body = self.shape, self.body
        model = self.model(model)
        stream = self.stream()
        unbounded = sorted(
            f"unlisted:{name}" if name.isascii() and len(name) <= 80 else "unlisted" for name in self.unlisted() - also
        )
        unbounded += [".".join(path) for path, known in shape.values.items() if self.at(path) not in (None, *known)]
        # An empty object is no absence: it switches on what it would configure.
        unbounded += sorted(name for name in shape.unbounded if self.member(body, name) not in (None, False, []))
        external = sorted(name for name in shape.external if self.member(body, name) not in (None, []))
        meant = without_escapes(text, body)
        unbounded += [name for word, name in shape.unpriced_words.items() if f'"{word}"' in meant]
        if not all_in_body(body, shape.content):
            external.append("content")
        tools = _Tools(self, model)
        unbounded += tools.unbounded
        if tools.passes > 1:
            external.append("tool results")
        cap, cap_path = self.cap()
        asks_usage = may_ask = False
        if shape.asks_usage and stream:
            asks_usage = self.at(("stream_options", "include_usage")) is True
            may_ask = self.may_ask(query)
        context = self.chosen(shape.tiers, "service_tier", unbounded) + self.chosen(shape.speeds, "speed", unbounded)
        audio, image = self.output_modalities()
        return AiCall(
            dialect=self.dialect.name,
            provider=self.dialect.provider,
            kind=shape.kind,
            model=model,
            stream=stream,
            output_cap=cap,
            input_tokens=most_tokens(text, meant)
            + self.dialect.overhead_tokens
            + tools.count * self.dialect.tool_tokens,
            choices=self.count(shape.choices, 1),
            inputs=self.inputs(),
            passes=tools.passes,
            cap_per_pass=shape.cap_per_pass,
            extra_output=len(text.encode()) if shape.prediction and body.get(shape.prediction) is not None else 0,
            has_output=bool(shape.caps),
            audio_output=audio,
            image_output=image,
            sound_apart=shape.sound_apart,
            sounds=self.sounds(audio=audio),
            cache_write_1h='"1h"' in meant,  # wherever a cache's lifetime may stand
            long_window=self.long_window(headers),
            geo=self.text(shape.geo),
            context=context,
            as_usual=shape.as_usual,
            cheaper=shape.cheaper,
            external=tuple(external),
            unbounded=tuple(unbounded),
            surcharges=tools.surcharges,
            cap_path=cap_path,
            asks_usage=asks_usage,
            may_ask_usage=may_ask,
            signed=not SIGNATURES.isdisjoint(headers)
            or headers.get("authorization", "").startswith("AWS4-HMAC")
            or headers.get("x-amz-content-sha256", "UNSIGNED-PAYLOAD") != "UNSIGNED-PAYLOAD",
        )

    def unlisted(self) -> set[str]:
        """Members that the table does not know, those of objects that it knows with their path."""
        found = self.body.keys() - self.shape.fields
        for path, known in self.shape.members.items():
            node = self.at(path)
            if isinstance(node, dict):
                found |= {".".join((*path, name)) for name in node.keys() - known}
            elif node is not None:
                raise _Bad(".".join(path))
        return found

    def member(self, parent: dict[str, Any], name: str) -> Any:
        """A member by either of its spellings. Raises: _Bad where both are there: which one counts is unknown."""
        if self.dialect.snake_too:
            other = snake(name)
            if other != name and other in parent:
                if name in parent:
                    raise _Bad(name)
                return parent[other]
        return parent.get(name)

    def at(self, path: Path) -> Any:
        node: Any = self.body
        for name in path:
            if node is None:
                return None
            if not isinstance(node, dict):
                raise _Bad(path[0])
            node = self.member(node, name)
        return node

    def spelled(self, path: Path) -> tuple[str, ...]:
        """``path`` as the request spells what is there of it."""
        made: list[str] = []
        node: Any = self.body
        for name in path:
            if isinstance(node, dict) and name not in node and self.dialect.snake_too and snake(name) in node:
                name = snake(name)
            made.append(name)
            node = node.get(name) if isinstance(node, dict) else None
        return tuple(made)

    def text(self, path: Path | None) -> str | None:
        value = self.at(path) if path else None
        if value is not None and not isinstance(value, str):
            raise _Bad(".".join(path or ()))
        return value

    def count(self, path: Path | None, missing: int) -> int:
        found = self.number(path) if path else None
        return missing if found is None else found

    def inputs(self) -> int:
        name = self.shape.inputs
        given = self.member(self.body, name) if name else None
        if given is not None and not isinstance(given, list):
            raise _Bad(name or "")
        return max(1, len(given or ()))

    def number(self, path: Path) -> int | None:
        value = self.at(path)
        if value is None:
            return None
        if self.dialect.snake_too and isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value[:20])  # protocol buffers' JSON takes numbers in quotes
            if len(str(value)) != len(self.at(path)):
                raise _Bad(".".join(path))
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_COUNT:
            raise _Bad(".".join(path))
        return value

    def model(self, from_path: str) -> str:
        said = self.body.get("model")
        if not from_path:
            if not isinstance(said, str) or not said or len(said) > 256:
                raise _Bad("model")
            return said
        # Where the path names the model, a body that names another is nobody's honest client.
        if self.line.path.startswith("/models/") and said not in (None, from_path, f"models/{from_path}"):
            raise _Bad("model")
        return from_path

    def stream(self) -> bool:
        if self.line.stream is not None:
            return self.line.stream
        said = self.body.get("stream")
        if said is not None and not isinstance(said, bool):
            raise _Bad("stream")
        return bool(said)

    def may_ask(self, query: str) -> bool:
        since = self.dialect.usage_since
        if since is None:
            return True
        said = dict(parse_qsl(query)).get(since[0])
        return said is None or said >= since[1] or said in ("preview", "latest", "v1")

    def cap(self) -> tuple[int | None, tuple[str, ...]]:
        if not self.shape.caps:
            return None, ()
        found = [number for path in self.shape.caps if (number := self.number(path)) is not None]
        return (max(found) if found else None), self.spelled(self.shape.caps[0])

    def chosen(self, choice: Choice | None, key: str, unbounded: list[str]) -> tuple[tuple[str, str], ...]:
        """What the request chooses among prices; a choice whose price nobody knows is unbounded."""
        said = self.text(choice.path) if choice else None
        if choice is None or said is None or said in choice.account:
            return ()
        if said in choice.usual:
            return ((key, choice.usual_as),) if choice.usual_as else ()
        if said not in choice.priced:
            unbounded.append(key)
        return ((key, said),)

    def output_modalities(self) -> tuple[bool, bool]:
        """May the answer hold sound, and pictures?"""
        if self.shape.modalities is None:
            return True, True
        said = self.at(self.shape.modalities)
        if said is None or said == []:
            return (False, False) if self.shape.modalities_default_text else (True, True)
        if not isinstance(said, list) or not all(isinstance(one, str) for one in said):
            raise _Bad(".".join(self.shape.modalities))
        words = {one.lower() for one in said}
        other = bool(words - {"text", "audio", "image"})
        return "audio" in words or other, "image" in words or other

    def sounds(self, *, audio: bool) -> tuple[str, ...]:
        """Units of sound that the request asks for, where they are billed apart."""
        if not self.shape.sound_apart:
            return ()
        heard = ("input_audio_tokens",) if holds_sound(self.body, self.shape.content) else ()
        said = ("output_audio_tokens",) if audio and self.shape.modalities is not None else ()
        return heard + said

    def long_window(self, headers: Mapping[str, str]) -> int:
        windows = self.dialect.long_windows
        said = headers.get("anthropic-beta", "") if windows else ""
        return max((size for name, size in windows.items() if name in said), default=0)


class _Tools:
    """What the request's tools may cost: how many there are, and how often those at the provider may run."""

    __slots__ = ("count", "passes", "surcharges", "unbounded")

    def __init__(self, reader: _Reader, model: str) -> None:
        table = reader.shape.tools
        given = reader.member(reader.body, "tools")
        if given is not None and not isinstance(given, list):
            raise _Bad("tools")
        self.count = len(given or ())
        self.passes = 1
        self.unbounded: list[str] = []
        surcharges: dict[str, int] = {}
        limit = reader.number((table.limit,)) if table.limit else None
        for tool in given or ():
            if not isinstance(tool, dict):
                raise _Bad("tools")
            for name in _names(tool, table.by_key, table.default_type):
                if name in table.client:
                    continue
                known = next((known for known in table.server if name.startswith(known)), None)
                uses = limit if limit is not None else _limit_of(tool, table.limit_each)
                if known is None or uses is None or not _as_priced(tool, name, model, table):
                    self.unbounded.append("tool")
                    continue
                self.passes = max(self.passes, 1 + uses) if limit is not None else self.passes + uses
                unit = table.server[known]
                if unit is not None:
                    surcharges[unit] = uses if limit is not None else surcharges.get(unit, 0) + uses
        if any(fnmatchcase(model.lower(), one) for one in reader.shape.server_models):
            self.unbounded.append("model's own tools")
        self.surcharges = tuple(sorted(surcharges.items()))


def _names(tool: dict[str, Any], by_key: bool, default: str | None) -> list[str]:
    if by_key:
        return [name for name, value in tool.items() if value is not None]
    kind = tool.get("type") or default
    return [kind if isinstance(kind, str) else ""]


def _as_priced(tool: dict[str, Any], name: str, model: str, table: Tools) -> bool:
    """Whether a use of a server tool costs what its unit does, and nothing beside."""
    for kind, models in table.only_with.items():
        if name.startswith(kind) and models.fullmatch(model.lower()) is None:
            return False
    if table.callers is None:
        return True
    callers = tool.get(table.callers)
    return callers == ["direct"] or (callers is None and name.startswith(table.direct))


def _limit_of(tool: dict[str, Any], name: str | None) -> int | None:
    uses = tool.get(name) if name else None
    return uses if isinstance(uses, int) and not isinstance(uses, bool) and 1 <= uses <= MAX_COUNT else None
