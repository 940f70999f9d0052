"""A message on its way to one recipient: what whoever keeps it until then and whoever sends it both speak of. Pure."""

from dataclasses import dataclass

Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Delivery:
    """``recipient``: "" unless the channel has several; ``payload``: what is told, as JSON; ``attempts``: so far, with
    the one that it was taken for; ``created_ms``: when it was made, epoch milliseconds."""

    id: str
    channel: str
    recipient: str
    payload: str
    attempts: int
    created_ms: int

    @property
    def key(self) -> Key:
        """What no other has: the message's id, its channel and who of it."""
        return self.id, self.channel, self.recipient
