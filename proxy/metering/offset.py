"""How far the store's clock is from this worker's monotonic one, learnt from replies. Pure; milliseconds throughout."""


class Offset:
    """The store's time is about monotonic + ``ms``, never less in truth: deadlines by it are never late.

    A reply that was sent for at ``sent`` and came at ``received`` with the store's time ``clock`` bounds the offset
    to [clock - received, clock + 1 - sent]. What is believed stays while replies agree with it, else it becomes the
    lower bound.
    """

    __slots__ = ("known", "ms")

    def __init__(self) -> None:
        self.ms = 0.0
        self.known = False

    def learn(self, sent: float, received: float, clock: float) -> None:
        lower = clock - received
        if not self.known or not lower <= self.ms <= clock + 1 - sent:
            self.ms = lower
            self.known = True

    def deadline(self, monotonic: float) -> float:
        """The store's time by which what is given up at ``monotonic`` must have begun; whole milliseconds, early."""
        return (monotonic + self.ms) // 1 - 1
