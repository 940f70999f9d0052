"""Puts faults into a gateway that tests start: Python imports this at its start when the folder is on its path.

A request with X-Fault fails where that says, and the exception holds all that the request brought. Only the tests of
Sentry put the folder there.
"""

import asyncio
import os
import sys


def _everything(exchange) -> str:
    fields = " ".join(f"{name}={value}" for name, value in exchange.headers.items())
    body = exchange.payload.read_nowait() if exchange.payload.is_eof() else b""
    return f"it broke with {fields} ?{exchange.query} {exchange.target} {body!r}"


def _fail_in_background() -> None:
    """At the second word of its parent."""
    from proxy.gateway.control import Channel

    ordinary, heard = Channel.receive, []

    async def receive(channel):
        heard.append(1)
        return await (ordinary(channel) if len(heard) == 1 else _ends())

    Channel.receive = receive


def _faults() -> None:
    from proxy.gateway import handler, supervisor

    ordinary = handler.admit

    async def admit(exchange, *rest):
        fault, told = exchange.headers.get("X-Fault", ""), ""
        if fault:
            told = _everything(exchange)
        authorization = exchange.headers.get("Authorization")  # a local variable with a secret in it
        if fault == "request":
            raise RuntimeError(told, authorization)
        if fault == "chained":
            try:
                raise KeyError(authorization)
            except KeyError as error:
                raise ValueError(told) from error
        if fault == "task":
            failing = asyncio.get_running_loop().create_task(_failing(told))
            await asyncio.wait({failing})
            del failing
        if fault == "process":
            os._exit(3)
        return await ordinary(exchange, *rest)

    handler.admit = admit
    if os.environ.get("SLUICEGATE_FAULT") == "parent":
        supervisor.Supervisor._watch_until_stopped = _ends


async def _failing(told: str) -> None:
    raise LookupError(told)


async def _ends(*_: object) -> None:
    password = os.environ["PASSWORD_OF_A_PROCESS"]
    raise RuntimeError(f"the process cannot go on with {password}")


if "proxy.gateway.background" in sys.orig_argv:
    if os.environ.get("SLUICEGATE_FAULT") == "background":
        _fail_in_background()
elif "proxy" in " ".join(sys.orig_argv):
    _faults()
