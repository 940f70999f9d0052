"""An effective policy as YAML that is a policy itself, with the origin of each value as a comment. Pure."""

from collections.abc import Iterator
from typing import Any, Final

import yaml

from proxy.policy.effective import Leaf, Tree, plain

DEFAULT: Final = "default"

_MOST_INDENTED: Final = 72  # comments begin here at the latest, but for those of longer lines

Row = tuple[str, str]
"""A line, and where its values are written; empty where the line has none of its own."""


def yaml_text(tree: dict[str, Tree], *, origins: bool) -> str:
    """Ends with a newline."""
    rows = list(_map(tree, ""))
    if not origins:
        return "".join(f"{text}\n" for text, _ in rows)
    column = min(max((len(text) for text, comment in rows if comment), default=0), _MOST_INDENTED)
    return "".join(f"{text:<{column}}  # {comment}\n" if comment else f"{text}\n" for text, comment in rows)


def origin_of(leaf: Leaf) -> str:
    return DEFAULT if leaf.origin is None else str(leaf.origin)


def _map(tree: dict[str, Tree], indent: str) -> Iterator[Row]:
    for key, item in tree.items():
        head = f"{indent}{_scalar(key)}:"
        if (line := _one_line(item)) is not None:
            yield f"{head} {line[0]}", line[1]
        else:
            yield head, ""
            yield from _below(item, indent + "  ")


def _list(tree: list[Tree], indent: str) -> Iterator[Row]:
    for item in tree:
        if (line := _one_line(item)) is not None:
            yield f"{indent}- {line[0]}", line[1]
        else:
            first, *rest = _below(item, indent + "  ")
            yield f"{indent}- {first[0].lstrip()}", first[1]
            yield from rest


def _below(tree: Tree, indent: str) -> Iterator[Row]:
    assert not isinstance(tree, Leaf)
    return _map(tree, indent) if isinstance(tree, dict) else _list(tree, indent)


def _one_line(tree: Tree) -> Row | None:
    """What needs no lines of its own: a value, and a list of values that stand together."""
    if isinstance(tree, Leaf):
        return _scalar(tree.value), origin_of(tree)
    if isinstance(tree, list):
        found = [item for item in tree if isinstance(item, Leaf)]
        places = {origin_of(item) for item in found}
        if len(found) == len(tree) and len(places) == 1:
            return _scalar(plain(tree)), places.pop()
    return None


def _scalar(value: Any) -> str:
    """On one line."""
    line = _dumped(value)
    return line if "\n" not in line else _dumped(value, default_style='"')


def _dumped(value: Any, **style: Any) -> str:
    written: str = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=1_000_000, **style
    )
    return written.strip().removesuffix("\n...")
