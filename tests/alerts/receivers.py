"""Who is told, for real: a web server and a mail server on this machine, up or down as a test wants."""

import asyncio
import time
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from ssl import SSLContext
from typing import Any

from aiohttp import web
from aiosmtpd.smtp import SMTP

from proxy.alerts.answers import Answer


async def until(condition: Callable[[], object], within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - tasks of many kinds make it true
            await asyncio.sleep(0.005)


@dataclass
class Heard:
    path: str
    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.monotonic)


@dataclass
class Receiver:
    """``answers``, statuses or whole responses, are given in turn, the last of them for ever."""

    port: int = 0
    heard: list[Heard] = field(default_factory=list)
    answers: list[Any] = field(default_factory=lambda: [200])
    delay_s: float = 0.0
    _runner: web.ServerRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Again on the same port, if it was there before."""
        server = web.Server(self._answer)
        self._runner = web.ServerRunner(server, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        body = await request.read()
        await asyncio.sleep(self.delay_s)
        self.heard.append(Heard(request.path_qs, dict(request.headers), body))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, web.Response):
            return answer
        return web.Response(status=answer)


@dataclass
class MailServer:
    """``answer`` is the reply to DATA; ``logins`` are the passwords that it takes."""

    tls: SSLContext | None = None
    immediate: bool = False  # TLS from the first byte
    password: str = ""
    answer: str = "250 OK"
    recipient: str = "250 OK"
    host: str = "127.0.0.1"
    port: int = 0
    mail: list[tuple[str, list[str], EmailMessage]] = field(default_factory=list)
    secured: list[bool] = field(default_factory=list)
    _server: asyncio.Server | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()

        def session() -> SMTP:
            with warnings.catch_warnings(action="ignore", category=UserWarning):  # it knows of no TLS but STARTTLS
                return SMTP(
                    self,
                    hostname="mail.test",
                    loop=loop,
                    tls_context=None if self.immediate else self.tls,
                    auth_callback=self._login,
                    auth_required=bool(self.password),
                    auth_require_tls=not self.immediate,
                )

        tls = self.tls if self.immediate else None
        self._server = await loop.create_server(session, self.host, self.port, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def _login(self, mechanism: str, login: bytes, password: bytes) -> bool:
        return password == self.password.encode()

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        if self.recipient.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.recipient

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if self.answer.startswith("250"):
            mail = message_from_bytes(envelope.content, policy=default)
            assert isinstance(mail, EmailMessage)
            self.mail.append((envelope.mail_from, list(envelope.rcpt_tos), mail))
            self.secured.append(session.ssl is not None or self.immediate)
        return self.answer


@asynccontextmanager
async def receiver(*answers: Any, delay_s: float = 0.0) -> AsyncIterator[Receiver]:
    started = Receiver(answers=list(answers) or [200], delay_s=delay_s)
    await started.start()
    try:
        yield started
    finally:
        await started.stop()


@asynccontextmanager
async def mail_server(**options: Any) -> AsyncIterator[MailServer]:
    started = MailServer(**options)
    await started.start()
    try:
        yield started
    finally:
        await started.stop()


@dataclass
class Notes:
    """An observer that remembers."""

    answers: list[tuple[str, Answer, float]] = field(default_factory=list)
    oldest: list[dict[str, float]] = field(default_factory=list)
    aways: list[str] = field(default_factory=list)

    def sent(self, channel: str, answer: Answer, seconds: float) -> None:
        self.answers.append((channel, answer, seconds))

    def waiting(self, oldest_s: dict[str, float]) -> None:
        self.oldest.append(oldest_s)

    def away(self, reason: str) -> None:
        self.aways.append(reason)


@asynccontextmanager
async def running(*parts: Any) -> AsyncIterator[None]:
    """Lookouts and dispatchers, until the test is done."""
    tasks = [asyncio.create_task(part.run()) for part in parts]
    try:
        yield
    finally:
        for part in parts:
            part.stop()
        await asyncio.wait_for(asyncio.gather(*tasks), 20)
