"""Somebody outside on a loopback socket, who takes what is posted to him: what is in it is for those who derive."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple, Self


class Answer(NamedTuple):
    status: int
    fields: dict[str, str] = {}  # noqa: RUF012 - nobody changes it
    body: bytes = b""


@dataclass
class PostReceiver:
    """``asked``: path and fields, their names in lower case, of all that came; ``raw``: bodies that were answered 200;
    ``decides``: by a body alone, on its connection's thread; of the others ``answers``, in turn, the last for ever."""

    port: int = 0
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    decides: Callable[[bytes], Answer | None] = lambda _: None
    answers: list[Answer] = field(default_factory=lambda: [Answer(200)])
    _server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    @classmethod
    @contextlib.contextmanager
    def receiving(cls) -> Iterator[Self]:
        receiver = cls()
        receiver.start()
        try:
            yield receiver
        finally:
            receiver.stop()

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

    def accept(self, path: str, body: bytes) -> None:
        """Takes apart what is answered 200; called on the connection's thread."""

    def take(self, path: str, fields: dict[str, str], body: bytes) -> Answer:
        self.asked.append((path, fields))
        answer = self.decides(body)
        if answer is None:
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer.status == 200:
            self.raw.append(body)
            self.accept(path, body)
        return answer


def _handler(receiver: PostReceiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 5

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if receiver._server is not self.server:  # it is away: a connection from before is none either
                self.close_connection = True
                return
            answer = receiver.take(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            self.send_response(answer.status)
            for name, value in answer.fields.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
