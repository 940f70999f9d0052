"""Editors and readers are told what the schema says, and nothing else."""

from pathlib import Path

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

from proxy.policy import schema
from proxy.policy.reference import json_schema, page
from proxy.policy.section import Section

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent


class TextDates(yaml.SafeLoader):
    """Reads dates as text, as JSON and editors do."""


TextDates.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def values(path: Path):
    return yaml.load(path.read_text("utf-8"), TextDates)


@pytest.fixture(scope="module")
def validator():
    written = json_schema()
    jsonschema.Draft202012Validator.check_schema(written)
    return jsonschema.Draft202012Validator(written)


def test_the_page_is_made_from_the_schema():
    """Regenerate it: python -m proxy.policy.reference > docs/configuration.md"""
    assert (ROOT / "docs/configuration.md").read_text("utf-8") == page()


def test_every_key_is_described():
    """A sentence each; in the page, too."""
    seen, waiting = set(), [schema.Config]
    written = page()
    while waiting:
        model = waiting.pop()
        seen.add(model)
        for name, info in model.model_fields.items():
            assert info.description, f"{model.__name__}.{name}"
            assert info.description.endswith("."), f"{model.__name__}.{name}"
            assert f"| `{info.alias or name}` |" in written
        # Other files than the policy's are made of sections, too.
        ours = [other for other in Section.__subclasses__() if other.__module__.startswith("proxy.policy.")]
        waiting += [other for other in ours if other not in seen and other not in waiting]
    assert all(issubclass(model, BaseModel) for model in seen)
    assert len(seen) > 20


def test_the_schema_takes_the_example(validator):
    """With its variables as they are written."""
    validator.validate(values(ROOT / "config.example.yaml"))


@pytest.mark.parametrize("path", sorted((HERE / "warned").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_schema_takes_what_the_compiler_takes(validator, path):
    """An editor must not underline a policy that works."""
    validator.validate(values(path))


@pytest.mark.parametrize(
    "name",
    [
        "unknown_key_top",
        "unknown_key_nested",
        "unknown_key_in_route",
        "missing_keys",
        "version_unknown",
        "map_expected",
        "list_expected",
        "duration_without_unit",
        "duration_unknown_unit",
        "size_unknown_unit",
        "rate_unknown_unit",
        "choice",
        "algorithm_unknown",
        "path_patterns",
        "cors_origin_forms",
        "maintenance",
        "money_forms",
        "budgets",
        "calls",
        "prices",
        "prices_unknown_model",
        "ledger",
        "alerts",
        "alerts_empty",
        "token_limits",
    ],
)
def test_the_schema_refuses_what_an_editor_can_see(validator, name):
    """Words, types, units and patterns; what one key has to do with another is the compiler's."""
    assert not validator.is_valid(values(HERE / "rejected" / f"{name}.yaml"))


@pytest.mark.parametrize(
    "text",
    [
        "maintenance: off",
        "maintenance: 'off'",
        "metrics: off",
        "cors: {origins: ['*']}",
        "answers: {legacy_reset: off}",
        "x-free: {anything: [1]}",
        "listen: {workers: 4, header_timeout: '${T}', max_fields: '${N:-100}'}",
        "limits: {a: {scope: [ip, 'claim:a.b'], rate: 1/1m}, b: {scope: ip, concurrent: 5}}",
        "identity: {token_from: [authorization, {cookie: c}], issuers: [{issuer: a, audience: [b], tenants: any}]}",
        f"identity: {{keys: {{a: {{sha256: {'a' * 64}}}, b: {{sha256: [{{hash: {'b' * 64}}}]}}}}}}",
        "routes: [{name: a, match: {}, upstream: app, limits+: [a], weight: 0.5, cors: off}]",
        "routes: [{name: a, match: {}, upstream: app, weight: {batch: trpc}}]",
        "budgets: {time_zone: UTC, a: {scope: [user, model], daily: $5, monthly: {gold: '${X}', default: $0.50}}}",
        "budgets: {a: {scope: ip, weekly: $5, on_exceed: warn}, b: {scope: ip, daily: $5, on_exceed: {downgrade: x}}}",
        "tenants: {acme: {budgets: {a: $900, b: {daily: $5}}, contacts: [a@b]}}",
        "prices: {unknown_model: refuse, discounts: {openai: 12.5%}, overrides: {x: {input: $3/1M, request: $1/1K}}}",
        "prices: {unknown_model: {input: $10/1M, output: $30/1M}, accounts: {openai: {service_tier: flex}}}",
        "alerts: {to: [sentry, {slack: ''}, {slack: '${URL:-}'}, {email: {smtp: 'smtp://a', from: a@b}, to: [c@d]}]}",
        "alerts: {at: {80%: warning}, unusual: {factor: 2.5, at_least: $5}}",
        "routes: [{name: a, match: {}, upstream: app, max_output_tokens: 4096, estimate: learnt, budgets+: [a]}]",
        "routes: [{name: a, match: {}, upstream: app, max_output_tokens: {most: 9}, estimate: {quantile: 0.9}}]",
    ],
)
def test_every_shorthand_is_taken(validator, text):
    """Lists and maps that may be written shorter, words that YAML reads as bools, variables."""
    base = {"version": 1, "upstreams": {"app": {"primary": ["http://a"]}}, "routes": []}
    validator.validate(base | yaml.safe_load(text))
