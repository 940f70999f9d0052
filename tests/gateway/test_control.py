"""What parent and worker say to one another."""

import asyncio
import socket

from proxy.gateway.control import Applied, Apply, Channel, Drain, Ping, Pong, Ready, Start
from tests.gateway.lives import POLICY


async def pair() -> tuple[Channel, Channel]:
    ours, theirs = socket.socketpair()
    return await Channel.over(ours), await Channel.over(theirs)


async def test_every_message_arrives_as_it_was_sent_and_in_order() -> None:
    ours, theirs = await pair()
    messages = [
        Start(1, 2, "redis://x", "gate", POLICY),
        Ready(),
        Apply(POLICY),
        Applied("v"),
        Ping(),
        Pong(),
        Drain(5),
    ]
    for message in messages:
        await ours.send(message)
    assert [await theirs.receive() for _ in messages] == messages
    ours.close()
    theirs.close()


async def test_the_end_of_the_other_side_is_none() -> None:
    ours, theirs = await pair()
    ours.close()
    assert await theirs.receive() is None
    assert await theirs.receive() is None
    theirs.close()


async def test_a_message_that_is_cut_is_the_end() -> None:
    """The parent was killed in the middle of a word."""
    ours, theirs = socket.socketpair()
    channel = await Channel.over(theirs)
    ours.send(b"\x10\x00\x00\x00half")
    ours.close()
    async with asyncio.timeout(5):
        assert await channel.receive() is None
    channel.close()


async def test_a_large_policy_waits_for_its_reader() -> None:
    """Far more than a socket's buffer holds."""
    ours, theirs = await pair()
    big = Applied("x" * 5_000_000)
    sending = asyncio.create_task(ours.send(big))
    assert await theirs.receive() == big
    await sending
    ours.close()
    theirs.close()


async def test_messages_show_no_redis_password_when_they_are_printed() -> None:
    assert "hunter2" not in repr(Start(0, 1, "redis://:hunter2@x", "gate", POLICY))
