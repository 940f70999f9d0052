"""An exemplar is read as it was written, or not at all."""

import pytest

from proxy.telemetry.exemplar import SIZE, Exemplar, packed, unpacked

TRACE = "0af7651916cd43dd8448eb211c80319c"


def test_it_is_read_as_it_was_written() -> None:
    exemplar = Exemplar(TRACE, 0.0213, 1_763_888_000.125)
    assert len(packed(exemplar)) == SIZE == 40
    assert unpacked(packed(exemplar)) == exemplar


def test_what_was_never_written_is_none() -> None:
    assert unpacked(bytes(SIZE)) is None


@pytest.mark.parametrize("cut", range(1, SIZE - 4))
def test_half_of_one_over_another_is_none(cut: int) -> None:
    """Wherever the reader met the writer; the last four bytes are padding."""
    before, after = packed(Exemplar(TRACE, 0.25, 1e9)), packed(Exemplar(TRACE[::-1], 0.5, 1.25e9))
    torn = after[:cut] + before[cut:]
    assert unpacked(torn) is None or torn in (before, after)
