"""`sluicegate demo`: a sample app, an embedded Redis and the gateway, with tokens of three tiers and lines to try."""

import argparse
import asyncio
import contextlib
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from joserfc import jwt
from joserfc.jwk import OctKey

from proxy.cli.run import FileSource, serve

ISSUER: Final = "sluicegate-demo"
TOKEN_LIFE_S: Final = 86_400
PORTS_TRIED: Final = 50
APP_START_S: Final = 15.0

_POLICY: Final = """\
# What `sluicegate demo` serves by. Edit it while the demo runs: it is read again within a second.
version: 1
listen: {{address: "127.0.0.1:{port}", workers: 2}}
metrics: {{address: "127.0.0.1:{metrics_port}"}}
admin: {{address: "127.0.0.1:{admin_port}"}}
redis: {{meters: embedded}}
data_dir: {data_dir}
identity:
  issuers: [{{issuer: {issuer}, secrets: ["{secret}"]}}]
  claims: {{tenant: app_metadata.company_id, user: sub, tier: app_metadata.subscription_tier}}
  unknown_tier: trial
tiers: [enterprise, growth_team, trial, anonymous]
upstreams:
  app: {{primary: ["http://127.0.0.1:{app_port}"]}}
limits:
  per-user: {{scope: user, rate: {{enterprise: 1000/1m, growth_team: 100/1m, trial: 5/1m, default: 5/1m}}}}
  per-tenant: {{scope: tenant, rate: 5000/1m}}
  in-flight: {{scope: user, concurrent: {{enterprise: 20, default: 2}}}}
defaults: {{auth: required, limits: [per-user, per-tenant]}}
routes:
  - {{name: products, match: {{path: "/api/products/**", methods: [GET]}}, upstream: app, auth: none, limits: []}}
  - {{name: chat, match: {{path: "/v1/**"}}, upstream: app, limits+: [in-flight]}}
  - {{name: app, match: {{path: "/**"}}, upstream: app}}
"""

_TIERS: Final = (("ada", "acme", "enterprise"), ("grace", "globex", "growth_team"), ("tom", "initech", "trial"))


def free_port(wanted: int) -> int:
    """``wanted``, or the next port that nobody listens on. Raises: OSError when there is none near."""
    for port in range(wanted, wanted + PORTS_TRIED):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"no free port from {wanted} to {wanted + PORTS_TRIED - 1}")


def mint(secret: str, user: str, tenant: str, tier: str, now_s: int) -> str:
    claims = {
        "iss": ISSUER,
        "sub": user,
        "iat": now_s,
        "exp": now_s + TOKEN_LIFE_S,
        "app_metadata": {"company_id": tenant, "subscription_tier": tier},
    }
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(secret))


@contextlib.contextmanager
def running_app(port: int) -> Iterator[None]:
    """The sample app, in a process of its own that ends with ours, however that ends."""
    command = [sys.executable, "-m", "proxy.cli.sample_app", str(port)]
    # A session of its own: Ctrl-C is for the gateway, which still needs the app for what is under way.
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as process:  # noqa: S603
        try:
            asyncio.run(_answers(port, time.monotonic() + APP_START_S))
            yield
        finally:
            process.terminate()


async def _answers(port: int, deadline_s: float) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if time.monotonic() > deadline_s:
                raise
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return


def main(args: argparse.Namespace) -> int:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sluicegate-demo-")))
        port = free_port(args.port)
        admin_port = free_port(9901)
        metrics_port = free_port(max(9902, admin_port + 1))
        app_port = free_port(3000)
        stack.enter_context(running_app(app_port))
        secret = secrets.token_hex(32)
        config = folder / "config.yaml"
        config.write_text(
            _POLICY.format(
                port=port,
                metrics_port=metrics_port,
                admin_port=admin_port,
                app_port=app_port,
                issuer=ISSUER,
                secret=secret,
                data_dir=folder / "data",
            )
        )
        config.chmod(0o600)
        return serve(FileSource(config), lambda: print(guide(secret, port, metrics_port, config), flush=True))


def guide(secret: str, port: int, metrics_port: int, config: Path) -> str:
    """What the demo prints."""
    now_s = int(time.time())
    tokens = {tier: mint(secret, user, tenant, tier, now_s) for user, tenant, tier in _TIERS}
    base = f"http://127.0.0.1:{port}"
    variables = "\n".join(f"  {tier.upper()}={token}" for tier, token in tokens.items())
    return f"""
Sluicegate demo: the gateway at {base}, a sample app behind it, an embedded Redis.
Its policy: {config}

Tokens of three tiers (paste them into your shell):
{variables}

Allowed: the app sees who calls
  curl -i -H "Authorization: Bearer $ENTERPRISE" {base}/api/whoami

Refused: a trial user has 5 requests a minute; the sixth gets 429 with Retry-After
  for i in 1 2 3 4 5 6; do
    curl -s -o /dev/null -w '%{{http_code}}\\n' -H "Authorization: Bearer $TRIAL" {base}/api/whoami
  done

A chat, streamed
  curl -N -H "Authorization: Bearer $GROWTH_TEAM" {base}/v1/chat/completions \\
    -d '{{"model":"sample-1","stream":true,"messages":[]}}'

The metrics
  curl -s http://127.0.0.1:{metrics_port}/metrics | grep sluicegate_requests_total

Ctrl-C ends it all.
"""
