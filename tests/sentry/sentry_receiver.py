"""Sentry as its clients see it: a server on a loopback socket that takes envelopes apart and keeps what is in them."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

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
class Receiver:
    """``answers``: (status, fields), given in turn, the last for ever; ``raw`` is every body that was taken."""

    port: int = 0
    items: list[Item] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    auth: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=lambda: [(200, {})])
    _server: ThreadingHTTPServer | None = None

    @property
    def dsn(self) -> str:
        return f"http://{PUBLIC_KEY}@127.0.0.1:{self.port}/{PROJECT}"

    def start(self) -> None:
        """Again on the same port, if it was there before."""
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), _handler(self))
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def of(self, kind: str) -> list[Any]:
        return [item.json() for item in list(self.items) if item.kind == kind]

    def take(self, path: str, auth: str, body: bytes) -> tuple[int, dict[str, str]]:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.paths.append(path)
        self.auth.append(auth)
        if answer[0] == 200:
            self.raw.append(body)
            self.items += parsed(body)
        return answer


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 5

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if receiver._server is not self.server:  # it is away: a connection from before is none either
                self.close_connection = True
                return
            status, fields = receiver.take(self.path, self.headers.get("X-Sentry-Auth", ""), body)
            self.send_response(status)
            for name, value in fields.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.stop()


def heard(receiver: Receiver, kind: str, holds: Callable[[Any], bool], within_s: float = 15.0) -> Any:
    """The first payload of this kind for which it holds; waits for it."""
    deadline = time.monotonic() + within_s
    while True:
        for one in receiver.of(kind):
            if holds(one):
                return one
        assert time.monotonic() < deadline, [item.kind for item in receiver.items]
        time.sleep(0.02)
