"""Only what has an end is read."""

import os
import socket
import subprocess
from pathlib import Path

import pytest

from proxy.policy.regularfile import read_regular


def test_a_file_is_read_through_links(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("naïve", encoding="utf-8")
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "link") == "naïve"


def test_what_is_no_regular_file_is_refused_and_waited_for_by_nobody(tmp_path: Path) -> None:
    """A pipe without a writer, a link to one, a device without an end; a folder and a socket besides."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    for name in ("pipe", "link", "endless"):
        with pytest.raises(OSError, match="it is no regular file") as error:
            read_regular(tmp_path / name)
        assert error.value.filename == str(tmp_path / name)
    with pytest.raises(IsADirectoryError):
        read_regular(tmp_path / "folder")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "socket"))
        with pytest.raises(OSError, match="socket"):
            read_regular(tmp_path / "socket")
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before


def test_what_is_not_there_and_what_is_no_text_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "gone")
    (tmp_path / "bytes").write_bytes(b"\xff")
    with pytest.raises(UnicodeDecodeError):
        read_regular(tmp_path / "bytes")


def test_what_a_shell_hands_over_is_read_to_its_end() -> None:
    with subprocess.Popen(["sh", "-c", "printf one; sleep 0.1; printf two"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert read_regular(Path(f"/dev/fd/{process.stdout.fileno()}")) == "onetwo"
