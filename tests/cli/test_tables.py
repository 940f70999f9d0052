"""Aligned text for people."""

from proxy.cli.tables import aligned, printable


def test_words_stand_to_the_left_and_numbers_to_the_right() -> None:
    text = aligned(["tenant", "usd"], [["acme", "10.00"], [None, "2.50"]], words=1)
    assert text.splitlines() == ["tenant    usd", "acme    10.00", "-        2.50"]


def test_no_callers_word_speaks_to_the_terminal() -> None:
    assert printable("a\x1b[2Jb\nc\u202ed") == "a\ufffd[2Jb\ufffdc\ufffdd"
    assert aligned(["a"], [["x\ny"]], words=1).count("\n") == 1
