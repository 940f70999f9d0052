"""What an answer said was used: units as the price table counts them, and the tokens that the ledger shows. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from proxy.core.usage import Tokens


@dataclass(frozen=True, slots=True)
class Usage:
    """What one answer said.

    ``counts``: unit → amount; ``input_tokens`` and ``output_tokens`` are totals, every other unit of tokens is a part
    of one of them. ``complete``: no more could have come. ``context`` and ``geo``: as billed, where the answer says so,
    the usual price included, which may not be what was asked for.
    ``streamed_bytes``: of the body, up to when this was asked.
    """

    counts: Mapping[str, int]
    complete: bool
    provider_request_id: str | None = None
    model: str | None = None
    context: tuple[tuple[str, str], ...] = ()
    geo: str | None = None
    streamed_bytes: int = 0

    @property
    def tokens(self) -> Tokens:
        """For the ledger, whose input leaves out what the cache gave or took."""
        count = self.counts.get
        read, written = count("cache_read_tokens", 0), count("cache_write_tokens", 0)
        return Tokens(
            input=max(0, count("input_tokens", 0) - read - written),
            output=count("output_tokens", 0),
            cached_read=read,
            cache_write=written,
            reasoning=count("output_reasoning_tokens", 0),
            audio_input=count("input_audio_tokens", 0),
            audio_output=count("output_audio_tokens", 0),
            images=count("output_images", 0),
        )
