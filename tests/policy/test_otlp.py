"""What is compiled shows no credential."""

from proxy.policy.otlp import Otlp


def test_headers_are_not_shown() -> None:
    otlp = Otlp("https://otlp.example", (("api-key", "hunter2"),), (), 0.1, 60_000, 10_000)
    assert "hunter2" not in repr(otlp)
