"""No normal form of a text is longer than its bound, and the bound costs linear time."""

import sys
import time
from unicodedata import normalize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.ai import expansion as module
from proxy.ai.expansion import most_bytes

FORMS = ("NFC", "NFD", "NFKC", "NFKD")
SETTINGS = settings(derandomize=True, deadline=None, max_examples=300)
MARKS = st.sampled_from("\u0300\u0316\u0323\u0344\u0345\u0f73\u3099\u1161\u11a8")
TRICKY = st.sampled_from("aé\u1e9bﷺ㌖한각カガ\u2126\ufb2c\U0001d15e\U0002f800日🙂й")
ANY = st.characters(codec="utf-8")
RUNS = st.builds(lambda char, count: char * count, ANY | MARKS, st.integers(1, 40))
TEXTS = st.lists(ANY | MARKS | TRICKY | RUNS, max_size=30).map("".join)
ALL = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
GROWS = [one for one in ALL if any(len(normalize(form, one).encode()) > len(one.encode()) for form in FORMS)]
OTHERS = sorted(set(ALL) - set(GROWS))


@pytest.mark.parametrize("exact", [module.EXACT, 0], ids=["by characters", "by blocks"])
def test_no_normal_form_is_longer(exact: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EXACT", exact)

    @SETTINGS
    @given(TEXTS)
    def run(text: str) -> None:
        assert most_bytes(text) >= max(len(normalize(form, text).encode()) for form in FORMS)
        assert most_bytes(text) >= len(text.encode())

    run()


def test_no_character_at_all_is_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each by itself, and so each block: of both ways to count."""
    assert len(GROWS) > 10_000
    for exact in (module.EXACT, 0):
        monkeypatch.setattr(module, "EXACT", exact)
        for one in GROWS:
            assert most_bytes(one) >= max(len(normalize(form, one).encode()) for form in FORMS)


@SETTINGS
@given(st.text(alphabet=st.sampled_from(OTHERS), max_size=60))
def test_a_text_that_cannot_grow_counts_for_its_bytes(text: str) -> None:
    assert most_bytes(text) == len(text.encode())


def test_a_long_text_that_cannot_grow_counts_for_its_bytes() -> None:
    text = "漢字 ok " * module.EXACT
    assert most_bytes(text) == len(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        "a" + "\u0300" * 60_000 + "\u0316" * 60_000,
        "\u0300\u0316" * (2 << 20),
        "é" * (4 << 20),
        "aéﷺ" * ((8 << 20) // 6),
        "\U0001d15e" * (2 << 20),
    ],
    ids=["run", "marks", "latin", "mixed", "two units"],
)
def test_no_text_takes_long(text: str) -> None:
    """A tenth of a second on a machine that others share is four times what it takes."""
    took = []
    for _ in range(3):
        start = time.thread_time()
        most_bytes(text)
        took.append(time.thread_time() - start)
    assert min(took) < 0.1
