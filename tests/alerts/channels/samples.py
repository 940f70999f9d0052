"""A delivery as the dispatcher hands it to a channel."""

import json
from dataclasses import replace
from typing import Any

from proxy.alerts.incident import News
from proxy.alerts.samples import Subject
from proxy.alerts.servicealert import ServiceAlert
from proxy.alerts.watch import Watch
from proxy.core.delivery import Delivery
from proxy.core.usage import Charge
from proxy.policy.model import Scope, ScopeKind
from proxy.policy.service import Kind
from proxy.policy.spending import Level
from tests.alerts.samples import DOLLAR, NOW_MS, TENANT, TOMORROW_MS, alerts, spent

(_FIRING,) = Watch([TENANT], alerts()).judge(spent(160 * DOLLAR), {}, NOW_MS)
PAYLOAD = _FIRING.payload
A_DELIVERY = Delivery(_FIRING.id, "ops", "", PAYLOAD, 1, NOW_MS)


def a_delivery(recipient: str = "", **changes: Any) -> Delivery:
    return replace(A_DELIVERY, recipient=recipient, payload=json.dumps(json.loads(PAYLOAD) | changes))


_USER = replace(TENANT, name="user", scopes=(Scope(ScopeKind.USER),))
_CHARGE = Charge("user", "user:https://id.example jane@acme.example", "2026-11-18", "k", TOMORROW_MS)
(_PERSONAL,) = Watch([_USER], alerts()).judge(spent(160 * DOLLAR, _CHARGE), {}, NOW_MS)
PERSONAL = Delivery(_PERSONAL.id, "ops", "", _PERSONAL.payload, 1, NOW_MS)

FAILING = ServiceAlert(
    subject=Subject(Kind.ERROR_RATE),
    news=News.FIRED,
    level=Level.CRITICAL,
    message="5.2% of requests failed in the last 5m (78 of 1,500).",
    gateway="gate-1:8080",
    since_ms=NOW_MS - 15_000,
    at_ms=NOW_MS,
    current=0.052,
    limit=0.05,
    requests=1500,
    window_ms=300_000,
    parts=(("orders", 78.0),),
)


def of_service(alert: ServiceAlert = FAILING, recipient: str = "") -> Delivery:
    return Delivery(alert.id, "ops", recipient, alert.payload(), 1, NOW_MS)
