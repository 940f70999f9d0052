"""The page's files, as they are served; what a browser makes of them is proven in tests/e2e/test_dashboard.py."""

import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from proxy.admin.dashboard.site import FOLDER, INDEX, Site, files

SOURCES = sorted(FOLDER.glob("*.js"))
FILES = files()


@pytest.fixture
async def client() -> AsyncIterator[TestClient[Any, Any]]:
    app = web.Application()
    app.add_routes(Site(FILES).routes())
    async with TestClient(TestServer(app)) as made:
        yield made


async def test_every_file_has_its_type_and_may_load_nothing_from_elsewhere(client: TestClient[Any, Any]) -> None:
    for name in FILES:
        answer = await client.get("/dashboard/" + ("" if name == INDEX else name))
        assert answer.status == 200
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        told = answer.headers["Content-Security-Policy"].split("; ")
        assert "default-src 'none'" in told
        assert "require-trusted-types-for 'script'" in told
        assert not [word for word in told if "unsafe" in word or "http" in word or "*" in word or "data:" in word]
    assert (await client.get("/dashboard/app.js")).content_type == "text/javascript"
    assert (await client.get("/dashboard/style.css")).content_type == "text/css"


async def test_whoever_comes_to_the_listener_finds_the_page(client: TestClient[Any, Any]) -> None:
    """By relative paths: a proxy may have put something before them."""
    for path in ("/", "/dashboard"):
        answer = await client.get(path, allow_redirects=False)
        assert (answer.status, answer.headers["Location"]) == (307, "dashboard/")
        assert "<h1>Sluicegate</h1>" in await (await client.get(path)).text()


async def test_a_file_that_has_not_changed_is_not_sent_again(client: TestClient[Any, Any]) -> None:
    etag = (await client.get("/dashboard/app.js")).headers["ETag"]
    answer = await client.get("/dashboard/app.js", headers={"If-None-Match": etag})
    assert (answer.status, await answer.read()) == (304, b"")
    assert (await client.get("/dashboard/app.js", headers={"If-None-Match": '"other"'})).status == 200


@pytest.mark.parametrize("path", ["none.js", "../site.py", "%2e%2e/site.py", "site.py", "App.js", "app.js.map"])
async def test_nothing_else_is_served(client: TestClient[Any, Any], path: str) -> None:
    assert (await client.get("/dashboard/" + path)).status == 404


def test_what_the_page_needs_is_there_and_nothing_from_elsewhere() -> None:
    page = (FOLDER / INDEX).read_text("utf-8")
    named = re.findall(r'(?:src|href)="([^"#]+)"', page)
    for source in SOURCES:
        named += re.findall(r'from "\./([^"]+)"', source.read_text("utf-8"))
    assert {"style.css", "theme.js", "app.js", "icon.svg", "charts.js", "stream.js", "tables.js"} <= set(named)
    assert set(named) == set(FILES) - {INDEX}
    for path in FOLDER.iterdir():
        text = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|//cdn|@import|url\(", text), path


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_no_script_makes_markup_of_text_or_runs_it(source: Path) -> None:
    text = source.read_text("utf-8")
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setAttribute\(\"(?:style|on)"
    )
    assert not re.search(forbidden, text)


@pytest.mark.full
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_scripts_parse(source: Path) -> None:
    subprocess.run(["node", "--check", source], check=True, timeout=30)
