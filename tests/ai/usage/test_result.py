"""Units that the price table counts become the tokens that the ledger shows."""

from proxy.ai.usage.result import Usage
from proxy.core.usage import Tokens


def test_the_ledgers_input_leaves_out_what_the_cache_gave_or_took() -> None:
    counts = {
        "input_tokens": 100,
        "cache_read_tokens": 30,
        "cache_write_tokens": 20,
        "output_tokens": 9,
        "output_reasoning_tokens": 4,
        "input_audio_tokens": 3,
        "output_audio_tokens": 2,
    }
    assert Usage(counts, complete=True).tokens == Tokens(
        input=50, output=9, cached_read=30, cache_write=20, reasoning=4, audio_input=3, audio_output=2
    )


def test_parts_greater_than_their_whole_are_no_negative_input() -> None:
    assert Usage({"input_tokens": 5, "cache_read_tokens": 9}, complete=True).tokens.input == 0
