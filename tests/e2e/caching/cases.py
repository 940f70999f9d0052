"""Cases of a cache as data: what is asked, what the origin would say to it, what has to come of it.

A case is a list of steps on a path of its own. The body of an answer names the step that it was made for, so that what
comes from the cache is told from what comes from the origin. ``{-3000}`` in a field stands for the date so many seconds
from now. All cases of a table run at once: what waits to become stale is waited for together.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from enum import Enum
from time import monotonic, time

from tests.e2e.gateway import Answer, Client, Gateway, get, reached
from tests.e2e.origin import Exchange, Origin, Seen, read_body

SOON_S = 5.0
_MOMENT = re.compile(r"\{([+-]?\d+)\}")


class By(Enum):
    """Where an answer has to come from."""

    CACHE = "the cache"
    ORIGIN = "the origin"
    ETAG = "the origin, asked by If-None-Match"
    DATE = "the origin, asked by If-Modified-Since"
    ANYONE = "anyone"


@dataclass(frozen=True)
class Step:
    """A request. ``says`` and ``body``: what the origin answers if it is asked; ``cuts``: it breaks off instead.

    ``has``: field lines that the client must get, or names alone, ``>7`` for more than 7; ``lacks``: names that it must
    not. ``text``: the body that it must get; by default its step's, or from the cache an earlier one's. ``sent``: field
    lines that the origin must get. ``interim``: heads of interim answers, in full, which go before the answer.
    ``behind``: the origin is asked behind the client's answer, which is waited for; what that brings the next step gets
    ``soon``, if not at once. ``ranged``: the status and the fields of what the origin says, with a body of five bytes,
    to a range of bytes instead; ``sent`` is of its last request. ``pause_s``: before it.
    """

    by: By
    says: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    method: str = "GET"
    status: int = 200
    gets: int | None = None  # the client's status, where it is not the origin's
    body: str | None = None
    text: str | None = None
    has: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    sent: tuple[str, ...] = ()
    interim: tuple[str, ...] = ()
    interim_gets: tuple[int, ...] | None = None
    path: str = ""  # below the case's
    query: str | None = None
    cuts: bool = False
    behind: bool = False
    soon: bool = False
    ranged: tuple[int, tuple[str, ...]] | None = None
    pause_s: float = 0.0


Case = tuple[Step, ...]


def twice(by: By, *says: str, status: int = 200, pause_s: float = 0.0) -> Case:
    """The commonest case: an answer, and whether it serves the same request again."""
    return (Step(By.ORIGIN, says, status=status), Step(by, says, status=status, pause_s=pause_s))


@dataclass
class _Scripted:
    """The origin's side of a case."""

    step: Step
    number: int = 0
    seen: list[Seen] = field(default_factory=list)

    async def __call__(self, exchange: Exchange) -> None:
        step = self.step
        await read_body(exchange.seen, exchange.reader)
        self.seen.append(exchange.seen)
        if step.cuts:
            exchange.close()
            return
        if step.ranged is not None and exchange.seen.get("Range") is not None:
            ranged, says = step.ranged
            lines = [f"HTTP/1.1 {ranged} Whatever", *says, "Content-Length: 5", "", "56789"]
            await exchange.send("\r\n".join(lines).encode())
            return
        interim = "".join(f"HTTP/1.1 {head}\r\n\r\n" for head in step.interim)
        status = step.status
        if step.by in (By.ETAG, By.DATE) and step.status == 200 and step.body is None:
            status = 304
        body = "" if status in (204, 304) else self.body
        lines = [_dated(line) for line in step.says]
        if status not in (204, 304) and not any(line.lower().startswith("content-length") for line in lines):
            lines.append(f"Content-Length: {len(body)}")
        head = "\r\n".join([f"HTTP/1.1 {status} Whatever", *lines])
        if exchange.seen.request_line.startswith("HEAD "):
            body = ""
        await exchange.send((interim + head + "\r\n\r\n" + body).encode("latin-1"))

    @property
    def body(self) -> str:
        return self.step.body if self.step.body is not None else f"step {self.number}"


def _dated(line: str) -> str:
    return _MOMENT.sub(lambda match: formatdate(time() + int(match[1]), usegmt=True), line)


async def failures(gateway: Gateway, origin: Origin, table: Mapping[str, Case], under: str = "/rfc") -> dict[str, str]:
    """What went otherwise than a table says, by case. All at once, each on a connection of its own."""
    found = await asyncio.gather(*(_run(gateway, origin, f"{under}/{name}", case) for name, case in table.items()))
    return {name: what for name, what in zip(table, found, strict=True) if what}


async def _run(gateway: Gateway, origin: Origin, path: str, case: Sequence[Step]) -> str:
    script = _Scripted(case[0])
    for each in {step.path for step in case}:
        origin.answers[path + each] = script
    async with await Client.connect(gateway) as client:
        for number, step in enumerate(case, 1):
            await asyncio.sleep(step.pause_s)
            script.step, script.number = step, number
            deadline_s = monotonic() + (SOON_S if step.soon else 0.0)
            while wrong := await _put(client, script, path):
                if monotonic() >= deadline_s:
                    return f"step {number}: {wrong}"
    return ""


async def _put(client: Client, script: _Scripted, path: str) -> str:
    """The script's step, once. What is wrong with its answer; empty: nothing."""
    step, before = script.step, len(script.seen)
    body = b"abc" if step.method not in ("GET", "HEAD", "DELETE") else b""
    target = path + step.path + (f"?{step.query}" if step.query is not None else "")
    await client.send(get(target, *map(_dated, step.asks), method=step.method, body=body))
    try:
        answer = await client.answer(head=step.method == "HEAD")
        if step.behind:
            await reached(lambda: len(script.seen) > before)
    except (TimeoutError, asyncio.IncompleteReadError) as error:
        return f"no answer ({type(error).__name__})"
    return _wrong(step, script.number, answer, script.seen[before:])


def _wrong(step: Step, number: int, answer: Answer, asked: Sequence[Seen]) -> str:
    """The first thing that is not as it should be; empty: all is."""
    told = f"{answer.status} {answer.body!r} {answer.headers}"
    if step.by is By.CACHE and asked and not step.cuts:
        return f"the origin was asked: {told}"
    if step.by not in (By.CACHE, By.ANYONE) and not asked:
        return f"came from the cache: {told}"
    wanted = {By.ETAG: "If-None-Match", By.DATE: "If-Modified-Since"}.get(step.by)
    if wanted is not None and asked[-1].get(wanted) is None:
        return f"the origin was not asked by {wanted}: {asked[-1].head!r}"
    if answer.status != (step.gets or step.status):
        return f"status: {told}"
    if not answer.whole:
        return f"cut: {told}"
    if step.interim_gets is not None and tuple(status for status, _ in answer.interim) != step.interim_gets:
        return f"interim answers: {answer.interim}"
    if wrong := _body_wrong(step, number, answer):
        return wrong
    for line in step.has:
        name, _, value = line.partition(": ")
        got = ", ".join(answer.all(name))
        more = value.startswith(">") and got.isdigit() and int(got) > int(value[1:])
        if answer.get(name) is None or (value and got != value and not more):
            return f"lacks {line!r}: {told}"
    for name in step.lacks:
        if answer.get(name) is not None:
            return f"has {name}: {told}"
    for line in step.sent:
        name, _, value = line.partition(": ")
        if asked[-1].get(name) != (value or None):
            return f"the origin did not get {line!r}: {asked[-1].head!r}"
    return ""


def _body_wrong(step: Step, number: int, answer: Answer) -> str:
    got = answer.body.decode("latin-1")
    if step.text is not None:
        return "" if got == step.text else f"the body is {got!r}"
    if answer.status in (204, 304) or answer.status >= 500 > step.status or step.method == "HEAD":
        return ""
    if step.body is not None and step.by is not By.CACHE:
        return "" if got == step.body else f"the body is {got!r}"
    if step.by is By.ORIGIN and got != f"step {number}":
        return f"the body is {got!r}"
    if step.by is By.CACHE and step.gets is None and got == f"step {number}":
        return "the body is this step's, which the origin did not send"
    return ""
