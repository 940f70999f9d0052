"""The effective policy as lines."""

from pathlib import Path

import yaml

from proxy.cli.effectivelines import yaml_text
from proxy.policy.document import Origin
from proxy.policy.effective import Leaf, Tree, plain


def at(value: object, line: int, file: str = "a.yaml") -> Leaf:
    return Leaf(value, Origin(file, Path(), line, ()))


TREE: dict[str, Tree] = {
    "version": at(1, 1),
    "listen": {"address": at("0.0.0.0:80", 2), "drain": Leaf("30s", None)},
    "together": [at("x, y", 3), at("${Z}", 3)],
    "apart": [at("x", 4), at("y", 1, "b.yaml")],
    "routes": [
        {"name": at("app", 5), "match": {"path": Leaf("/**", None)}},
        {"match": {"hosts": [at("a", 6)]}, "name": at("no", 7)},
    ],
    "deep": [[at(1, 8), at(2, 9)]],
    "007": at(None, 10),
    "empty": {"list": at([], 11), "map": at({}, 11), "off": at(False, 11)},
}


def test_each_value_has_a_line_and_its_origin() -> None:
    """A list that stands together is one; comments are below one another."""
    assert yaml_text(TREE, origins=True).splitlines() == [
        "version: 1                  # a.yaml:1",
        "listen:",
        "  address: 0.0.0.0:80       # a.yaml:2",
        "  drain: 30s                # default",
        "together: ['x, y', '${Z}']  # a.yaml:3",
        "apart:",
        "  - x                       # a.yaml:4",
        "  - y                       # b.yaml:1",
        "routes:",
        "  - name: app               # a.yaml:5",
        "    match:",
        "      path: /**             # default",
        "  - match:",
        "      hosts: [a]            # a.yaml:6",
        "    name: 'no'              # a.yaml:7",
        "deep:",
        "  - - 1                     # a.yaml:8",
        "    - 2                     # a.yaml:9",
        "'007': null                 # a.yaml:10",
        "empty:",
        "  list: []                  # a.yaml:11",
        "  map: {}                   # a.yaml:11",
        "  'off': false              # a.yaml:11",
    ]


def test_it_is_yaml_with_origins_and_without() -> None:
    """The same values, and no comment unless it is asked for."""
    for origins in (True, False):
        assert yaml.safe_load(yaml_text(TREE, origins=origins)) == plain(TREE)
    assert "#" not in yaml_text(TREE, origins=False)


def test_text_of_any_kind_survives() -> None:
    """Whatever somebody wrote into a header or a contact."""
    odd = ["a: b", "# c", "- d", "line\nbreak", "ü €", "x" * 300, "", " ", "10:30", "yes", "1e3", "'\"", "{a: b}"]
    tree: dict[str, Tree] = {"alone": {text: at(text, 1) for text in odd}, "list": [at(text, 1) for text in odd]}
    assert yaml.safe_load(yaml_text(tree, origins=True)) == plain(tree)
