"""What a database answers instead of a result says which kind it is."""

from proxy.ledger.errors import Fault, LedgerAway, LedgerRefused


def test_an_error_reads_as_its_reason() -> None:
    assert str(LedgerAway(Fault.BUSY)) == "busy"
    assert str(LedgerAway(Fault.BUSY, "53300")) == "busy: 53300"
    assert str(LedgerRefused("DataError 22003")) == "DataError 22003"
