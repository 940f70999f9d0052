"""The Lua scripts: their bytes and SHA-1, read once. A wheel has them in ``proxy/lua``, a checkout beside ``proxy``."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).resolve().parent.parent
FOLDERS: Final = (_PACKAGE / "lua", _PACKAGE.parent / "lua")


@dataclass(frozen=True, slots=True)
class Script:
    name: str
    source: bytes
    sha1: bytes  # 40 lower-case hex digits, as EVALSHA wants it


@cache
def load(name: str) -> Script:
    """The script ``lua/<name>.lua``. Raises: FileNotFoundError naming every place that was looked at."""
    for folder in FOLDERS:
        path = folder / f"{name}.lua"
        if path.is_file():
            source = path.read_bytes()
            return Script(name, source, hashlib.sha1(source, usedforsecurity=False).hexdigest().encode())
    places = " or ".join(str(folder) for folder in FOLDERS)
    raise FileNotFoundError(f"the script {name}.lua is neither in {places}: the installation is incomplete")
