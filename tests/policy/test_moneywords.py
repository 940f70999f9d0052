"""Money's kinds of value, at their edges: exact, or refused."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.units import NANOS
from proxy.policy import moneywords
from proxy.policy.document import Missing
from proxy.policy.moneywords import MOST_USD, dollars
from proxy.policy.spelling import Spelling
from proxy.policy.words import MAX_EXACT

quick = settings(derandomize=True, deadline=None, max_examples=200)


@pytest.mark.parametrize(
    ("text", "nanousd"),
    [
        ("$0", 0),
        ("$5", 5 * NANOS),
        ("$0.50", NANOS // 2),
        ("$1_000", 1_000 * NANOS),
        ("$25_000.000000001", 25_000 * NANOS + 1),
        ("$9_000_000", 9_000_000 * NANOS),
    ],
)
def test_money_is_whole_nano_dollars(text: str, nanousd: int) -> None:
    assert moneywords.MONEY.parse(text) == nanousd


@quick
@given(st.integers(0, MOST_USD * NANOS))
def test_money_reads_as_it_is_shown(nanousd: int) -> None:
    """But for the commas, which are for readers."""
    assert moneywords.MONEY.parse(dollars(nanousd).replace(",", "_")) == nanousd


@pytest.mark.parametrize(
    ("nanousd", "shown"),
    [(0, "$0"), (NANOS, "$1"), (1_500_000_000, "$1.50"), (1, "$0.000000001"), (25_000 * NANOS, "$25,000")],
)
def test_money_is_shown_exactly(nanousd: int, shown: str) -> None:
    assert dollars(nanousd) == shown


def test_the_largest_amount_leaves_room_to_count_what_is_held() -> None:
    """Over seven thousand dollars below 2^53 nano-dollars: no call holds as much."""
    assert MAX_EXACT - MOST_USD * NANOS > 7_000 * NANOS


@pytest.mark.parametrize("raw", ["5", 5, "$", "$-1", "-$1", "$1,000", "$1.0000000001", "$9_000_000.1", "$1e3", True])
def test_what_is_no_amount_is_refused(raw: object) -> None:
    with pytest.raises(ValueError):
        moneywords.MONEY.parse(raw)


def test_shares_and_discounts_are_exact_parts_of_one() -> None:
    """All of it may be kept, but not be given away."""
    assert moneywords.SHARE.parse("30%") == Fraction(3, 10)
    assert moneywords.SHARE.parse("12.5 %") == Fraction(1, 8)
    assert moneywords.SHARE.parse("100%") == 1
    assert moneywords.DISCOUNT.parse("15%") == Fraction(15, 100)
    for spelling, raw in ((moneywords.SHARE, "0%"), (moneywords.SHARE, "100.1%"), (moneywords.DISCOUNT, "100%")):
        with pytest.raises(ValueError):
            spelling.parse(raw)
    for other in ("0.3", 30, "thirty%", "-1%"):
        with pytest.raises(ValueError):
            moneywords.SHARE.parse(other)


def test_prices_name_what_they_are_for() -> None:
    """A price for a thousand where a million is meant would be a thousandfold wrong."""
    assert moneywords.PER_MILLION.parse("$3/1M") == Decimal(3)
    assert moneywords.PER_MILLION.parse("$0.075 / 1M") == Decimal("0.075")
    assert moneywords.PER_THOUSAND.parse("$10/1K") == Decimal(10)
    for raw in ("$3", "$3/1K", "$3/M", "3/1M"):
        with pytest.raises(ValueError):
            moneywords.PER_MILLION.parse(raw)


def test_quantiles_and_factors() -> None:
    assert moneywords.QUANTILE.parse(0.995) == moneywords.QUANTILE.parse("0.995") == 0.995
    assert moneywords.FACTOR.parse(3) == 3
    assert moneywords.FACTOR.parse("2.5") == Fraction(5, 2)
    for raw in (1, 0, 0.4, "nan", "1e-3"):
        with pytest.raises(ValueError):
            moneywords.QUANTILE.parse(raw)
    for raw in (1, 0.5, 1001, "inf", "1/0"):
        with pytest.raises(ValueError):
            moneywords.FACTOR.parse(raw)


def test_records_are_kept_for_two_months_at_least() -> None:
    assert moneywords.KEEP.parse("forever") is None
    assert moneywords.KEEP.parse("62d") == 62 * 86_400_000
    assert moneywords.KEEP.parse("400d") == 400 * 86_400_000  # longer than the year that other durations end at
    for raw in ("61d", "9w", 400, ""):
        with pytest.raises(ValueError):
            moneywords.KEEP.parse(raw)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////var/lib/sluicegate/ledger.db",
        "postgresql://u:hunter2@db:5432/ledger?sslmode=require",
        "postgres:///ledger?host=/run/postgresql",
    ],
)
def test_ledgers(url: str) -> None:
    assert moneywords.LEDGER.parse(url) == url


@pytest.mark.parametrize(
    ("spelling", "url"),
    [
        (moneywords.LEDGER, "sqlite:///hunter2.db"),
        (moneywords.LEDGER, "sqlite:////a?x=hunter2"),
        (moneywords.LEDGER, "mysql://hunter2@db/x"),
        (moneywords.LEDGER, "postgresql://"),
        (moneywords.LEDGER, "postgresql://u:hunter2 @db/x"),
        (moneywords.HOOK, "http://hooks.example.com/hunter2"),
        (moneywords.HOOK, "https://u:hunter2@hooks.example.com/"),
        (moneywords.HOOK, "hunter2"),
        (moneywords.DSN, "https://sentry.example.com/hunter2"),
        (moneywords.DSN, "http://hunter2@sentry.example.com/1"),
        (moneywords.DSN, "https://[hunter2"),
        (moneywords.SMTP, "smtps://mail.example.com/hunter2"),
        (moneywords.SMTP, "https://mail.example.com/hunter2"),
    ],
)
def test_an_address_that_is_refused_is_not_quoted(spelling: Spelling, url: str) -> None:
    """It may hold a password, or be a secret as a whole."""
    with pytest.raises(ValueError) as error:
        spelling.parse(url)
    assert "hunter2" not in str(error.value)


def test_where_alerts_go() -> None:
    """Encrypted, but for this machine itself; empty, where a variable falls back on nothing."""
    for url in ("https://hooks.slack.com/services/T/B/X", "http://127.0.0.1:9000/hook", "http://[::1]/", ""):
        assert moneywords.HOOK.parse(url) == url
    for dsn in ("https://abc@o1.ingest.sentry.io/42", "http://abc@localhost:9000/1", ""):
        assert moneywords.DSN.parse(dsn) == dsn


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("smtps://mail.example.com", "smtps://mail.example.com:465"),
        ("smtp://mail.example.com", "smtp://mail.example.com:587"),
        ("smtp://[::1]:2525", "smtp://[::1]:2525"),
        ("", ""),
    ],
)
def test_a_mail_server_has_a_port(written: str, url: str) -> None:
    """RFC 8314 §7.3 and RFC 6409 §3.1, where none is given."""
    assert moneywords.SMTP.parse(written) == url


def test_recipients() -> None:
    for word in ("finance@example.com", "claim:app_metadata.email", "tenant"):
        assert moneywords.RECIPIENT.parse(word) == word
    for raw in ("finance", "a@b, c@d", "<a@b>", "claim:", "claim:user_metadata.email", "a@b\r\nBcc: c@d", "tenants"):
        with pytest.raises(ValueError):
            moneywords.RECIPIENT.parse(raw)


@pytest.mark.parametrize("spelling", [item for item in vars(moneywords).values() if isinstance(item, Spelling)])
def test_each_example_is_right(spelling: Spelling) -> None:
    """It stands in for a variable that is missing, so it must parse."""
    spelling.parse(spelling.example)
    spelling.validate(Missing("0" * 64))
