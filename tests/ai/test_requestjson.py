"""A request's JSON is read strictly, and edited without touching another byte."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.ai.requestjson import MAX_DEPTH, Flaw, FlawedJson, loads, with_member

SETTINGS = settings(derandomize=True, deadline=None, max_examples=150)
SCALARS = st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.text(max_size=8)
NAMES = st.sampled_from(["a", "max_tokens", "stream_options", "include_usage", 'q"\\', "é", "generationConfig"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=12
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=5)
SPACES = st.sampled_from(["", " ", "\n", "\t \r\n"])


@pytest.mark.parametrize(
    ("raw", "flaw"),
    [
        (b"", Flaw.NOT_JSON),
        (b"{}x", Flaw.NOT_JSON),
        (b'{"a":NaN}', Flaw.NOT_JSON),
        (b'{"a":-Infinity}', Flaw.NOT_JSON),
        (b'{"a":"\\ud800"}', Flaw.NOT_JSON),
        (b'{"a":"\xff"}', Flaw.NOT_JSON),
        ('{"a":1}'.encode("utf-16"), Flaw.NOT_JSON),
        (b"\xef\xbb\xbf{}", Flaw.NOT_JSON),
        (b'{"n":1,"n":2}', Flaw.DUPLICATE_MEMBER),
        (b'{"n":1,"\\u006e":2}', Flaw.DUPLICATE_MEMBER),
        (b'{"a":[{"n":1,"n":1}]}', Flaw.DUPLICATE_MEMBER),
        (b"[]", Flaw.NOT_AN_OBJECT),
        (b'"a"', Flaw.NOT_AN_OBJECT),
        (b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}", Flaw.TOO_DEEP),
        (b'{"a":' + b"[" * 100_000, Flaw.TOO_DEEP),
    ],
)
def test_what_two_parsers_could_read_differently_is_refused(raw: bytes, flaw: Flaw) -> None:
    with pytest.raises(FlawedJson) as caught:
        loads(raw)
    assert caught.value.flaw is flaw


def test_depth_is_counted_and_not_brackets() -> None:
    """Many messages side by side are not deep; brackets in a string are nothing."""
    deepest = b'{"a":' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}"
    assert loads(deepest)[1]
    assert loads(json.dumps({"m": [{"c": [1]}] * 500, "s": "[" * 500}).encode())[1]["s"] == "[" * 500


def spaced(value: object, space: str) -> str:
    """The value's JSON with ``space`` wherever JSON allows some."""
    if isinstance(value, dict):
        members = f"{space},{space}".join(f"{json.dumps(k)}{space}:{space}{spaced(v, space)}" for k, v in value.items())
        return "{" + space + members + space + "}"
    if isinstance(value, list):
        return "[" + space + f"{space},{space}".join(spaced(one, space) for one in value) + space + "]"
    return json.dumps(value)


def merged(value: dict, path: tuple[str, ...], new: object) -> dict:
    first, *rest = path
    if not rest:
        return value | {first: new}
    inner = value.get(first)
    return value | {first: merged(inner if isinstance(inner, dict) else {}, tuple(rest), new)}


@SETTINGS
@given(OBJECTS, SPACES, st.lists(NAMES, min_size=1, max_size=3), st.booleans() | st.integers(1, 9999))
def test_an_edit_changes_one_member_and_no_other_byte(value: dict, space: str, path: list[str], new: object) -> None:
    """What is cut from the old text and put into the new one is one piece each, and the rest is equal."""
    text = space + spaced(value, space) + space
    made = with_member(text, tuple(path), new)
    assert json.loads(made) == merged(value, tuple(path), new)
    before = next((i for i, (x, y) in enumerate(zip(text, made, strict=False)) if x != y), min(len(text), len(made)))
    longest = min(len(text), len(made)) - before
    after = next((i for i in range(longest) if text[-1 - i] != made[-1 - i]), longest)
    cut, put = text[before : len(text) - after], made[before : len(made) - after]
    assert len(put) <= len(json.dumps(path)) + 8 * len(path) + len(json.dumps(new))
    assert cut == "" or any(cut in spaced(inner, space) for inner in _inner(value))


def _inner(value: object) -> list[object]:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [value, *(deeper for child in children for deeper in _inner(child))]


@pytest.mark.parametrize(
    ("text", "path", "made"),
    [
        ('{ "model" : "m" }', ("max_tokens",), '{"max_tokens":7, "model" : "m" }'),
        ("{}", ("max_tokens",), '{"max_tokens":7}'),
        ('{"max_tokens": null,"b":1e2}', ("max_tokens",), '{"max_tokens": 7,"b":1e2}'),
        ('{"g": null}', ("g", "m"), '{"g": {"m":7}}'),
        ('{"g": { } }', ("g", "m"), '{"g": {"m":7 } }'),
        ('{"\\u006d":1}', ("m",), '{"\\u006d":7}'),
    ],
)
def test_edits_as_they_are_written(text: str, path: tuple[str, ...], made: str) -> None:
    assert with_member(text, path, 7) == made
