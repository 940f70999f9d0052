"""From a policy file to one frozen ``Policy``, or every reason at once why not.

``load`` reads files; everything else is pure: variables and the reading of other files are passed in.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
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
from proxy.policy.includes import Assembled, assemble, read_text
from proxy.policy.ledger import compile_ledger
from proxy.policy.limits import compile_limits
from proxy.policy.model import Answers, AuthMode, GatewayKey, IpRules, Policy, Redis, Route
from proxy.policy.otlpwords import compile_otlp
from proxy.policy.prices import compile_prices
from proxy.policy.problems import KeyPath, PolicyError, PolicyProblem
from proxy.policy.regularfile import read_regular
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
from proxy.policy.tracingwords import compile_tracing
from proxy.policy.upstreams import compile_upstreams
from proxy.policy.validation import validate

DEFAULTS: Final = "(defaults)"  # stands for the file's name where there is none

_DAEMON_DATA_DIR: Final = "/var/lib/sluicegate"


@dataclass(frozen=True, slots=True)
class Loaded:
    """``files`` are those that the policy was made of, absolute, its own first: a change in one asks for a reload.

    So does a file more or less that one of ``globs`` matches. ``document`` is the policy as it is written.
    """

    policy: Policy
    warnings: tuple[PolicyProblem, ...]
    files: tuple[Path, ...]
    globs: tuple[Path, ...] = ()
    document: Document = field(default_factory=lambda: unwritten_document({}, DEFAULTS), repr=False)


def load(
    path: Path,
    env: Mapping[str, str],
    *,
    overlays: Sequence[Path] = (),
    allow_missing_secrets: bool = False,
    suppose: Callable[[str], None] | None = None,
) -> Loaded:
    """The policy of a file, with those that it includes and ``overlays`` over them, the last on top.

    ``suppose``: as in ``Surroundings``. Raises: PolicyError, also where a file cannot be read.
    """
    full = path.absolute()
    disk = _Disk()
    around = Surroundings(env, full.parent, disk.read, allow_missing_secrets, suppose=suppose)
    with disk.told():
        return _assembled(read_text(full, str(path), disk.read), str(path), around, disk, overlays)


def compile_text(
    text: str,
    file_name: str,
    env: Mapping[str, str],
    *,
    base: Path | None = None,
    overlays: Sequence[Path] = (),
    allow_missing_secrets: bool = False,
) -> Loaded:
    """As ``load``, of a text; files that it names are looked for from ``base`` on. Raises: PolicyError."""
    disk = _Disk()
    around = Surroundings(env, (base or Path.cwd()).absolute(), disk.read, allow_missing_secrets)
    with disk.told():
        return _assembled(text, file_name, around, disk, overlays)


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
    around = Surroundings(os.environ if env is None else env, Path.cwd(), _Disk().read)
    return _compiled(Assembled(unwritten_document(value, DEFAULTS)), around)[0]


class _Disk:
    """Reads, and remembers what was asked for, also what is not there: it may come."""

    def __init__(self) -> None:
        self._files: dict[Path, None] = {}
        self._globs: dict[Path, None] = {}

    def read(self, path: Path) -> str:
        self._files[path] = None
        return read_regular(path)

    def names(self, glob: Path) -> list[str]:
        self._globs[glob] = None
        return [entry.name for entry in glob.parent.iterdir()]

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(self._files)

    @property
    def globs(self) -> tuple[Path, ...]:
        return tuple(self._globs)

    @contextmanager
    def told(self) -> Iterator[None]:
        """A PolicyError within says what was looked at."""
        try:
            yield
        except PolicyError as error:
            raise PolicyError(error.problems, self.files, self.globs) from error


# --- the parts ---------------------------------------------------------------------------------------------------


def _assembled(text: str, name: str, around: Surroundings, disk: _Disk, overlays: Sequence[Path]) -> Loaded:
    whole = assemble(survey_document(text, name, around), around, disk.names, schema.Config, overlays)
    policy, warnings = _compiled(whole, around)
    return Loaded(policy, warnings, disk.files, disk.globs, whole.document)


def _compiled(whole: Assembled, around: Surroundings) -> tuple[Policy, tuple[PolicyProblem, ...]]:
    """With its warnings. Raises: PolicyError."""
    document = whole.document
    if not isinstance(document.value, dict):
        raise PolicyError([*document.problems, document.problem((), "a policy is a map of keys")])
    validated = validate(document, schema.Config)
    config: schema.Config = validated.value
    findings = Findings(document, validated.unknown, validated.partial)

    def beside(path: KeyPath) -> Path:
        """The folder of the file that has what stands there."""
        return around.base / document.origin(path).folder

    def resolved(path: KeyPath, name: str) -> str:
        full = beside(path) / name
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
    keys, key_problems = _keys(config, around, findings)
    identity = compile_identity(config, keys, resolved, findings)
    _check_auth(config, routes, findings)
    data_dir = str(beside(("data_dir",)) / (config.data_dir or default_data_dir(around.env)))
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
            compile_otlp(config.otlp, findings),
            compile_tracing(config.tracing),
        ),
        budgets=tuple(one for periods in budgets.values() for one in periods),
        prices=compile_prices(config, findings),
        alerts=compile_alerts(config, findings),
        ledger=compile_ledger(config, data_dir, any(spending), findings),
        counted_tenants=compile_counted_tenants(config.metrics, findings),
    )
    errors = [*document.problems, *validated.problems, *findings.errors]
    if errors or key_problems:
        raise PolicyError([*document.in_order(errors), *sorted(key_problems, key=lambda problem: problem.line)])
    return policy, tuple(document.in_order([*whole.warnings, *findings.warnings]))


def default_data_dir(env: Mapping[str, str]) -> str:
    """Where systemd says, else where the user's programs keep their state (XDG), else a daemon's place."""
    if env.get("STATE_DIRECTORY"):
        return env["STATE_DIRECTORY"].split(":")[0]  # systemd.exec(5): several are joined by colons
    if env.get("XDG_STATE_HOME"):
        return f"{env['XDG_STATE_HOME']}/sluicegate"
    return f"{env['HOME']}/.local/state/sluicegate" if env.get("HOME") else _DAEMON_DATA_DIR


def _digest(config: schema.Config, keys: tuple[GatewayKey, ...]) -> str:
    """12 hexadecimal digits over everything that was resolved; of secrets it tells no more than a hash can.

    A policy in several files has the version that it has in one.
    """
    content = json.dumps([config.model_dump(exclude={"include"}), keys], default=str, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def _keys(
    config: schema.Config, around: Surroundings, findings: Findings
) -> tuple[tuple[GatewayKey, ...], list[PolicyProblem]]:
    """All gateway keys, and what is wrong in their own file."""
    places: list[KeyPath] = [("routes", n, "name") for n in range(len(config.routes))]
    routes = findings.route_names() if all(map(findings.sure, [("routes",), *places])) else None
    inline = compile_keys(config.identity.keys, ("identity", "keys"), config, routes, findings)
    name = config.identity.keys_file
    if name is None:
        _check_hashes(inline, ("identity", "keys"), {}, findings)
        return inline, []
    path = around.base / findings.document.origin(("identity", "keys_file")).folder / name
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
