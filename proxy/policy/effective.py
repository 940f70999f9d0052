"""The whole policy as it holds, each value with where it is written: in a file, in an overlay, or nowhere.

What is not written has the schema's default, but where that is nothing at all (no list, no text, no section). A value
that variables were put into is shown as it is written. A secret that stands in a file is not shown, and the leaf says
so: of a URL its login is masked, of a webhook's all but the host. What a route takes from `defaults` is not told here:
`explain --path` says it of a request. Pure.
"""

import re
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from proxy.policy.document import Document, Origin
from proxy.policy.problems import KeyPath
from proxy.policy.schema import Config
from proxy.policy.section import Section
from proxy.policy.validation import bare_type, kind_below

HIDDEN: Final = "<hidden>"

_LEFT_OUT: Final = frozenset({"include"})  # it has done its work
_URL: Final = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#]*)(.*)", re.DOTALL)
_WITHOUT_SECRETS: Final = frozenset({"sqlite"})  # whose URLs are paths
# Of these only the login is secret; a webhook's path is what lets one in.
_LOGGED_IN: Final = frozenset(
    {"redis", "rediss", "redis+sentinel", "redis+cluster", "unix", "postgresql", "postgres", "smtp", "smtps"}
)
_PARAMETER: Final = re.compile(r"(?<=[?&])(?!db=|sslmode=)([^=&]*=)?[^&]*")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value as it is to be written; empty lists and maps are leaves, too. ``origin`` is None for a default.
    ``masked``: it is not what is written there."""

    value: Any
    origin: Origin | None
    masked: bool = False


Tree: TypeAlias = "Leaf | dict[str, Tree] | list[Tree]"


def effective(document: Document) -> dict[str, "Tree"]:
    """A policy that was found sound, whole. Keys are in the schema's order, names in that of the files."""
    tree = _Walk(document).section(document.value, (), Config, hidden=False)
    return {name: item for name, item in tree.items() if name not in _LEFT_OUT}


def plain(tree: Tree) -> Any:
    """The values alone."""
    if isinstance(tree, Leaf):
        return tree.value
    return {key: plain(item) for key, item in tree.items()} if isinstance(tree, dict) else list(map(plain, tree))


def leaves(tree: Tree, path: KeyPath = ()) -> list[tuple[KeyPath, Leaf]]:
    """Every value and its path."""
    if isinstance(tree, Leaf):
        return [(path, tree)]
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    return [leaf for step, item in items for leaf in leaves(item, (*path, step))]


class _Walk:
    def __init__(self, document: Document) -> None:
        self._document = document

    def value(self, value: Any, path: KeyPath, kind: Any, *, hidden: bool) -> Tree:
        """What is written at a path, whose schema's type is ``kind``."""
        model = bare_type(kind)
        if isinstance(value, dict) and isinstance(model, type) and issubclass(model, Section):
            return self.section(value, path, model, hidden=hidden) or self._leaf({}, path, hidden=False)
        if isinstance(value, dict) and value:
            return {
                key: self.value(item, (*path, key), kind_below(kind, key)[0], hidden=hidden)
                for key, item in value.items()
            }
        if isinstance(value, list) and value:
            return [self.value(item, (*path, n), kind_below(kind, n)[0], hidden=hidden) for n, item in enumerate(value)]
        return self._leaf(value, path, hidden=hidden)

    def section(self, value: dict[str, Any], path: KeyPath, model: type[Section], *, hidden: bool) -> dict[str, Tree]:
        """The keys of a section, written or not; none where nothing is written and every default is nothing."""
        found: dict[str, Tree] = {}
        fields = {info.alias or name: info for name, info in model.model_fields.items()}
        for name, info in fields.items():
            if name in value:
                here = (*path, name)
                secret = hidden or (not info.repr and value[name] != info.default)
                found[name] = self.value(value[name], here, info.annotation, hidden=secret)
            elif (tree := self._default(info)) is not None:
                found[name] = tree
        for name in value:
            if name not in fields and model.members is not None:
                found[name] = self.value(value[name], (*path, name), model.members, hidden=hidden)
        return found

    def _default(self, info: FieldInfo) -> "Tree | None":
        model = bare_type(info.annotation)
        if info.default is PydanticUndefined and info.default_factory is None:
            return None
        if isinstance(model, type) and issubclass(model, Section) and info.default in (PydanticUndefined, {}):
            return self.section({}, (), model, hidden=False) or None
        return _default_tree(info.default)

    def _leaf(self, value: Any, path: KeyPath, *, hidden: bool) -> Leaf:
        document = self._document
        if path in document.written:
            value = document.written[path]
        elif hidden and isinstance(value, str):
            told = masked(value)
            return Leaf(told, document.origin(path), told != value)
        elif isinstance(value, str):
            value = str(value).replace("${", "$${")
        return Leaf(value, document.origin(path))


def _default_tree(value: Any) -> "Tree | None":
    """None for what is nothing at all."""
    if value is None or value in ("", [], {}):
        return None
    if isinstance(value, dict):
        return {key: Leaf(item, None) for key, item in value.items()}
    return [Leaf(item, None) for item in value] if isinstance(value, list) else Leaf(value, None)


def masked(secret: str) -> str:
    """Of a URL all but its login and its parameters, of a webhook's scheme and host; of anything else nothing."""
    found = _URL.fullmatch(secret)
    if found is None or "@" in found[3]:
        return HIDDEN
    scheme, authority, rest = found.groups()
    if scheme in _WITHOUT_SECRETS:
        return secret
    user, at, host = authority.rpartition("@")
    if scheme not in _LOGGED_IN and not user:  # Sentry's DSN has its key as a login
        rest = "/…" if rest else ""
    path, mark, query = rest.partition("?")
    plain_query = _PARAMETER.sub(r"\1…", mark + query)
    return f"{scheme}://{'…' if user else ''}{at}{host}{path}{plain_query}"
