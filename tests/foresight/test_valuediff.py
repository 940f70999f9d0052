"""Where two values differ, and what left-out ones mean."""

from dataclasses import dataclass, field, replace

import pytest

from proxy.foresight.valuediff import NOTHING, differing, left_out_of, text_of
from proxy.policy.model import GatewayKey, Origin
from proxy.policy.spending import Channel, ChannelKind

KEY = GatewayKey("robot", (("a" * 64, None),), "acme", None, None, ("*",), ("api",))


@dataclass(frozen=True)
class Inner:
    wait_ms: int = 0
    price_nanousd: int = 0
    secret: str = field(default="", repr=False)
    on: bool = False


@dataclass(frozen=True)
class Outer:
    inner: Inner = field(default_factory=Inner)
    parts: tuple[Inner, ...] = ()
    words: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (Outer(), Outer(Inner(wait_ms=5000)), [("inner.wait", "0s", "5s")]),
        (Outer(), Outer(Inner(price_nanousd=10**9)), [("inner.price", "$0", "$1")]),
        (Outer(), Outer(Inner(on=True)), [("inner.on", "no", "yes")]),
        (Outer(), Outer(Inner(secret="s")), [("inner.secret", NOTHING, "another (not shown)")]),
        (Outer(words=("a",)), Outer(words=("a", "b")), [("words", "a", "a, b")]),
        (Outer(parts=(Inner(), Inner())), Outer(parts=(Inner(), Inner(on=True))), [("parts[1].on", "no", "yes")]),
        (Outer(parts=(Inner(on=True),)), Outer(), [("parts", "on yes", NOTHING)]),
        (Origin("http", "a", 1), Origin("http", "b", 1), [("", "http://a:1", "http://b:1")]),
        ({"a": 1, "b": 2}, {"b": 3, "c": 4}, [("a", "1", NOTHING), ("b", "2", "3"), ("c", NOTHING, "4")]),
    ],
)
def test_each_leaf_is_told_with_its_place(old: object, new: object, told: list[tuple[str, str, str]]) -> None:
    """Units are in the value's words; secrets are only said to be others."""
    assert list(differing(old, new)) == told


@pytest.mark.parametrize(
    ("new", "told"),
    [
        (replace(KEY, routes=None), ("routes", "api", "all")),
        (replace(KEY, may_act_for=None), ("may_act_for", "*", "its own tenant")),
        (replace(KEY, tenant=None), ("tenant", "acme", NOTHING)),
    ],
)
def test_where_nothing_means_all_it_is_not_told_as_an_end(new: GatewayKey, told: tuple[str, str, str]) -> None:
    """A key whose routes are taken out of the policy may use every route."""
    assert list(differing(KEY, new)) == [told]


def test_none_of_them_is_not_all_of_them() -> None:
    assert list(differing(replace(KEY, routes=None), replace(KEY, routes=()))) == [("routes", "all", "none")]
    assert list(differing(replace(KEY, routes=("api",)), replace(KEY, routes=()))) == [("routes", "api", "none")]


def test_what_has_a_name_is_compared_by_it() -> None:
    """One that goes from the middle of a list leaves the others as they are."""
    channels = tuple(Channel(name, ChannelKind.SLACK, "https://x") for name in ("a", "b", "c"))
    assert list(differing({"to": channels}, {"to": channels[::-1]})) == []
    assert list(differing({"to": channels}, {"to": channels[::2]})) == [("to.b", "name b, kind slack", NOTHING)]


def test_words_of_values() -> None:
    assert text_of(frozenset({"b", "a"})) == "a, b"
    assert text_of(Inner()) == "as by default"
    assert (left_out_of(GatewayKey, "routes"), left_out_of(GatewayKey, "user")) == ((None, "all"), None)
