"""Small writes of one turn of the loop, sent together at its end.

A write to a peer that sleeps wakes it, which costs more than the write. What is written one after the other wakes it
once: it finds the rest when it looks again. Measured in tests/bench/README.md.
"""

import asyncio


class Cork:
    """Of one loop. Order is kept within it; who writes to a transport directly, or closes it, calls ``flush`` first."""

    __slots__ = ("_loop", "_pending")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pending: list[tuple[asyncio.WriteTransport, bytes]] = []

    def write(self, transport: asyncio.WriteTransport, data: bytes) -> None:
        pending = self._pending
        if not pending:
            self._loop.call_soon(self.flush)
        pending.append((transport, data))

    def flush(self) -> None:
        """Sends now what waits; nothing is sent to a transport that is closing."""
        pending = self._pending
        if not pending:
            return
        self._pending = []
        for transport, data in pending:
            if not transport.is_closing():
                transport.write(data)
