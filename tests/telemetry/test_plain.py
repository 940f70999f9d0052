"""Of an exception's message, and of a log record's, the words of the code may be told, and nothing else."""

import logging

import pytest

from proxy.telemetry.plain import known_words, plain, told, told_record
from tests.telemetry.test_private import SECRETS


def raised(message: object) -> BaseException:
    try:
        raise ValueError(f"cannot read the field of {message}")
    except ValueError as error:
        return error


@pytest.mark.parametrize("secret", [*SECRETS, "correct-horse", "meine Diagnose", '{"a": "geheim"}', "123456789"])
def test_data_in_a_message_is_hidden(secret: str) -> None:
    """The words of the code stay, and nothing that was put between them."""
    assert told(raised(secret)) == "cannot read the field of …"


@pytest.mark.parametrize(
    "message",
    [
        "'NoneType' object has no attribute",
        "not enough values to unpack (expected 2, got 1)".replace("enough ", ""),
        "list index out of range",
        "unsupported operand type(s) for +: 'int' and 'str'".replace("type(s)", "type"),
        "invalid literal for int with base 10:",
        "division by zero",
        "takes 2 positional arguments but 3 were given",
        "expected at most 1 argument, got 12",
    ],
)
def test_what_the_interpreter_says_stays(message: str) -> None:
    assert plain(message, known_words(None)) == message


@pytest.mark.parametrize(
    "digits",
    [
        "4242 4242 4242 4242",
        "4242 4242 4242 4242 cvc 123",
        "424 242 424 242",
        "+49 151 2345 6789",
        "0151 234 567",
        "4711",
        "pin 9876",
        "19 11 1987",
        "line 424 242 424",
        "got 4711",
        "got '123'",
        "got 42-42",
        "line 1 line 2 line 3 line 4 " + "line 5 " * 9,
    ],
)
def test_numbers_that_may_be_somebodys_are_hidden(digits: str) -> None:
    """Of cards, telephones, dates and PINs not even a part of more than three digits; a place in a text is told."""
    said = told(raised(digits))
    assert said.startswith("cannot read the field of ")
    kept = [word for word in said.split() if any(letter.isdigit() for letter in word)]
    assert len(kept) <= 4
    assert all(f"line {number}" in said for number in kept)
    assert not {"4242", "123", "4711", "'123'", "9876", "242", "1987", "424"} & set(kept)


def test_names_of_the_code_stay() -> None:
    """An attribute that is missing is named where the code names it."""

    def look(thing: object) -> object:
        return thing.missing_attribute  # type: ignore[attr-defined]

    with pytest.raises(AttributeError) as caught:
        look(None)
    assert told(caught.value) == "'NoneType' object has no attribute 'missing_attribute'"


def test_a_long_message_ends() -> None:
    assert len(plain("word " * 10_000, {"word"})) < 500


def test_an_error_of_the_system_has_its_name() -> None:
    """Numbers and texts in it may be somebody's; what it is called is the system's."""
    assert told(ConnectionRefusedError(111, "Connect call failed", "hunter2")) == "ECONNREFUSED: … failed: …"
    assert told(OSError("hunter2")) == "…"


def record(name: str, message: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, __file__, 1, message, args, None)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (record("sluicegate.ledger", "moved %d of %s", 3, "acme"), "moved 3 of acme"),
        (record("library", "refused by %s", "hunter2"), "refused by …"),
        (record("library", "refused by hunter2"), "refused by …"),
        (record("sluicegatekeeper", "hunter2"), "…"),
        (
            record("asyncio", "Task exception was never retrieved\nfuture: <Task exception=ValueError('hunter2')>"),
            "Task exception was never retrieved",
        ),
        (record("asyncio", "Exception in callback refuse('hunter2', b'x')"), "Exception in callback refuse…"),
        (record("asyncio", "Exception in callback <bound method A.b of hunter2>"), "Exception in callback …"),
        (record("asyncio", "a lane ended"), "a lane ended"),
    ],
)
def test_a_records_message_has_our_own_words_or_constant_ones(made: logging.LogRecord, said: str) -> None:
    assert told_record(made) == said
