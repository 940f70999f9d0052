"""Finds out before a policy is in force what only a worker would: keys that must not be used, certificates that can't
be read. The parent rehearses each policy, and `sluicegate check` does, so that no worker fails on one.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from proxy.core.clock import SystemClock
from proxy.identity.authenticator import Authenticator
from proxy.identity.jwks import KeySets
from proxy.otlp import extra
from proxy.policy.compiler import Loaded, load
from proxy.policy.problems import PolicyError, PolicyProblem
from proxy.upstream.connect import tls_context


def rehearse(loaded: Loaded) -> list[PolicyProblem]:
    """What is wrong with what the policy names. Reads files; asks no network."""
    problems = []
    policy, document = loaded.policy, loaded.document
    clock = SystemClock()
    try:
        Authenticator(policy.identity, clock, KeySets(clock), tiers=policy.tiers)
    except ValueError as error:
        problems.append(document.problem(("identity",), str(error)))
    for name, upstream in policy.upstreams.items():
        if any(origin.scheme == "https" for origin in upstream.primary):
            try:
                tls_context(upstream.ca_file)
            except OSError as error:  # ssl.SSLError is one
                problems.append(document.problem(("upstreams", name, "ca_file"), f"cannot be used: {error}"))
    if policy.watching.otlp is not None and not extra.is_installed():
        problems.append(document.problem(("otlp",), extra.MISSING))
    return problems


def load_rehearsed(
    path: Path, env: Mapping[str, str], *, overlays: Sequence[Path] = (), allow_missing_secrets: bool = False
) -> Loaded:
    """As ``policy.compiler.load``, with what ``rehearse`` finds. Raises: PolicyError."""
    loaded = load(path, env, overlays=overlays, allow_missing_secrets=allow_missing_secrets)
    problems = rehearse(loaded)
    if problems:
        raise PolicyError(problems, loaded.files, loaded.globs)
    return loaded
