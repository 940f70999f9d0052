"""Text of regular files alone. A pipe that lies among a policy's files has no end until somebody writes into it, and
whoever reads it waits as long: a gateway would take no other policy any more.
"""

import errno
import os
import stat
from pathlib import Path
from typing import Final

# What a shell hands to a command, `sluicegate diff <(git show HEAD:policy.yaml) policy.yaml`, has its writer already.
_HANDED_OVER: Final = (Path("/dev/fd"), Path("/dev/stdin"), Path("/proc/self/fd"))


def read_regular(path: Path) -> str:
    """Links are followed. Raises: OSError, also for what is no regular file; UnicodeDecodeError."""
    if any(path.is_relative_to(place) for place in _HANDED_OVER):
        return path.read_text(encoding="utf-8")
    # Looked at once it is open, so that it cannot become another in between; to open a pipe would wait, too.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        with open(fd, encoding="utf-8", closefd=False) as file:
            return file.read()
    finally:
        os.close(fd)
