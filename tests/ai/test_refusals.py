"""What surely costs nothing; all else is settled at its hold."""

from typing import Any

import pytest

from proxy.ai.dialects.registry import DIALECTS
from proxy.ai.refusals import costs_nothing

ERROR = {"error": {"message": "no", "type": "invalid_request_error", "code": None}}


def coded(code: Any) -> dict[str, Any]:
    return {"error": {"message": "no", "code": code}}


@pytest.mark.parametrize(
    ("dialect", "status", "answer", "free"),
    [
        ("openai", 400, ERROR, True),
        ("openai", 400, coded("context_length_exceeded"), True),
        ("openai", 429, coded("insufficient_quota"), True),
        ("openai", 503, ERROR, True),
        ("openai", 200, ERROR, False),
        ("openai", 502, ERROR, False),
        ("openai", 504, ERROR, False),
        ("openai", 408, ERROR, False),
        ("openai", 499, ERROR, False),
        ("openai", 400, None, False),
        ("openai", 400, {}, False),
        ("openai", 400, {"message": "Forbidden"}, False),
        ("openai", 400, "error", False),
        ("openai", 302, None, False),
        ("anthropic", 529, {"type": "error", "error": {"type": "overloaded_error"}}, True),
        ("gemini", 400, coded(400), True),
        ("gemini", 400, [coded(400)], True),
        ("gemini", 400, [], False),
        ("mistral", 422, {"detail": [{"msg": "x"}]}, True),
        ("mistral", 401, {"message": "Unauthorized"}, True),
        ("groq", 413, ERROR, True),
        ("azure", 400, coded("content_filter"), False),
        ("azure", 400, coded("context_length_exceeded"), False),
        ("azure", 400, coded("string_above_max_length"), False),
        ("azure", 400, ERROR, False),
        ("azure", 400, coded("unsupported_parameter"), True),
        ("azure", 401, {"statusCode": 401, "message": "Access denied"}, True),
        ("azure", 404, coded("DeploymentNotFound"), True),
        ("azure", 429, coded("429"), True),
        ("azure", 408, coded("Timeout"), False),
    ],
)
def test_what_costs_nothing(dialect: str, status: int, answer: Any, free: bool) -> None:
    """Its own word in its own form, and of a status that it bills only what it surely does not."""
    assert costs_nothing(DIALECTS[dialect], status, answer) is free
