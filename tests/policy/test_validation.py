"""Every fixture's every fault, word for word, with file, line and path."""

from pathlib import Path

import pytest

from proxy.policy import schema
from proxy.policy.compiler import compile_text
from proxy.policy.problems import PolicyError
from proxy.policy.validation import keys_at, kind_below, named_by_hand, validate

HERE = Path(__file__).parent
ENV = {"SECRET_TEXT": "hunter2-hunter2"}


def fixtures(folder: str) -> list:
    return [pytest.param(path, id=path.stem) for path in sorted((HERE / folder).glob("*.yaml"))]


def expected(path: Path) -> list[str]:
    lines = path.read_text("utf-8").splitlines()
    return [line.removeprefix("# expect: ") for line in lines if line.startswith("# expect: ")]


@pytest.mark.parametrize("path", fixtures("rejected"))
def test_a_faulty_policy_is_refused_with_every_reason(path):
    """The fixture's head has the exact messages, in order."""
    with pytest.raises(PolicyError) as error:
        compile_text(path.read_text("utf-8"), "config.yaml", ENV, base=path.parent)
    assert [str(problem) for problem in error.value.problems] == expected(path)


@pytest.mark.parametrize("path", fixtures("warned"))
def test_an_odd_policy_is_taken_with_every_warning(path):
    """The fixture's head has the exact messages, in order."""
    loaded = compile_text(path.read_text("utf-8"), "config.yaml", ENV, base=path.parent)
    assert [str(problem) for problem in loaded.warnings] == expected(path)


def test_there_are_fixtures_and_each_expects_something():
    """An empty folder would pass everything."""
    rejected, warned = sorted((HERE / "rejected").glob("*.yaml")), sorted((HERE / "warned").glob("*.yaml"))
    assert len(rejected) > 80
    assert len(warned) >= 8
    assert all(expected(path) for path in [*rejected, *warned])


def test_no_message_shows_what_came_from_a_variable():
    """Not in any fixture."""
    for path in (HERE / "rejected").glob("*.yaml"):
        assert not any("hunter2" in line for line in expected(path)), path.name


def test_a_stand_in_is_where_something_was_wrong(read):
    """Nothing else is lost: every limit and every route is there, and the faulty places are named."""
    document = read(
        "version: 1\n"
        "upstreams: {app: {primary: ['http://a']}}\n"
        "limits: {a: {scope: nobody, rate: 1/1m}, b: {scope: ip, rate: 1/1m}}\n"
        "routes: [{name: x}, {name: y, match: {}, upstream: app}, {name: z, match: {}, upstream: 7}, 8]\n"
    )
    validated = validate(document, schema.Config)
    assert list(validated.value.limits) == ["a", "b"]
    assert [route.name for route in validated.value.routes[:3]] == ["x", "y", "z"]
    assert {place for place in validated.unknown if len(place) < 3 or place[:2] != ("routes", 3)} == {
        ("limits", "a", "scope"),
        ("routes", 0, "match"),
        ("routes", 0, "upstream"),
        ("routes", 2, "upstream"),
        ("routes", 3),
    }
    assert len(validated.problems) == 5


def test_a_section_that_is_none_is_told_alone(read):
    """What its stand-in lacks does not count as missing."""
    validated = validate(read("version: 2\ntiers: 7\nupstreams: {a: 1}\nroutes: 3\nidentity: x\n"), schema.Config)
    assert [problem.path for problem in validated.problems] == ["version", "identity", "tiers", "upstreams.a", "routes"]


@pytest.mark.parametrize(
    ("path", "some"),
    [
        ((), {"version", "routes"}),
        (("routes", 3), {"limits+", "match"}),
        (("routes", 3, "match"), {"path", "methods"}),
        (("limits", "per-ip"), {"scope", "rate"}),
        (("identity", "keys", "k", "sha256", 0), {"hash", "expires"}),
        (("metrics",), {"address"}),
        (("budgets",), {"time_zone"}),
        (("budgets", "any-name"), {"scope", "daily", "reserve"}),
        (("budgets", "any-name", "on_exceed"), {"downgrade"}),
        (("tenants", "acme", "budgets", "any-name"), {"amount", "monthly"}),
        (("limits", "per-ip", "rate"), set()),
    ],
)
def test_the_keys_of_every_place_are_known(path, some):
    """So that the nearest can be offered."""
    keys = set(keys_at(schema.Config, path))
    assert some <= keys
    assert bool(keys) == bool(some)


@pytest.mark.parametrize(
    ("path", "step", "by_hand"),
    [
        ((), "limits", False),
        (("limits",), "per-ip", True),
        (("limits", "per-ip"), "rate", False),
        (("budgets",), "time_zone", False),
        (("budgets",), "global", True),
        (("identity",), "claims", False),
        (("identity", "keys"), "ci", True),
        (("nowhere",), "x", False),
    ],
)
def test_names_that_somebody_gives_are_told_from_words_of_the_schema(path, step, by_hand):
    """Of the two, only a name may be another's, too."""
    kind = schema.Config
    for above in path:
        kind, _ = kind_below(kind, above)
    assert named_by_hand(kind, step) == by_hand
