"""From a policy file to one frozen ``Policy``, or every reason at once why not.

``load`` reads files; everything else is pure: variables and the reading of other files are passed in.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from proxy import __version__
from proxy.policy import schema
from proxy.policy.alerts import compile_alerts
from proxy.policy.budgets import compile_budgets
from proxy.policy.caches import compile_stores
from proxy.policy.callers import compile_identity, compile_keys
from proxy.policy.calls import compile_spending
from proxy.policy.document import Document, Surroundings, survey_document, unwritten_document
from proxy.policy.findings import Findings
from proxy.policy.ledger import compile_ledger
from proxy.policy.limits import compile_limits
from proxy.policy.model import Answers, AuthMode, GatewayKey, IpRules, Policy, Redis, Route
from proxy.policy.prices import compile_prices
from proxy.policy.problems import KeyPath, PolicyError, PolicyProblem
from proxy.policy.routes import (
    budget_names,
    check_defaults,
    compile_cors,
    compile_routes,
    least_amounts,
    limit_names,
)
from proxy.policy.sentrywords import compile_watching
from proxy.policy.servers import compile_admin, compile_counted_tenants, compile_listen, compile_maintenance
from proxy.policy.sums import check_sums
from proxy.policy.upstreams import compile_upstreams
from proxy.policy.validation import validate

DEFAULTS: Final = "(defaults)"  # stands for the file's name where there is none

_DAEMON_DATA_DIR: Final = "/var/lib/sluicegate"


@dataclass(frozen=True, slots=True)
class Loaded:
    """``files`` are those that the policy was made of, absolute, its own first: a change in one asks for a reload."""

    policy: Policy
    warnings: tuple[PolicyProblem, ...]
    files: tuple[Path, ...]


def load(path: Path, env: Mapping[str, str], *, allow_missing_secrets: bool = False) -> Loaded:
    """The policy of a file. Raises: PolicyError, also where the file cannot be read."""
    full = path.absolute()
    try:
        text = _read(full)
    except OSError as error:
        raise PolicyError([PolicyProblem(str(path), 0, "", f"cannot be read: {error.strerror}")]) from error
    except ValueError as error:
        raise PolicyError([PolicyProblem(str(path), 0, "", "is not UTF-8 text")]) from error
    around = Surroundings(env, full.parent, _read, allow_missing_secrets)
    loaded = _compiled(survey_document(text, str(path), around), around)
    return replace(loaded, files=(full, *loaded.files))


def compile_text(
    text: str, file_name: str, env: Mapping[str, str], *, base: Path | None = None, allow_missing_secrets: bool = False
) -> Loaded:
    """As ``load``, of a text; files that it names are looked for from ``base`` on. Raises: PolicyError."""
    around = Surroundings(env, (base or Path.cwd()).absolute(), _read, allow_missing_secrets)
    return _compiled(survey_document(text, file_name, around), around)


def defaults_for(
    upstream_url: str,
    *,
    env: Mapping[str, str] | None = None,
    listen: str | None = None,
    metrics: str | None = None,
    admin: str | None = None,
    data_dir: str | None = None,
    redis: str | None = None,
) -> Policy:
    """The policy of ``sluicegate run --upstream URL``: one app, protected with no file at all.

    600 requests a minute from one address. Nobody is identified: the app's own tokens pass untouched. Everything
    listens on loopback, since whoever starts a gateway without a policy has not said yet who may reach it; ``listen``,
    ``metrics`` and ``admin`` (host:port) say. ``env`` is the process's own where none is given. Raises: PolicyError.
    """
    value: dict[str, Any] = {
        "version": 1,
        "upstreams": {"app": {"primary": [upstream_url]}},
        "limits": {"per-ip": {"scope": "ip", "rate": "600/1m"}},
        "defaults": {"auth": "none", "limits": ["per-ip"]},
        "routes": [{"name": "app", "match": {"path": "/**"}, "upstream": "app"}],
    }
    for section, address in (("listen", listen), ("metrics", metrics), ("admin", admin)):
        if address is not None:
            value[section] = {"address": address}
    if data_dir is not None:
        value["data_dir"] = data_dir
    if redis is not None:
        value["redis"] = {"meters": redis}
    around = Surroundings(os.environ if env is None else env, Path.cwd(), _read)
    return _compiled(unwritten_document(value, DEFAULTS), around).policy


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


# --- the parts ---------------------------------------------------------------------------------------------------


def _compiled(document: Document, around: Surroundings) -> Loaded:
    if not isinstance(document.value, dict):
        raise PolicyError([*document.problems, document.problem((), "a policy is a map of keys")])
    validated = validate(document, schema.Config)
    config: schema.Config = validated.value
    findings = Findings(document, validated.unknown, validated.partial)
    files: dict[Path, None] = dict.fromkeys(document.files)

    def resolved(path: KeyPath, name: str) -> str:
        full = around.base / name
        files[full] = None
        try:
            around.read(full)
        except OSError as error:
            if not around.allow_missing:
                findings.error(path, f"the file {name!r} cannot be read: {error.strerror}")
        except ValueError:
            findings.error(path, f"the file {name!r} is not UTF-8 text")
        return str(full)

    names = [limit_names(config, index, findings) for index in range(len(config.routes))]
    limits = compile_limits(config, least_amounts(config, names), findings)
    upstreams = compile_upstreams(config, resolved, findings)
    check_defaults(config, findings)
    budgets = compile_budgets(config, findings)
    spent = [budget_names(config, index, findings) for index in range(len(config.routes))]
    spending = []
    for index, own in enumerate(names):
        sound = [limits[name] for name in own if name in limits]
        spending.append(compile_spending(config, index, spent[index], sound, budgets, findings))
    routes = compile_routes(config, names, limits, spending, findings)
    _check_use(config, names, spent, findings)
    check_sums(budgets, spent, findings)
    keys, key_problems = _keys(config, around, files, findings)
    identity = compile_identity(config, keys, resolved, findings)
    _check_auth(config, routes, findings)
    data_dir = str(around.base / (config.data_dir or default_data_dir(around.env)))
    policy = Policy(
        version=_digest(config, keys),
        listen=compile_listen(config.listen),
        metrics=config.metrics.address if config.metrics else None,
        admin=compile_admin(config, findings),
        redis=Redis(config.redis.meters, config.redis.timeout),
        data_dir=data_dir,
        identity=identity,
        tiers=tuple(config.tiers),
        upstreams=upstreams,
        limits=limits,
        ip=IpRules(tuple(config.ip.deny), tuple(config.ip.allow)),
        maintenance=compile_maintenance(config.maintenance),
        answers=Answers(config.answers.legacy_reset),
        routes=routes,
        caches=compile_stores(config),
        watching=compile_watching(
            config.sentry,
            config.vitals,
            config.server_timing,
            compile_cors(config.cors, ("cors",), findings),
            f"sluicegate@{__version__}",
        ),
        budgets=tuple(one for periods in budgets.values() for one in periods),
        prices=compile_prices(config, findings),
        alerts=compile_alerts(config, findings),
        ledger=compile_ledger(config, data_dir, any(spending), findings),
        counted_tenants=compile_counted_tenants(config.metrics, findings),
    )
    errors = [*document.problems, *validated.problems, *findings.errors]
    if errors or key_problems:
        raise PolicyError([*_sorted(errors), *_sorted(key_problems)])
    return Loaded(policy, tuple(_sorted(findings.warnings)), tuple(files))


def _sorted(problems: Iterable[PolicyProblem]) -> list[PolicyProblem]:
    return sorted(problems, key=lambda problem: problem.line)


def default_data_dir(env: Mapping[str, str]) -> str:
    """Where systemd says, else where the user's programs keep their state (XDG), else a daemon's place."""
    if env.get("STATE_DIRECTORY"):
        return env["STATE_DIRECTORY"].split(":")[0]  # systemd.exec(5): several are joined by colons
    if env.get("XDG_STATE_HOME"):
        return f"{env['XDG_STATE_HOME']}/sluicegate"
    return f"{env['HOME']}/.local/state/sluicegate" if env.get("HOME") else _DAEMON_DATA_DIR


def _digest(config: schema.Config, keys: tuple[GatewayKey, ...]) -> str:
    """12 hexadecimal digits over everything that was resolved; of secrets it tells no more than a hash can."""
    content = json.dumps([config.model_dump(), keys], default=str, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def _keys(
    config: schema.Config, around: Surroundings, files: dict[Path, None], findings: Findings
) -> tuple[tuple[GatewayKey, ...], list[PolicyProblem]]:
    """All gateway keys, and what is wrong in their own file."""
    places: list[KeyPath] = [("routes", n, "name") for n in range(len(config.routes))]
    routes = findings.route_names() if all(map(findings.sure, [("routes",), *places])) else None
    inline = compile_keys(config.identity.keys, ("identity", "keys"), config, routes, findings)
    name = config.identity.keys_file
    if name is None:
        _check_hashes(inline, ("identity", "keys"), {}, findings)
        return inline, []
    path = around.base / name
    files[path] = None
    try:
        text = around.read(path)
    except OSError as error:
        if not around.allow_missing:
            findings.error(("identity", "keys_file"), f"the file {name!r} cannot be read: {error.strerror}")
        return inline, []
    except ValueError:
        findings.error(("identity", "keys_file"), f"the file {name!r} is not UTF-8 text")
        return inline, []
    try:
        document = survey_document(text, name, replace(around, base=path.parent))
        validated = validate(document, schema.KeysFile)
    except PolicyError as error:
        return inline, list(error.problems)
    files.update(dict.fromkeys(document.files))
    own = Findings(document, validated.unknown, validated.partial)
    for doubled in sorted(validated.value.keys() & config.identity.keys.keys()):
        own.error((doubled,), "the policy file has a key of this name, too")
    filed = compile_keys(validated.value, (), config, routes, own)
    seen = _check_hashes(inline, ("identity", "keys"), {}, findings)
    _check_hashes(filed, (), seen, own)
    return (*inline, *filed), [*document.problems, *validated.problems, *own.errors]


def _check_hashes(
    keys: tuple[GatewayKey, ...], path: KeyPath, seen: dict[str, str], findings: Findings
) -> dict[str, str]:
    """Two names for one key would make it a matter of luck for whom it acts."""
    for key in keys:
        here: KeyPath = (*path, key.name, "sha256")
        for digest, _ in key.sha256:
            if digest in seen:
                findings.error(here, f"is the hash of the key {seen[digest]!r}, too", here)
            if findings.wholly_sure(here):
                seen[digest] = key.name
    return seen


def _check_use(
    config: schema.Config, limits: list[tuple[str, ...]], budgets: list[tuple[str, ...]], findings: Findings
) -> None:
    for kind, known, names in (("limit", config.limits, limits), ("budget", config.budgets.by_name, budgets)):
        used = {name for own in names for name in own}
        for name in known:
            if name not in used:
                findings.warn((f"{kind}s", name), f"no route uses this {kind}")
    targets = {route.upstream for route in config.routes}
    for name in config.upstreams:
        if name not in targets:
            findings.warn(("upstreams", name), "no route uses this upstream")


def _check_auth(config: schema.Config, routes: tuple[Route, ...], findings: Findings) -> None:
    """Without an issuer or a key, nobody can be known."""
    identity = config.identity
    places: list[KeyPath] = [("identity", key) for key in ("issuers", "keys", "keys_file")]
    if identity.issuers or identity.keys or identity.keys_file or not all(map(findings.sure, places)):
        return
    nobody = "identity has no issuers and no keys"
    for index, route in enumerate(routes):
        path: KeyPath = ("routes", index, "auth")
        if config.routes[index].auth is None and "auth" in config.defaults.model_fields_set:
            path = ("defaults", "auth")
        if not findings.sure(path) or not findings.sure(("defaults", "auth")):
            continue
        if route.auth is AuthMode.REQUIRED:
            findings.error(path, f"auth is required, but {nobody}: nobody could pass; say auth: none, or add one")
            return
        if route.auth is AuthMode.OPTIONAL:
            findings.warn(path, f"auth is optional, but {nobody}: all callers are anonymous")
            return
