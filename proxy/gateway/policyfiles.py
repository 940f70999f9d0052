"""Which files a policy was made of, and whether one of them is another by now: then it is read anew.

Also what a wildcard matches, so that a file that comes or goes is noticed; and what a refused policy was made of, since
a change there may mend it. Links are followed, as Kubernetes swaps a ConfigMap's.
"""

from collections.abc import Iterable
from pathlib import Path

from proxy.policy.includes import matching

Mark = tuple[int, int, int] | tuple[str, ...] | None


class PolicyFiles:
    """Looks at the disk when it is made and in ``look`` and ``changed``, and never blocks for more than that."""

    def __init__(self, files: Iterable[Path], globs: Iterable[Path] = ()) -> None:
        self._accepted: dict[Path, bool] = {}
        self._marks: dict[Path, tuple[bool, Mark]] = {}
        self.accepted(files, globs)

    def changed(self) -> bool:
        """Whether one is not as it was when it was looked at."""
        return any(_mark(path, is_glob) != mark for path, (is_glob, mark) in self._marks.items())

    def look(self) -> None:
        """To be called before they are read: one that changes while it is read has to be read again."""
        self._marks = {path: (is_glob, _mark(path, is_glob)) for path, (is_glob, _) in self._marks.items()}

    def accepted(self, files: Iterable[Path], globs: Iterable[Path]) -> None:
        """The policy that was read was made of these."""
        self._accepted = dict.fromkeys(files, False) | dict.fromkeys(globs, True)
        self._watch(self._accepted)

    def refused(self, files: Iterable[Path], globs: Iterable[Path]) -> None:
        """The policy that was read was made of these, and the one before stays."""
        self._watch(self._accepted | dict.fromkeys(files, False) | dict.fromkeys(globs, True))

    def _watch(self, paths: dict[Path, bool]) -> None:
        before = self._marks
        self._marks = {path: before.get(path) or (is_glob, _mark(path, is_glob)) for path, is_glob in paths.items()}


def _mark(path: Path, is_glob: bool) -> Mark:
    """Another when a file changes, or what a wildcard matches."""
    try:
        if is_glob:
            return tuple(matching(path, [entry.name for entry in path.parent.iterdir()]))
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
