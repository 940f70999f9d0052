"""Small writes of one turn go out together, in order, and never to what is closing."""

import asyncio
from dataclasses import dataclass

from proxy.upstream.cork import Cork


@dataclass
class Transport:
    """Remembers what was written, in the order of all."""

    name: str
    written: list[tuple[str, bytes]]
    closing: bool = False

    def write(self, data: bytes) -> None:
        self.written.append((self.name, data))

    def is_closing(self) -> bool:
        return self.closing


async def test_writes_wait_for_the_end_of_the_turn_and_keep_their_order() -> None:
    written: list[tuple[str, bytes]] = []
    a, b = Transport("a", written), Transport("b", written)
    cork = Cork(asyncio.get_running_loop())
    cork.write(a, b"1")
    cork.write(b, b"2")
    cork.write(a, b"3")
    assert written == []
    await asyncio.sleep(0)
    assert written == [("a", b"1"), ("b", b"2"), ("a", b"3")]


async def test_whoever_writes_directly_flushes_first() -> None:
    written: list[tuple[str, bytes]] = []
    cork = Cork(asyncio.get_running_loop())
    cork.write(Transport("a", written), b"1")
    cork.flush()
    assert written == [("a", b"1")]
    await asyncio.sleep(0)
    assert written == [("a", b"1")]


async def test_what_is_closing_gets_nothing_more() -> None:
    written: list[tuple[str, bytes]] = []
    gone = Transport("gone", written)
    cork = Cork(asyncio.get_running_loop())
    cork.write(gone, b"1")
    cork.write(Transport("b", written), b"2")
    gone.closing = True
    await asyncio.sleep(0)
    assert written == [("b", b"2")]


async def test_what_is_written_while_flushing_goes_out_in_the_next_turn() -> None:
    written: list[tuple[str, bytes]] = []
    cork = Cork(asyncio.get_running_loop())

    class Answering(Transport):
        def write(self, data: bytes) -> None:
            super().write(data)
            if data == b"1":
                cork.write(self, b"2")

    cork.write(Answering("a", written), b"1")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert written == [("a", b"1"), ("a", b"2")]
