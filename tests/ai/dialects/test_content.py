"""Only what is known to be text in the body is bounded by the body."""

from proxy.ai.dialects.content import all_in_body, holds_sound
from proxy.ai.dialects.table import Content

TYPED = Content(fields=("m",), descend=frozenset({"c"}), plain=frozenset({"t", "r"}), needs={"r": "e"})


def test_a_type_that_is_not_known_stands_outside() -> None:
    assert all_in_body({"m": [{"type": "t", "c": [{"type": "t"}]}], "other": {"type": "u"}}, TYPED)
    assert not all_in_body({"m": [{"type": "t", "c": [{"type": "u"}]}]}, TYPED)
    assert not all_in_body({"m": [{"type": ["t"]}]}, TYPED)
    assert not all_in_body({"m": [{"c": "x"}]}, TYPED)


def test_a_part_that_only_refers_stands_outside() -> None:
    assert all_in_body({"m": {"type": "r", "e": "x"}}, TYPED)
    assert not all_in_body({"m": {"type": "r", "e": None}}, TYPED)
    refers = Content(fields=("m",), plain=frozenset({"t"}), refers=frozenset({"id"}))
    assert not all_in_body({"m": {"type": "t", "id": "x"}}, refers)


def test_by_key_every_member_must_be_known() -> None:
    keyed = Content(fields=("m",), descend=frozenset({"parts"}), plain=frozenset({"parts", "text"}), by_key=True)
    assert all_in_body({"m": [{"parts": [{"text": "x"}]}]}, keyed)
    assert not all_in_body({"m": [{"parts": [{"text": "x", "blob": 1}]}]}, keyed)


def test_sound_is_found_wherever_a_part_says_so_or_refers_to_some() -> None:
    part = {"type": "input_audio", "input_audio": {"data": "x"}}
    assert holds_sound({"m": [{"role": "user", "c": [{"type": "t"}, part]}]}, TYPED)
    assert holds_sound({"m": part}, TYPED)
    assert holds_sound({"m": [{"role": "assistant", "audio": {"id": "a1"}}]}, TYPED)
    assert not holds_sound({"m": [{"role": "user", "c": 'of "input_audio"', "audio": None}], "tools": [part]}, TYPED)
