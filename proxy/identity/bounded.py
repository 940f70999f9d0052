"""A map from the texts that clients send to what was made of them, bounded in entries and characters. Pure."""

from collections import OrderedDict
from typing import Generic, TypeVar

V = TypeVar("V")


class BoundedMap(Generic[V]):
    """The oldest entry goes first, unless ``spares`` gives it another round (second chance: LRU without its cost)."""

    __slots__ = ("_chars", "_max_chars", "_max_entries", "_values", "get")

    def __init__(self, max_entries: int, max_chars: int) -> None:
        self._values: OrderedDict[str, V] = OrderedDict()
        self._max_entries = max_entries
        self._max_chars = max_chars
        self._chars = 0
        self.get = self._values.get  # bound once: the hot path is a bare dict lookup

    def __len__(self) -> int:
        return len(self._values)

    def put(self, text: str, value: V) -> None:
        """Remember it, and forget what no longer fits."""
        self.drop(text)
        self._values[text] = value
        self._chars += len(text)
        rounds = len(self._values)
        while len(self._values) > self._max_entries or self._chars > self._max_chars:
            oldest, held = self._values.popitem(last=False)
            rounds -= 1
            if rounds > 0 and self.spares(held):
                self._values[oldest] = held
            else:
                self._chars -= len(oldest)

    def drop(self, text: str) -> None:
        """Forget it, if it is known."""
        if text in self._values:
            del self._values[text]
            self._chars -= len(text)

    def spares(self, value: V) -> bool:
        """Whether a value whose turn it is to go may stay for another round."""
        return False
