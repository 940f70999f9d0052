"""A parameter is left out of a key only where the route says so, and never one that an app might read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cache.query import normalised_target

UTM = ("utm_*", "fbclid")


@pytest.mark.parametrize(
    ("target", "ignore", "only", "expected"),
    [
        ("/a?b=1&a=2&b=3", (), None, "/a?b=1&a=2&b=3"),
        ("/a?", (), None, "/a?"),
        ("/a?&&", (), None, "/a?&&"),
        ("/a", UTM, None, "/a"),
        ("/a?utm_source=x&b=%20+&utm_=&a", UTM, None, "/a?b=%20+&a"),
        ("/a?utm_source=x", UTM, None, "/a"),
        ("/a?utm=x&xutm_a=y&fbclid2=z", UTM, None, "/a?utm=x&xutm_a=y&fbclid2=z"),
        ("/a?UTM_source=x", UTM, None, "/a?UTM_source=x"),
        ("/a?b&utm_x?y=1", UTM, None, "/a?b"),
        ("/a?page=2&x=1&size", (), ("page", "size"), "/a?page=2&size"),
        ("/a?x=1", (), ("page",), "/a"),
        ("/a?x=1", (), (), "/a"),
        ("/a?p1=1&p22=2&q=3", (), ("p*",), "/a?p1=1&p22=2"),
        ("/a?page=2&utm_x=1&y=2", UTM, ("page", "utm_x"), "/a?page=2"),
        ("/a?filter[a]=1&y=2", (), ("filter[*]",), "/a?filter[a]=1"),
    ],
)
def test_what_is_named_goes_and_all_else_stays_as_it_is(
    target: str, ignore: tuple[str, ...], only: tuple[str, ...] | None, expected: str
) -> None:
    assert normalised_target(target, ignore, only) == expected


@pytest.mark.parametrize(
    "piece",
    ["PAGE=2", "p%61ge=2", "x=1;page=2", "+page=2", "%20page=2", "pa.ge=2", "page[=2", "page%00x=2", "x[page]=2"],
)
def test_what_some_app_may_read_as_the_named_parameter_stays(piece: str) -> None:
    """Frameworks read names in any case, decode them, part them by ';' or rename them. A parameter that the app reads
    and the key does not hold lets one client choose what others get."""
    assert piece in normalised_target(f"/a?x=1&{piece}", (), ("page", "pa_ge"))


@pytest.mark.parametrize("piece", ["utm%5Fsource=1", "utm_source=1;b=2", "utm_%00=1", "utm_a+b=1"])
def test_what_may_be_more_than_an_ignored_parameter_stays(piece: str) -> None:
    assert normalised_target(f"/a?{piece}", UTM, None) == f"/a?{piece}"


@given(
    st.text("ab=&;%+?/", max_size=20), st.sampled_from([(), ("a",), ("a*", "b")]), st.sampled_from([None, (), ("b",)])
)
def test_what_is_left_is_a_part_of_what_came_in_its_order(
    query: str, ignore: tuple[str, ...], only: tuple[str, ...] | None
) -> None:
    found = normalised_target(f"/p?{query}", ignore, only)
    path, _, left = found.partition("?")
    assert path == "/p"
    pieces = iter(query.split("&"))
    assert all(any(piece == other for other in pieces) for piece in left.split("&") if piece)
    assert normalised_target(found, ignore, only) == found
