"""What a restart finds again."""

import json
from pathlib import Path

import pytest

from proxy.alerts.incident import Incident
from proxy.alerts.samples import Subject
from proxy.alerts.shelf import Shelf, Shelved
from proxy.alerts.tray import Letter
from proxy.policy.service import Kind
from proxy.policy.spending import Level

LETTER = Letter("a-1", "mail", "ann@a.test", '{"message": "…"}', 3, 1_000, incident="inc-a", next_ms=9_000)
HEARD = (("ops", ""), ("mail", "ann@a.test"))
TOLD = Incident(1_000, Level.CRITICAL, 2_000, heard=HEARD)
SHOP, REDIS = Subject(Kind.ERROR_RATE, "shop"), Subject(Kind.REDIS)


def test_what_was_told_and_what_was_not_sent_is_found_again(tmp_path: Path) -> None:
    """Without what was only about to be told, and without how calm it was: both are seen anew."""
    shelf = Shelf(str(tmp_path / "data"), "8080")
    assert shelf.read() == Shelved()
    seen = Incident(1_000, None, broken={Level.WARNING: 1_000})
    calm = Incident(1_000, Level.CRITICAL, 2_000, calm_ms=5_000, broken={Level.WARNING: 9}, heard=HEARD)
    shelf.write(Shelved({SHOP: calm, REDIS: seen}, [LETTER]))
    assert Shelf(str(tmp_path / "data"), "8080").read() == Shelved({SHOP: TOLD}, (LETTER,))
    assert Shelf(str(tmp_path / "data"), "8081").read() == Shelved()


def test_only_the_gateways_own_user_reads_it(tmp_path: Path) -> None:
    """It has addresses in it; and it is replaced whole."""
    shelf = Shelf(str(tmp_path), "8080")
    shelf.write(Shelved({SHOP: TOLD}, [LETTER] * 3))
    shelf.write(Shelved())
    (file,) = (tmp_path / "alerts").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert json.loads(file.read_text())["letters"] == []


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"version": 2, "incidents": [], "letters": []}',
        '{"version": 1, "incidents": [{"kind": "weather"}], "letters": []}',
        '{"version": 1, "incidents": [], "letters": [{"id": "x"}]}',
    ],
)
def test_what_is_no_such_file_is_said_to_be_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "alerts").mkdir()
    (tmp_path / "alerts" / "8080.json").write_text(content)
    with pytest.raises(ValueError):
        Shelf(str(tmp_path), "8080").read()


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "alerts").write_text("a file")
    with pytest.raises(OSError):
        Shelf(str(tmp_path), "8080").write(Shelved())
