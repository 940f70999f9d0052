"""What a restart must not forget: which incidents were told of and are not over, and what is still to be sent. A file
in ``data_dir``, replaced whole. All of this blocks: it is called from threads."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from proxy.alerts.incident import Incident
from proxy.alerts.samples import Subject
from proxy.alerts.tray import Letter
from proxy.policy.service import Kind
from proxy.policy.spending import Level

FOLDER: Final = "alerts"
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Shelved:
    incidents: Mapping[Subject, Incident] = field(default_factory=dict)
    letters: Sequence[Letter] = ()


class Shelf:
    """Of one gateway: those that share a folder differ by ``name``."""

    def __init__(self, data_dir: str, name: str) -> None:
        self._file = Path(data_dir) / FOLDER / f"{name}.json"

    def read(self) -> Shelved:
        """Nothing, where there is none. Raises: OSError; ValueError for what is no such file."""
        try:
            found = orjson.loads(self._file.read_bytes())
        except FileNotFoundError:
            return Shelved()
        try:
            if found["version"] != _VERSION:
                raise ValueError("written by another version")
            incidents = dict(map(_incident, found["incidents"]))
            return Shelved(incidents, tuple(Letter(**letter) for letter in found["letters"]))
        except (KeyError, TypeError) as error:
            raise ValueError("not as it was written") from error

    def write(self, shelved: Shelved) -> None:
        """Raises: OSError."""
        content = {
            "version": _VERSION,
            "incidents": [
                {"kind": subject.kind, "name": subject.name, "since_ms": one.since_ms, "level": one.level,
                 "told_ms": one.told_ms, "heard": one.heard}
                for subject, one in shelved.incidents.items()
                if one.level is not None
            ],
            "letters": [asdict(letter) for letter in shelved.letters],
        }  # fmt: skip
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        half = self._file.with_suffix(".half")
        fd = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(orjson.dumps(content))
            file.flush()
            os.fsync(file.fileno())
        half.replace(self._file)


def _incident(found: dict[str, Any]) -> tuple[Subject, Incident]:
    """As it was told; whether it is calm by now is seen anew."""
    heard = tuple((str(channel), str(recipient)) for channel, recipient in found["heard"])
    incident = Incident(int(found["since_ms"]), Level(found["level"]), int(found["told_ms"]), heard=heard)
    return Subject(Kind(found["kind"]), str(found["name"])), incident
