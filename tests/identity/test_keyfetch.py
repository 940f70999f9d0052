"""Key sets from where they are, within bounds."""

import asyncio
import gzip
import json

import pytest
from aiohttp import web

from proxy.identity import keyfetch
from proxy.identity.keyfetch import MAX_BYTES, FetchFailed, checked_url, fetch, new_session, read_file
from proxy.identity.keys import BadKey


@pytest.fixture
async def session():
    made = new_session()
    yield made
    await made.close()


def answering(**response):
    async def answer(_request):
        return web.Response(**response)

    return answer


async def failure(session, key_server) -> str:
    with pytest.raises(FetchFailed) as caught:
        await fetch(session, checked_url(key_server.url))
    return str(caught.value)


async def test_a_set_is_read_with_its_life(session, key_server):
    key_server.cache_control = "public, max-age=120"
    loaded = await fetch(session, checked_url(key_server.url))
    assert (json.loads(loaded.raw), loaded.life_ms) == ({"keys": []}, 120_000)


@pytest.mark.parametrize("status", [204, 301, 302, 307, 401, 404, 500, 503])
async def test_any_status_but_200_fails_and_redirects_are_not_followed(session, key_server, status):
    key_server.answer = answering(status=status, headers={"Location": key_server.url})
    assert await failure(session, key_server) == f"status {status}"
    assert key_server.fetches == 1


async def test_a_huge_set_is_not_read_to_its_end(session, key_server):
    sent = 0

    async def endless(request):
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b" " * 65536)
                sent += 65536
        except ConnectionError:  # the reader has had enough
            return response

    key_server.answer = endless
    assert await failure(session, key_server) == f"it is larger than {MAX_BYTES} bytes"
    assert sent < 64 * MAX_BYTES


async def test_a_compressed_set_is_refused_so_that_it_cannot_grow(session, key_server):
    bomb = gzip.compress(b" " * 2**24)
    key_server.answer = answering(body=bomb, headers={"Content-Encoding": "gzip"})
    assert "compressed" in await failure(session, key_server)


async def test_a_slow_server_is_given_up(session, key_server, monkeypatch):
    monkeypatch.setattr(keyfetch, "TIMEOUT_S", 0.1)
    quick = keyfetch.new_session()
    never = asyncio.Event()

    async def hang(_request):
        await never.wait()

    key_server.answer = hang
    assert "no answer within" in await failure(quick, key_server)
    never.set()
    await quick.close()


async def test_a_server_that_is_not_there_fails_without_its_details(session, key_server, unused_tcp_port):
    key_server.url = f"http://127.0.0.1:{unused_tcp_port}/keys?secret=x"
    assert await failure(session, key_server) == "ClientConnectorError"


async def test_a_broken_answer_fails(session, key_server):
    async def cut(request):
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b'{"keys"')
        request.transport.close()
        return response

    key_server.answer = cut
    assert await failure(session, key_server) == "ClientPayloadError"


@pytest.mark.parametrize(
    "url", ["https://issuer.example/keys", "http://127.0.0.1:1/k", "http://localhost/k", "http://[::1]:8/k"]
)
def test_keys_come_over_https_or_from_this_machine(url):
    assert str(checked_url(url)) == url


@pytest.mark.parametrize(
    "url",
    ["http://issuer.example/keys", "http://10.0.0.1/k", "http://localhost.evil/k", "file:///etc/keys", "ftp://x/k",
     "issuer.example/keys", "", "https://", "http://[::1", "https://a:b:c"],
)  # fmt: skip
def test_keys_come_from_nowhere_else(url):
    with pytest.raises(BadKey):
        checked_url(url)


def test_a_file_is_read_within_the_same_bound(tmp_path):
    path = tmp_path / "keys.json"
    with pytest.raises(FetchFailed, match="No such file"):
        read_file(path)
    path.write_bytes(b" " * MAX_BYTES)
    assert len(read_file(path).raw) == MAX_BYTES
    path.write_bytes(b" " * (MAX_BYTES + 1))
    with pytest.raises(FetchFailed, match="larger"):
        read_file(path)
