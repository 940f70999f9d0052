"""Several documents as one: what included files add to a policy, and what overlays put over it.

*Included files add.* Lists go on, sections are filled together, and nothing may be there twice: neither a value nor an
entry that somebody named (a limit, an upstream, a tenant), so that each is written whole in one place.

*Overlays change.* Maps are gone into, however deep; of lists whose items have a ``name`` the items of one name are; all
else is replaced, and ``null`` takes a key away. A new item of such a list comes before the item that the overlay names
after it, else at the end: the order of routes matters.

Top-level ``x-`` keys stay where they are: anchors do not reach into other files. Each place knows where it was written.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from proxy.policy.document import Document, Origin
from proxy.policy.problems import KeyPath, meant, shown
from proxy.policy.validation import kind_below, named_by_hand

_EVERYWHERE: Final = "version"  # each file may say it
_NAME: Final = "name"


class Joint:
    """The documents so far. ``kind``: the schema's type for the whole."""

    def __init__(self, first: Document, kind: Any) -> None:
        self._first = first
        self._kind = kind
        self._files = [first.file]
        self._lines: dict[KeyPath, int] = {}
        self._origins: dict[KeyPath, Origin] = {}
        self._written: dict[KeyPath, str] = {}
        self._unknown: set[KeyPath] = set()
        self._partial: set[KeyPath] = set()
        self.problems = list(first.problems)
        self._value = self._taken(first, (), ())

    def document(self) -> Document:
        return replace(
            self._first,
            value=self._value,
            lines=self._lines,
            written=self._written,
            problems=tuple(self.problems),
            unknown=frozenset(self._unknown),
            partial=frozenset(self._partial),
            origins=self._origins,
            files=tuple(self._files),
        )

    def add(self, included: Document) -> None:
        """What an included file has, which is a map."""
        self._begin(included)
        for key in _keys(included):
            if not (key == _EVERYWHERE and included.at((key,)) == self._value.get(key)):
                self._add(included, (key,), (key,), kind_below(self._kind, key)[0], by_hand=False)

    def put_over(self, overlay: Document) -> None:
        """What an overlay has, which is a map."""
        self._begin(overlay)
        for key in _keys(overlay):
            self._over(overlay, (key,), (key,))

    def _begin(self, document: Document) -> None:
        if document.file not in self._files:
            self._files.append(document.file)
        self.problems += document.problems

    # --- included files ---

    def _add(self, document: Document, at: KeyPath, path: KeyPath, kind: Any, *, by_hand: bool) -> None:
        holder, step = self._at(path[:-1]), path[-1]
        new = document.at(at)
        if step not in holder:
            holder[step] = self._taken(document, at, path)
        elif isinstance(new, dict) and isinstance(holder[step], dict) and not by_hand:
            for key in new:
                below = kind_below(kind, key)[0]
                self._add(document, (*at, key), (*path, key), below, by_hand=named_by_hand(kind, key))
        elif isinstance(new, list) and isinstance(holder[step], list):
            there = len(holder[step])
            holder[step] += [self._taken(document, (*at, n), (*path, there + n)) for n in range(len(new))]
        else:
            self.problems.append(document.problem(at, f"is given twice; first in {self._origins[path]}"))
            self._partial.add(path)

    # --- overlays ---

    def _over(self, document: Document, at: KeyPath, path: KeyPath) -> None:
        holder, step = self._at(path[:-1]), path[-1]
        new, old = document.at(at), holder.get(step)
        if new is None:
            if step in holder:
                self._forget(path)
                del holder[step]
            else:
                message = f"there is no {step!r} to take away{meant(str(step), holder)}"
                self.problems.append(document.problem(at, message))
        elif isinstance(new, dict) and isinstance(old, dict):
            for key in new:
                self._over(document, (*at, key), (*path, key))
        elif isinstance(new, list) and isinstance(old, list) and _has_names(new) and _has_names(old):
            self._over_items(document, at, path)
        else:
            self._forget(path)
            holder[step] = self._taken(document, at, path)

    def _over_items(self, document: Document, at: KeyPath, path: KeyPath) -> None:
        old, new = self._at(path), document.at(at)
        places: dict[str, int] = {}
        for n, item in enumerate(old):
            if (name := _name(item)) is not None:
                places.setdefault(name, n)
        # Each entry is (whose, its number there), in the order that comes out.
        order = [("old", n) for n in range(len(old))]
        after: tuple[str, int] | None = None
        for n in reversed(range(len(new))):
            known = places.get(_name(new[n]) or "")
            entry = ("new", n) if known is None else ("old", known)
            if known is None:
                order.insert(len(order) if after is None else order.index(after), entry)
            after = entry
        self._reorder(path, [n if whose == "old" else None for whose, n in order])
        for place, (whose, n) in enumerate(order):
            if whose == "new":
                self._at(path)[place] = self._taken(document, (*at, n), (*path, place))
        for n, item in enumerate(new):
            if (known := places.get(_name(item) or "")) is not None:
                for key in item:
                    if key != _NAME:
                        self._over(document, (*at, n, key), (*path, order.index(("old", known)), key))

    def _reorder(self, path: KeyPath, order: list[int | None]) -> None:
        """The list at ``path`` with its items in another order; None is a place that is to be filled."""
        items = self._at(path)
        items[:] = [None if n is None else items[n] for n in order]
        new_place = {n: place for place, n in enumerate(order) if n is not None}
        depth = len(path)

        def moved(one: KeyPath) -> KeyPath:
            step = one[depth] if len(one) > depth and one[:depth] == path else None
            return one if not isinstance(step, int) else (*path, new_place[step], *one[depth + 1 :])

        self._lines = {moved(one): line for one, line in self._lines.items()}
        self._origins = {moved(one): origin for one, origin in self._origins.items()}
        self._written = {moved(one): text for one, text in self._written.items()}
        self._unknown = set(map(moved, self._unknown))
        self._partial = set(map(moved, self._partial))

    # --- places ---

    def _at(self, path: KeyPath) -> Any:
        value = self._value
        for step in path:
            value = value[step]
        return value

    def _taken(self, document: Document, at: KeyPath, path: KeyPath) -> Any:
        """A copy of what a document has at ``at``, whose places are known from now on as ``path`` and below."""

        def copied(value: Any, at: KeyPath, path: KeyPath) -> Any:
            self._lines[path] = document.lines[at]
            self._origins[path] = document.origin(at)
            if at in document.written:
                self._written[path] = document.written[at]
            if at in document.unknown:
                self._unknown.add(path)
            if at in document.partial:
                self._partial.add(path)
            if isinstance(value, dict):
                return {key: copied(item, (*at, key), (*path, key)) for key, item in value.items()}
            if isinstance(value, list):
                return [copied(item, (*at, n), (*path, n)) for n, item in enumerate(value)]
            return value

        return copied(document.at(at), at, path)

    def _forget(self, path: KeyPath) -> None:
        """What is known of a place and those below it, faults too: an overlay may set what is not set elsewhere."""
        if path[-1] not in self._at(path[:-1]):
            return
        mended = set()
        for one in _places(self._at(path), path):
            origin = self._origins.pop(one)
            del self._lines[one]
            self._written.pop(one, None)
            self._partial.discard(one)
            if one in self._unknown:
                self._unknown.remove(one)
                mended.add((origin.file, origin.line, shown(origin.path)))
        if mended:
            self.problems = [one for one in self.problems if (one.file, one.line, one.path) not in mended]


def _places(value: Any, path: KeyPath) -> Iterator[KeyPath]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in items:
        yield from _places(item, (*path, step))


def _keys(document: Document) -> list[str]:
    return [key for key in document.value if not key.startswith("x-")]


def _name(item: Any) -> str | None:
    name = item.get(_NAME) if isinstance(item, dict) else None
    return name if isinstance(name, str) else None


def _has_names(items: list[Any]) -> bool:
    return any(_name(item) is not None for item in items)
