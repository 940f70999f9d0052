"""Habits that keep the house clean, where no linter looks."""

import asyncio
import importlib
import subprocess
import sys
import time
from pathlib import Path

import pytest
from blockbuster import BlockingError

ROOT = Path(__file__).parent.parent
MODULES = sorted(path.relative_to(ROOT / "proxy") for path in (ROOT / "proxy").rglob("*.py"))


@pytest.mark.parametrize("module", [m for m in MODULES if m.name not in ("__init__.py", "__main__.py")], ids=str)
def test_tests_mirror_the_package(module: Path) -> None:
    """proxy/room/noun.py is tested by tests/room/test_noun.py, so that nobody has to search."""
    assert (ROOT / "tests" / module.parent / f"test_{module.name}").is_file()


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_every_module_says_what_it_is(module: Path) -> None:
    if module.name == "__main__.py":
        return
    name = ".".join(("proxy", *module.with_suffix("").parts)).removesuffix(".__init__")
    assert importlib.import_module(name).__doc__


async def test_a_call_that_blocks_the_loop_fails() -> None:
    """The guard of tests/conftest.py works: a module of ours that sleeps on the loop is caught."""
    namespace: dict[str, object] = {"time": time}
    source = compile("def nap():\n    time.sleep(0.001)\n", str(ROOT / "proxy" / "core" / "nap.py"), "exec")
    exec(source, namespace)
    with pytest.raises(BlockingError):
        namespace["nap"]()  # type: ignore[operator]
    await asyncio.to_thread(namespace["nap"])  # type: ignore[arg-type]


def test_a_worker_never_imports_the_schema() -> None:
    """The parent compiles the policy: pydantic and YAML would cost each worker 25 MiB. Nor what it need not send."""
    heavy = "{'pydantic', 'yaml', 'prometheus_client', 'sentry_sdk'}"
    code = f"import sys, proxy.gateway.worker; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
