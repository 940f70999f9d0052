"""What comes by standard input, as a file."""

import io
import stat

import pytest

from proxy.cli.spool import spooled


def test_it_is_all_there_for_its_owner_alone_and_gone_afterwards() -> None:
    text = b"a line\n" * 300_000
    with spooled(io.BytesIO(text)) as path:
        assert path.read_bytes() == text
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


def test_more_than_may_be_is_an_error() -> None:
    """A journal that never ends must not fill the disk."""
    with pytest.raises(OSError, match="is more than 1 MiB") as refused, spooled(io.BytesIO(bytes(2**20 + 1)), 2**20):
        pass
    assert refused.value.filename == "standard input"
