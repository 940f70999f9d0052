"""Judges of a limiter's answers that know nothing of how it counts: each reads a log of takes and times."""

from dataclasses import dataclass, field

from proxy.metering.takes import Take


@dataclass
class StrictWindows:
    """Truth 2: in no trailing window is more than the capacity admitted.

    Across changes of a policy: of the takes in the window of an admission, those count that no earlier admission,
    under a shorter window, had already seen leave. Once the clock has been reset, takes from the future happened at
    the reset, and what its first decision sees leave has left even if it was refused: it rewrites the meter.
    """

    log: dict[bytes, list[list[int]]] = field(default_factory=dict)  # [time, amount], not forgotten
    now_ms: int = 0

    def clock(self, clock_ms: int) -> int:
        """The time that the truth is about: Redis' clock, never back, unless by more than five seconds."""
        if self.now_ms - clock_ms > 5_000:
            for takes in self.log.values():
                for entry in takes:
                    entry[0] = min(entry[0], clock_ms)
            self.now_ms = clock_ms
        self.now_ms = max(self.now_ms, clock_ms)
        return self.now_ms

    def rewritten(self, take: Take) -> None:
        takes = self.log.setdefault(take.key, [])
        takes[:] = [entry for entry in takes if entry[0] + take.a > self.now_ms]

    def admitted(self, take: Take) -> None:
        self.rewritten(take)
        takes = self.log[take.key]
        takes.append([self.now_ms, take.amount])
        total = sum(amount for _, amount in takes)
        assert total <= take.capacity, f"{total} of {take.capacity} in {take.a} ms up to {self.now_ms}"
