"""A transaction pooler on PostgreSQL's wire protocol, as hostile as one may be: each transaction gets another session.

What PgBouncer and Supabase's port 6543 do, without their luck: sessions take turns whenever the server says that it
is idle, so that anything which should outlive a transaction (a named statement, a SET) is missing from the next.
"""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from pathlib import Path

SESSIONS = 3  # an even number would bring a pool that pings first back to the same one each time


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Its type and all of it."""
    head = await reader.readexactly(5)
    (length,) = struct.unpack("!i", head[1:])
    return head[:1], head + await reader.readexactly(length - 4)


async def _first(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(4)
    (length,) = struct.unpack("!i", head)
    return head + await reader.readexactly(length - 4)


class _Client:
    """One client, its sessions, and whose turn it is."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.sessions: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.turn = 0
        self.awaited = 0  # answers to Sync and Query that are under way

    async def open(self, server: Path, startup: bytes) -> bytes:
        reader, writer = await asyncio.open_unix_connection(str(server))
        self.sessions.append((reader, writer))
        writer.write(startup)
        greeting = b""
        while not greeting.endswith(b"Z\0\0\0\5I"):
            greeting += (await _message(reader))[1]
        return greeting

    async def ask(self, reader: asyncio.StreamReader) -> None:
        while True:
            kind, message = await _message(reader)
            if kind == b"X":
                return
            self.awaited += kind in b"SQ"
            self.sessions[self.turn][1].write(message)

    async def answer(self, number: int) -> None:
        while True:
            kind, message = await _message(self.sessions[number][0])
            if kind == b"Z":
                self.awaited -= 1
                if message.endswith(b"I") and not self.awaited:
                    self.turn += 1
                    self.turn %= SESSIONS
            self.writer.write(message)


class Pooler:
    def __init__(self, server: Path) -> None:
        self._server = server / ".s.PGSQL.5432"
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.create_task(self._serve(reader, writer)))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = _Client(writer)
        tasks: list[asyncio.Task[None]] = []
        try:
            startup = await _first(reader)
            greetings = [await client.open(self._server, startup) for _ in range(SESSIONS)]
            writer.write(greetings[0])
            tasks = [asyncio.create_task(client.answer(number)) for number in range(SESSIONS)]
            tasks.append(asyncio.create_task(client.ask(reader)))
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for end in (writer, *(session[1] for session in client.sessions)):
                end.close()


@contextlib.asynccontextmanager
async def pooler(server: Path, folder: Path) -> AsyncIterator[Pooler]:
    """Listens on a unix socket in ``folder``, as a server of its own would."""
    made = Pooler(server)
    listener = await asyncio.start_unix_server(made.accept, str(folder / ".s.PGSQL.5432"))
    try:
        yield made
    finally:
        listener.close()
        await made.close()
