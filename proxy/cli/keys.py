"""`sluicegate keys`: machine clients' keys, in the file that the policy names as ``identity.keys_file``.

The file is replaced whole; a running gateway notices within a second. A key is printed once and never kept.
"""

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from proxy.core.units import UnitError, parse_duration_ms
from proxy.policy import keysfile
from proxy.policy.problems import PolicyError

DEFAULT_FILE: Final = Path("keys.yaml")
DEFAULT_OVERLAP: Final = "1d"

Chown = Callable[[int, int, int], None]
Change = Callable[[argparse.Namespace, str, int], tuple[str, str | None]]


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    keys = commands.add_parser("keys", help="create, rotate, expire and revoke machine clients' keys")
    verbs = keys.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, summary in (
        ("create", "make a key"),
        ("rotate", "make a new key for a name; the old one works on for a while"),
        ("expire", "let a key end at a later time"),
        ("revoke", "end a key at once, for good"),
        ("list", "tell the keys, never their secrets"),
    ):
        parser = verbs.add_parser(verb, help=summary)
        parser.add_argument("--file", type=Path, default=DEFAULT_FILE, help="the keys file (keys.yaml)")
        if verb != "list":
            parser.add_argument("name")
        parser.set_defaults(call=main)
        if verb == "create":
            parser.add_argument("--tenant", help="the tenant it acts for")
            parser.add_argument("--user", help="the user it acts for")
            parser.add_argument("--tier", help="its tier")
            parser.add_argument("--may-act-for", metavar="TENANTS", help="'any', or tenants with commas between")
            parser.add_argument(
                "--routes", metavar="ROUTES", help="routes that it may use, with commas; all if left out"
            )
            parser.add_argument("--feature", help="what its calls to a provider are for")
            parser.add_argument("--cost-centre", help="who pays for them")
            parser.add_argument("--expires-in", metavar="DURATION", help="such as 90d")
        if verb == "rotate":
            parser.add_argument("--overlap", default=DEFAULT_OVERLAP, help="how long the old key works on (1d)")
        if verb == "expire":
            parser.add_argument(
                "--in", dest="expires_in", required=True, metavar="DURATION", help="such as 1h; 0s is now"
            )


def _create(args: argparse.Namespace, text: str, now_ms: int) -> tuple[str, str]:
    key = keysfile.new_key()
    acts_for = None
    if args.may_act_for:
        acts_for = ["*"] if args.may_act_for == "any" else args.may_act_for.split(",")
    new = keysfile.created(
        text,
        args.name,
        keysfile.digest_of(key),
        tenant=args.tenant,
        user=args.user,
        tier=args.tier,
        may_act_for=acts_for,
        routes=args.routes.split(",") if args.routes else None,
        feature=args.feature,
        cost_centre=args.cost_centre,
        expires_ms=now_ms + parse_duration_ms(args.expires_in) if args.expires_in else None,
    )
    return new, key


def _rotate(args: argparse.Namespace, text: str, now_ms: int) -> tuple[str, str]:
    key = keysfile.new_key()
    until_ms = now_ms + parse_duration_ms(args.overlap)
    digest = keysfile.digest_of(key)
    return keysfile.rotated(text, args.name, digest, overlap_until_ms=until_ms, now_ms=now_ms), key


def _expire(args: argparse.Namespace, text: str, now_ms: int) -> tuple[str, None]:
    return keysfile.ended(text, args.name, at_ms=now_ms + parse_duration_ms(args.expires_in)), None


def _revoke(args: argparse.Namespace, text: str, _now_ms: int) -> tuple[str, None]:
    return keysfile.revoked(text, args.name), None


_CHANGES: Final[dict[str, Change]] = {"create": _create, "rotate": _rotate, "expire": _expire, "revoke": _revoke}


def main(args: argparse.Namespace) -> int:
    path: Path = args.file
    try:
        text = path.read_text() if path.exists() else ""
        if args.verb == "list":
            return _list(text, path)
        new, key = _CHANGES[args.verb](args, text, time.time_ns() // 1_000_000)
        was = path.stat() if path.exists() else None
        replace_file(path, new)
    except (keysfile.KeysFileError, UnitError) as exc:
        print(f"sluicegate: {exc}", file=sys.stderr)
        return 1
    except PolicyError as exc:
        print(exc, file=sys.stderr)
        return 1
    except OSError as exc:
        print(f"sluicegate: {exc.filename}: {exc.strerror}", file=sys.stderr)
        return 1
    if key is not None:
        print(key)
        print(f"{args.name}: this is shown once; {path} keeps its digest alone", file=sys.stderr)
    if (warning := access_warning(path, was)) is not None:
        print(f"sluicegate: {warning}", file=sys.stderr)
    return 0


def _list(text: str, path: Path) -> int:
    for name, key in keysfile.entries(text, str(path)).items():
        if key.revoked:
            state = "revoked"
        else:
            ends = [digest.expires for digest in key.sha256]
            state = "; ".join("does not end" if end is None else f"ends {_time(end)}" for end in ends)
        print(f"{name}\t{state}")
    return 0


def _time(epoch_ms: int) -> str:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="seconds")


def access_warning(path: Path, was: os.stat_result | None) -> str | None:
    """What to see to where a gateway that runs as another user may be unable to read the file now. ``was``: before the
    change, None for a new one. Raises: OSError."""
    now = path.stat()
    if was is None:
        return f"{path} is new and nobody else may read it (0600): the gateway's user or group has to"
    if (was.st_uid, was.st_gid) != (now.st_uid, now.st_gid):
        owner = f"{was.st_uid}:{was.st_gid}"
        return (
            f"{path} belonged to {owner}, which this user may not give it to: chown {owner} it, or the gateway loses it"
        )
    return None


def replace_file(path: Path, text: str, chown: Chown = os.fchown) -> None:
    """Whole or not at all: a reader never sees half a file, a crash leaves the old one.

    Mode, owner and group stay: the gateway that reads it is often not the user who rotates. What the caller may not
    give away, owner or group, becomes its own. Raises: OSError.
    """
    was = path.stat() if path.exists() else None
    fd, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(fd, "w") as file:
            file.write(text)
            file.flush()
            if was is not None:
                with contextlib.suppress(PermissionError):
                    chown(fd, -1, was.st_gid)
                os.fchmod(fd, was.st_mode & 0o777)  # after its group has changed, and while it is still ours
                with contextlib.suppress(PermissionError):
                    chown(fd, was.st_uid, -1)
            os.fsync(fd)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
