"""What the parent and a worker say to one another: pickled values, framed by length, over a socket pair.

Both ends are processes of one gateway; the socket has no name, so nobody else can speak on it.
"""

import asyncio
import pickle
import signal
import socket
import struct
from dataclasses import dataclass, field
from typing import Final

from proxy.core.usage import Charge, Spender
from proxy.metering.budgets import Grants
from proxy.policy.model import Policy

_LENGTH: Final = struct.Struct("<I")

STACKS_SIGNAL: Final = signal.SIGUSR1  # to a worker: write where you are, every thread, to stderr


@dataclass(frozen=True, slots=True)
class Start:
    """Parent to worker, first: everything that does not change while it lives."""

    index: int
    workers: int
    redis_url: str = field(repr=False)  # may hold a password
    pseudonym: str  # this gateway's name in Via, by which it knows its own requests again
    policy: Policy
    granted: Grants = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Apply:
    """Parent to worker: decide by this policy from the next request on."""

    policy: Policy


@dataclass(frozen=True, slots=True)
class Drain:
    """Parent to worker: take what is queued, finish what is under way, end."""

    deadline_ms: int


@dataclass(frozen=True, slots=True)
class Ping:
    """Parent to worker: does your loop turn?"""


@dataclass(frozen=True, slots=True)
class Granted:
    """Background process to all workers: what is granted on top of budgets now."""

    granted: Grants


@dataclass(frozen=True, slots=True)
class AskLedger:
    """Worker to background process: which of these holds' records does the ledger have?"""

    worker: int
    number: int
    ids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class LedgerHas:
    """The answer, to that worker."""

    worker: int
    number: int
    ids: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class BudgetRefused:
    """Worker to background process: a budget refused a call, so it is used up for its like."""

    charge: Charge
    spender: Spender


@dataclass(frozen=True, slots=True)
class IsolationViolated:
    """Worker to background process: an answer named another tenant than the one it was for, and was refused."""

    route: str
    tenant: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that failed, as the dashboard shows it."""

    at_ms: int  # epoch
    request_id: str
    method: str
    path: str  # without its query
    route: str
    status: int
    reason: str  # "": the app's own answer
    tenant: str | None
    upstream: str  # its address; "" where none was asked
    ms: float


@dataclass(frozen=True, slots=True)
class Failed:
    """Worker to parent: some of what failed of late."""

    failures: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class Opened:
    """Background process to parent: the ledger can be used, and budgets are open."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A child to its parent: connections are being answered, or whatever else it is there for."""


@dataclass(frozen=True, slots=True)
class Applied:
    version: str


@dataclass(frozen=True, slots=True)
class Pong:
    """Worker to parent: it turns."""


Message = (
    Start
    | Apply
    | Drain
    | Ping
    | Granted
    | AskLedger
    | LedgerHas
    | BudgetRefused
    | IsolationViolated
    | Failed
    | Opened
    | Ready
    | Applied
    | Pong
)


class Channel:
    """One end of the pair."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, sock: socket.socket) -> "Channel":
        reader, writer = await asyncio.open_unix_connection(sock=sock)
        return cls(reader, writer)

    async def send(self, message: Message) -> None:
        """Raises: ConnectionError when the other end has gone."""
        data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        self._writer.write(_LENGTH.pack(len(data)) + data)
        await self._writer.drain()

    async def receive(self) -> Message | None:
        """The next message; None when the other end has gone."""
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            message: Message = pickle.loads(await self._reader.readexactly(length))  # noqa: S301 - from our own process
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return message

    def close(self) -> None:
        self._writer.close()
