"""`sluicegate run` as a process: with no file at all, with an address that is taken, with a policy that is wrong."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.gateway import get, once, running_command
from tests.e2e.origin import running_origin
from tests.e2e.policies import policy

ROUTES = 'routes: [{name: app, match: {path: "/**"}, upstream: app, auth: none, limits: []}]'


def sluicegate(*arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "proxy", *arguments]
    root = Path(__file__).parents[2]
    env = {"PYTHONPATH": str(root)}
    return subprocess.run(command, check=False, cwd=cwd, env=env, capture_output=True, text=True, timeout=30)


def test_it_tells_its_version(tmp_path: Path) -> None:
    ended = sluicegate("--version", cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (0, "sluicegate 0.1.0\n")


async def test_an_upstream_alone_is_enough(tmp_path: Path) -> None:
    """No file: an app is protected by the defaults that an expert would choose."""
    with running_origin() as origin:
        arguments = ["run", "--upstream", f"http://127.0.0.1:{origin.port}"]
        arguments += [word for name in ("listen", "metrics", "admin") for word in (f"--{name}", "127.0.0.1:0")]
        with running_command(arguments, tmp_path / "none", {"XDG_STATE_HOME": str(tmp_path)}) as gateway:
            answer = await once(gateway, get("/", "X-User-ID: root"))
            assert answer.status == 200
            assert answer.get("RateLimit") is not None
            assert origin.last().get("X-User-ID") is None
            assert gateway.stop() == 0


def test_overlays_want_a_file_that_they_are_put_over(tmp_path: Path) -> None:
    ended = sluicegate("run", "--upstream", "http://127.0.0.1:1", "--overlay", "prod.yaml", cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr == "sluicegate: --overlay goes with --config; there is no file to put it over\n"


def test_a_taken_address_is_said_and_exits_with_1(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "config.yaml").write_text(policy(1, ROUTES, address=f"127.0.0.1:{port}"))
        ended = sluicegate("run", "--config", "config.yaml", cwd=tmp_path)
        assert ended.returncode == 1
        assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in ended.stderr
        assert "Traceback" not in ended.stderr


def test_a_taken_metrics_address_is_said_and_nothing_is_left_running(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        text = policy(1, ROUTES).replace('metrics: {address: "127.0.0.1:0"}', f'metrics: {{address: "{address}"}}')
        (tmp_path / "config.yaml").write_text(text)
        ended = sluicegate("run", "--config", "config.yaml", cwd=tmp_path)
        assert ended.returncode == 1
        assert f"cannot listen on {address} (metrics.address): Address already in use" in ended.stderr
        assert "Traceback" not in ended.stderr


def test_a_data_folder_belongs_to_one_gateway(tmp_path: Path) -> None:
    """Two embedded stores on one folder would multiply every limit, or destroy one another's file."""
    config = tmp_path / "config.yaml"
    config.write_text(policy(1, ROUTES))
    with running_command(["run", "--config", str(config)], config):
        ended = sluicegate("run", "--config", "config.yaml", cwd=tmp_path)
    assert ended.returncode == 1
    assert "another gateway uses" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run"], 2, "one of the arguments --config --upstream is required"),
        (["run", "--config", "config.yaml", "--listen", "127.0.0.1:1"], 2, "--listen goes with --upstream"),
        (["run", "--config", "config.yaml", "--admin", "127.0.0.1:1"], 2, "a policy file has admin.address"),
        (["run", "--config", "nowhere.yaml"], 1, "No such file"),
        (["run", "--upstream", "ftp://app"], 1, "http:// or https://"),
        (["run", "--upstream", "http://app", "--listen", "nonsense"], 1, "host:port"),
        (["unheard-of"], 2, "invalid choice"),
    ],
)
def test_a_wrong_call_is_said_to_be(tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    (tmp_path / "config.yaml").write_text(policy(1, ROUTES))
    ended = sluicegate(*arguments, cwd=tmp_path)
    assert ended.returncode == code
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
