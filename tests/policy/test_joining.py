"""Several documents as one: what is added, what is put over, and where each value is said to be from."""

import json
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy import schema
from proxy.policy.document import Document, Surroundings, survey_document
from proxy.policy.joining import Joint
from proxy.policy.problems import KeyPath


def read(text: str, file: str = "config.yaml", env: dict[str, str] | None = None) -> Document:
    return survey_document(text, file, Surroundings(env or {}, Path("/policy") / Path(file).parent, Path.read_text))


def added(*texts: str) -> Document:
    """The first with all others, which are called b.yaml, c.yaml, …"""
    joint = Joint(read(texts[0]), schema.Config)
    for letter, text in zip("bcdef", texts[1:], strict=False):
        joint.add(read(text, f"{letter}.yaml"))
    return joint.document()


def covered(*texts: str) -> Document:
    """The first with all others over it, the last on top."""
    joint = Joint(read(texts[0]), schema.Config)
    for letter, text in zip("bcdef", texts[1:], strict=False):
        joint.put_over(read(text, f"{letter}.yaml"))
    return joint.document()


def origins(document: Document) -> dict[str, str]:
    return {".".join(map(str, path)): str(document.origin(path)) for path in document.lines if path}


def told(document: Document) -> list[str]:
    return [str(problem) for problem in document.problems]


# --- included files ---


def test_lists_go_on_and_sections_are_filled_together() -> None:
    """In the order of the files."""
    document = added(
        "ip: {deny: [10.0.0.1]}\nroutes: [{name: a}]\n",
        "ip:\n  deny: [10.0.0.2]\n  allow: [10.0.0.3]\nroutes: [{name: b}]\n",
        "routes:\n- name: c\n",
    )
    assert document.value == {
        "ip": {"deny": ["10.0.0.1", "10.0.0.2"], "allow": ["10.0.0.3"]},
        "routes": [{"name": "a"}, {"name": "b"}, {"name": "c"}],
    }
    assert told(document) == []
    places = origins(document)
    assert places["ip"] == "config.yaml:1"
    assert places["ip.deny.1"] == "b.yaml:2"
    assert places["ip.allow"] == "b.yaml:3"
    assert places["routes.1.name"] == "b.yaml:4"
    assert places["routes.2"] == "c.yaml:2"


def test_a_value_that_is_given_twice_is_told_with_both_places() -> None:
    """Also where the two are the same: which of them would be edited?"""
    document = added(
        "version: 1\nredis: {timeout: 1s}\nmaintenance: off\n",
        "redis:\n  timeout: 1s\nmaintenance: {retry_after: 1m}\n",
    )
    assert told(document) == [
        "b.yaml:2: redis.timeout: is given twice; first in config.yaml:2",
        "b.yaml:3: maintenance: is given twice; first in config.yaml:3",
    ]
    assert document.value["redis"] == {"timeout": "1s"}
    assert document.partial == {("redis", "timeout"), ("maintenance",)}


@pytest.mark.parametrize(
    "entry",
    [
        "limits: {x: %s}",
        "tenants: {x: %s}",
        "upstreams: {x: %s}",
        "budgets: {x: %s}",
        "identity: {keys: {x: %s}}",
        "prices: {overrides: {x: %s}}",
    ],
)
def test_a_named_entry_is_whole_in_one_file(entry: str) -> None:
    """Two halves of a limit in two files are two limits that happen to have one name."""
    document = added(entry % "{a: 1}", entry % "{b: 1}")
    assert len(document.problems) == 1
    assert "x: is given twice; first in config.yaml:1" in told(document)[0]
    assert told(added(entry % "{a: 1}", entry.replace("x", "y") % "{b: 1}")) == []


def test_sections_beside_named_entries_are_no_entries() -> None:
    """`budgets.time_zone` is a word of the schema, and is given once like any other."""
    document = added("budgets: {time_zone: UTC, a: {}}", "budgets: {b: {}}")
    assert list(document.value["budgets"]) == ["time_zone", "a", "b"]
    assert told(document) == []


def test_the_version_may_be_in_each_file() -> None:
    """So that each says what it is written in; not another, though."""
    assert told(added("version: 1\n", "version: 1\nlimits: {}\n")) == []
    assert told(added("version: 1\n", "version: 2\n")) == ["b.yaml:1: version: is given twice; first in config.yaml:1"]


def test_free_keys_stay_in_their_file() -> None:
    """Two files may both keep their anchors below x-rates."""
    document = added("x-rates: {a: 1}\n", "x-rates: &r {b: 5/1m}\nlimits: {a: {rate: *r}}\n")
    assert document.value == {"x-rates": {"a": 1}, "limits": {"a": {"rate": {"b": "5/1m"}}}}
    assert told(document) == []


def test_a_problem_is_told_by_the_path_in_its_own_file() -> None:
    """Whoever opens routes.d/b.yaml counts from its first route."""
    document = added("routes: [{name: a}, {name: b}]\n", "routes:\n- name: c\n  match: {path: 7}\n")
    assert str(document.problem(("routes", 2, "match", "path"), "is odd")) == "b.yaml:3: routes[0].match.path: is odd"
    assert str(document.problem(("routes", 2, "upstream"), "is odd")) == "b.yaml:2: routes[0]: is odd"
    assert str(document.problem(("redis",), "is odd")) == "config.yaml:1: is odd"


def test_what_variables_brought_is_remembered_of_each_file() -> None:
    """Messages show it as written, and what is not set is told where it is."""
    joint = Joint(read("routes: [a]\n"), schema.Config)
    joint.add(read("routes: ['${A}', '${GONE}']\n", "sub/b.yaml", {"A": "hush"}))
    document = joint.document()
    assert document.written == {("routes", 1): "${A}", ("routes", 2): "${GONE}"}
    assert document.unknown == {("routes", 2)}
    assert told(document) == ["sub/b.yaml:1: routes[1]: the variable 'GONE' is not set"]
    assert str(document.problem(("routes", 1), "'hush' is odd")) == "sub/b.yaml:1: routes[0]: '${A}' is odd"
    assert document.origin(("routes", 1)).folder == Path("/policy/sub")
    assert document.origin(("routes", 0)).folder == Path("/policy")


# --- overlays ---


def test_maps_are_gone_into_and_all_else_is_replaced() -> None:
    """A list whole; a map by a scalar and the other way, too."""
    document = covered(
        "listen: {address: 'a:1', trusted_proxies: [x, y]}\nlimits: {a: {scope: ip, rate: 1/1m}}\nmaintenance: off\n",
        "listen:\n  trusted_proxies: [z]\nlimits:\n  a:\n    rate: {gold: 2/1m}\nmaintenance: {retry_after: 1m}\n",
        "limits: {a: {rate: 3/1m}}\n",
    )
    assert document.value == {
        "listen": {"address": "a:1", "trusted_proxies": ["z"]},
        "limits": {"a": {"scope": "ip", "rate": "3/1m"}},
        "maintenance": {"retry_after": "1m"},
    }
    assert told(document) == []
    places = origins(document)
    assert places["listen.address"] == "config.yaml:1"
    assert places["listen.trusted_proxies.0"] == "b.yaml:2"
    assert places["limits.a.rate"] == "c.yaml:1"
    assert places["maintenance.retry_after"] == "b.yaml:6"
    assert "limits.a.rate.gold" not in places
    assert "listen.trusted_proxies.1" not in places


def test_keys_keep_their_order() -> None:
    """A replaced one stays where it was."""
    assert list(covered("a: 1\nb: 2\nc: 3\n", "b: 4\nd: 5\n").value) == ["a", "b", "c", "d"]


def test_null_takes_a_key_away() -> None:
    """And one that is not there is a slip of the pen."""
    document = covered("limits: {a: {rate: 1/1m}, b: {}}\nip: {}\n", "limits: {a: ~, bb: ~}\nip: ~\n")
    assert document.value == {"limits": {"b": {}}}
    assert ("limits", "a", "rate") not in document.lines
    assert told(document) == ["b.yaml:1: limits.bb: there is no 'bb' to take away; one of b"]


def test_items_of_one_name_are_gone_into() -> None:
    """Wherever they stand in either list."""
    document = covered(
        "routes:\n- {name: a, auth: none, limits: [x]}\n- {name: b}\n",
        "routes:\n- {name: b, auth: none}\n- {name: a, limits: [], auth: ~}\n",
    )
    assert document.value == {"routes": [{"name": "a", "limits": []}, {"name": "b", "auth": "none"}]}
    assert origins(document)["routes.0.limits"] == "b.yaml:3"
    assert origins(document)["routes.1.auth"] == "b.yaml:2"
    assert origins(document)["routes.1.name"] == "config.yaml:3"


@pytest.mark.parametrize(
    ("over", "wanted"),
    [
        ("[new]", "a b c new"),
        ("[new, b]", "a new b c"),
        ("[new, newer, b, last]", "a new newer b c last"),
        ("[c, new, a]", "new a b c"),
        ("[b, new]", "a b c new"),
    ],
)
def test_a_new_item_comes_before_the_one_that_is_named_after_it(over: str, wanted: str) -> None:
    """The first route that matches wins: one that comes after the last is met by nobody."""
    items = ", ".join(f"{{name: {name}}}" for name in over.strip("[]").split(", "))
    document = covered(
        "routes:\n- {name: a}\n- {name: b}\n- name: c\n  match: {path: '${X}'}\n", f"routes: [{items}]\n"
    )
    names = [item["name"] for item in document.value["routes"]]
    assert names == wanted.split()
    place = names.index("c")
    assert origins(document)[f"routes.{place}.match.path"] == "config.yaml:5"
    assert document.unknown == {("routes", place, "match", "path")}
    assert document.written == {("routes", place, "match", "path"): "${X}"}
    assert all(origins(document)[f"routes.{names.index(n)}"] == "b.yaml:1" for n in names if n.startswith("new"))


def test_an_overlay_sets_what_is_not_set_elsewhere() -> None:
    """A variable that nobody needs any more may be missing."""
    document = covered("redis: {meters: '${REDIS_URL}', cache: '${CACHE}'}\n", "redis: {meters: embedded}\n")
    assert told(document) == ["config.yaml:1: redis.cache: the variable 'CACHE' is not set"]
    assert document.unknown == {("redis", "cache")}
    assert document.written == {("redis", "cache"): "${CACHE}"}


def test_what_lies_below_is_not_changed() -> None:
    """The documents stay as they were read."""
    first, over = read("limits: {a: {}}\nip: [1]\n"), read("limits: {a: {b: [1]}}\nip: [2]\n", "b.yaml")
    before = str(first.value), str(over.value)
    joint = Joint(first, schema.Config)
    joint.put_over(over)
    joint.put_over(read("limits: {a: {b: [2]}}\n", "c.yaml"))
    assert (str(first.value), str(over.value)) == before


# --- all of them ---

KEYS = st.sampled_from(["limits", "routes", "redis", "a", "b", "name"])
SCALARS = st.sampled_from(["x", "y", "${SET}", "${UNSET}", 1, True, None])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
Map: TypeAlias = dict[str, Any]
MAPS: st.SearchStrategy[Map] = st.dictionaries(KEYS, VALUES, max_size=4)


def paths(value: object, path: KeyPath = ()) -> set[KeyPath]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {path}.union(*(paths(item, (*path, step)) for step, item in items))


def yaml_of(value: object) -> str:
    """JSON is YAML."""
    return json.dumps(value, indent=1)


@given(first=MAPS, parts=st.lists(MAPS, max_size=2), overlays=st.lists(MAPS, max_size=3))
def test_every_place_has_its_file_and_line(first: Map, parts: list[Map], overlays: list[Map]) -> None:
    """No more and no fewer than the value has; and what stands there in that file is the value."""
    sources = {f"{n}.yaml": yaml_of(value) for n, value in enumerate([first, *parts, *overlays])}
    documents = {name: read(text, name, {"SET": "s"}) for name, text in sources.items()}
    (main, *included), over = list(documents.values())[: len(parts) + 1], list(documents.values())[len(parts) + 1 :]
    joint = Joint(main, schema.Config)
    for document in included:
        joint.add(document)
    for document in over:
        joint.put_over(document)
    whole = joint.document()
    there = paths(whole.value)
    assert set(whole.lines) == set(whole.origins) == there
    for path in there:
        origin = whole.origins[path]
        source = documents[origin.file]
        assert whole.lines[path] == origin.line == source.lines[origin.path]
        value = whole.at(path)
        if not isinstance(value, dict | list):
            assert value == source.at(origin.path)
            assert whole.written.get(path) == source.written.get(origin.path)
            assert (path in whole.unknown) == (origin.path in source.unknown)
    assert whole.unknown <= there
    assert whole.partial <= there
    assert set(whole.written) <= there
