"""The public suite of tests for HTTP caches (npm: http-cache-tests), through a gateway, by the standard's letter.

Its last release is older than RFC 9111: what it wants otherwise stands below with the reason. Its newer cases are among
those of tests/e2e/caching, in our own words. Surrogate-Control, which it asks about besides, is a note of the W3C that
this gateway does not obey: CDN-Cache-Control has taken its place (RFC 9213).
"""

import json
import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.gateway import eventually, running
from tests.e2e.policies import policy

LOOPBACK: Final = str(Path(__file__).with_name("loopback.cjs"))  # the suite would listen on all interfaces
pytestmark = pytest.mark.full

PACKAGE: Final = "SLUICEGATE_CACHE_TESTS"  # the environment names the package's folder; .ci/run installs it
LEAST: Final = {"required": 157, "optimal": 86}
MINUTES: Final = 3

_INVALID_AGE: Final = "an Age that is no number is ignored; the release took it for old (RFC 9111 §5.1)"
_FIRST_AGE: Final = "of several values of Age the first counts; the release took them for old (RFC 9111 §5.1)"
_NO_ANSWER: Final = (
    "what must not be served stale becomes a 502 of ours (RFC 9111 §4.2.4); since that does not say which request the "
    "origin answered, the release takes it for a stored answer"
)
OTHERWISE: Final = {
    "age-parse-nonnumeric": _INVALID_AGE,
    "age-parse-negative": _INVALID_AGE,
    "age-parse-float": _INVALID_AGE,
    "age-parse-parameter": _INVALID_AGE,
    "age-parse-numeric-parameter": _INVALID_AGE,
    "age-parse-prefix-twoline": _FIRST_AGE,
    "age-parse-dup-0": _FIRST_AGE,
    "age-parse-dup-0-twoline": _FIRST_AGE,
    "age-parse-dup-old": _FIRST_AGE,
    "stale-close-must-revalidate": _NO_ANSWER,
    "stale-close-proxy-revalidate": _NO_ANSWER,
    "stale-close-no-cache": _NO_ANSWER,
    "stale-close-s-maxage=2": _NO_ANSWER,
    "304-etag-update-response-Content-MD5": "a 304 updates all fields but Content-Length and the like (RFC 9111 §3.2)",
    "304-etag-update-response-ETag": (
        "a 304 with another strong entity tag speaks of another representation, so the answer is fetched anew "
        "(RFC 9111 §4.3.4)"
    ),
    "conditional-lm-fresh-no-lm": (
        "without Last-Modified an answer is as old as its Date, which is later than what the client has "
        "(RFC 9111 §4.3.2)"
    ),
    "headers-store-Transfer-Encoding": (
        "a coding that nobody asked for and nobody here can take off is refused: to pass on, or to store, what it has "
        "coded as if it were the content would be wrong (RFC 9112 §6.1, §7)"
    ),
}


@pytest.fixture
def package() -> Path:
    folder = os.environ.get(PACKAGE)
    assert folder, f"{PACKAGE} names no folder; .ci/run full installs the package"
    return Path(folder)


@pytest.fixture
def origin_port(package: Path, tmp_path: Path) -> Iterator[int]:
    """The suite's own origin."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    settings = {
        "npm_config_protocol": "http",
        "npm_config_port": str(port),
        "npm_config_pidfile": str(tmp_path / "pid"),
    }
    process = subprocess.Popen(
        ["node", "--require", LOOPBACK, "server/server.mjs"],
        cwd=package,
        env={**os.environ, **settings},
        stdout=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: _listens(port))
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _node(package: Path, *arguments: str, **settings: str) -> Any:
    """What a command of the package prints, which is JSON."""
    done = subprocess.run(
        ["node", "--no-warnings", *arguments],
        cwd=package,
        env={**os.environ, **settings},
        capture_output=True,
        check=True,
        timeout=60 * MINUTES,
    )
    return json.loads(done.stdout)


def _kinds(package: Path) -> dict[str, str]:
    """Whether a case is required, optimal or only asked about."""
    script = (
        "import suites from './tests/index.mjs'; const kinds = {};"
        "for (const suite of suites) for (const test of suite.tests)"
        " if (!test.browser_only) kinds[test.id] = test.kind || 'required';"
        "console.log(JSON.stringify(kinds))"
    )
    kinds: dict[str, str] = _node(package, "--input-type=module", "--eval", script)
    return kinds


def test_every_case_but_those_that_the_standard_has_changed(package: Path, origin_port: int) -> None:
    kinds = _kinds(package)
    routes = """
    defaults: {auth: none}
    routes: [{name: all, match: {path: "/**"}, upstream: app, cache: {scope: public, profile: rfc}}]
    """
    with tempfile.TemporaryDirectory(prefix="sg-data-") as data:
        text = policy(origin_port, routes, workers=1).replace("data_dir: data", f"data_dir: {data}")
        with running(text) as gateway:
            results = _node(package, "cli.mjs", npm_config_base=gateway.url, npm_package_config_id="")
    counted = {kind: sum(each == kind for each in kinds.values()) for kind in LEAST}
    assert counted == LEAST
    failed = {
        name: results.get(name) for name, kind in kinds.items() if kind in LEAST and results.get(name) is not True
    }
    assert {name: failed[name] for name in failed.keys() - OTHERWISE.keys()} == {}
    assert OTHERWISE.keys() - failed.keys() == set(), "these pass, and need no reason any more"
