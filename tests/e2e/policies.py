"""Policies for tests: everything that a gateway needs, and what a test wants of it."""

import textwrap

from tests.e2e.gateway import ISSUER, SECRET

TIERS = ("enterprise", "growth_team", "trial", "anonymous")


def policy(
    origin_port: int,
    rest: str,
    *,
    workers: int = 2,
    redis: str = "meters: embedded, timeout: 5s",
    listen: str = "",
    identity: str = "",
    admin_token: str = "",
    upstream: str = "",
    upstreams: str = "",
    issuers: str = "",
    address: str = "127.0.0.1:0",
) -> str:
    """``rest``: limits and routes, as YAML; ``listen``, ``redis``, ``identity``, ``upstream``: more of those maps;
    ``upstreams`` and ``issuers``: others besides the one. The timeout is long: a machine so busy that Redis misses the
    usual one would have open routes count alone, which is right and not what these tests are about."""
    return f"""\
version: 1
listen: {{address: "{address}", workers: {workers}, {listen}}}
metrics: {{address: "127.0.0.1:0"}}
admin: {{address: "127.0.0.1:0", token: "{admin_token}"}}
data_dir: data
redis: {{{redis}}}
tiers: [{", ".join(TIERS)}]
identity:
  issuers: [{{issuer: {ISSUER}, secrets: ["{SECRET}"], tenants: any}}{issuers}]
  claims:
    tenant: app_metadata.company_id
    member_of: app_metadata.company_ids
    user: sub
    tier: app_metadata.subscription_tier
{textwrap.indent(textwrap.dedent(identity).strip(), "  ")}
upstreams:
  app: {{primary: ["http://127.0.0.1:{origin_port}"], {upstream}}}
{textwrap.indent(textwrap.dedent(upstreams).strip(), "  ")}
{textwrap.dedent(rest).strip()}
"""
