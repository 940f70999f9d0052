"""Load that costs little: one request each on kept-alive connections, without a task or a timer a request."""

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field


@dataclass
class Result:
    """``latencies_s`` count from when a request was due."""

    latencies_s: list[float] = field(default_factory=list)
    failures: int = 0

    def percentile_ms(self, share: float) -> float:
        ordered = sorted(self.latencies_s)
        return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class _Client(asyncio.Protocol):
    def __init__(self, load: "Load") -> None:
        self.load = load
        self.due_s = 0.0
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def send(self, due_s: float) -> None:
        self.due_s = due_s
        self.transport.write(self.load.request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head_end = self.buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        at = self.buffer.lower().find(b"content-length: ", 0, head_end) + 16
        length = int(self.buffer[at : self.buffer.index(b"\r", at)])
        if len(self.buffer) < head_end + 4 + length:
            return
        if not self.buffer.startswith(b"HTTP/1.1 200"):
            self.load.result.failures += 1
        self.buffer = b""
        self.load.done(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.load.lost(self)


class Load:
    """``connections`` to one port; ``open_loop`` sends by the clock, ``closed_loop`` as fast as answers come."""

    def __init__(self, request: bytes) -> None:
        self.request = request
        self.result = Result()
        self._idle: deque[_Client] = deque()
        self._waiting: deque[float] = deque()
        self._left = 0
        self._under_way = 0
        self._finished = asyncio.Event()
        self._endless = False

    async def connect(self, port: int, connections: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            _, client = await loop.create_connection(lambda: _Client(self), "127.0.0.1", port)
            self._idle.append(client)

    def _begin(self, client: _Client, due_s: float) -> None:
        self._under_way += 1
        client.send(due_s)

    def done(self, client: _Client) -> None:
        self.result.latencies_s.append(time.monotonic() - client.due_s)
        self._under_way -= 1
        if self._endless and self._left:
            self._left -= 1
            self._begin(client, time.monotonic())
        elif self._waiting:
            self._begin(client, self._waiting.popleft())
        else:
            self._idle.append(client)
            if not self._left and not self._under_way:
                self._finished.set()

    def lost(self, client: _Client) -> None:
        if client not in self._idle:
            self.result.failures += 1
            self._under_way -= 1

    async def open_loop(self, rate: float, seconds: float) -> Result:
        """Requests are due at ``rate`` a second, whatever became of those before them."""
        self._left = int(rate * seconds)
        start_s = time.monotonic() + 0.05
        sent = 0
        while self._left:
            now_s = time.monotonic()
            while self._left and (due_s := start_s + sent / rate) <= now_s:
                self._left -= 1
                sent += 1
                if self._idle:
                    self._begin(self._idle.popleft(), due_s)
                else:
                    self._waiting.append(due_s)
            await asyncio.sleep(0.0002)
        await asyncio.wait_for(self._finished.wait(), 30)
        return self.result

    async def closed_loop(self, requests: int) -> Result:
        """So many requests, each connection's next as soon as its last was answered."""
        self._endless = True
        self._left = requests
        for client in list(self._idle)[:requests]:
            self._idle.remove(client)
            self._left -= 1
            self._begin(client, time.monotonic())
        await self._finished.wait()
        self._endless = False
        return self.result
