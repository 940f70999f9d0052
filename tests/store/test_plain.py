"""redis-py's client finds the store of any URL that a policy may have."""

import time
from collections.abc import Iterator

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from proxy.core.storeurl import parse_store_url
from proxy.store.plain import PlainClient
from tests.store.servers import BINARIES, cluster, free_port, sentinels, server

BINARY = next(iter(BINARIES.values()))


@pytest.fixture(params=["unix", "tcp", "sentinel", "cluster"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    match request.param:
        case "unix":
            with server(BINARY) as one:
                yield one.url
        case "tcp":
            with server(BINARY, port=free_port()) as one:
                yield one.url
        case "sentinel":
            with sentinels(BINARY) as some:
                yield some.url
        case _:
            with cluster(BINARY) as some_more:
                yield some_more.url


async def test_it_writes_and_reads(url: str) -> None:
    streams = PlainClient(parse_store_url(url), 5.0)
    await streams.client.execute_command("SET", "{m0}x", b"\xff")
    assert await streams.client.execute_command("GET", "{m0}x") == b"\xff"
    pipeline = streams.client.pipeline(transaction=True)
    pipeline.execute_command("GET", "{m0}x")
    assert await pipeline.execute() == [b"\xff"]
    await streams.close()


async def test_it_gives_up_as_soon_as_it_is_told() -> None:
    """By itself redis-py tries again for seconds."""
    streams = PlainClient(parse_store_url(f"redis://127.0.0.1:{free_port()}"), 5.0, retries=1)
    began = time.monotonic()
    with pytest.raises(RedisConnectionError):
        await streams.client.execute_command("PING")
    assert time.monotonic() - began < 0.5
    await streams.close()
