"""What is told of a service, look after look: one cause with one voice, on time, and never of noise."""

from collections.abc import Callable, Iterable
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.alerts.incident import Incident, News
from proxy.alerts.samples import Sample, Subject, Watched
from proxy.alerts.servicealert import ServiceAlert
from proxy.alerts.servicewatch import ServiceWatch
from proxy.alerts.windows import Tally, summed
from proxy.policy.service import Bound, Kind, Measure, Rule
from proxy.policy.spending import Level

WARNING, CRITICAL = Level.WARNING, Level.CRITICAL
TICK_S, OVER_S, LATELY_S = 5, 300, 60
T0_MS = 1_795_003_200_000
OPS = (("ops", ""),)


def rule(warning: float, critical: float, at_least: int = 50, over_s: int = OVER_S) -> Rule:
    over_ms, lately_ms = over_s * 1000, over_s * 200
    waits_ms = max(lately_ms, round(critical * over_ms))
    bounds = (Bound(WARNING, warning, over_ms, lately_ms, waits_ms), Bound(CRITICAL, critical, over_ms, lately_ms))
    return Rule(Measure.SHARE, bounds, over_ms, at_least, 5)


RULES = {
    Kind.UPSTREAM: rule(0.05, 0.5, 10, 60),
    Kind.REDIS: Rule(Measure.ABOVE, (Bound(CRITICAL, 0, for_ms=30_000),), 30_000),
    Kind.ERROR_RATE: rule(0.01, 0.05),
    Kind.AVAILABILITY: Rule(Measure.SHARE, (Bound(WARNING, 0.006, 21_600_000, 1_800_000, 900_000),), 900_000, 50, 5),
}
ROUTES = {"shop": "app", "admin": "other"}


class Service:
    """Counts of routes, by what each second brings; looked at every few seconds."""

    def __init__(self, rules: dict[Kind, Rule] | None = None, routes: dict[str, str] | None = None) -> None:
        self.watch = ServiceWatch("gate:8080")
        self.routes = routes or ROUTES
        self.watch.follow(Watched(rules or RULES, self.routes), None, OPS)
        self.seconds = 0
        self.asked = dict.fromkeys(self.routes, 0)
        self.failed = dict.fromkeys(self.routes, 0)
        self.unreached = dict.fromkeys(self.routes, 0)
        self.away = 0.0
        self.maintenance = False
        self.told: list[tuple[int, ServiceAlert]] = []
        self._look()

    def live(
        self,
        seconds: int,
        failing: Callable[[str], float] = lambda _: 0.0,
        *,
        rate: int = 10,
        unreached: Iterable[str] = (),
        random: Random | None = None,
    ) -> None:
        for _ in range(seconds):
            self.seconds += 1
            for route in self.routes:
                share = 1.0 if route in unreached else failing(route)
                bad = round(rate * share) if random is None else sum(random.random() < share for _ in range(rate))
                self.asked[route] += rate
                self.failed[route] += bad
                self.unreached[route] += bad if route in unreached else 0
            if self.seconds % TICK_S == 0:
                self._look()

    def _look(self) -> None:
        routes = {name: Tally(self.asked[name], self.failed[name], self.failed[name]) for name in self.routes}
        whole = summed(routes)
        lost = sum(self.unreached.values())
        samples: dict[Subject, Sample] = {
            Subject(Kind.ERROR_RATE): whole,
            Subject(Kind.AVAILABILITY): Tally(whole.total, lost, lost),
            Subject(Kind.REDIS): self.away,
            **{Subject(Kind.ERROR_RATE, name): tally for name, tally in routes.items()},
        }
        for upstream in self.routes.values():
            mine = [name for name, to in self.routes.items() if to == upstream]
            bad = sum(self.unreached[name] for name in mine)
            samples[Subject(Kind.UPSTREAM, upstream)] = Tally(
                sum(self.asked[name] for name in mine), bad, bad, {"upstream_refused": bad}
            )
        if self.maintenance:
            samples = {subject: one for subject, one in samples.items() if subject.kind is not Kind.ERROR_RATE}
        alerts = self.watch.look(samples, self.seconds * 1000.0, T0_MS + self.seconds * 1000)
        self.told += [(self.seconds, alert) for alert in alerts]

    def news(self) -> list[tuple[Kind, str, News, Level]]:
        return [(one.subject.kind, one.subject.name, one.news, one.level) for _, one in self.told]


def test_an_outage_is_told_once_and_its_end_once() -> None:
    """The whole speaks for its routes, and names the worst."""
    service = Service()
    service.live(600)
    service.live(400, lambda route: 1.0 if route == "shop" else 0.0)
    service.live(1000)
    assert service.news() == [
        (Kind.ERROR_RATE, "", News.FIRED, CRITICAL),
        (Kind.ERROR_RATE, "", News.RESOLVED, CRITICAL),
    ]
    (fired_s, fired), (resolved_s, resolved) = service.told
    assert fired_s - 600 <= 40
    assert fired.parts[0][0] == "shop"
    assert "most on shop" in fired.message
    assert resolved_s - 1000 <= OVER_S + LATELY_S + TICK_S
    assert resolved.incident == fired.incident
    assert "Errors are back below 1%: 0% now" in resolved.message


def test_a_route_speaks_for_itself_where_the_whole_is_well() -> None:
    """A small one that fails wholly is no news of the whole."""
    routes = {"shop": "app", "rare": "app"}
    service = Service(routes=routes)
    service.live(400)
    service.asked["shop"] += 1_000_000  # within the window that follows
    service.live(200, lambda route: 0.6 if route == "rare" else 0.0)
    assert service.news() == [(Kind.ERROR_RATE, "rare", News.FIRED, CRITICAL)]


def test_an_upstream_speaks_for_its_routes() -> None:
    """Told of is the upstream and, where it matters, the whole."""
    service = Service(routes={"shop": "app", "admin": "app", "files": "other"})
    service.live(300)
    service.live(300, unreached=["shop", "admin"])
    kinds = [(kind, name) for kind, name, _, _ in service.news()]
    assert sorted(kinds) == [(Kind.ERROR_RATE, ""), (Kind.UPSTREAM, "app")]
    (told,) = (alert for _, alert in service.told if alert.subject.kind is Kind.UPSTREAM)
    assert told.parts == (("upstream_refused", told.current * told.requests),)


def test_availability_speaks_of_what_the_rate_of_errors_does_not_see() -> None:
    """A slow burn stays below the bounds of every minute, and costs the month."""
    service = Service(rules={kind: RULES[kind] for kind in (Kind.ERROR_RATE, Kind.AVAILABILITY)})
    for _ in range(60):
        service.live(59, rate=50)
        for route in ROUTES:
            service.unreached[route] += 20
            service.failed[route] += 20
        service.live(1, rate=50)
    assert [kind for kind, *_ in service.news()] == [Kind.AVAILABILITY]


def test_what_was_counted_in_maintenance_is_no_failure_afterwards() -> None:
    """However long it was: the time before it is as far as nobody looked back."""
    service = Service()
    service.live(600)
    service.maintenance = True
    service.live(1800, lambda _: 1.0)
    service.maintenance = False
    service.live(1800)
    assert not service.told
    service.live(60, lambda _: 1.0)
    assert service.news() == [(Kind.ERROR_RATE, "", News.FIRED, CRITICAL)]


def test_what_is_now_has_to_last() -> None:
    service = Service()
    service.away = 2
    service.live(20)
    service.away = 0
    service.live(60)
    assert not service.told
    service.away = 2
    service.live(60)
    service.away = 0
    service.live(60)
    assert [news for _, _, news, _ in service.news()] == [News.FIRED, News.RESOLVED]
    assert [at_s for at_s, _ in service.told] == [115, 175]


def test_rules_that_change_forget_what_was_counted_and_end_what_nobody_watches() -> None:
    """Who was told hears of it."""
    service = Service()
    service.live(100, lambda route: 0.5)
    service.watch.follow(Watched({Kind.REDIS: RULES[Kind.REDIS]}, ROUTES), None, OPS)
    service.live(5)
    assert [news for _, _, news, _ in service.news()] == [News.FIRED, News.RESOLVED]
    assert "Error rate is not watched any more" in service.told[-1][1].message
    assert not service.watch.incidents


def test_whoever_heard_of_a_beginning_hears_of_its_end_and_nobody_else_does() -> None:
    """Whoever is named by then, and if nothing is watched by then. Who is named later hears of what comes later."""
    service, mail = Service(), (("mail", "ann@a.test"),)
    service.live(100, lambda _: 0.03, rate=100)
    service.watch.follow(Watched(RULES, ROUTES), None, mail)
    service.live(60)
    service.live(100, lambda _: 0.5)
    service.watch.follow(Watched(RULES, ROUTES), None, (("pager", ""),))
    service.live(10, lambda _: 0.5)
    assert service.watch.heard() == {*OPS, *mail}
    service.watch.follow(Watched({}, {}), None, ())
    service.live(5)
    assert [(alert.news, alert.posts) for _, alert in service.told] == [
        (News.FIRED, OPS),
        (News.RAISED, mail),
        (News.RESOLVED, (*OPS, *mail)),
    ]
    assert not service.watch.heard()


def test_a_reload_forgets_nothing_of_what_it_does_not_change() -> None:
    """Reloads every minute, each with a route more: what an hour adds up to is seen all the same, and once."""
    service = Service(rules={Kind.AVAILABILITY: RULES[Kind.AVAILABILITY]})
    for minute in range(60):
        service.live(59, rate=50)
        service.unreached["shop"] += 50
        service.live(1, rate=50)
        service.watch.follow(
            Watched({Kind.AVAILABILITY: RULES[Kind.AVAILABILITY]}, ROUTES | {f"r{minute}": "app"}), None, OPS
        )
    assert service.news() == [(Kind.AVAILABILITY, "", News.FIRED, WARNING)]
    (_, alert), *_ = service.told
    assert alert.requests > 15 * 60 * 100  # of more than one minute


def test_what_is_gone_is_over_after_a_while() -> None:
    """A route that a reload took away."""
    service = Service(routes={"shop": "app", "rare": "app"})
    service.asked["shop"] += 1_000_000
    service.live(90, lambda route: 0.9 if route == "rare" else 0.0)
    service.routes = {"shop": "app"}
    service.watch.follow(Watched(RULES, service.routes), None, OPS)
    service.live(OVER_S + 10)
    assert [(name, news) for _, name, news, _ in service.news()] == [("rare", News.FIRED), ("rare", News.RESOLVED)]


def test_another_watch_goes_on_with_what_was_told() -> None:
    """After a restart nobody hears of a second beginning, and of one end."""
    subject = Subject(Kind.ERROR_RATE)
    service = Service()
    service.watch = ServiceWatch("gate:8080", {subject: Incident(T0_MS - 60_000, CRITICAL, T0_MS - 60_000)})
    service.watch.follow(Watched(RULES, ROUTES), None, OPS)
    service.live(200, lambda route: 1.0)
    assert not service.told
    service.live(800)
    ((_, resolved),) = service.told
    assert (resolved.news, resolved.since_ms) == (News.RESOLVED, T0_MS - 60_000)


@settings(max_examples=25, deadline=None)
@given(share=st.floats(0.02, 1.0), rate=st.integers(2, 50), before_s=st.integers(0, 900), seed=st.integers(0, 999))
def test_a_breach_that_lasts_is_told_in_time(share: float, rate: int, before_s: int, seed: int) -> None:
    """Within the time that is looked back over, what a warning has to last, and a look; however much there was before.
    Twice the bound is far enough from it for chance to play no part."""
    service = Service(rules={Kind.ERROR_RATE: RULES[Kind.ERROR_RATE]}, routes={"shop": "app"})
    service.live(before_s, rate=rate)
    service.live(OVER_S + LATELY_S + TICK_S, lambda _: max(share, 1 / rate), rate=rate)
    assert any(news is News.FIRED and name == "" for _, name, news, _ in service.news())


@settings(max_examples=25, deadline=None)
@given(share=st.floats(0.0, 0.003), rate=st.integers(1, 40), seed=st.integers(0, 99_999))
def test_healthy_noise_says_nothing(share: float, rate: int, seed: int) -> None:
    """An hour of errors that come by chance, at a third of the bound at most."""
    service = Service(rules={Kind.ERROR_RATE: RULES[Kind.ERROR_RATE]})
    service.live(3600, lambda _: share, rate=rate, random=Random(seed))
    assert service.told == []


@settings(max_examples=20, deadline=None)
@given(
    phases=st.lists(st.tuples(st.integers(10, 600), st.sampled_from([0.0, 0.005, 0.015, 0.04, 0.3, 1.0])), max_size=12),
    seed=st.integers(0, 999),
)
def test_beginnings_and_ends_take_turns(phases: list[tuple[int, float]], seed: int) -> None:
    """Of each thing that is told of, however the service wavers; and each message has an id of its own."""
    service, random = Service(), Random(seed)
    for seconds, share in phases:
        service.live(seconds, {"shop": share, "admin": 0.0}.__getitem__, rate=5, random=random)
    service.live(2 * OVER_S)
    open_ones: set[Subject] = set()
    for _, alert in service.told:
        if alert.news is News.FIRED:
            assert alert.subject not in open_ones
            open_ones.add(alert.subject)
        elif alert.news is News.RESOLVED:
            open_ones.remove(alert.subject)
        else:
            assert alert.subject in open_ones
    assert len({alert.id for _, alert in service.told}) == len(service.told)
