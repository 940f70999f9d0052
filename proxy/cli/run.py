"""`sluicegate run`: serves until stopped."""

import argparse
import functools
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import uvloop

from proxy.admin.listeners import listeners
from proxy.gateway.rehearsal import load_rehearsed
from proxy.gateway.sockets import CannotListen
from proxy.gateway.supervisor import PolicySource, Supervisor
from proxy.policy.compiler import Loaded, defaults_for
from proxy.policy.model import Address
from proxy.policy.problems import PolicyError
from proxy.store.embedded import EmbeddedError
from proxy.telemetry.log import configure

log = logging.getLogger("sluicegate")

ADDRESSES: Final = ("listen", "metrics", "admin")


class FileSource:
    """A policy file, the files that it names, and the overlays over it."""

    def __init__(self, path: Path, overlays: Sequence[Path] = ()) -> None:
        self._path = path
        self._overlays = overlays

    def load(self) -> Loaded:
        return load_rehearsed(self._path, os.environ, overlays=self._overlays)


class UpstreamSource:
    """No file: one upstream and the defaults."""

    def __init__(self, upstream_url: str, addresses: dict[str, str]) -> None:
        self._upstream_url = upstream_url
        self._addresses = addresses

    def load(self) -> Loaded:
        listen, metrics, admin = map(self._addresses.get, ADDRESSES)
        return Loaded(defaults_for(self._upstream_url, listen=listen, metrics=metrics, admin=admin), (), ())


def main(args: argparse.Namespace) -> int:
    given = {name: address for name in ADDRESSES if (address := getattr(args, name)) is not None}
    if given and args.config:
        name = next(iter(given))
        print(f"sluicegate: --{name} goes with --upstream; a policy file has {name}.address", file=sys.stderr)
        return 2
    if args.overlay and not args.config:
        print("sluicegate: --overlay goes with --config; there is no file to put it over", file=sys.stderr)
        return 2
    return serve(FileSource(args.config, args.overlay) if args.config else UpstreamSource(args.upstream, given))


def serve(source: PolicySource, on_ready: Callable[[], None] = lambda: None) -> int:
    """Loads the policy and serves by it in the foreground; 1 if it cannot. ``on_ready``: once requests are answered."""
    person = sys.stderr.isatty()
    os.environ.setdefault("SLUICEGATE_LOG", "text" if person else "json")
    configure(json_lines=os.environ["SLUICEGATE_LOG"] == "json")
    try:
        loaded = source.load()
    except PolicyError as exc:
        print(exc, file=sys.stderr)
        return 1
    except OSError as exc:
        print(f"sluicegate: {exc.filename}: {exc.strerror}", file=sys.stderr)
        return 1
    for warning in loaded.warnings:
        log.warning(str(warning))
    try:
        uvloop.run(_run(source, loaded, on_ready))
    except (CannotListen, EmbeddedError, TimeoutError) as exc:
        log.error(str(exc) or "the workers did not start in time")
        return 1
    except OSError as exc:
        log.error("cannot serve (data_dir is %s): %s", loaded.policy.data_dir, exc)
        return 1
    return 0


async def _run(source: PolicySource, loaded: Loaded, on_ready: Callable[[], None]) -> None:
    def bound(name: str, host: str, port: int) -> None:
        log.info("listening", extra={"fields": {"listener": name, "address": str(Address(host, port))}})

    await Supervisor(source, loaded).run([functools.partial(listeners, on_bound=bound)], on_ready)
