"""What is counted of sending alerts."""

from proxy.alerts.answers import DELIVERED, later
from proxy.gateway.alertnotes import AlertNotes
from proxy.telemetry.exposition import Exposition
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.sheet import Sheet, SheetFiles, SheetReader


def test_attempts_are_counted_and_who_waits_no_more_waits_for_nothing() -> None:
    """A channel that has caught up is not left at how long its last one had waited."""
    exposition, files, aways = Exposition(), SheetFiles.make(), list[str]()
    key = exposition.attach(SheetReader(files))
    notes = AlertNotes(Metrics(Sheet(files)), aways.append)
    notes.sent("ops", later("HTTP 503"), 1.0)
    notes.sent("ops", DELIVERED, 2.0)
    notes.waiting({"ops": 700.0, "mail": 3.0})
    notes.waiting({"mail": 5.0})
    notes.away("LedgerAway")
    totals = exposition.totals()
    assert totals["sluicegate_alerts", ("ops", "later")] == totals["sluicegate_alerts", ("ops", "delivered")] == 1
    assert totals["sluicegate_alerts_oldest_seconds", ("ops",)] == 0
    assert totals["sluicegate_alerts_oldest_seconds", ("mail",)] == 5
    assert aways == ["LedgerAway"]
    exposition.retire(key)
