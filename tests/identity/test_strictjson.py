"""JSON that all readers understand alike."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.identity.strictjson import DuplicateMember, NotStrict, loads_object


@pytest.mark.parametrize(
    "text",
    ['{"a": 1, "a": 1}', '{"a": {"b": 1, "b": 2}}', '{"a": [{"b": 1, "b": 2}]}', '{"a": 1, "\\u0061": 2}'],
    ids=["top", "inner", "in a list", "escaped"],
)
def test_duplicate_members_are_refused_at_every_level(text):
    with pytest.raises(DuplicateMember):
        loads_object(text.encode())


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b'{"a": 1} x',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": "\xff"}',
        '{"a": 1}'.encode("utf-16"),
        '{"a": 1}'.encode("utf-32"),
        b"\xef\xbb\xbf{}",
        b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": "\\ud800"}',
        b'{"\\udfff": 1}',
        b'{"a": "\n"}',
    ],
    ids=lambda raw: repr(raw[:24]),
)
def test_what_is_no_strict_object_is_refused(raw):
    with pytest.raises(NotStrict):
        loads_object(raw)


def test_an_escaped_pair_of_surrogates_is_one_character():
    assert loads_object(b'{"a": "\\ud83d\\ude00"}') == {"a": "\U0001f600"}


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.binary(max_size=200))
def test_any_bytes_are_an_object_or_refused(raw):
    try:
        assert isinstance(loads_object(raw), dict)
    except NotStrict:
        pass
