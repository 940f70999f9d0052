"""What a replay found, as text and as data."""

from proxy.foresight.accesslog import Log
from proxy.foresight.logfile import Reading
from proxy.foresight.replaying import Differences, Replay
from proxy.foresight.replayreport import Under, against, as_data, left_out, moved, refusals, summary
from tests.foresight.lines import entry
from tests.foresight.policies import changed, compiled


def unders() -> tuple[Under, Under, Differences]:
    old, new, differences = Replay(compiled()), Replay(changed(("default: 5/1m", "default: 3/1m"))), Differences()
    for n in range(6):
        one = entry(n, id=f"r{n}", path="/ai/v1/x", cost_usd=0.01, tokens_in=1, tokens_out=1)
        differences.add(one, old.add(one), new.add(one))
    return Under("old", old), Under("new", new), differences


def test_the_sum_of_it() -> None:
    lines = summary(unders()[1])
    assert lines[0].endswith("6 requests, 3 refused (50.0%)")
    assert lines[1] == "  calls let through cost $0.0300; those refused would have cost $0.0300"


def test_refusals_by_tenant_and_limit() -> None:
    head, rows, words = refusals(unders()[1])
    assert (head[1], words) == ("refused by", 4)
    assert rows == [("initech", "per-user", "2026-11-23 12:00:03", "r3", "6", "3", "50.0%", "$0.0300")]
    assert refusals(unders()[1], 0)[1] == []


def test_the_difference_is_by_limit_and_by_route() -> None:
    old, new, differences = unders()
    assert against(old, new)[1] == [("initech", "per-user", "1", "3", "+2")]
    assert moved(differences)[1] == [("initech", "ai", "2", "0")]


def test_what_was_left_out_is_told() -> None:
    log = Log(Reading(lines=9, others=2, unreadable=1, told=[("a.log", 7, "not JSON")]), requests=2, late=3, own=4)
    notes = left_out(log, unders()[0])
    assert notes[0] == "1 lines could not be read: a.log:7: not JSON"
    assert [note.split()[0] for note in notes[1:4]] == ["2", "4", "3"]


def test_programs_get_all_of_it() -> None:
    old, new, differences = unders()
    told = as_data(Log(Reading(lines=6), 6), [old, new], differences)
    assert [policy["refused"] for policy in told["policies"]] == [1, 3]
    assert told["difference"]["newly_refused"] == 2
    assert told["policies"][1]["refused_usd"] == "0.03"
