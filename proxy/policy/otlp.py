"""What a collector of OpenTelemetry hears, as compiled: traced requests and metrics over OTLP. Data."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Otlp:
    """``endpoint``: the base URL, without a slash at its end; /v1/traces and /v1/metrics are below it."""

    endpoint: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    resource: tuple[tuple[str, str], ...]  # attributes, in the order of the file
    sample_rate: float | None  # 0 to 1, of requests that come without a decision; None: it hears of no trace
    every_ms: int | None  # None: it hears of no metric
    timeout_ms: int
