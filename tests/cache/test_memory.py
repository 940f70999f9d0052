"""The budget holds, nobody takes another's place beyond its share, and what is found is what was put."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.cache.entry import Stored, Terms
from proxy.cache.memory import KEPT_STALE_MS, MAX_VARIANTS, Memory, useless
from tests.cache.stored import NOW_MS, answer
from tests.fuzz import examples

BUDGET = 40_000
SHARE = 0.25
LARGEST = 4_000
TENANTS = ["acme", "umbrella", ""]
OWNERS = [None, *TENANTS]


def memory(budget: int = BUDGET, share: float = SHARE) -> Memory:
    return Memory(budget, tenant_share=share, largest=LARGEST)


def key_of(owner: str | None, number: int) -> bytes:
    return f"{owner!r} {number}".encode()


def sized(key: bytes, size: int = 100, **changes: Any) -> Stored:
    return answer(key, body=b"x" * size, **changes)


_steps = st.one_of(
    st.tuples(
        st.just("put"),
        st.sampled_from(OWNERS),
        st.integers(0, 30),
        st.integers(0, LARGEST + 10),
        st.integers(0, MAX_VARIANTS + 4),
    ),
    st.tuples(st.just("get"), st.sampled_from(OWNERS), st.integers(0, 30)),
    st.tuples(st.just("remove"), st.sampled_from(OWNERS), st.integers(0, 30)),
    st.tuples(st.just("later"), st.integers(0, 400_000)),
)


@given(st.lists(_steps, max_size=120))
@settings(max_examples=examples(150))
def test_budget_shares_and_contents_hold_whatever_happens(steps: list[Any]) -> None:
    """After every step: all sums are what they say; nothing is found that was not put last for its key and vary."""
    kept, put, now_ms = memory(), {}, NOW_MS
    for step in steps:
        match step:
            case "put", owner, number, size, variant:
                key = key_of(owner, number)
                stored = sized(key, size, vary=(("accept", str(variant)),), terms=Terms(now_ms, 0, 300_000))
                others = {name: kept.held_by(name) for name in TENANTS if name != owner}
                evicted = kept.evictions
                total = kept.bytes
                accepted = kept.put(key, owner, stored, now_ms)
                assert accepted == (size <= LARGEST)
                put[key, stored.vary] = stored if accepted else None
                if accepted and owner is not None and total + stored.weight < BUDGET / 2 and kept.evictions > evicted:
                    # Room enough: whoever went, it was for the tenant's own share.
                    assert {name: kept.held_by(name) for name in others} == others or now_ms > NOW_MS
            case "get", owner, number:
                key = key_of(owner, number)
                found = kept.get(key)
                if found is not None:
                    assert found.variants
                    assert len(found.variants) <= MAX_VARIANTS
                    assert all(each is put[key, each.vary] for each in found.variants)
            case "remove", owner, number:
                found = kept.get(key_of(owner, number))
                if found is not None:
                    gone = found.variants[0]
                    kept.remove(key_of(owner, number), gone)
                    assert gone not in found.variants
            case "later", by_ms:
                now_ms += by_ms
        _is_sound(kept)


def _is_sound(kept: Memory) -> None:
    resources = list(kept._index.values())
    assert kept.bytes == sum(each.weight for each in resources) <= BUDGET
    assert kept._small_bytes == sum(each.weight for each in kept._small.values())
    assert sorted([*kept._small, *kept._main]) == sorted(kept._index)
    for owner in TENANTS:
        own = [each for each in resources if each.owner == owner]
        assert kept.held_by(owner) == sum(each.weight for each in own) <= BUDGET * SHARE
    for each in resources:
        assert each.weight >= sum(stored.weight for stored in each.variants)


def test_what_is_put_is_found_and_another_variant_beside_it() -> None:
    kept = memory()
    english, french = (sized(b"key", vary=(("accept-language", word),)) for word in ("en", "fr"))
    assert kept.put(b"key", "acme", english, NOW_MS)
    assert kept.put(b"key", "acme", french, NOW_MS)
    found = kept.get(b"key")
    assert found is not None
    assert found.variants == [english, french]
    newer = sized(b"key", 200, vary=english.vary)
    kept.put(b"key", "acme", newer, NOW_MS)
    assert found.variants == [french, newer]
    kept.remove(b"key", french)
    assert found.variants == [newer]
    kept.remove(b"key", newer)
    assert kept.get(b"key") is None
    assert kept.bytes == kept.entries == 0


def test_the_oldest_variants_go() -> None:
    kept = memory(share=1.0)
    for number in range(MAX_VARIANTS + 3):
        kept.put(b"key", None, sized(b"key", 10, vary=(("accept", str(number)),)), NOW_MS)
    found = kept.get(b"key")
    assert found is not None
    assert [each.vary[0][1] for each in found.variants] == [str(number) for number in range(3, MAX_VARIANTS + 3)]
    assert kept.evictions == 3


def test_what_is_too_large_ends_what_it_would_have_replaced() -> None:
    kept = memory()
    kept.put(b"key", "acme", sized(b"key"), NOW_MS)
    assert not kept.put(b"key", "acme", sized(b"key", LARGEST + 1), NOW_MS)
    assert kept.get(b"key") is None


def test_a_tenant_pushes_out_its_own_oldest_and_nothing_of_others() -> None:
    kept = memory()
    for number in range(5):
        kept.put(key_of("umbrella", number), "umbrella", sized(b""), NOW_MS)
    for number in range(100):
        kept.put(key_of("acme", number), "acme", sized(b""), NOW_MS)
    assert all(kept.get(key_of("umbrella", number)) for number in range(5))
    assert kept.get(key_of("acme", 99))
    assert kept.get(key_of("acme", 0)) is None
    assert kept.held_by("acme") <= BUDGET * SHARE


@pytest.mark.parametrize("owner", [None, "acme"])
def test_what_grows_by_variants_keeps_to_budget_and_share(owner: str | None) -> None:
    """No new URL comes in: those that are there get more answers, and larger ones."""
    kept = memory()
    for size in (10, 1_000, 2_000, 3_000):
        for number in range(8):
            for variant in ("a", "b", "c"):
                stored = sized(b"", size, vary=(("accept", variant),))
                kept.put(key_of(owner, number), owner, stored, NOW_MS)
                _is_sound(kept)
    assert kept.entries


def test_what_a_tenant_asks_for_outlives_what_it_does_not() -> None:
    kept = memory()
    kept.put(key_of("acme", 0), "acme", sized(b""), NOW_MS)
    for number in range(1, 100):
        assert kept.get(key_of("acme", 0))
        kept.put(key_of("acme", number), "acme", sized(b""), NOW_MS)


def test_a_scan_does_not_push_out_what_is_asked_for() -> None:
    kept = memory(share=1.0)
    for _ in range(3):
        for number in range(10):
            if kept.get(b"hot %d" % number) is None:
                kept.put(b"hot %d" % number, None, sized(b""), NOW_MS)
    for number in range(1_000):
        kept.put(b"scan %d" % number, None, sized(b""), NOW_MS)
    assert all(kept.get(b"hot %d" % number) for number in range(10))


def test_what_nobody_can_want_any_more_is_swept() -> None:
    kept = memory()
    old, new = sized(b"old"), sized(b"new", terms=Terms(NOW_MS + 1_000_000, 0, 300_000))
    kept.put(b"old", "acme", old, NOW_MS)
    now_ms = NOW_MS + 300_000 + KEPT_STALE_MS
    assert not useless(old, now_ms - 1)
    assert useless(old, now_ms)
    for _ in range(3):
        kept.put(b"new", "acme", new, now_ms)
    assert kept.get(b"old") is None
    assert kept.get(b"new") is not None


@pytest.mark.parametrize("owner", [None, "acme"])
def test_an_eviction_is_counted_once(owner: str | None) -> None:
    kept = memory(share=1.0)
    for number in range(100):
        kept.put(b"%d" % number, owner, sized(b""), NOW_MS)
    assert kept.entries + kept.evictions == 100
