"""What waits for a collector has a folder and a bound of its own."""

from pathlib import Path

from proxy.otlp.waiting import BOUNDS, Kind, spool_in


def test_it_is_beside_what_waits_for_others(tmp_path: Path) -> None:
    spool = spool_in(str(tmp_path))
    spool.write(Kind.TRACE, [b"x"])
    assert [one.kind for one in spool.waiting()] == [Kind.TRACE] == list(BOUNDS)
    assert spool.folder == tmp_path / "otlp"
