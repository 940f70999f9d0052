"""A Redis that would lose meters is told of at the start."""

from proxy.store.client import connect
from proxy.store.settings import check_settings
from tests.store.conftest import each_binary
from tests.store.servers import server


@each_binary
async def test_each_wrong_setting_is_told_with_what_is_right(binary: str) -> None:
    with server(binary, "--maxmemory-policy", "allkeys-lru") as wrong:
        store = await connect(wrong.url, 1_000)
        eviction, appending = await check_settings(store)
        assert "allkeys-lru" in eviction
        assert eviction.endswith("set it to noeviction")
        assert appending.endswith("set it to yes")
        with wrong.client as client:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("appendonly", "yes")
        assert await check_settings(store) == []
        await store.close()


@each_binary
async def test_a_forbidden_config_is_told_as_such(binary: str) -> None:
    with server(binary, "--rename-command", "CONFIG", "") as strict:
        store = await connect(strict.url, 1_000)
        warnings = await check_settings(store)
        assert len(warnings) == 2
        assert all("CONFIG is not permitted" in warning for warning in warnings)
        await store.close()
