"""Listening sockets, one a worker: the parent makes and keeps them, so that no restart resets a queued connection."""

import contextlib
import socket
from typing import Final

from proxy.policy.model import Address

BACKLOG: Final = 1024


class CannotListen(RuntimeError):
    """The address is not to be had; the message says why."""


def bind(address: Address, count: int) -> list[socket.socket]:
    """``count`` sockets that share one port; the kernel spreads connections over them. Raises: CannotListen."""
    sockets: list[socket.socket] = []
    port = address.port
    try:
        # A first socket without SO_REUSEPORT would notice another program's, which the shared ones would join silently.
        family, _, _, _, where = socket.getaddrinfo(
            address.host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
            port = probe.getsockname()[1]
        for _ in range(count):
            sock = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.bind((where[0], port, *where[2:]))
            sock.listen(BACKLOG)
            sock.setblocking(False)
    except OSError as exc:
        for sock in sockets:
            sock.close()
        raise CannotListen(f"cannot listen on {Address(address.host, port)}: {exc.strerror}") from exc
    return sockets


def stop_listening(sock: socket.socket) -> list[socket.socket]:
    """The connections that wait in the queue; from now on new ones are refused (or go to another worker's socket).

    For every process that has this socket: while one of them kept it open, the kernel would go on to accept
    connections that nobody will ever answer.
    """
    taken: list[socket.socket] = []
    while True:
        try:
            queued, _ = sock.accept()
        except OSError:
            break
        queued.setblocking(False)
        taken.append(queued)
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    return taken
