"""What is to be told of the service, from one look at its counts after the other. Pure: callers pass now_ms.

One cause, one voice: what something else explains that is told of already waits for as long as that lasts. Then it is
told if it is still there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from proxy.alerts.incident import Incident, News, Post, Reading, step
from proxy.alerts.judging import judge_history, judge_value
from proxy.alerts.samples import WHOLE, Sample, Subject, Watched, goes_on
from proxy.alerts.servicealert import ServiceAlert
from proxy.alerts.servicewording import beginning, message
from proxy.alerts.windows import History, Tally
from proxy.policy.service import Bound, Kind, Rule

_QUIET: Final = Reading(None, calm=True)


class ServiceWatch:
    """Of one gateway. ``incidents`` are those that are not over, as another watch may go on with them."""

    def __init__(self, gateway: str, incidents: Mapping[Subject, Incident] | None = None) -> None:
        self.incidents: dict[Subject, Incident] = dict(incidents or {})
        self._gateway = gateway
        self._histories: dict[Subject, History] = {}
        self._watched: Watched | None = None
        self._repeat_ms: int | None = None
        self._posts: tuple[Post, ...] = ()

    def follow(self, watched: Watched, repeat_ms: int | None, posts: tuple[Post, ...]) -> None:
        """From now on by these rules, and to these. What was counted of something else or for other rules says nothing
        any more: look once more before. Of what was told before, the end is told to those who heard of it."""
        before = self._watched or watched
        self._histories = {
            subject: history for subject, history in self._histories.items() if goes_on(subject, before, watched)
        }
        self._watched = watched
        self._repeat_ms = repeat_ms
        self._posts = posts

    def look(self, samples: Mapping[Subject, Sample], monotonic_ms: float, now_ms: int) -> list[ServiceAlert]:
        """``samples`` of everything that is watched, at two clocks: that of look-backs, which never steps, and that of
        the world. Those that are not in here count as calm, and have no past when they come back: what was counted
        while nobody looked (the 503s of maintenance) is nobody's failure."""
        assert self._watched is not None
        self._histories = {subject: history for subject, history in self._histories.items() if subject in samples}
        found = [*self._unwatched(self._watched.rules, now_ms)]
        for kind in Kind:  # what explains others comes first
            rule = self._watched.rules.get(kind)
            if rule is not None:
                found += self._of_kind(kind, rule, samples, monotonic_ms, now_ms)
        return found

    def told(self) -> dict[Kind, int]:
        """How many are told of and not over, by kind."""
        counts = dict.fromkeys(Kind, 0)
        for subject, incident in self.incidents.items():
            counts[subject.kind] += incident.level is not None
        return counts

    def heard(self) -> set[Post]:
        """Everyone who was told of something that is not over."""
        return {post for incident in self.incidents.values() for post in incident.heard}

    def _unwatched(self, rules: Mapping[Kind, Rule], now_ms: int) -> Iterator[ServiceAlert]:
        """What the policy does not watch any more is over for those who were told."""
        for subject in [one for one in self.incidents if one.kind not in rules]:
            incident = self.incidents.pop(subject)
            if incident.level is not None:
                yield self._alert(subject, News.RESOLVED, incident, _QUIET, None, None, now_ms, watched=False)

    def _of_kind(
        self, kind: Kind, rule: Rule, samples: Mapping[Subject, Sample], monotonic_ms: float, now_ms: int
    ) -> Iterator[ServiceAlert]:
        known = [subject for subject in self.incidents if subject.kind is kind and subject not in samples]
        for subject in (*(one for one in samples if one.kind is kind), *known):
            reading, tally, bound = self._judged(subject, rule, samples.get(subject), monotonic_ms)
            before = self.incidents.get(subject)
            causes = self._causes(subject)
            muted = any(self._is_told(cause) for cause in causes)
            patience_ms = rule.bounds[0].lately_ms if subject.name and causes else 0  # of a route
            after, news = step(before, reading, rule, self._repeat_ms, now_ms, muted=muted, patience_ms=patience_ms)
            if after is None:
                self.incidents.pop(subject, None)
            elif news is None:
                self.incidents[subject] = after
            else:
                heard = tuple(dict.fromkeys((*after.heard, *self._posts)))
                self.incidents[subject] = after = replace(after, heard=heard)
            incident = after or before
            if news is not None and incident is not None:
                yield self._alert(subject, news, incident, reading, tally, bound, now_ms)

    def _judged(
        self, subject: Subject, rule: Rule, sample: Sample | None, monotonic_ms: float
    ) -> tuple[Reading, Tally | None, Bound | None]:
        if sample is None:
            return Reading(None, calm=True, limit=rule.bounds[0].limit), None, None
        if not isinstance(sample, Tally):
            return judge_value(rule, sample), None, None
        history = self._histories.get(subject)
        if history is None:
            history = self._histories[subject] = History(rule.longest_ms)
        history.add(sample, monotonic_ms)
        return judge_history(rule, history, monotonic_ms)

    def _causes(self, subject: Subject) -> tuple[Subject, ...]:
        """What explains it: a route's the whole's and its upstream's, availability's the rate of errors."""
        assert self._watched is not None
        kind, name = subject.kind, subject.name
        if kind is Kind.AVAILABILITY:
            return (Subject(Kind.ERROR_RATE),)
        if kind in (Kind.ERROR_RATE, Kind.LATENCY) and name != WHOLE:
            return Subject(kind), Subject(Kind.UPSTREAM, self._watched.routes.get(name, WHOLE))
        return ()

    def _is_told(self, subject: Subject) -> bool:
        incident = self.incidents.get(subject)
        return incident is not None and incident.level is not None

    def _alert(
        self,
        subject: Subject,
        news: News,
        incident: Incident,
        reading: Reading,
        tally: Tally | None,
        bound: Bound | None,
        now_ms: int,
        *,
        watched: bool = True,
    ) -> ServiceAlert:
        assert incident.level is not None
        parts = sorted((tally or Tally()).parts.items(), key=lambda part: -part[1])
        worst = tuple((name, value) for name, value in parts if value > 0)
        said = beginning(subject, reading, tally, worst, bound)
        return ServiceAlert(
            subject=subject,
            news=news,
            level=incident.level,
            message=message(news, subject, reading, said, now_ms - incident.since_ms, watched=watched),
            gateway=self._gateway,
            since_ms=incident.since_ms,
            at_ms=now_ms,
            current=reading.current,
            limit=reading.limit,
            lately=reading.lately,
            requests=round(tally.total) if tally is not None else 0,
            window_ms=bound.over_ms if bound is not None else 0,
            parts=worst,
            posts=incident.heard if news is News.RESOLVED else self._posts,
        )
