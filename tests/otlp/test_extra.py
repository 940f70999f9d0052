"""The extra is asked for where somebody is to hear, and nothing of it is imported before."""

import subprocess
import sys

import pytest

from proxy.otlp import extra

_LOOK = "import sys{}; print(sorted({{'opentelemetry.proto', 'google.protobuf'}} & set(sys.modules)))"


def imported(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", _LOOK.format(code)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("module", ["proxy.gateway.worker", "proxy.gateway.supervisor", "proxy.cli.run"])
def test_no_process_imports_it_by_itself(module: str) -> None:
    assert imported(f", {module}") == "[]"


def test_it_is_imported_once_somebody_is_to_hear() -> None:
    assert imported(", proxy.otlp.extra; proxy.otlp.extra.load()") == "['google.protobuf', 'opentelemetry.proto']"


def test_it_is_known_whether_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert extra.is_installed()
    monkeypatch.setattr(extra, "_NEEDED", ("opentelemetry", "opentelemetry.not_there"))
    assert not extra.is_installed()
    monkeypatch.setattr(extra, "_NEEDED", ("not_there.at_all",))
    assert not extra.is_installed()
