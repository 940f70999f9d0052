"""Listening sockets: shared by workers, kept by the parent, and emptied before they close."""

import socket

import pytest

from proxy.gateway.sockets import CannotListen, bind, stop_listening
from proxy.policy.model import Address


def close(sockets: list[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


def test_every_worker_gets_a_socket_of_one_port() -> None:
    sockets = bind(Address("127.0.0.1", 0), 4)
    assert len({sock.getsockname() for sock in sockets}) == 1
    assert sockets[0].getsockname()[1] != 0
    assert all(sock.getblocking() is False for sock in sockets)
    close(sockets)


def test_connections_are_spread_over_the_sockets() -> None:
    sockets = bind(Address("127.0.0.1", 0), 2)
    clients = [socket.create_connection(sockets[0].getsockname()) for _ in range(40)]
    queued = [stop_listening(sock) for sock in sockets]
    assert sum(map(len, queued)) == 40
    assert all(queued)
    close([*clients, *sockets, *queued[0], *queued[1]])


@pytest.mark.parametrize("shares", [False, True])
def test_a_taken_address_is_noticed(shares: bool) -> None:
    """Also where its owner would share it, as another gateway does: two would take turns in answering."""
    with socket.socket() as owner:
        owner.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shares)
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        port = owner.getsockname()[1]
        with pytest.raises(CannotListen, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            bind(Address("127.0.0.1", port), 2)


def test_a_port_that_was_just_left_is_not_taken() -> None:
    """A restart finds its own old connections in TIME_WAIT."""
    sockets = bind(Address("127.0.0.1", 0), 1)
    port = sockets[0].getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)):
        sockets += stop_listening(sockets[0])
        close(sockets[::-1])
    close(bind(Address("127.0.0.1", port), 2))


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
def test_a_host_that_is_not_ours_is_said(host: str) -> None:
    with pytest.raises(CannotListen, match=f"cannot listen on {host}:0: "):
        bind(Address(host, 0), 1)


def test_what_is_queued_is_taken_and_later_ones_are_refused_though_others_keep_the_socket_open() -> None:
    """The parent and the worker both have it: without the shutdown the kernel would go on to accept for nobody."""
    (sock,) = bind(Address("127.0.0.1", 0), 1)
    parents = sock.dup()
    clients = [socket.create_connection(sock.getsockname()) for _ in range(5)]
    queued = stop_listening(sock)
    assert [taken.getpeername() for taken in queued] == [client.getsockname() for client in clients]
    assert all(taken.getblocking() is False for taken in queued)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(parents.getsockname())
    queued[0].send(b"answered")
    assert clients[0].recv(8) == b"answered"
    assert stop_listening(sock) == []
    close([*clients, *queued, sock, parents])


def test_while_one_worker_drains_another_takes_the_new_connections() -> None:
    sockets = bind(Address("127.0.0.1", 0), 2)
    stop_listening(sockets[0])
    clients = [socket.create_connection(sockets[1].getsockname()) for _ in range(20)]
    queued = stop_listening(sockets[1])
    assert len(queued) == 20
    close([*clients, *queued, *sockets])
