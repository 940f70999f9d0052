"""Routes' caching, compiled."""

from proxy.policy.caching import WHOLE, AnswerCaching, AssertTenant, CacheScope, Caching, Profile
from proxy.policy.compiler import compile_text

FILE = """
version: 1
identity: {issuers: [{issuer: "https://i.example", secrets: ["0123456789abcdef0123456789abcdef"]}]}
upstreams:
  app: {primary: ["http://127.0.0.1:3000"]}
  ai: {primary: ["https://api.openai.com"], dialect: openai}
limits: {fine: {scope: tenant, rate: 60/1m}, coarse: {scope: tenant, rate: 60/1m}}
cache: {memory: 2MiB, tenant_share: 50%}
redis: {cache: "redis://cache.example:6379"}
routes:
  - name: reports
    match: {path: "/r/**"}
    upstream: app
    limits: [fine]
    cache: {ttl: , hits_pay: 0.1, assert_tenant: {json: data.company_id}, ignore_query: utm_*,
            bypass: {claims: [{role: admin}]}}
  - {name: asis, match: {path: "/a/**"}, upstream: app, limits: [coarse], cache: {hits_pay: false}}
  - {name: ai, match: {path: "/v1/**"}, upstream: ai, max_output_tokens: 9, cache: {scope: user}}
  - {name: none, match: {path: "/**"}, upstream: app, cache: off}
"""


def policy():
    return compile_text(FILE, "c.yaml", {}).policy


def test_what_is_written_is_what_a_route_does():
    reports, asis, ai, off = policy().routes
    assert reports.caching.ttl_ms == 300_000
    assert reports.caching.hits_pay == 100
    assert reports.caching.assert_tenant == AssertTenant(None, ("data", "company_id"))
    assert reports.caching.bypass.claims[0].claims == ((("role",), "admin"),)
    assert asis.caching == Caching(CacheScope.TENANT, hits_pay=0)
    assert asis.caching.profile is Profile.SAFE
    assert ai.caching is None
    assert ai.spending.answers == AnswerCaching(CacheScope.USER, 300_000, 8 << 20, WHOLE, 30_000)
    assert off.caching is None
    assert off.spending is None


def test_the_stores_are_the_files():
    caches = policy().caches
    assert (caches.memory, caches.tenant_share, caches.url) == (2 << 20, 0.5, "redis://cache.example:6379")


def test_a_limit_knows_the_least_that_a_hit_takes_of_it():
    """What decides whether its takes keep their exact times."""
    limits = policy().limits
    assert limits["fine"].min_amount == 100
    assert limits["coarse"].min_amount == 1000
