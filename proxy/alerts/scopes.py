"""A budget's scope as a person reads it, from the text that charges carry. Pure.

The text is ``kind:word``, as many words for each kind as the table says, escaped with ``%`` where they hold spaces or
what cannot be printed; several scopes that count together follow one another.
"""

from typing import Final
from urllib.parse import unquote

_BY_ADDRESS: Final = "-by-address"  # counted by address, for want of the scope's own word
_WORDS: Final = {"global": 0, "user": 2, "claim": 3}  # any other has one
_PERSONAL: Final = frozenset({"user", "ip", "claim"})
_NAMES: Final = {
    "tenant": "tenant {0}",
    "user": "user {1}",
    "tier": "tier {0}",
    "route": "route {0}",
    "model": "model {0}",
    "feature": "feature {0}",
    "ip": "address {0}",
    "claim": "{0} {2}",  # its path and value
    "global": "everybody",
}


def readable(scope: str) -> str:
    """``tenant:acme model:gpt-4o`` → ``tenant acme, model gpt-4o``. What is not understood stays as it is."""
    try:
        parts = _parts(scope)
    except ValueError:
        return printable(scope)
    shown = ((kind, [printable(unquote(word)) or "none" for word in words]) for kind, words in parts)
    return ", ".join(_NAMES[kind].format(*words) for kind, words in shown)


def impersonal(scope: str) -> str:
    """Without any word that may name a person: ``user:ISSUER SUB model:m`` → ``one user, model m``."""
    try:
        parts = _parts(scope)
    except ValueError:
        return "somebody"
    return ", ".join(
        f"one {kind}" if kind in _PERSONAL else readable(":".join((kind, " ".join(words)))) for kind, words in parts
    )


def _parts(scope: str) -> list[tuple[str, list[str]]]:
    """Kinds and their words, still escaped. Raises: ValueError for a kind that nobody knows, or too few words."""
    parts, tokens = [], scope.split(" ")
    while tokens:
        kind, _, first = tokens.pop(0).partition(":")
        if kind.endswith(_BY_ADDRESS):
            kind = "ip"
        more = max(0, _WORDS.get(kind, 1) - 1)
        if kind not in _NAMES or len(tokens) < more:
            raise ValueError("not a scope")
        parts.append((kind, [first, *tokens[:more]]))
        del tokens[:more]
    return parts


def printable(text: str) -> str:
    """A message is one line, whatever a caller is called."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
