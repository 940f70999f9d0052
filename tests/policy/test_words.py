"""The policy's own kinds of value, at their edges."""

import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy import words
from proxy.policy.document import Missing
from proxy.policy.model import MILLI, Address, Origin, Period, Scope, ScopeKind
from proxy.policy.words import MAX_EXACT, WrittenRate, read_rate

quick = settings(derandomize=True, deadline=None, max_examples=200)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("600/1m", WrittenRate(600, 60_000)),
        ("60_000 / 1.5s", WrittenRate(60_000, 1_500)),
        ("1/100ms", WrittenRate(1, 100)),
        ("100_000/day", WrittenRate(100_000, period=Period.DAY)),
        ("1/366d", WrittenRate(1, 366 * 86_400_000)),
    ],
)
def test_rates(text, rate):
    """A number a window, or a calendar period."""
    assert read_rate(text) == rate


@quick
@given(st.integers(1, MAX_EXACT // MILLI), st.integers(100, 31_622_400_000))
def test_a_rate_is_exact_or_refused(count, window_ms):
    """Thousandths of it never pass 2^53."""
    rate = read_rate(f"{count}/{window_ms}ms")
    assert (rate.count, rate.window_ms) == (count, window_ms)
    assert rate.count * MILLI <= MAX_EXACT


@quick
@given(st.integers(1, 1_000_000_000))
def test_a_weight_is_exact_in_thousandths(thousandths):
    """However it is written: as text, or as YAML's float."""
    text = f"{thousandths // 1000}.{thousandths % 1000:03d}"
    assert words.WEIGHT.parse(text) == thousandths
    assert words.WEIGHT.parse(float(text)) == thousandths


@pytest.mark.parametrize("raw", [0, -1, "nan", "inf", "1e400", 0.0005, True, None, [1], "1_000_001"])
def test_weights_that_cannot_be_counted_are_refused(raw):
    """Not a number, none at all, too fine, too large."""
    with pytest.raises(ValueError):
        words.WEIGHT.parse(raw)


@pytest.mark.parametrize(
    ("raw", "address"),
    [
        ("127.0.0.1:0", Address("127.0.0.1", 0)),
        ("[::1]:8080", Address("::1", 8080)),
        ("host-a:1", Address("host-a", 1)),
    ],
)
def test_addresses(raw, address):
    """A host and a port, IPv6 in brackets; and back again."""
    assert words.ADDRESS.parse(raw) == address
    assert str(address) == raw


@pytest.mark.parametrize(
    ("raw", "origin", "authority"),
    [
        ("http://A.com", Origin("http", "a.com", 80), "a.com"),
        ("https://a.com:443/", Origin("https", "a.com", 443), "a.com"),
        ("http://[::1]:3000/base/", Origin("http", "::1", 3000, "/base"), "[::1]:3000"),
    ],
)
def test_origins(raw, origin, authority):
    """Scheme, host, port and a base path without its final slash."""
    assert words.ORIGIN.parse(raw) == origin
    assert origin.authority == authority


@pytest.mark.parametrize(
    "raw",
    [
        "http://",
        "//a",
        "http://a b",
        "http://a/\r\nX: y",
        "http://a#f",
        "http://a:0",
        "http://[::1",
        "http://é",
        "redis://a",
        "http://hunter2@a",
        "http://a:hunter2",
    ],
)
def test_a_url_that_is_refused_is_not_quoted(raw):
    """It may hold a password."""
    with pytest.raises(ValueError) as error:
        words.ORIGIN.parse(raw)
    assert "hunter2" not in str(error.value)


def test_claim_paths():
    """Steps with dots between; a list where a name has dots."""
    assert words.CLAIM.parse("a.b") == ("a", "b")
    assert words.CLAIM.parse(["https://a.b/tenant", "id"]) == ("https://a.b/tenant", "id")
    for raw in ("", "a.", [], [""], ["user_metadata", "x"], 7):
        with pytest.raises(ValueError):
            words.CLAIM.parse(raw)


def test_scopes():
    """Eight of the gateway's own, and any claim."""
    assert words.SCOPE.parse("ip") == Scope(ScopeKind.IP)
    assert words.SCOPE.parse("claim:app.plan") == Scope(ScopeKind.CLAIM, ("app", "plan"))
    with pytest.raises(ValueError, match="unknown scope 'claim'"):
        words.SCOPE.parse("claim")


@pytest.mark.parametrize(
    ("raw", "iso"),
    [
        (datetime.date(2026, 12, 31), "2027-01-01T00:00:00+00:00"),
        ("2026-12-31", "2027-01-01T00:00:00+00:00"),
        (datetime.datetime.fromisoformat("2026-12-31T18:00:00"), "2026-12-31T18:00:00+00:00"),
        ("2026-12-31T18:00:00+01:00", "2026-12-31T17:00:00+00:00"),
    ],
)
def test_ends(raw, iso):
    """A day is its end in UTC; a time without a zone is UTC."""
    assert words.END.parse(raw) == datetime.datetime.fromisoformat(iso).timestamp() * 1000


@pytest.mark.parametrize("raw", [2026, "31.12.2026", datetime.date.max, None, "2026-13-01"])
def test_ends_that_are_none(raw):
    """Told, not guessed."""
    with pytest.raises(ValueError):
        words.END.parse(raw)


def test_time_zones():
    """UTC needs no database; a name that leads out of it is none."""
    assert words.TIME_ZONE.parse("UTC") == "UTC"
    assert words.TIME_ZONE.parse("Europe/Zurich") == "Europe/Zurich"
    for name in ("Europe", "../../etc/passwd", "/etc/passwd", "", "utc+1"):
        with pytest.raises(ValueError):
            words.TIME_ZONE.parse(name)


@pytest.mark.parametrize("spelling", [item for item in vars(words).values() if isinstance(item, words.Spelling)])
def test_each_example_is_right(spelling):
    """It stands in for a variable that is missing, so it must parse."""
    spelling.parse(spelling.example)
    spelling.validate(Missing("0" * 64))


def test_secrets_are_taken_whole_and_told_by_nobody():
    """A newline at its end is a mistake in how it was put there."""
    assert words.SECRET.parse(" a b ") == " a b "
    with pytest.raises(ValueError) as error:
        words.SECRET.parse("hunter2\n")
    assert "hunter2" not in str(error.value)
