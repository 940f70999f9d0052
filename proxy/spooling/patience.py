"""When somebody outside is asked again: for anything, for one kind of what waits, for one file. Pure.

Whether he is away or cannot digest one file looks the same at first. So a kind of which nothing is taken pauses, longer
each time, and is tried with one file at a time; and against a file itself counts only that it failed again while
something else was taken. A file that has done so many times is given up. So an outage loses nothing, however long it
lasts, and what always fails holds up nobody else and is not tried for ever.

Callers pass ``now_s``, of any clock that only goes forward. Of a process: its successor begins anew.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final, Generic

from proxy.spooling.spool import K, Waiting

FIRST_PAUSE_S: Final = 0.5
LAST_PAUSE_S: Final = 15.0  # of a kind
LAST_PUT_OFF_S: Final = 900.0  # of a file
MOST_STRIKES: Final = 15  # over some seventy minutes: an hour in which only some of it is taken loses nothing either


@dataclass(slots=True)
class _File:
    taken: int  # of all, when it failed last
    until_s: float = 0.0
    strikes: int = 0


@dataclass(slots=True)
class _Kind:
    until_s: float = 0.0
    pause_s: float = FIRST_PAUSE_S
    fails: bool = False
    files: dict[str, _File] = field(default_factory=dict)


class Patience(Generic[K]):
    """With one address."""

    def __init__(self, kinds: Iterable[K]) -> None:
        self._until_s = 0.0
        self._kinds = {kind: _Kind() for kind in kinds}
        self._taken = 0

    # --- who may be asked for ---

    def may(self, kind: K, now_s: float) -> bool:
        return now_s >= self._until_s and now_s >= self._kinds[kind].until_s

    def may_file(self, one: Waiting[K], now_s: float) -> bool:
        file = self._kinds[one.kind].files.get(one.name)
        return file is None or now_s >= file.until_s

    def doubts(self, one: Waiting[K]) -> bool:
        """It failed where others did not: they go first."""
        file = self._kinds[one.kind].files.get(one.name)
        return file is not None and file.strikes > 0

    def places(self, kind: K, most: int) -> int:
        """How many files of a kind may be under way."""
        return 1 if self._kinds[kind].fails else most

    # --- what came of it ---

    def wait(self, kind: K | None, pause_s: float, now_s: float) -> None:
        """As he asks, with a kind or with all."""
        if kind is None:
            self._until_s = max(self._until_s, now_s + pause_s)
        else:
            self._kinds[kind].until_s = max(self._kinds[kind].until_s, now_s + pause_s)

    def took(self, kind: K) -> None:
        """Something of it: also what he refused for good."""
        self._taken += 1
        state = self._kinds[kind]
        state.fails, state.pause_s = False, FIRST_PAUSE_S

    def failed(self, kind: K, now_s: float) -> bool:
        """Whether the kind pauses, as nothing of it was taken since it failed before."""
        state = self._kinds[kind]
        if not state.fails:
            state.fails = True
            return False
        if now_s >= state.until_s:  # what failed together counts once
            state.until_s = now_s + state.pause_s
            state.pause_s = min(2 * state.pause_s, LAST_PAUSE_S)
        return True

    def put_off(self, one: Waiting[K], now_s: float) -> bool:
        """Of a file some of which has failed. False: it is given up."""
        files = self._kinds[one.kind].files
        file = files.get(one.name)
        if file is None:
            file = files[one.name] = _File(self._taken)
        elif self._taken > file.taken:
            file.taken = self._taken
            file.strikes += 1
        if file.strikes >= MOST_STRIKES:
            del files[one.name]
            return False
        file.until_s = now_s + min(FIRST_PAUSE_S * 2**file.strikes, LAST_PUT_OFF_S)
        return True

    def forget(self, kind: K, here: Collection[str]) -> None:
        """All files but these: they have gone."""
        files = self._kinds[kind].files
        for name in [name for name in files if name not in here]:
            del files[name]
