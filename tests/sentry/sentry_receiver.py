"""Sentry as its clients see it: a server on a loopback socket that takes envelopes apart and keeps what is in them."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.spooling.post_receiver import PostReceiver

PUBLIC_KEY = "5a0b3c4d5e6f708192a3b4c5d6e7f801"
PROJECT = "42"


@dataclass
class Item:
    kind: str
    header: dict[str, Any]
    payload: bytes
    envelope: dict[str, Any]  # its header

    def json(self) -> Any:
        return json.loads(self.payload)


def parsed(data: bytes) -> list[Item]:
    """As the protocol says: a header line, then items, each as long as its own header says."""
    head, _, rest = data.partition(b"\n")
    envelope, items = json.loads(head), []
    while rest.strip(b"\n"):
        line, _, rest = rest.lstrip(b"\n").partition(b"\n")
        header = json.loads(line)
        length = header.get("length")
        payload, rest = (rest[:length], rest[length:]) if length is not None else rest.partition(b"\n")[::2]
        assert length is None or (len(payload) == length and rest[:1] in (b"\n", b"")), "framing"
        items.append(Item(header["type"], header, payload, envelope))
    return items


@dataclass
class Receiver(PostReceiver):
    items: list[Item] = field(default_factory=list)

    @property
    def dsn(self) -> str:
        return f"http://{PUBLIC_KEY}@127.0.0.1:{self.port}/{PROJECT}"

    @property
    def auth(self) -> list[str]:
        return [fields.get("x-sentry-auth", "") for _, fields in self.asked]

    def of(self, kind: str) -> list[Any]:
        return [item.json() for item in list(self.items) if item.kind == kind]

    def accept(self, path: str, body: bytes) -> None:
        self.items += parsed(body)


def heard(receiver: Receiver, kind: str, holds: Callable[[Any], bool], within_s: float = 15.0) -> Any:
    """The first payload of this kind for which it holds; waits for it."""
    deadline = time.monotonic() + within_s
    while True:
        for one in receiver.of(kind):
            if holds(one):
                return one
        assert time.monotonic() < deadline, [item.kind for item in receiver.items]
        time.sleep(0.02)
