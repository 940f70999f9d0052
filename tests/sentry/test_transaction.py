"""What Sentry gets of a traced request."""

import pytest

from proxy.sentry.transaction import transaction
from proxy.tracing.trace import Trace

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def test_a_transaction_has_a_span_for_each_phase() -> None:
    trace = Trace(TRACE, SPAN, "1" * 16, "2" * 16)
    marks = [("identify", 10.1), ("", 10.2), ("forward", 10.3), ("relay", 10.6)]
    payload = transaction(
        trace, marks, {"tenant": "acme"}, {"method": "GET"}, name="GET app", upstream="app", status=504,
        event_id="3" * 32, started_s=10.0, ended_s=11.0, now_s=1011.0, environment="test", release="app@1",
    )  # fmt: skip
    assert payload["start_timestamp"] == 1010.0
    assert payload["timestamp"] == 1011.0
    assert payload["contexts"]["trace"]["parent_span_id"] == SPAN
    assert payload["contexts"]["trace"]["status"] == "deadline_exceeded"
    spans = {span["description"]: span for span in payload["spans"]}
    assert list(spans) == ["identify", "forward app", "relay"]
    assert spans["forward app"]["span_id"] == "2" * 16
    assert spans["forward app"]["op"] == "http.client"
    assert spans["identify"]["timestamp"] == pytest.approx(1010.2)
    assert spans["relay"]["timestamp"] == pytest.approx(1011.0)
    assert {span["parent_span_id"] for span in payload["spans"]} == {"1" * 16}
    assert len({span["span_id"] for span in payload["spans"]} | {"1" * 16}) == 4


@pytest.mark.parametrize(
    ("status", "word"),
    [(200, "ok"), (304, "ok"), (404, "not_found"), (418, "invalid_argument"), (500, "internal_error")],
)  # fmt: skip
def test_a_status_has_its_word(status: int, word: str) -> None:
    payload = transaction(
        Trace(TRACE, "", "1" * 16, "2" * 16), [], {}, {}, name="", upstream="", status=status, event_id="",
        started_s=0.0, ended_s=0.0, now_s=0.0, environment="", release="",
    )  # fmt: skip
    assert payload["contexts"]["trace"]["status"] == word
    assert "parent_span_id" not in payload["contexts"]["trace"]
