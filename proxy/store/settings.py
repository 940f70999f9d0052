"""Whether a Redis is set up to hold meters: it must forget nothing and write everything down."""

from typing import Final

from proxy.store.client import Store
from proxy.store.errors import Away, StoreAway

WANTED: Final = {
    b"maxmemory-policy": (b"noeviction", "it may evict meters, and every evicted meter begins at zero"),
    b"appendonly": (b"yes", "a restart forgets every meter"),
}


async def check_settings(store: Store) -> list[str]:
    """One warning for each setting that is not right, with what would be. Raises: StoreAway if it does not answer."""
    warnings = []
    for name, (right, harm) in WANTED.items():
        setting = name.decode()
        try:
            reply = await store.command(b"CONFIG", b"GET", name)
        except StoreAway as away:
            if away.reason is not Away.REFUSED:
                raise
            warnings.append(f"redis.meters: CONFIG is not permitted; see to it that {setting} is {right.decode()}")
            continue
        value = reply[1] if len(reply) > 1 else b"unknown"
        if value != right:
            warnings.append(f"redis.meters: {setting} is {value.decode()}: {harm}; set it to {right.decode()}")
    return warnings
