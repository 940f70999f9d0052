"""Finds out before a policy is in force what only a worker would: keys that must not be used, certificates that can't
be read. The parent rehearses each policy, and `sluicegate check` does, so that no worker fails on one.
"""

from collections.abc import Mapping
from pathlib import Path

from proxy.core.clock import SystemClock
from proxy.identity.authenticator import Authenticator
from proxy.identity.jwks import KeySets
from proxy.policy.compiler import Loaded, load
from proxy.policy.model import Policy
from proxy.policy.problems import PolicyError, PolicyProblem
from proxy.upstream.connect import tls_context


def rehearse(policy: Policy, file: str) -> list[PolicyProblem]:
    """What is wrong with what the policy names. Reads files; asks no network."""
    problems = []
    clock = SystemClock()
    try:
        Authenticator(policy.identity, clock, KeySets(clock), tiers=policy.tiers)
    except ValueError as error:
        problems.append(PolicyProblem(file, 0, "identity", str(error)))
    for name, upstream in policy.upstreams.items():
        if any(origin.scheme == "https" for origin in upstream.primary):
            try:
                tls_context(upstream.ca_file)
            except OSError as error:  # ssl.SSLError is one
                problems.append(PolicyProblem(file, 0, f"upstreams.{name}.ca_file", f"cannot be used: {error}"))
    return problems


def load_rehearsed(path: Path, env: Mapping[str, str], *, allow_missing_secrets: bool = False) -> Loaded:
    """As ``policy.compiler.load``, with what ``rehearse`` finds. Raises: PolicyError."""
    loaded = load(path, env, allow_missing_secrets=allow_missing_secrets)
    problems = rehearse(loaded.policy, path.name)
    if problems:
        raise PolicyError(problems)
    return loaded
