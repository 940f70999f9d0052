"""Stored answers for tests: one that is like those of an app, and any that hypothesis can think of."""

from typing import Any

from hypothesis import strategies as st

from proxy.cache.entry import Stored, Terms

NOW_MS = 1_760_000_000_000
HEADERS = [(b"Content-Type", b"application/json"), (b"Cache-Control", b"max-age=300"), (b"ETag", b'"abc"')]


def answer(key: bytes = b"key", **changes: Any) -> Stored:
    values = {
        "status": 200,
        "reason": b"OK",
        "headers": list(HEADERS),
        "body": b'{"a": 1}',
        "terms": Terms(NOW_MS, 0, 300_000),
        "key": key,
        **changes,
    }
    return Stored(**values)


_numbers = st.integers(-(2**62), 2**62)
_words = st.binary(max_size=20)
# Surrogates too: a header's value may have been decoded with them.
_text = st.text(st.characters(), max_size=10)

terms = st.builds(Terms, *[_numbers] * 3, *[st.booleans()] * 3, *[_numbers] * 2)
answers = st.builds(
    Stored,
    status=_numbers,
    reason=_words,
    headers=st.lists(st.tuples(_words, _words), max_size=6),
    body=st.one_of(st.binary(max_size=50), st.integers(1_000, 40_000).map(lambda size: b"0123456789" * (size // 10))),
    terms=terms,
    key=_words,
    vary=st.lists(st.tuples(_text, _text), max_size=3).map(tuple),
    range=st.none() | st.tuples(_numbers, _numbers, _numbers),
    tags=st.lists(st.integers(0, 2**64 - 1), max_size=5).map(tuple),
    seen=_numbers,
    fetch_ms=_numbers,
    etag=_words,
    modified=_words,
    saved_nanousd=_numbers,
)
