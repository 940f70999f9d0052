"""Envelopes are made as Sentry reads them, and read as browsers make them."""

from typing import Any

import orjson
import pytest

from proxy.sentry.envelope import MOST_ITEMS, MOST_READ, EnvelopeError, envelope, read_header, tagged
from tests.sentry.sentry_receiver import parsed

DEEP = b"[" * 400 + b"]" * 400  # which orjson reads, and does not write


def test_one_item_is_one_envelope() -> None:
    (item,) = parsed(envelope("transaction", {"event_id": "ab", "a": "ü\n"}, {"trace": {"x": "y"}}))
    assert (item.kind, item.json()["a"], item.envelope) == (
        "transaction",
        "ü\n",
        {"event_id": "ab", "trace": {"x": "y"}},
    )


def of(*items: tuple[dict[str, Any], bytes], head: dict[str, Any] | None = None) -> bytes:
    out = [orjson.dumps(head or {"dsn": "x"})]
    for header, payload in items:
        out += (orjson.dumps(header), payload)
    return b"\n".join(out)


def test_events_are_tagged_and_all_else_stays_as_it_is() -> None:
    recording = b'{"segment_id":0}\n\x00\xff\n\x1f\x8b\n'
    data = of(
        ({"type": "event"}, b'{"event_id":"1","tags":{"tenant":"forged","own":"1"}}'),
        ({"type": "replay_event"}, b'{"replay_id":"2"}'),
        ({"type": "replay_recording", "length": len(recording)}, recording),
        ({"type": "session"}, b'{"sid":"3"}'),
    )
    event, replay, kept, session = parsed(tagged(data, {"tenant": "acme"}))
    assert event.json()["tags"] == {"tenant": "acme", "own": "1"}
    assert replay.json()["tags"] == {"tenant": "acme"}
    assert kept.payload == recording
    assert session.json() == {"sid": "3"}


def test_spans_that_come_many_at_once_are_attributed_each() -> None:
    """As browsers' newer SDKs send them; spans of older ones are within their transaction."""
    forged = {"tenant": {"value": "forged"}, "b": {"value": 1}}
    payload = orjson.dumps({"version": 2, "items": [{"name": "a", "attributes": forged}, {"name": "c"}, 7]})
    (spans,) = parsed(tagged(of(({"type": "span", "item_count": 3}, payload)), {"tenant": "acme"}))
    ours = {"value": "acme", "type": "string"}
    first, second, odd = spans.json()["items"]
    assert first["attributes"] == {"tenant": ours, "b": {"value": 1}}
    assert (second["attributes"], odd) == ({"tenant": ours}, 7)
    assert spans.header["item_count"] == 3


FORGED = {"tenant": "victim", "tier": "enterprise", " tenant": "victim", "Tenant": "victim", "own": "1"}
TYPED = {name: {"value": value, "type": "string"} for name, value in FORGED.items()}
IN_TRACE = {"trace": {"trace_id": "a", "tags": FORGED, "data": FORGED}}


@pytest.mark.parametrize("tags", [{}, {"tenant": "acme", "tier": "gold"}])
@pytest.mark.parametrize(
    ("kind", "told"),
    [
        *(
            (kind, told)
            for kind in ("event", "transaction", "replay_event", "feedback")
            for told in (
                {"tags": FORGED},
                {"tags": [list(pair) for pair in FORGED.items()]},
                {"contexts": IN_TRACE},
                {"sentry.interfaces.Contexts": IN_TRACE},
                {"spans": [{"tags": FORGED, "data": FORGED}, {"data": FORGED}, 7]},
            )
        ),
        *((kind, {"items": [{"attributes": TYPED}, 7]}) for kind in ("span", "log", "metric", "trace_metric")),
        ("span", {"tags": FORGED, "data": FORGED, "attributes": TYPED}),
        ("profile", {"transaction_tags": FORGED}),
    ],
)
def test_nobody_says_whose_it_is_but_a_credential(kind: str, told: dict[str, Any], tags: dict[str, str]) -> None:
    (item,) = parsed(tagged(of(({"type": kind}, orjson.dumps(told))), tags))
    assert b"victim" not in item.payload
    assert b"enterprise" not in item.payload
    assert b'"own"' in item.payload


def test_only_so_much_is_read() -> None:
    """Anybody may send; what is not read, as a recording, has the tunnel's own bound."""
    half = b'{"x":"%b"}' % (b"a" * (MOST_READ // 2))
    recording = ({"type": "replay_recording", "length": 2 * MOST_READ}, b"a" * (2 * MOST_READ))
    kept = parsed(tagged(of(recording, ({"type": "event"}, half)), {}))
    assert [item.payload for item in kept] == [recording[1], half]
    with pytest.raises(EnvelopeError, match=r"^the events are larger than 1 MiB$"):
        tagged(of(({"type": "event"}, half), ({"type": "log"}, half)), {})


def test_what_says_nothing_of_it_gains_nothing() -> None:
    (item,) = parsed(tagged(of(({"type": "event"}, b'{"message":"m","tags":7}')), {}))
    assert item.json() == {"message": "m", "tags": {}}


def test_what_might_become_an_event_unread_is_left_out() -> None:
    """Kinds that no browser sends, and attachments that are whole events in another form."""
    data = of(
        ({"type": "unreal_report"}, b"x"),
        ({"type": "attachment", "attachment_type": "event.payload"}, b"x"),
        ({"type": "attachment", "attachment_type": ["event.payload"]}, b"x"),
        ({"type": "form_data"}, b'[["sentry[tags][tenant]","victim"]]'),
        ({"type": "attachment"}, b"a screenshot"),
        ({"type": "session"}, b"not json"),
    )
    kept, session = parsed(tagged(data, {"tenant": "acme"}))
    assert (kept.payload, session.payload) == (b"a screenshot", b"not json")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (of(({"type": "event", "length": 5}, b"{}")), "an item is shorter than it says"),
        (of(({"type": "x", "length": 1}, b"{}")), "an item is longer than it says"),
        (of(({"type": "x", "length": -1}, b"{}")), "an item is shorter than it says"),
        (of(({"type": "x", "length": "1"}, b"{}")), "an item is shorter than it says"),
        (b'{"dsn":"x"}\nnope\n', "the item's header is no JSON"),
        (of(({"type": "event"}, b"nope")), "the event is no JSON"),
        (of(*[({"type": "x"}, b"{}")] * (MOST_ITEMS + 1)), "more than 100 items"),
        (of(({"type": ["event"]}, b"{}")), "an item's type is no text"),
        (of(({}, b"{}")), "an item's type is no text"),
        (b'{"dsn":"x"}\n{"type":"event","x":%b}\n{}\n' % DEEP, "the item's header is nested too deeply"),
        (of(({"type": "event"}, b'{"x":%b}' % DEEP)), "the event is nested too deeply"),
        (of(({"type": "span"}, b'{"items":[%b]}' % DEEP)), "the event is nested too deeply"),
        (of(({"type": "event"}, b'{"x":%b}' % (b"[" * 2_000 + b"]" * 2_000))), "the event is no JSON"),
    ],
)
def test_what_is_not_framed_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(EnvelopeError, match=f"^{why}$"):
        tagged(data, {"tenant": "acme"})


@pytest.mark.parametrize("data", [b"", b"[]", b"secret", b"\xff\n{}"])
def test_a_header_is_an_object(data: bytes) -> None:
    with pytest.raises(EnvelopeError, match=r"^the header is no (JSON|object)$"):
        read_header(data)
