"""Names that ops give: limits, routes, upstreams, tiers and gateway keys go into header fields, labels and logs."""

import re
from typing import Final

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


def name_flaw(name: str) -> str | None:
    """Why it cannot be a name, or None."""
    if _NAME.fullmatch(name):
        return None
    return f"{name!r} is not a name: at most 63 letters, digits, '-', '_' and '.', the first a letter or digit"
