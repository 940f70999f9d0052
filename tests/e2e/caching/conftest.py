"""One gateway and one scripted origin for all: a route by the standard's letter, and safe ones of each scope."""

import tempfile
from collections.abc import Iterator

import pytest

from tests.e2e.gateway import Gateway, eventually, running
from tests.e2e.origin import Origin, running_origin
from tests.e2e.policies import policy

ROUTES = """
defaults: {auth: none}
routes:
  - {name: rfc, match: {path: "/rfc/**"}, upstream: app, cache: {scope: public, profile: rfc, early_refresh: false}}
  - {name: safe, match: {path: "/safe/**"}, upstream: app, cache: {scope: public, max_body: 1KiB}}
  - {name: tenant, match: {path: "/tenant/**"}, upstream: app, auth: required, cache: {tag_fields: strip, ttl: 60s}}
  - {name: members, match: {path: "/members/**"}, upstream: app, auth: required, cache: {scope: public}}
  - {name: user, match: {path: "/user/**"}, upstream: app, auth: required, cache: {scope: user}}
  - name: by-field
    match: {path: "/by-field/**"}
    upstream: app
    auth: required
    cache: {ttl: 60s, assert_tenant: {header: X-Tenant}}
  - name: by-field-short
    match: {path: "/by-field-short/**"}
    upstream: app
    auth: required
    cache: {assert_tenant: {header: X-Tenant}}
  - name: by-json
    match: {path: "/by-json/**"}
    upstream: app
    auth: required
    cache: {ttl: 60s, assert_tenant: {json: data.company_id}}
  - {name: writes, match: {path: "/**"}, upstream: app}
"""


@pytest.fixture(scope="session")
def origin() -> Iterator[Origin]:
    with running_origin() as started:
        yield started


@pytest.fixture(scope="session")
def gateway(origin: Origin) -> Iterator[Gateway]:
    with (
        tempfile.TemporaryDirectory(prefix="sg-data-") as data,
        running(
            policy(origin.port, ROUTES, workers=1, identity="tenant_header: X-Company-ID").replace(
                "data_dir: data", f"data_dir: {data}"
            )
        ) as started,
    ):
        # Before its worker hears of purges it reuses nothing that is older than a second.
        eventually(lambda: started.metric("sluicegate_cache_workers_current") == 1)
        yield started
        errors = [event for event in started.events if event["level"] in ("error", "critical")]
        # It tells of what another tenant's answers are made to do here.
        assert not [event for event in errors if event["logger"] != "sluicegate.cache"], errors
