"""A delivery as the dispatcher hands it to a channel."""

import json
from dataclasses import replace
from typing import Any

from proxy.alerts.watch import Watch
from proxy.core.usage import Charge
from proxy.ledger.deliveries import Delivery
from proxy.policy.model import Scope, ScopeKind
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
