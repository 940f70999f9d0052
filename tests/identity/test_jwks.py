"""An issuer's keys over time: rotation, outages, floods. Real sockets; only the clock is a fake."""

import asyncio
import json

import pytest
from aiohttp import web
from joserfc.jwk import ECKey

from proxy.identity.jwks import MAX_TRIES, KeySets, KeysUnavailable
from proxy.identity.keys import BadKey
from proxy.identity.keyschedule import COOL_DOWN_MS, STALE_MS
from tests.identity.conftest import SECRET, base64url, issuer, published, settled

MINUTE = 60_000


@pytest.fixture
def jwk(private_keys):
    """Makes public ES256 keys of an id, all of the same material."""
    return lambda kid: published(private_keys["ES256"], kid=kid)


@pytest.fixture
def source(keysets, key_server):
    """The one source of an issuer that publishes its keys."""
    return keysets.of(issuer(secrets=(), jwks_url=key_server.url)).sources[0]


async def failing(_request):
    return web.Response(status=503)


def ids(source):
    return [key.kid for key in source.keys]


async def test_keys_are_fetched_when_they_are_first_needed(source, key_server, jwk):
    key_server.keys = [jwk("a")]
    assert key_server.fetches == 0
    assert await source.renew()
    assert ids(source) == ["a"]


async def test_many_who_wait_share_one_fetch(source, key_server, jwk):
    key_server.keys = [jwk("a")]
    assert all(await asyncio.gather(*(source.renew() for _ in range(50))))
    assert key_server.fetches == 1


async def test_one_who_gives_up_waiting_does_not_end_the_fetch_for_others(source, key_server, jwk):
    key_server.keys = [jwk("a")]
    first, second = asyncio.create_task(source.renew()), asyncio.create_task(source.renew())
    await asyncio.sleep(0)
    first.cancel()
    assert await second
    assert ids(source) == ["a"]


async def test_a_flood_of_unknown_keys_costs_one_fetch_in_a_cool_down(source, key_server, clock):
    await source.renew()
    for _ in range(100):
        assert not await source.renew()
    assert key_server.fetches == 1
    clock.move(COOL_DOWN_MS)
    assert await source.renew()
    assert not await source.renew()
    assert key_server.fetches == 2


async def test_a_fetch_that_takes_long_is_not_begun_again_beside_itself(source, key_server, clock, jwk):
    answered = asyncio.Event()

    async def slow(_request):
        await answered.wait()
        return web.json_response({"keys": [jwk("a")]})

    key_server.answer = slow
    source.tend()
    first = source._task
    async with asyncio.timeout(5):
        await key_server.asked.wait()
    clock.move(4000)
    source.tend()
    assert source._task is first
    answered.set()
    assert await source.renew()
    assert (ids(source), key_server.fetches) == (["a"], 1)


async def test_keys_that_are_due_are_fetched_in_the_background_once(source, key_server, clock, jwk):
    key_server.keys = [jwk("a")]
    await source.renew()
    clock.move(10 * MINUTE - 1)
    source.tend()
    assert source._task is None
    clock.move(1)
    key_server.keys = [jwk("a"), jwk("b")]
    for _ in range(10):
        source.tend()
    assert ids(source) == ["a"]
    await settled(source)
    assert (ids(source), key_server.fetches) == (["a", "b"], 2)


async def test_in_a_rotation_the_key_that_stays_is_the_same_and_the_one_that_goes_is_trusted_no_more(
    source, key_server, clock, jwk
):
    key_server.keys = [jwk("old"), jwk("stays")]
    await source.renew()
    old, stays = source.keys
    clock.move(COOL_DOWN_MS)
    key_server.keys = [jwk("stays"), jwk("new")]
    await source.renew()
    assert source.keys[0] is stays
    assert (old.trusted, stays.trusted, source.keys[1].trusted) == (False, True, True)


async def test_a_key_id_with_other_material_is_another_key(source, key_server, clock, jwk):
    key_server.keys = [jwk("k")]
    await source.renew()
    (old,) = source.keys
    clock.move(COOL_DOWN_MS)
    key_server.keys = [published(ECKey.generate_key("P-256"), kid="k")]
    await source.renew()
    assert source.keys[0] is not old
    assert not old.trusted


@pytest.mark.parametrize("fault", ["status", "no json", "doubled kid", "gone"])
async def test_old_keys_serve_while_new_ones_cannot_be_had(source, key_server, clock, jwk, fault):
    key_server.keys = [jwk("a")]
    await source.renew()
    (key,) = source.keys
    if fault == "status":
        key_server.answer = failing
    elif fault == "no json":
        key_server.answer = lambda request: _text("<html>")
    elif fault == "doubled kid":
        key_server.keys = [jwk("a"), jwk("a")]
    else:
        key_server.answer = _reset
    clock.move(STALE_MS)
    source.tend()
    await settled(source)
    assert source.trouble is not None
    assert (ids(source), key.trusted) == (["a"], True)
    with pytest.raises(KeysUnavailable):  # an unknown key may be in the set that cannot be had
        await source.renew()
    clock.move(10 * MINUTE)
    source.tend()
    assert (ids(source), key.trusted) == ([], False)
    await settled(source)


async def _text(text):
    return web.Response(text=text)


async def _reset(request):
    request.transport.abort()
    return web.Response()


async def test_a_doubled_key_id_is_a_clear_error(source, key_server, jwk, caplog):
    key_server.keys = [jwk("same"), jwk("same")]
    with pytest.raises(KeysUnavailable):
        await source.renew()
    assert source.trouble == "the key set uses the key id 'same' twice"
    assert source.trouble in caplog.text
    assert source.keys == ()


async def test_nothing_known_and_nothing_to_be_had_says_when_to_come_back(source, key_server, clock, jwk):
    key_server.answer = failing
    for pause in (1000, 2000, 4000):
        with pytest.raises(KeysUnavailable) as caught:
            await source.renew()
        assert caught.value.retry_after_ms == pause
        with pytest.raises(KeysUnavailable):
            await source.renew()
        clock.move(pause)
    assert key_server.fetches == 3
    key_server.answer, key_server.keys = None, [jwk("a")]
    assert await source.renew()
    assert (ids(source), source.trouble) == (["a"], None)


async def test_an_issuer_that_withdraws_all_keys_is_obeyed(source, key_server, clock, jwk):
    key_server.keys = [jwk("a")]
    await source.renew()
    (key,) = source.keys
    clock.move(COOL_DOWN_MS)
    key_server.keys = []
    assert await source.renew()
    assert not key.trusted


async def test_a_fault_of_ours_in_the_background_is_reported_and_tried_again(source, key_server, clock, monkeypatch):
    async def broken():
        raise RuntimeError("a bug, with a secret in it")

    load, source._load = source._load, broken
    with pytest.raises(KeysUnavailable):
        await source.renew()
    assert source.trouble == "unexpected RuntimeError"
    source._load = load
    clock.move(1000)
    assert await source.renew()


async def test_keys_of_the_id_come_first_and_those_without_one_are_tried_within_a_bound(
    keysets, key_server, private_keys
):
    keys = keysets.of(issuer(jwks_url=key_server.url))
    bare = published(private_keys["RS256"])
    bare.pop("kid", None)
    key_server.keys = [bare, published(private_keys["RS256"], kid="a"), published(private_keys["RS256"], kid="b")]
    key_server.keys += [bare] * 40
    assert await keys.renew("RS256")
    assert [key.kid for key in keys.fitting("b", "RS256")] == ["b"] + [None] * MAX_TRIES
    assert len(keys.fitting(None, "RS256")) == MAX_TRIES
    assert [key.kid for key in keys.fitting("b", "HS256")] == [None]  # the secret
    assert keys.fitting("b", "ES256") == []


async def test_a_published_set_is_never_asked_for_a_secret(keysets, key_server):
    keys = keysets.of(issuer(jwks_url=key_server.url))
    assert not await keys.renew("HS256")
    assert key_server.fetches == 0


async def test_a_file_is_read_at_load_and_again_when_it_changes(keysets, clock, tmp_path, jwk):
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": [jwk("a")]}))
    source = keysets.of(issuer(secrets=(), jwks_file=str(path))).sources[0]
    assert ids(source) == ["a"]
    path.write_text(json.dumps({"keys": [jwk("b"), {"kty": "oct", "kid": "s", "k": base64url(SECRET.encode())}]}))
    clock.move(MINUTE)
    source.tend()
    await settled(source)
    assert ids(source) == ["b", "s"]
    path.unlink()
    clock.move(MINUTE)
    source.tend()
    await settled(source)
    assert (ids(source), source.trouble) == (["b", "s"], "No such file or directory")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"secrets": ("x" * 31,)}, "31 bytes; HS256 needs at least 32"),
        ({"secrets": ()}, "neither a key set nor a secret"),
        ({"algorithms": ("none",)}, "unknown algorithm none"),
        ({"algorithms": ("HS256", "hs512")}, "unknown algorithm hs512"),
        ({"algorithms": ("RS256",)}, "there is a secret, but none of HS256"),
        ({"jwks_url": "http://issuer.example/keys"}, "must be https"),
        ({"jwks_file": "/no/such/file"}, "No such file"),
    ],
)
def test_an_issuer_whose_keys_must_not_be_used_is_refused_at_load(clock, changes, message):
    with pytest.raises(BadKey, match=message) as caught:
        KeySets(clock).of(issuer(**changes))
    assert "issuer https://issuer.example/auth/v1: " in str(caught.value)


@pytest.mark.parametrize("kind", ["weak", "doubled", "text"])
def test_a_file_with_a_key_that_must_not_be_used_is_refused_at_load(clock, tmp_path, kind, jwk):
    weak = {"kty": "RSA", "e": "AQAB", "n": base64url(((1 << 1024) - 105).to_bytes(128))}
    path = tmp_path / "keys.json"
    path.write_text({"weak": json.dumps({"keys": [weak]}), "doubled": json.dumps({"keys": [jwk("a")] * 2}),
                     "text": "keys"}[kind])  # fmt: skip
    with pytest.raises(BadKey):
        KeySets(clock).of(issuer(secrets=(), jwks_file=str(path)))


async def test_an_issuer_that_stays_keeps_its_keys_across_policies(keysets, key_server, jwk):
    key_server.keys = [jwk("a")]
    stays, goes = issuer(jwks_url=key_server.url), issuer(issuer="https://other")
    keys = keysets.of(stays)
    await keys.renew("ES256")
    other = keysets.of(goes)
    await keysets.keep_only([stays])
    assert keysets.of(issuer(jwks_url=key_server.url)) is keys
    assert keysets.of(issuer(jwks_url=key_server.url, leeway_ms=9, tenants=("acme",))) is keys
    assert keysets.of(issuer(jwks_url=key_server.url, algorithms=("HS256",))) is not keys
    assert keysets.of(goes) is not other


async def test_closing_ends_a_fetch_that_is_under_way(clock, key_server):
    never = asyncio.Event()

    async def hang(_request):
        await never.wait()
        return web.Response()

    key_server.answer = hang
    keysets = KeySets(clock)
    source = keysets.of(issuer(jwks_url=key_server.url)).sources[0]
    source.tend()
    async with asyncio.timeout(5):
        await key_server.asked.wait()
        await keysets.close()
    assert source._task is None
    never.set()
