"""Which parameters of a query make another answer, as a route says (``ignore_query``, ``only_query``). Pure.

What is kept keeps its bytes and its order. An app may read a query otherwise than we do (case, encodings, ``;``,
``pa.ge`` for ``pa_ge``), and a parameter that is left out of the key though the app reads it would let one client
choose what others get. So a parameter is only left out if its name is plain: all that is in the least odd stays in the
key, where it costs a fetch and no more.
"""

import re
from functools import lru_cache
from typing import Final

from proxy.policy.patterns import value_regex

_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]+")
_RAW: Final = re.compile(r"[^;%+\x00-\x20]+")  # a name that no app decodes, in a parameter that none splits
_NOTHING: Final = re.compile(r"(?!)")


def normalised_target(target: str, ignore: tuple[str, ...], only: tuple[str, ...] | None) -> str:
    """The target as the key has it. Names are patterns (``*`` for any run); ``only`` is None for all.

    ``ignore`` is compared as it is written, ``only`` in any case.
    """
    if not ignore and only is None:
        return target
    path, mark, query = target.partition("?")
    if not mark:
        return target
    ignored, wanted = _any_of(ignore, 0), None if only is None else _any_of(only, re.IGNORECASE)
    kept = [piece for piece in query.split("&") if not _left_out(piece, ignored, wanted)]
    return f"{path}?{'&'.join(kept)}" if kept else path


def _left_out(piece: str, ignored: re.Pattern[str], wanted: re.Pattern[str] | None) -> bool:
    name = piece.partition("=")[0]
    if not piece:
        return True
    if ";" in piece or not _RAW.fullmatch(name):
        return False
    if ignored.fullmatch(name):
        return True
    return wanted is not None and _PLAIN.fullmatch(name) is not None and not wanted.fullmatch(name)


@lru_cache(maxsize=1024)
def _any_of(patterns: tuple[str, ...], flags: int) -> re.Pattern[str]:
    if not patterns:
        return _NOTHING
    return re.compile("|".join(value_regex(pattern).pattern for pattern in patterns), re.DOTALL | flags)
