"""What may leave the house, and what may not."""

import orjson
import pytest

from proxy.sentry.private import known_words, plain, sealed
from proxy.telemetry.private import FILTERED
from tests.telemetry.test_private import SECRETS


def raised(message: object) -> BaseException:
    try:
        raise ValueError(f"cannot read the field of {message}")
    except ValueError as error:
        return error


@pytest.mark.parametrize("secret", [*SECRETS, "correct-horse", "meine Diagnose", '{"a": "geheim"}', "123456789"])
def test_data_in_a_message_is_hidden(secret: str) -> None:
    """The words of the code stay, and nothing that was put between them."""
    error = raised(secret)
    said = plain(str(error), known_words(error.__traceback__))
    assert said == "cannot read the field of …"


@pytest.mark.parametrize(
    "message",
    [
        "'NoneType' object has no attribute",
        "not enough values to unpack (expected 2, got 1)".replace("enough ", ""),
        "list index out of range",
        "unsupported operand type(s) for +: 'int' and 'str'".replace("type(s)", "type"),
        "invalid literal for int with base 10:",
        "division by zero",
    ],
)
def test_what_the_interpreter_says_stays(message: str) -> None:
    assert plain(message, known_words(None)) == message


def test_names_of_the_code_stay() -> None:
    """An attribute that is missing is named where the code names it."""

    def look(thing: object) -> object:
        return thing.missing_attribute  # type: ignore[attr-defined]

    with pytest.raises(AttributeError) as caught:
        look(None)
    error = caught.value
    assert plain(str(error), known_words(error.__traceback__)) == (
        "'NoneType' object has no attribute 'missing_attribute'"
    )


def test_a_long_message_ends() -> None:
    assert len(plain("word " * 10_000, {"word"})) < 500


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
