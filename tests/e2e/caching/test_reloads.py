"""What a reload does to what is stored: under other terms, and where caching is taken away and given back."""

import pytest

from tests.e2e.crowds import hears_purges
from tests.e2e.gateway import Gateway, eventually, get, once, running
from tests.e2e.origin import Exchange, Origin, read_body, running_origin
from tests.e2e.policies import policy

pytestmark = pytest.mark.full  # processes of its own

CACHE = ", cache: {scope: public, ttl: 1h}"
ROUTES = f"""
defaults: {{auth: none}}
routes:
  - {{name: kept, match: {{path: "/kept/**"}}, upstream: app, cache: {{scope: public, ttl: 1h}}}}
  - {{name: app, match: {{path: "/**"}}, upstream: app{CACHE}}}
"""


class Scene:
    def __init__(self, origin: Origin, gateway: Gateway, text: str) -> None:
        self.origin, self.gateway, self.text = origin, gateway, text
        self.version = 0

    async def __call__(self, exchange: Exchange) -> None:
        await read_body(exchange.seen, exchange.reader)
        if exchange.seen.request_line.startswith("POST"):
            self.version += 1
        body = b"%d" % self.version
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    async def ask(self, path: str, method: str = "GET") -> tuple[bytes, bool]:
        """The body, and whether it was stored."""
        answer = await once(self.gateway, get(path, method=method))
        return answer.body, answer.get("Age") is not None

    def reload(self, cache: str) -> None:
        before, after = self.text.rsplit(CACHE, 1)
        self.gateway.reload(before + cache + after)


@pytest.fixture
def scene():
    with running_origin() as origin:
        text = policy(origin.port, ROUTES, workers=1)
        with running(text) as gateway:
            eventually(lambda: hears_purges(gateway))
            made = Scene(origin, gateway, text)
            for path in ("/a", "/kept/a"):
                origin.answers[path] = made
            yield made


@pytest.mark.parametrize("meanwhile", ["", ", cache: {scope: public, ttl: 1m}"], ids=["no cache", "other terms"])
async def test_what_was_stored_before_does_not_come_back(scene: Scene, meanwhile: str) -> None:
    """Nobody has looked which writes concern it."""
    for path in ("/a", "/kept/a"):
        assert [await scene.ask(path) for _ in range(2)] == [(b"0", False), (b"0", True)]
    scene.reload(meanwhile)
    assert await scene.ask("/a", "POST") == (b"1", False)
    assert await scene.ask("/a") == (b"1", False)
    scene.reload(CACHE)
    assert await scene.ask("/a") == (b"1", False)
    assert await scene.ask("/a") == (b"1", True)
    assert await scene.ask("/kept/a") == (b"0", True)  # of a route that has kept its terms


async def test_stricter_terms_hold_for_what_is_stored(scene: Scene) -> None:
    assert await scene.ask("/a") == (b"0", False)
    scene.reload(", cache: {scope: public, ttl: 2s}")
    assert await scene.ask("/a") == (b"0", False)


async def test_what_only_says_how_hits_are_given_takes_nothing_away(scene: Scene) -> None:
    assert await scene.ask("/a") == (b"0", False)
    scene.reload(", cache: {scope: public, ttl: 1h, status_field: false, early_refresh: false}")
    assert await scene.ask("/a") == (b"0", True)
