"""The browser's real SDK (npm: @sentry/browser) in Debian's Chromium: error, trace and replay through the tunnel.

The page gets its trace from the gateway and its vitals to it, all from one origin, as an app behind the gateway would.
"""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.gateway import Gateway, eventually, running, token
from tests.e2e.origin import Origin, running_origin
from tests.e2e.policies import policy
from tests.sentry.sentry_receiver import Receiver, heard

pytestmark = pytest.mark.full

PACKAGES: Final = "SLUICEGATE_SENTRY_SDK"  # the environment names the folder of packages; .ci/run installs them
PAGE: Final = """<!doctype html><title>app</title><h1>An app</h1>
<script type="importmap">{"imports": %s}</script>
<script type="module">
import * as Sentry from "@sentry/browser"
const replay = Sentry.replayIntegration({ minReplayDuration: 0 })
Sentry.init({
  dsn: %s, tunnel: "/_gateway/sentry", release: "page@1", tracesSampleRate: 1, replaysSessionSampleRate: 1,
  integrations: [replay, Sentry.browserTracingIntegration()],
})
await fetch("/api/thing?token=hunter2")
const body = JSON.stringify({ path: location.pathname, values: { LCP: 900 } })
await fetch("/_gateway/vitals", { method: "POST", body })
document.querySelector("h1").textContent = "It changed"
setTimeout(() => { throw new RangeError("thrown by the page") })
setTimeout(() => replay.flush(), 500)
</script>"""


def respond(body: bytes, kind: str) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def entry(target: Any) -> str:
    """What a package exports to a browser."""
    while isinstance(target, dict):
        target = target.get("production") or target.get("import") or target.get("default")
    return str(target)


def serve_packages(origin: Origin, folder: Path) -> dict[str, str]:
    """All their modules, and where the page finds each by its name."""
    found: dict[str, str] = {}
    for package in [*(folder / "@sentry").iterdir(), folder / "web-vitals"]:
        name = str(package.relative_to(folder))
        for key, target in json.loads((package / "package.json").read_text()).get("exports", {}).items():
            if key != "./package.json":
                found[name + key.removeprefix(".")] = f"/sdk/{name}/{entry(target).removeprefix('./')}"
        for file in package.rglob("*"):
            if file.suffix in (".js", ".mjs") and "cjs" not in file.parts:
                origin.answers[f"/sdk/{file.relative_to(folder)}"] = respond(file.read_bytes(), "text/javascript")
    return found


@contextmanager
def visiting(url: str, profile: Path) -> Iterator[None]:
    """Debian's Chromium with the page open."""
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    own = ["--disable-background-networking", "--remote-debugging-port=0", f"--user-data-dir={profile}"]
    process = subprocess.Popen(
        ["chromium", *flags, *own, url],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def app() -> Iterator[tuple[Gateway, Origin, Receiver]]:
    with running_origin() as origin, Receiver.receiving() as receiver:
        imports = serve_packages(origin, Path(os.environ[PACKAGES]))
        page = PAGE % (json.dumps(imports), json.dumps(receiver.dsn))
        # The login's cookie is what tells the tunnel whose errors these are.
        head = respond(page.encode(), "text/html").replace(
            b"\r\n", f"\r\nSet-Cookie: session={token()}; Path=/\r\n".encode(), 1
        )
        origin.answers["/"] = head
        text = policy(
            origin.port,
            f"""
            sentry: {{dsn: "{receiver.dsn}", tunnel: true}}
            vitals: {{}}
            routes:
              - {{name: sdk, match: {{path: "/sdk/**"}}, upstream: app, auth: none}}
              - {{name: app, match: {{path: "/**"}}, upstream: app, auth: optional}}
            """,
            workers=1,
            identity="token_from: [authorization, {cookie: session}]",
        )
        with running(text) as gateway:
            yield gateway, origin, receiver


def test_an_error_a_trace_and_a_replay_of_a_real_page(tmp_path: Path) -> None:
    with app() as (gateway, origin, receiver), visiting(gateway.url + "/", tmp_path):
        event = heard(
            receiver, "event", lambda one: one.get("exception", {})["values"][0]["value"] == "thrown by the page", 40
        )
        assert event["release"] == "page@1"
        assert event["tags"]["tenant"] == "acme"
        assert heard(receiver, "replay_event", lambda one: True, 40)["tags"]["tenant"] == "acme"
        recording = eventually(lambda: next((i for i in receiver.items if i.kind == "replay_recording"), None), 20)
        assert recording.payload.startswith(b'{"segment_id":0}\n')
        spans = eventually(lambda: next((i for i in receiver.items if i.kind == "span"), None), 40).json()["items"]
        assert all(span["attributes"]["tenant"]["value"] == "acme" for span in spans)
        trace_id = event["contexts"]["trace"]["trace_id"]
        assert trace_id in {span["trace_id"] for span in spans}
        # The page's own request was traced by the gateway, in the page's trace, and its app was told of it.
        ours = heard(receiver, "transaction", lambda one: one["tags"]["route"] == "app", 20)
        assert ours["contexts"]["trace"]["trace_id"] == trace_id
        asked = next(seen for seen in origin.seen if "/api/thing" in seen.request_line)
        assert asked.get("sentry-trace").startswith(trace_id)
        assert f"sentry-trace_id={trace_id}" in asked.get("baggage")
        assert gateway.metric(r'sluicegate_web_vital_seconds_count\{name="lcp",route="app"\}') == 1
        assert gateway.metric(r'sluicegate_sentry_tunnel_total\{result="refused"\}') == 0
