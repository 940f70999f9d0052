"""A scripted origin on a loopback socket: it records each request byte for byte and answers what a test says."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok"


@dataclass
class Seen:
    """One request as it arrived."""

    head: bytes
    body: bytes = b""

    @property
    def request_line(self) -> str:
        return self.head.split(b"\r\n", 1)[0].decode("latin-1")

    @property
    def headers(self) -> list[tuple[str, str]]:
        lines = self.head.decode("latin-1").split("\r\n")[1:-2]
        return [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]

    def get(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


class Exchange:
    """The origin's side of one request, for scripts that do more than answer."""

    def __init__(self, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.seen = seen
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def pause_then_ok(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.send(OK)

    async def rest(self) -> bytes:
        """All that still comes until the gateway ends the connection, in order or by a reset; closes this side too."""
        data = b""
        try:
            while piece := await self.reader.read(65536):
                data += piece
        except ConnectionError:
            pass
        self.close()
        return data

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        with contextlib.suppress(OSError):  # the other end was quicker
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Exchange], Awaitable[None]]


@dataclass
class Origin:
    """Answers ``answers[path]`` (bytes or a script), else 200 "ok". ``reads_body``: whether it waits for the body."""

    port: int = 0
    seen: list[Seen] = field(default_factory=list)
    answers: dict[str, bytes | Script] = field(default_factory=dict)
    connections: int = 0
    open_connections: int = 0
    reads_body: bool = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_connections += 1
        try:
            while True:
                seen = Seen(await reader.readuntil(b"\r\n\r\n"))
                path = seen.request_line.split(" ")[1].partition("?")[0]
                answer = self.answers.get(path, OK)
                self.seen.append(seen)
                if self.reads_body and not callable(answer):
                    seen.body = await read_body(seen, reader)
                if callable(answer):
                    await answer(Exchange(seen, reader, writer))
                    if writer.is_closing():
                        return
                else:
                    writer.write(answer)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError):
            pass
        except asyncio.CancelledError:
            pass  # the origin ends, and asyncio's streams would report the task that served
        finally:
            self.open_connections -= 1
            writer.close()

    def last(self) -> Seen:
        return self.seen[-1]

    def asked(self, path: str) -> list[Seen]:
        """The requests for exactly this path and query."""
        return [seen for seen in self.seen if seen.request_line.split()[1] == path]


async def read_body(seen: Seen, reader: asyncio.StreamReader) -> bytes:
    if seen.get("Transfer-Encoding") == "chunked":
        body = b""
        while True:
            size = int(await reader.readuntil(b"\r\n"), 16)
            chunk = await reader.readexactly(size + 2)
            if size == 0:
                return body
            body += chunk[:-2]
    return await reader.readexactly(int(seen.get("Content-Length") or 0))


@contextlib.contextmanager
def running_origin() -> Iterator[Origin]:
    """An origin in a thread with a loop of its own, so that a test's loop may block or be fresh."""
    origin = Origin()
    loop = asyncio.new_event_loop()
    started = threading.Event()

    async def main() -> None:
        server = await asyncio.start_server(origin.serve, "127.0.0.1", 0, limit=2**20)
        origin.port = server.sockets[0].getsockname()[1]
        started.set()
        async with server:
            await stop.wait()
            serving = asyncio.all_tasks() - {asyncio.current_task()}
            for task in serving:
                task.cancel()
            await asyncio.gather(*serving, return_exceptions=True)

    stop = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(main(),), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield origin
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
