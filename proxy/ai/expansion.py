"""How long a text may become when a tokenizer normalises it, without normalising it. Pure.

Normalising takes quadratic time over a run of combining marks (they are sorted by insertion), and a client chooses the
text. So each character counts for the longest that it decomposes to: decomposing goes character by character, sorting
moves bytes and adds none, and no character is longer than what it is composed of (Unicode Standard Annex #15). The sum
bounds all four forms. Time is linear: about 20 ms for 8 MiB, whatever they hold.
"""

from collections import Counter
from typing import Final
from unicodedata import decomposition, normalize

EXACT: Final = 1 << 17
"""Characters; a longer text is bounded by its blocks, ten times as fast as character by character."""
_LAST: Final = 0x30000  # behind it no character decomposes
_HANGUL: Final = range(0xAC00, 0xD7A4)  # they decompose by a rule, and no table names them


def _bytes(text: str) -> int:
    return len(text.encode())


def _growth() -> dict[str, int]:
    """Characters that some form makes longer → by how many bytes at most."""
    made = {}
    for code in range(0x80, _LAST):
        char = chr(code)
        if code in _HANGUL or decomposition(char):
            more = max(_bytes(normalize(form, char)) for form in ("NFD", "NFKD")) - _bytes(char)
            if more > 0:
                made[char] = more
    return made


_GROWTH: Final = _growth()
_LATIN: Final = bytes(_GROWTH.get(chr(code), 0) for code in range(256))


def _blocks() -> bytes:
    """By the upper byte of a UTF-16 unit: the most that a character with it grows. Latin-1 is told apart.

    A character of two units counts with its first.
    """
    made = bytearray(256)
    for char, more in _GROWTH.items():
        upper = char.encode("utf-16-be")[0]
        if upper:
            made[upper] = max(made[upper], more)
    return bytes(made)


_BLOCKS: Final = _blocks()


def most_bytes(text: str) -> int:
    """At most so many bytes of UTF-8 has ``text``, in itself and in each of Unicode's normal forms.

    Exactly its own bytes where no character of it grows, or in a long text none of their blocks.
    """
    size = _bytes(text)
    if text.isascii():
        return size
    if len(text) <= EXACT:
        return size + sum(count * _GROWTH.get(char, 0) for char, count in Counter(text).items())
    uppers = text.encode("utf-16-be")[::2]
    latin = text.encode("latin-1", "ignore")
    return size + sum(uppers.translate(_BLOCKS)) + sum(latin.translate(_LATIN))
