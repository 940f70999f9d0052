"""What the users of a page-heavy SaaS app ask of it, as events in order of time: made by chance from a seed.

A project tool. ``TENANTS`` tenants have users by Zipf's law (the k-th has 1/k of the first's), ``USERS`` in all, and
a project for every four users. Sessions begin by a Poisson process, each of a user drawn from all. A session walks
pages (``PAGES``: where one goes from each, how likely; think time is exponential, 12 s in the mean), and each page asks
for all that it shows, as single-page apps do without a cache of their own: who I am, what there is new, the settings,
then lists and items. Which project, and which of its tasks, is Zipf too, newest first. While it is open a session polls
what is new every 30 s. On a task's page one in eight visits writes: a comment, or a change of the task.

Scopes: what belongs to a user (``/api/me``, ``/api/notifications``) is the user's, the plans are public, all else the
tenant's. Each answer has the app's tags. A write names the tags that it changes: the task, its project's lists, the
tenant's dashboard, and what is new for the members of the project that it notifies (three of them, drawn by chance).

Nothing is tuned to a cache: a tenant with one user has a session now and then, whose reads miss. With every second
visit to a task writing instead of every eighth, hits fall by less than five points.
"""

import random
from bisect import bisect
from collections.abc import Iterator
from itertools import accumulate
from operator import attrgetter
from typing import Final, NamedTuple

TENANTS: Final = 100
USERS: Final = 2_000
SESSIONS_PER_S: Final = 0.5
PAGES_A_SESSION: Final = 15.0
THINK_S: Final = 12.0
POLL_S: Final = 30.0
WRITES: Final = 1 / 8  # of the visits to a task
USERS_A_PROJECT: Final = 4
TASKS: Final = 40  # of a project
NOTIFIED: Final = 3

# page -> (next page, how likely)
PAGES: Final = {
    "dashboard": (("projects", 0.3), ("project", 0.5), ("team", 0.1), ("dashboard", 0.1)),
    "projects": (("project", 0.8), ("projects", 0.1), ("dashboard", 0.1)),
    "project": (("task", 0.6), ("project", 0.2), ("dashboard", 0.2)),
    "task": (("project", 0.45), ("task", 0.4), ("dashboard", 0.15)),
    "team": (("dashboard", 0.7), ("settings", 0.3)),
    "settings": (("dashboard", 1.0),),
}


class Event(NamedTuple):
    """A request. ``scope``: user, tenant or public. ``tags``: of a read its answer's, of a write those it changes."""

    time_s: float
    tenant: str
    user: str
    method: str
    path: str
    scope: str
    tags: tuple[str, ...]


class _Zipf:
    """Places 0, 1, … with weights 1, 1/2, …"""

    def __init__(self, count: int) -> None:
        self._sums = list(accumulate(1 / (place + 1) for place in range(count)))

    def draw(self, chance: random.Random) -> int:
        return bisect(self._sums, chance.random() * self._sums[-1])


class _Tenant:
    def __init__(self, number: int, users: int) -> None:
        self.name = f"tenant-{number}"
        self.users = users
        self.projects = _Zipf(max(1, users // USERS_A_PROJECT))


_TASKS: Final = _Zipf(TASKS)


def events(seed: int, duration_s: float) -> list[Event]:
    """All requests of so long, from the middle of the day: sessions that are open when it begins are not in it."""
    chance = random.Random(seed)
    whole = sum(1 / (number + 1) for number in range(TENANTS))
    tenants = [_Tenant(number, max(1, round(USERS / (number + 1) / whole))) for number in range(TENANTS)]
    sizes = list(accumulate(tenant.users for tenant in tenants))
    found: list[Event] = []
    time_s = 0.0
    while (time_s := time_s + chance.expovariate(SESSIONS_PER_S)) < duration_s:
        tenant = tenants[bisect(sizes, chance.random() * sizes[-1])]
        session = _session(chance, tenant, f"user-{chance.randrange(tenant.users)}", time_s)
        found += [event for event in session if event.time_s < duration_s]
    return sorted(found, key=attrgetter("time_s"))


def _session(chance: random.Random, tenant: _Tenant, user: str, time_s: float) -> Iterator[Event]:
    page, poll_s = "dashboard", time_s + POLL_S
    project, task = tenant.projects.draw(chance), 0
    while True:
        if page == "project" and chance.random() < 0.5:
            project = tenant.projects.draw(chance)
        if page == "task":
            task = _TASKS.draw(chance)
        yield from _page(tenant.name, user, page, project, task, time_s)
        if page == "task" and chance.random() < WRITES:
            yield _write(chance, tenant, user, project, task, time_s + chance.uniform(1, 10))
        if chance.random() < 1 / PAGES_A_SESSION:
            return
        time_s += chance.expovariate(1 / THINK_S)
        while poll_s < time_s:
            yield _mine(tenant.name, user, "/api/notifications", poll_s)
            poll_s += POLL_S
        names, likely = zip(*PAGES[page], strict=True)
        (page,) = chance.choices(names, likely)


def _page(tenant: str, user: str, page: str, project: int, task: int, time_s: float) -> Iterator[Event]:
    """What it asks for, in a burst."""
    yield _mine(tenant, user, "/api/me", time_s)
    yield _mine(tenant, user, "/api/notifications", time_s)
    yield _ours(tenant, user, "/api/settings", time_s, "settings")
    here, its_task = f"project-{project}", f"task-{project}-{task}"
    match page:
        case "dashboard":
            yield _ours(tenant, user, "/api/dashboard", time_s, "dashboard")
            yield _ours(tenant, user, "/api/projects?sort=recent&limit=5", time_s, "projects")
        case "projects":
            yield _ours(tenant, user, "/api/projects?page=1", time_s, "projects")
            yield _ours(tenant, user, "/api/members", time_s, "members")
        case "project":
            yield _ours(tenant, user, f"/api/projects/{project}", time_s, here)
            yield _ours(tenant, user, f"/api/projects/{project}/tasks?page=1", time_s, here)
            yield _ours(tenant, user, f"/api/projects/{project}/members", time_s, "members")
        case "task":
            yield _ours(tenant, user, f"/api/projects/{project}", time_s, here)
            yield _ours(tenant, user, f"/api/projects/{project}/tasks/{task}", time_s, its_task)
            yield _ours(tenant, user, f"/api/projects/{project}/tasks/{task}/comments", time_s, its_task)
        case "team":
            yield _ours(tenant, user, "/api/members", time_s, "members")
            yield _ours(tenant, user, "/api/projects?sort=recent&limit=5", time_s, "projects")
        case "settings":
            yield _ours(tenant, user, "/api/billing", time_s, "settings")
            yield Event(time_s, tenant, user, "GET", "/api/plans", "public", ("plans",))


def _mine(tenant: str, user: str, path: str, time_s: float) -> Event:
    return Event(time_s, tenant, user, "GET", path, "user", (f"{path.rpartition('/')[2]}-{user}",))


def _ours(tenant: str, user: str, path: str, time_s: float, tag: str) -> Event:
    return Event(time_s, tenant, user, "GET", path, "tenant", (tag,))


def _write(chance: random.Random, tenant: _Tenant, user: str, project: int, task: int, time_s: float) -> Event:
    path = f"/api/projects/{project}/tasks/{task}"
    method, path = ("POST", f"{path}/comments") if chance.random() < 0.6 else ("PATCH", path)
    members = {chance.randrange(tenant.users) for _ in range(NOTIFIED)}
    told = [f"notifications-user-{member}" for member in sorted(members)]
    changed = (f"task-{project}-{task}", f"project-{project}", "dashboard", *told)
    return Event(time_s, tenant.name, user, method, path, "tenant", changed)
