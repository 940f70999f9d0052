"""What a finished event may hold, and what it may not."""

import orjson
import pytest

from proxy.sentry.private import sealed
from proxy.telemetry.private import FILTERED
from tests.telemetry.test_private import SECRETS


@pytest.mark.parametrize("secret", SECRETS)
def test_what_has_the_form_of_a_secret_is_hidden_wherever_a_text_may_stand(secret: str) -> None:
    frame = {"filename": "f.py", "function": "f", "module": "m", "lineno": 1, "in_app": True, "vars": {"a": secret}}
    event = {
        "event_id": "0" * 32,
        "message": f"it was {secret}",
        "tags": {"tenant": secret},
        "transaction": secret,
        "fingerprint": [secret],
        "request": {"method": "GET", "url": f"/x/{secret}", "headers": {"Authorization": secret}, "data": secret},
        "user": {"id": secret},
        "breadcrumbs": [secret],
        "exception": {"values": [{"type": "E", "value": secret, "stacktrace": {"frames": [frame]}}]},
    }
    found = sealed(event)
    assert secret.encode() not in orjson.dumps(found)
    assert set(found) == {"event_id", "message", "tags", "transaction", "fingerprint", "request", "exception"}
    assert set(found["request"]) == {"method", "url"}
    assert "vars" not in found["exception"]["values"][0]["stacktrace"]["frames"][0]


def test_a_credential_in_a_url_is_hidden() -> None:
    assert sealed({"message": "redis://:hunter2@redis:6379/0"})["message"] == f"redis://{FILTERED}redis:6379/0"


def test_what_is_of_another_shape_is_left_out() -> None:
    """Nothing gets through by being a list where a text is expected."""
    odd = {"message": ["a"], "tags": "x", "exception": [], "request": "GET", "timestamp": 1.5, "extra": {"a": 1}}
    assert sealed(odd) == {
        "message": None, "tags": None, "exception": None, "request": None, "timestamp": 1.5, "extra": {},
    }  # fmt: skip
