"""Policies for what is told before it happens."""

from hashlib import sha256

from proxy.policy.compiler import compile_text
from proxy.policy.model import Policy

KEY_DIGEST = sha256(b"a key of a robot").hexdigest()

TEXT = f"""\
version: 1
tiers: [enterprise, trial, anonymous]
identity:
  issuers: [{{issuer: test, secrets: ["{"s" * 32}"], tenants: any}}]
  claims: {{tenant: tenant, user: sub, tier: tier, member_of: tenants}}
  unknown_tier: trial
  refuse: [{{claims: {{role: service}}}}]
  keys: {{robot: {{sha256: "{KEY_DIGEST}", tenant: initech, tier: enterprise, may_act_for: any, routes: [api, ai]}}}}
upstreams:
  app: {{primary: ["http://127.0.0.1:3000"]}}
  openai: {{primary: ["https://api.openai.com"], dialect: openai}}
limits:
  per-ip: {{scope: ip, rate: 100/1m}}
  per-user: {{scope: user, rate: {{enterprise: 20/1m, default: 5/1m}}}}
  per-tenant: {{scope: tenant, kind: calendar, rate: 1000/day}}
  in-flight: {{scope: user, concurrent: 2}}
  paced: {{scope: user, kind: smooth, rate: 60/1m, burst: 3, shadow: true}}
  ai-tokens: {{scope: tenant, unit: tokens, rate: 1000/1m}}
budgets:
  user: {{scope: user, daily: {{enterprise: $10, default: $1}}, monthly: $100}}
  cheap: {{scope: tenant, daily: $5, on_exceed: {{downgrade: gpt-4o-mini}}}}
tenants:
  acme: {{limits: {{per-user: 50/1m}}, expires: 2026-06-30}}
ip: {{deny: [203.0.113.0/24]}}
defaults: {{auth: required, limits: [per-ip]}}
routes:
  - {{name: health, match: {{path: /health}}, upstream: app, auth: none, limits: []}}
  - {{name: prefetch, match: {{path: "/api/**", headers: {{Next-Router-Prefetch: "*"}}}}, upstream: app,
     auth: optional}}
  - {{name: upload, match: {{path: /api/upload, methods: [POST]}}, upstream: app, limits+: [in-flight, paced]}}
  - {{name: trpc, match: {{path: "/api/trpc/**"}}, upstream: app, limits: [per-user],
     weight: {{batch: trpc, per_item: 1}}}}
  - {{name: api, match: {{path: "/api/**"}}, upstream: app, limits+: [per-user, per-tenant]}}
  - {{name: ai, match: {{path: "/ai/**"}}, upstream: openai, limits: [per-user, ai-tokens], budgets: [user, cheap],
     max_output_tokens: 100}}
  - {{name: app, match: {{path: "/app/**", methods: [GET]}}, upstream: app, auth: optional}}
"""


def compiled(text: str = TEXT) -> Policy:
    return compile_text(text, "config.yaml", {"HOME": "/nowhere"}).policy


def changed(*changes: tuple[str, str]) -> Policy:
    """The policy with pieces of its text replaced."""
    text = TEXT
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return compiled(text)
