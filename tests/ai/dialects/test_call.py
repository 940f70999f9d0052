"""What a request is, as a value."""

from dataclasses import FrozenInstanceError

import pytest

from proxy.ai.dialects.call import AiCall, Kind
from proxy.ai.dialects.call import Why as Reason
from proxy.ai.requestjson import Flaw


def test_a_call_does_not_change() -> None:
    call = AiCall("openai", "openai", Kind.CHAT, "m")
    with pytest.raises(FrozenInstanceError):
        call.model = "n"  # type: ignore[misc]


def test_every_flaw_of_a_body_is_a_reason() -> None:
    assert {flaw.value for flaw in Flaw} <= {why.value for why in Reason}
