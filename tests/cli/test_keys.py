"""`sluicegate keys`: a life of machine clients' keys, in a file that holds digests alone."""

import os
import stat
from hashlib import sha256
from pathlib import Path

import pytest

from proxy.cli.keys import access_warning, replace_file
from proxy.cli.main import main


class Keys:
    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.path = path
        self._capsys = capsys

    def __call__(self, *arguments: str, code: int = 0) -> str:
        assert main(["keys", *arguments, "--file", str(self.path)]) == code
        said = self._capsys.readouterr()
        self.error = said.err
        return said.out.strip()


@pytest.fixture
def keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Keys:
    return Keys(tmp_path / "keys.yaml", capsys)


def digest(key: str) -> str:
    return sha256(key.encode()).hexdigest()


def test_a_key_is_shown_once_and_only_its_digest_is_kept(keys: Keys) -> None:
    key = keys("create", "robot", "--tenant", "acme", "--may-act-for", "a,b", "--routes", "r", "--expires-in", "90d")
    text = keys.path.read_text()
    assert key not in text
    assert digest(key) in text
    assert key not in keys("list")
    assert stat.S_IMODE(keys.path.stat().st_mode) == 0o600


def test_a_key_has_tags_for_what_it_spends(keys: Keys) -> None:
    keys("create", "robot", "--feature", "chat", "--cost-centre", "4711")
    text = keys.path.read_text()
    assert "feature: chat" in text
    assert "cost_centre: '4711'" in text


def test_no_two_keys_are_the_same(keys: Keys) -> None:
    made = {keys("create", f"robot-{number}") for number in range(20)}
    assert len(made) == 20
    assert all(len(key) >= 40 for key in made)


def test_rotation_keeps_the_old_key_for_a_while(keys: Keys) -> None:
    old = keys("create", "robot")
    new = keys("rotate", "robot", "--overlap", "2h")
    text = keys.path.read_text()
    assert digest(old) in text
    assert digest(new) in text
    assert keys("list").count("ends") == 1


def test_expiry_and_revocation_are_listed(keys: Keys) -> None:
    keys("create", "robot")
    keys("create", "android")
    keys("expire", "robot", "--in", "1h")
    keys("revoke", "android")
    listed = dict(line.split("\t") for line in keys("list").splitlines())
    assert listed["robot"].startswith("ends 2")
    assert listed["android"] == "revoked"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["revoke", "nobody"], "no key 'nobody'"),
        (["rotate", "nobody"], "no key 'nobody'"),
        (["expire", "nobody", "--in", "1h"], "no key 'nobody'"),
        (["create", "not a name"], "not a name"),
        (["create", "robot", "--expires-in", "soon"], "soon"),
    ],
)
def test_what_cannot_be_done_is_told_and_changes_nothing(keys: Keys, arguments: list[str], said: str) -> None:
    keys("create", "other")
    before = keys.path.read_text()
    keys(*arguments, code=1)
    assert said in keys.error
    assert keys.path.read_text() == before


def test_a_name_is_taken_once(keys: Keys) -> None:
    keys("create", "robot")
    keys("create", "robot", code=1)
    assert "already" in keys.error


def test_a_file_that_is_no_keys_file_is_left_alone(keys: Keys) -> None:
    keys.path.write_text("robot: [")
    keys("create", "android", code=1)
    assert keys.path.read_text() == "robot: ["


def test_a_file_is_replaced_whole_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    path.write_text("old")
    path.chmod(0o640)
    replace_file(path, "new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [path]


def another_group() -> int:
    """One that this user may give a file to, and that its new files do not have."""
    mine = os.getegid()
    return mine + 1 if os.geteuid() == 0 else next((group for group in os.getgroups() if group != mine), mine)


def test_a_file_that_is_changed_stays_its_owners_and_its_groups(keys: Keys) -> None:
    """A gateway of another user reads it by its group: it did not find the keys any more once root had rotated one."""
    keys("create", "robot")
    os.chown(keys.path, os.geteuid() + 1 if os.geteuid() == 0 else -1, another_group())
    keys.path.chmod(0o640)
    was = keys.path.stat()
    for change in (["rotate", "robot"], ["create", "android"], ["revoke", "android"]):
        keys(*change)
        now = keys.path.stat()
        assert (now.st_uid, now.st_gid, now.st_mode) == (was.st_uid, was.st_gid, was.st_mode)
        assert "chown" not in keys.error


def test_what_may_not_be_given_away_is_told(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    path.write_text("old")
    os.chown(path, -1, another_group())

    def refused(_fd: int, _owner: int, _group: int) -> None:
        raise PermissionError

    was = path.stat()
    replace_file(path, "new", refused)
    assert path.read_text() == "new"
    kept = path.stat().st_gid == was.st_gid
    warned = access_warning(path, was)
    assert warned is None if kept else warned is not None and f"chown {was.st_uid}:{was.st_gid}" in warned


def test_who_makes_the_file_is_told_that_the_gateway_has_to_read_it(keys: Keys) -> None:
    keys("create", "robot")
    assert "is new and nobody else may read it" in keys.error
    keys("create", "android")
    assert "is new" not in keys.error
