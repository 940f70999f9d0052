"""A path to Redis that loses replies on demand."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Path:
    """Forwards bytes; ``lose`` replies are swallowed, each with its connection."""

    def __init__(self, socket: str) -> None:
        self.socket = socket
        self.lose = 0
        self.lost = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_unix_connection(self.socket)
        requests = asyncio.create_task(self._requests(reader, to_writer))
        while data := await to_reader.read(65_536):
            if self.lose:
                self.lose -= 1
                self.lost += 1
                writer.transport.abort()
                break
            writer.write(data)
        requests.cancel()
        await asyncio.gather(requests, return_exceptions=True)
        to_writer.close()
        writer.close()

    async def _requests(self, reader: asyncio.StreamReader, to_writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                to_writer.write(data)
        finally:
            to_writer.close()


@asynccontextmanager
async def lossy(socket: str) -> AsyncIterator[Path]:
    path = Path(socket)
    server = await asyncio.start_server(path.serve, "127.0.0.1", 0)
    path.port = server.sockets[0].getsockname()[1]
    try:
        yield path
    finally:
        server.close()
        await asyncio.sleep(0)
