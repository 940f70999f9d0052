"""The columns of a dialect's table: endpoints, and the shape of each kind of request. Data; reading.py walks it.

Field names are as on the wire, a path is a tuple of them. Where the wire allows a second spelling (Gemini's
protocol buffers take ``max_output_tokens`` for ``maxOutputTokens``) ``Dialect.snake_too`` says so.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from proxy.ai.dialects.call import Kind

Path = tuple[str, ...]

_NAME: Final = r"[A-Za-z0-9._~:@+-]+"
_NAME_BEFORE_VERB: Final = _NAME.replace(":", "")


@dataclass(frozen=True, slots=True)
class Tools:
    """Tools of a request: what runs at the client costs nothing more; what runs at the provider does.

    ``server`` maps a type's beginning to the unit that a use is billed in, or None where a use itself is free; a type
    that stands in neither table has no known price, and so no bound. ``limit`` is a field of the request that bounds
    all uses together, ``limit_each`` one of the tool. ``by_key``: a tool says what it is by its only members' names.
    ``only_with``: with these models (by the names of whom the price is known) a type has its unit's price, with others
    another. ``callers`` is the tool's member that must be ["direct"], so that no code calls it, which runs by itself,
    costs time and reads what it likes; ``direct`` are the types' beginnings that are so where they do not say.
    """

    client: frozenset[str] = frozenset()
    server: Mapping[str, str | None] = field(default_factory=dict)
    limit: str | None = None
    limit_each: str | None = None
    default_type: str | None = None
    by_key: bool = False
    only_with: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    callers: str | None = None
    direct: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Content:
    """Where a request holds what the model reads, and which parts are text that stands wholly in the body.

    ``fields`` are walked, into members ``descend``; a part's ``type`` (or, ``by_key``, each of its members) must be in
    ``plain``; ``needs`` names a member without which a type only refers to something stored.
    """

    fields: tuple[str, ...] = ()
    descend: frozenset[str] = frozenset()
    plain: frozenset[str] = frozenset()
    needs: Mapping[str, str] = field(default_factory=dict)
    refers: frozenset[str] = frozenset()  # members that, if not null, refer to something stored
    by_key: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """A field that chooses among a model's prices. ``account``: values that mean what the account is set to, as leaving
    it out does; ``usual``: the standard price, which the price table spells ``usual_as``; any other must be ``priced``:
    it has the model's own price for it, and where a model has none, no price. But of those ``cheaper``, which an answer
    may name too, the standard price is a bound.
    """

    path: Path
    account: frozenset[str] = frozenset()
    usual: frozenset[str] = frozenset()
    usual_as: str = ""
    priced: frozenset[str] = frozenset()
    cheaper: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Shape:
    """How one kind of request is read.

    ``fields`` are all members that are known not to make a call dearer than the bound says; any other is unbounded.
    ``members`` are the same of the objects at these paths, ``values`` all that is so known of the texts at those.
    ``caps`` are the spellings of the output cap; the first is where ours is written.
    """

    kind: Kind
    fields: frozenset[str] = frozenset()
    members: Mapping[Path, frozenset[str]] = field(default_factory=dict)
    values: Mapping[Path, frozenset[str]] = field(default_factory=dict)
    caps: tuple[Path, ...] = ()
    choices: Path | None = None
    inputs: str | None = None  # a list of inputs that the model reads one by one
    tiers: Choice | None = None
    speeds: Choice | None = None
    geo: Path | None = None
    prediction: str | None = None
    modalities: Path | None = None  # names output beside text; None: whatever the model can make, it may make
    modalities_default_text: bool = False
    sound_apart: bool = False  # a token of sound costs many of text: without a price of its own it has none
    content: Content = field(default_factory=Content)
    tools: Tools = field(default_factory=Tools)
    external: frozenset[str] = frozenset()
    unbounded: frozenset[str] = frozenset()
    cap_per_pass: bool = False
    asks_usage: bool = False
    unpriced_words: Mapping[str, str] = field(default_factory=dict)  # strings whose price nobody listed → what they are
    server_models: tuple[str, ...] = ()  # models that use server tools unasked; * is anything
    as_usual: frozenset[tuple[str, str]] = field(init=False)
    cheaper: frozenset[tuple[str, str]] = field(init=False)

    def __post_init__(self) -> None:
        choices = [(name, one) for name, one in (("service_tier", self.tiers), ("speed", self.speeds)) if one]
        usual = {(name, value) for name, one in choices for value in one.usual}
        object.__setattr__(self, "as_usual", frozenset(usual))
        object.__setattr__(self, "cheaper", frozenset((name, value) for name, one in choices for value in one.cheaper))


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One line of a table. ``shape`` None: free. ``stream``: the path says it, True or False; None: the body does.

    ``stored``: lists, tells, changes or deletes what calls have left at the provider. All of them had the gateway's one
    key, so the provider keeps nobody's apart.
    """

    method: str
    path: str
    shape: Shape | None = None
    stream: bool | None = None
    opaque: str | None = None  # priced, but by nothing that the request says: the name of why
    stored: bool = False


@dataclass(frozen=True, slots=True)
class Dialect:
    """A provider's API. ``prefixes`` stand before each endpoint's path; {model} or {deployment} in one is the model.

    ``overhead_tokens`` and ``tool_tokens``: what the provider adds to a prompt by itself (templates, a system prompt
    for tools), for a request and for each tool, generously. ``refusal_members``: one of these is in the JSON of each
    refusal of the provider's own. ``free_refusals``: of a status that it may bill, the error codes that it does not.
    """

    name: str
    provider: str
    endpoints: tuple[Endpoint, ...]
    prefixes: tuple[str, ...] = ("/v1",)
    overhead_tokens: int = 1024
    tool_tokens: int = 1024
    snake_too: bool = False
    usage_since: tuple[str, str] | None = None  # (query parameter, value): before it a stream cannot be asked
    long_windows: Mapping[str, int] = field(default_factory=dict)  # beginning of an anthropic-beta → tokens
    query: Mapping[str, re.Pattern[str]] = field(default_factory=dict)  # all that a priced call's query may say
    refusal_members: frozenset[str] = frozenset({"error"})
    free_refusals: Mapping[int, frozenset[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        exact: dict[str, dict[str, Endpoint]] = {}
        patterns: dict[str, dict[str, Endpoint]] = {}
        for prefix in self.prefixes:
            for line in self.endpoints:
                path = prefix + line.path
                (patterns if "{" in path else exact).setdefault(path, {})[line.method] = line
        object.__setattr__(self, "_exact", exact)
        # Where paths end in verbs (:generateContent), no name holds a colon: models/x:predict is no model's name.
        name = _NAME_BEFORE_VERB if any("}:" in path for path in patterns) else _NAME
        compiled = [(_compile(path, name), lines) for path, lines in patterns.items()]
        object.__setattr__(self, "_patterns", compiled)

    _exact: dict[str, dict[str, Endpoint]] = field(init=False, repr=False, compare=False)
    _patterns: list[tuple[re.Pattern[str], dict[str, Endpoint]]] = field(init=False, repr=False, compare=False)

    def find(self, path: str) -> tuple[dict[str, Endpoint], str]:
        """The lines of ``path`` by method, and the model that it names; an empty dict where nothing is listed.

        A path is compared as it is written: one with an encoded or doubled character is another path.
        """
        lines = self._exact.get(path)
        if lines is not None:
            return lines, ""
        for pattern, found in self._patterns:
            match = pattern.fullmatch(path)
            if match is not None:
                return found, match.groupdict().get("model") or ""
        return {}, ""


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def snake(name: str) -> str:
    """``maxOutputTokens`` as protocol buffers also spell it."""
    return "".join("_" + char.lower() if char.isupper() else char for char in name)


def _compile(path: str, one: str) -> re.Pattern[str]:
    """``{model}`` and ``{deployment}`` name the model, any other ``{x}`` is one segment of no interest; ``one`` is a
    name's pattern.
    """
    pieces = re.split(r"\{(\w+)\}", path)
    made = [re.escape(pieces[0])]
    for name, rest in zip(pieces[1::2], pieces[2::2], strict=True):
        made.append(f"(?P<model>{one})" if name in ("model", "deployment") else one)
        made.append(re.escape(rest))
    return re.compile("".join(made))
