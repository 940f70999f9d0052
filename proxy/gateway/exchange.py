"""The one record of a request, from its parsed head to its log line."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

from proxy.core.errors import Reason
from proxy.core.identity import Identity
from proxy.policy.model import Route

if TYPE_CHECKING:
    from proxy.gateway.connection import Connection


class Outcome(StrEnum):
    """How a request ended: a metric's label and a word in the log."""

    FORWARDED = "forwarded"  # the upstream's answer was relayed whole
    REFUSED = "refused"  # by the policy: identity, limits, routes
    CACHED = "cached"  # by a stored answer
    ANSWERED = "answered"  # by the gateway itself, as asked: a preflight, OPTIONS *
    FAILED = "failed"  # the upstream or the gateway did not manage
    CUT = "cut"  # the upstream's answer broke off after its head was sent
    CLIENT_GONE = "client_gone"


class CacheResult(StrEnum):
    """What the cache did for a request: a metric's label and a word in the log."""

    HIT = "hit"
    STALE = "stale"
    REVALIDATED = "revalidated"
    COALESCED = "coalesced"  # answered by what another's fetch brought
    MISS = "miss"
    BYPASS = "bypass"


class Exchange:
    """Mutable and slotted; one a request. Times are monotonic seconds; uvloop's own clock ticks in milliseconds."""

    __slots__ = (
        "address",
        "attempt",
        "bytes_in",
        "bytes_out",
        "cache",
        "cache_why",
        "call",
        "close",
        "connection",
        "decision",
        "error",
        "fields",
        "forwarded_host",
        "headers",
        "held",
        "host",
        "http10",
        "identity",
        "message",
        "metered",
        "method",
        "outcome",
        "path",
        "payload",
        "query",
        "raw",
        "reason",
        "recallable",
        "redis_s",
        "request_id",
        "route",
        "saved_nanousd",
        "scheme",
        "spent",
        "started_s",
        "status",
        "target",
        "trace",
        "upstream_s",
        "violated",
    )

    def __init__(
        self, connection: "Connection", message: RawRequestMessage, payload: StreamReader, started_s: float
    ) -> None:
        self.connection = connection
        self.message = message
        self.payload = payload
        self.started_s = started_s
        self.method = message.method
        self.headers: Mapping[str, str] = message.headers
        self.http10 = message.version == (1, 0)
        self.close = message.should_close
        self.target = ""  # in origin form, as it goes upstream
        self.path = ""
        self.query = ""
        self.host = ""
        self.forwarded_host = ""  # as the client of the nearest trusted proxy knows us
        self.scheme = "http"
        self.address = ""
        self.request_id = ""
        self.route: Route | None = None
        self.identity: Identity | None = None
        self.decision: Any = None
        self.attempt: Any = None
        self.trace: Any = None  # of one that is traced
        self.call: Any = None  # to a provider, as it is priced
        self.held: tuple[int, int] | None = None  # nano-dollars and tokens that the call asked for
        self.spent: Any = None  # what a call to a provider came to
        self.raw: bytes | None = None  # the read that was this request and nothing else
        self.recallable: Any = None  # what a hit was found by, where the same bytes would find it again
        self.cache: CacheResult | None = None  # on a route that caches
        self.cache_why = ""
        self.fields: list[tuple[bytes, bytes]] = []  # for the answer's head: limits, CORS
        self.metered: list[tuple[bytes, bytes]] = []  # of these, those of its limits
        self.saved_nanousd = 0  # what a stored answer of a provider spared
        self.status = 0
        self.outcome = Outcome.FAILED
        self.reason: Reason | None = None
        self.error: BaseException | None = None
        self.bytes_in = 0
        self.bytes_out = 0
        self.redis_s = 0.0
        self.violated: tuple[str, ...] = ()  # names of the limits that refused
        self.upstream_s = 0.0
