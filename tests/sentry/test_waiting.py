"""Errors go before all else, and have room of their own."""

from pathlib import Path

from proxy.sentry.waiting import BOUNDS, Kind, spool_in


def test_errors_go_first(tmp_path: Path) -> None:
    spool = spool_in(str(tmp_path))
    for kind in reversed(Kind):
        spool.write(kind, [b"x"])
    assert [one.kind for one in spool.waiting()] == [Kind.ERROR, Kind.BROWSER, Kind.TRACE] == list(BOUNDS)
    assert spool.folder == tmp_path / "sentry"
