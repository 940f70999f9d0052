"""The identity section as written becomes who may issue, and which keys open."""

from proxy.policy.model import AuthMode, ClaimRule, ExpiredCookie, ForwardedIdentity, TokenSource

SECRET = "0123456789abcdef0123456789abcdef"


def test_token_sources(policy):
    """A field's name alone, or a field or a cookie by name; fields in lower case."""
    sources = policy("identity: {token_from: [Authorization, {header: X-Token}, {cookie: 'sb-*-auth-token'}]}\n")
    assert sources.identity.token_from == (
        TokenSource(header="authorization"),
        TokenSource(header="x-token"),
        TokenSource(cookie="sb-*-auth-token"),
    )


def test_an_issuer(policy):
    """Every key of it, in the program's units."""
    (issuer,) = policy(
        f"identity: {{issuers: [{{issuer: a, audience: b, algorithms: [HS256, HS256, ES256], secrets: [{SECRET}],\n"
        "  jwks: 'https://a/jwks?v=1', tenants: [x, y], leeway: 5s, max_age: 1d}]}\n"
    ).identity.issuers
    assert issuer.audiences == ("b",)
    assert issuer.algorithms == ("HS256", "ES256")
    assert issuer.secrets == (SECRET,)
    assert issuer.jwks_url == "https://a/jwks?v=1"
    assert issuer.tenants == ("x", "y")
    assert (issuer.leeway_ms, issuer.max_age_ms) == (5_000, 86_400_000)


def test_an_issuer_alone_may_name_any_tenant(policy):
    """There is no other whose tenants it could take."""
    (issuer,) = policy(f"identity: {{issuers: [{{issuer: a, secrets: [{SECRET}]}}]}}\n").identity.issuers
    assert issuer.tenants is None
    assert issuer.audiences == issuer.algorithms == ()


def test_a_secrets_bytes_are_counted_not_its_letters(policy):
    """Sixteen letters of two bytes are enough for HS256."""
    policy(f"identity: {{issuers: [{{issuer: a, secrets: ['{'é' * 16}']}}]}}\n")


def test_rules(policy):
    """By claims, all of them, or by the header that a token equals."""
    identity = policy(
        "identity:\n"
        "  refuse: [{claims: {role: service_role, app.level: 3, app.bot: true}}]\n"
        "  anonymous_tokens: [{equals_header: ApiKey}]\n"
    ).identity
    assert identity.refuse == (ClaimRule(((("role",), "service_role"), (("app", "level"), 3), (("app", "bot"), True))),)
    assert identity.anonymous_tokens == (ClaimRule((), "apikey"),)


def test_an_unknown_tier_is_the_least_that_is_named(policy):
    """Never the best by mistake; the anonymous one only where it is alone."""
    assert policy("tiers: [gold, trial, anonymous]\n").identity.unknown_tier == "trial"
    assert policy("tiers: [anonymous]\n").identity.unknown_tier == "anonymous"
    assert policy("tiers: [gold, trial, anonymous]\nidentity: {unknown_tier: gold}\n").identity.unknown_tier == "gold"


def test_another_tier_may_be_the_anonymous_one(policy):
    """By whatever name, it is the last."""
    identity = policy("tiers: [gold, guest]\nidentity: {anonymous_tier: guest}\n").identity
    assert (identity.anonymous_tier, identity.unknown_tier) == ("guest", "gold")


def test_tags_are_claims_like_any_other(policy):
    """Only where they are named; never what users write themselves."""
    claims = policy("identity: {claims: {feature: app.feature, cost_centre: [a.b, c]}}\n").identity.claims
    assert (claims.feature, claims.cost_centre) == (("app", "feature"), ("a.b", "c"))
    assert policy("").identity.claims.feature is None


def test_names_of_fields(policy):
    """The tenant's is looked up in lower case; those told to the upstream go as they are written."""
    identity = policy(
        "identity:\n"
        "  {tenant_header: X-Org, forward: {tenant: X-Org, user: X-Who, tier: X-Plan}, expired_cookie: refuse}\n"
    ).identity
    assert identity.tenant_header == "x-org"
    assert identity.forward == ForwardedIdentity("X-Org", "X-Who", "X-Plan")
    assert identity.expired_cookie is ExpiredCookie.REFUSE


def test_gateway_keys(policy):
    """Whom it acts for, where, and until when; revoked ones open nothing."""
    a, b, c = (letter * 64 for letter in "Abc")
    keys = policy(
        "identity:\n  keys:\n"
        f"    one: {{sha256: {a}, tenant: acme, user: bot, tier: standard, routes: [app],\n"
        "          feature: chat, cost_centre: r1}\n"
        f"    two: {{sha256: [{b}, {{hash: {c}, expires: 2026-12-31}}], may_act_for: any}}\n"
        f"    three: {{sha256: {'d' * 64}, may_act_for: [acme, beta]}}\n"
        f"    gone: {{sha256: {'e' * 64}, revoked: true}}\n"
    ).identity.keys
    one, two, three = keys
    assert (one.name, one.tenant, one.user, one.tier, one.routes) == ("one", "acme", "bot", "standard", ("app",))
    assert one.sha256 == (("a" * 64, None),)
    assert (one.feature, one.cost_centre, two.feature, two.cost_centre) == ("chat", "r1", None, None)
    assert one.may_act_for is None
    assert two.sha256 == ((b, None), (c, 1_798_761_600_000))
    assert two.may_act_for == ("*",)
    assert two.routes is None
    assert three.may_act_for == ("acme", "beta")


def test_a_key_alone_is_enough_to_require_one(policy):
    """Machine clients need no issuer."""
    compiled = policy(
        f"identity: {{keys: {{ci: {{sha256: {'a' * 64}}}}}}}\nroutes: [{{name: app, match: {{}}, upstream: app}}]\n"
    )
    assert compiled.routes[0].auth is AuthMode.REQUIRED
