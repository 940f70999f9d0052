"""What the page's scripts decide, run by node: numbers as people read them, events as they come, what charts say."""

import json
import subprocess
from typing import Any

import pytest

from proxy.admin.dashboard.site import FOLDER

pytestmark = pytest.mark.full  # node is npm's, which .ci/run installs


def run(module: str, expression: str) -> Any:
    """What an expression comes to, with the module as ``m``."""
    document = "globalThis.document = { getElementById: () => null }; globalThis.sessionStorage = undefined;"
    script = f"{document}const m = await import('{FOLDER / module}'); console.log(JSON.stringify({expression}))"
    done = subprocess.run(
        ["node", "--input-type=module", "-e", script], capture_output=True, text=True, check=True, timeout=30
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("count(1234567)", "1,234,567"),
        ("count(null)", "\N{EN DASH}"),
        ("compact(9999)", "9,999"),
        ("compact(1234567)", "1.23M"),
        ("rate(0)", "0"),
        ("rate(0.004)", "<0.01"),
        ("rate(3.25)", "3.3"),
        ("rate(512.4)", "512"),
        ("share(0)", "0%"),
        ("share(0.0004)", "<0.1%"),
        ("share(0.9996)", "99.9%"),  # nothing is whole that is not
        ("share(1)", "100%"),
        ("share(2.3437)", "234%"),
        ("millis(0.5)", "0.50 ms"),
        ("millis(1234)", "1.23 s"),
        ("dollars('0.000398400')", "$0.0003984"),
        ("dollars(-80.62)", "\N{MINUS SIGN}$80.62"),
        ("dollars(1234567.8)", "$1,234,568"),
        ("bytes(16281)", "15.9 KiB"),
        ("bytes(0)", "0 B"),
        ("span(42)", "42 s"),
        ("span(7200)", "2 h"),
        ("plain('a\\u202eb\\u0000c\\ud83d\\udc4d')", "a\\u202eb\\u0000c👍"),
    ],
)
def test_numbers_are_as_people_read_them(call: str, told: str) -> None:
    assert run("format.js", f"m.{call}") == told


def test_scales_end_at_round_numbers_at_or_above_the_most() -> None:
    for most, top in ((0, 1), (1, 1), (234, 300), (9000, 10_000), (0.3, 0.3)):
        assert run("format.js", f"m.scale({most})")["top"] == pytest.approx(top)


def test_events_are_whole_wherever_the_text_is_cut() -> None:
    text = 'event: state\\ndata: {"a":1}\\n\\n: a comment\\n\\nid: r-7\\nevent: points\\ndata: []\\n\\n'
    whole = run("stream.js", f"[...new m.Parser().feed('{text}')]")
    assert [(one["name"], one["data"], one["id"]) for one in whole if one["data"]] == [
        ("state", '{"a":1}', ""),
        ("points", "[]", "r-7"),
    ]
    split = f"(() => {{ const p = new m.Parser(); return [...'{text}'].flatMap((sign) => [...p.feed(sign)]) }})()"
    assert run("stream.js", split) == whole


def test_a_gap_breaks_a_line_and_a_point_alone_is_a_dot() -> None:
    assert run("charts.js", "m.path([[0, 1], [2, 3], null, [4, 5], null])") == "M0.0 1.0L2.0 3.0M4.0 5.0h0.1"


@pytest.mark.parametrize(
    ("forecast", "words"),
    [
        ("null", "too early"),
        ("{gone_ms: null, left_usd: 12}", "$12.00 will be left"),
        ("{gone_ms: 43200000, left_usd: 0}", "used up at"),
    ],
)
def test_a_burn_down_says_what_it_shows(forecast: str, words: str) -> None:
    chart = f"{{start_ms: 0, end_ms: 86400000, left_usd: 65, held_usd: 5, amount_usd: 100, forecast: {forecast}}}"
    said = run("burndown.js", f"m.summary({chart})")
    assert said.startswith("$65.00 of $100.00 are left, $5.00 held")
    assert words in said
