"""Which files a policy is made of, and what is wrong with which they are."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.policy.compiler import Loaded, load
from proxy.policy.includes import MAX_FILES, is_glob, matching
from proxy.policy.problems import PolicyError

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config.example.yaml"

HEAD = 'version: 1\nupstreams: {app: {primary: ["http://127.0.0.1:3000"]}}\ndefaults: {auth: none}\n'
ROUTE = 'routes: [{name: app, match: {path: "/**"}, upstream: app}]\n'


def write(folder: Path, files: dict[str, str]) -> Path:
    """The files; the first is the policy itself."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8", "surrogateescape")
    return folder / next(iter(files))


def refusals(folder: Path, overlays: Iterable[str] = ()) -> list[str]:
    with pytest.raises(PolicyError) as error:
        load(folder / "config.yaml", {}, overlays=[folder / name for name in overlays])
    return [str(problem).replace(f"{folder}/", "") for problem in error.value.problems]


def taken(folder: Path, overlays: Iterable[str] = ()) -> Loaded:
    return load(folder / "config.yaml", {}, overlays=[folder / name for name in overlays])


# --- which files ---


def test_files_are_taken_in_the_order_that_is_written_and_by_name(tmp_path: Path) -> None:
    """What a wildcard matches is sorted; a file that several patterns name is where the first has it."""
    route = "routes: [{{name: {0}, match: {{path: /{0}}}, upstream: app}}]\n"
    parts = {f"routes.d/{name}.yaml": route.format(name) for name in ("b", "a", "z", "c10", "c9")}
    write(
        tmp_path,
        {
            "config.yaml": HEAD + "include: [last.yaml, routes.d/z.yaml, routes.d/*.yaml, ./last.yaml]\n"
            "routes: [{name: first, match: {path: /first}, upstream: app}]\n",
            "last.yaml": route.format("last"),
            **parts,
        },
    )
    loaded = taken(tmp_path)
    assert [one.name for one in loaded.policy.routes] == ["first", "last", "z", "a", "b", "c10", "c9"]
    names = ["config.yaml", "last.yaml", *(f"routes.d/{name}.yaml" for name in ("z", "a", "b", "c10", "c9"))]
    assert loaded.files == tuple(tmp_path / name for name in names)
    assert loaded.globs == (tmp_path / "routes.d/*.yaml",)


def test_one_file_needs_no_list(tmp_path: Path) -> None:
    """As with other lists of one."""
    write(tmp_path, {"config.yaml": HEAD + "include: routes.yaml\n", "routes.yaml": ROUTE})
    assert [one.name for one in taken(tmp_path).policy.routes] == ["app"]


def test_names_that_begin_with_a_dot_are_no_matches(tmp_path: Path) -> None:
    """A ConfigMap's folders and editors' copies stand beside the files."""
    assert matching(tmp_path / "*.yaml", ["b.yaml", ".#b.yaml", "..data", "a.yaml", "a.yaml~", "a.yml"]) == [
        "a.yaml",
        "b.yaml",
    ]
    assert matching(tmp_path / "*", ["..2026", "a"]) == ["a"]
    assert matching(tmp_path / "[!a]?.yaml", ["ab.yaml", "bb.yaml", "b.yaml"]) == ["bb.yaml"]
    assert [is_glob(name) for name in ("a*", "a?", "[a]", "a/b.yaml")] == [True, True, True, False]


def test_variables_and_named_files_are_looked_for_beside_the_file_that_names_them(tmp_path: Path) -> None:
    """A folder of parts can be moved with its secrets; where a variable says which file, it is that."""
    write(
        tmp_path,
        {
            "config.yaml": HEAD + "include: '${WHICH}/part.yaml'\n",
            "sub/part.yaml": ROUTE + "admin: {token: '${file:token}'}\nidentity: {keys_file: keys.yaml}\n"
            "data_dir: data\n",
            "sub/token": "t" * 16,
            "sub/keys.yaml": f"ci: {{sha256: {'a' * 64}}}\n",
        },
    )
    loaded = load(tmp_path / "config.yaml", {"WHICH": "sub"})
    assert loaded.policy.admin is not None
    assert loaded.policy.admin.token == "t" * 16
    assert [one.name for one in loaded.policy.identity.keys] == ["ci"]
    assert loaded.policy.data_dir == str(tmp_path / "sub/data")
    assert loaded.files[1:] == tuple(tmp_path / "sub" / name for name in ("part.yaml", "token", "keys.yaml"))


def test_a_wildcard_that_matches_nothing_is_a_warning(tmp_path: Path) -> None:
    """A folder that is to be filled later is none's fault."""
    write(tmp_path, {"config.yaml": HEAD + ROUTE + "include:\n  - routes.d/*.yaml\n", "routes.d/.keep": ""})
    loaded = taken(tmp_path)
    assert [str(one).replace(f"{tmp_path}/", "") for one in loaded.warnings] == [
        "config.yaml:6: include[0]: no file matches 'routes.d/*.yaml'"
    ]
    assert loaded.globs == (tmp_path / "routes.d/*.yaml",)


def test_an_empty_file_adds_nothing(tmp_path: Path) -> None:
    """Nor does one of comments."""
    write(tmp_path, {"config.yaml": HEAD + ROUTE + "include: [a.yaml, b.yaml]\n", "a.yaml": "", "b.yaml": "# later\n"})
    assert taken(tmp_path).warnings == ()


# --- what is wrong with them ---

WRONG = {
    "a file that is not there": (
        {"config.yaml": "include: [a.yaml]\n"},
        ["config.yaml:1: include[0]: the file 'a.yaml' cannot be read: No such file or directory"],
    ),
    "a folder that is not there": (
        {"config.yaml": "include:\n  - x\n  - routes/*.yaml\n", "x": ""},
        ["config.yaml:3: include[1]: the folder 'routes' cannot be read: No such file or directory"],
    ),
    "a folder for a file": (
        {"config.yaml": "include: ['a/*']\n", "a/b/c": ""},
        ["config.yaml:1: include[0]: the file 'a/b' cannot be read: Is a directory"],
    ),
    "no text in a file": (
        {"config.yaml": "include: [a.yaml, b.yaml]\n", "a.yaml": "\udcff", "b.yaml": "\x00"},
        [
            "config.yaml:1: include[0]: the file 'a.yaml' is not UTF-8 text",
            "b.yaml: not YAML: unacceptable character #x0000: special characters are not allowed",
        ],
    ),
    "no YAML": (
        {"config.yaml": "include: [a.yaml, b.yaml]\n", "a.yaml": "routes: [\n", "b.yaml": "a: b: c\n"},
        [
            "a.yaml:2: not YAML: while parsing a flow node, expected the node content, but found '<stream end>'",
            "b.yaml:1: not YAML: mapping values are not allowed here",
        ],
    ),
    "no map": (
        {"config.yaml": "include: a.yaml\n", "a.yaml": "- name: app\n"},
        ["a.yaml:1: a part of a policy is a map of keys"],
    ),
    "wildcards for folders": (
        {"config.yaml": HEAD + ROUTE + "include: ['*/a.yaml']\n"},
        ["config.yaml:5: include[0]: wildcards stand in a file's name, not in a folder's"],
    ),
    "itself": (
        {"config.yaml": HEAD + ROUTE + "include: '*.yaml'\n"},
        ["config.yaml:5: include: 'config.yaml' is this file itself"],
    ),
    "an include in an included file": (
        {"config.yaml": HEAD + ROUTE + "include: a.yaml\n", "a.yaml": "ip: {}\ninclude: [config.yaml]\n"},
        ["a.yaml:2: include: an included file includes none itself: the policy's own file names all"],
    ),
    "no text": (
        {"config.yaml": HEAD + ROUTE + "include: [7, {a: b}]\n"},
        [
            "config.yaml:5: include[0]: must be text, not a number; put it in quotes",
            "config.yaml:5: include[1]: must be text, not a map",
        ],
    ),
    "a variable that is not set": (
        {"config.yaml": HEAD + ROUTE + "include: ['${WHERE}/a.yaml']\n"},
        ["config.yaml:5: include[0]: the variable 'WHERE' is not set"],
    ),
    "faults here and there, in the order of the files": (
        {
            "config.yaml": HEAD + "include: [b.yaml, a.yaml]\nredis: {timeout: never}\nlimits: {x: {scope: ip}}\n",
            "a.yaml": "\n\nrouts: []\nredis: {timeout: 1s}\nlimits:\n  x: {scope: ip, rate: 1/1m}\n",
            "b.yaml": ROUTE + "ip: {deny: [me]}\nmetrics: {address: '${GONE}'}\ntenants: {acme: {limits: {y: 1/1m}}}\n",
        },
        [
            "config.yaml:5: redis.timeout: 'never' is not a duration; write a number and one of ms, s, m, h, d",
            "b.yaml:2: ip.deny[0]: 'me' is not an IP address or network such as 10.0.0.0/8",
            "b.yaml:3: metrics.address: the variable 'GONE' is not set",
            "b.yaml:4: tenants.acme.limits.y: unknown limit 'y'; one of x",
            "a.yaml:3: routs: unknown key 'routs'; did you mean 'routes'?",
            "a.yaml:4: redis.timeout: is given twice; first in config.yaml:5",
            "a.yaml:6: limits.x: is given twice; first in config.yaml:6",
        ],
    ),
    "a route of the same name": (
        {"config.yaml": HEAD + ROUTE + "include: a.yaml\n", "a.yaml": "\n" + ROUTE},
        ["a.yaml:2: routes[0].name: the route 'app' is there twice; first in config.yaml:4"],
    ),
}


@pytest.mark.parametrize(("files", "wanted"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_told_with_its_file_and_line(tmp_path: Path, files: dict[str, str], wanted: list[str]) -> None:
    """Every fault at once, but where a file cannot be read."""
    write(tmp_path, files)
    assert refusals(tmp_path) == wanted


def test_a_folder_of_anything_is_not_meant(tmp_path: Path) -> None:
    """None of them is read."""
    write(
        tmp_path, {"config.yaml": HEAD + ROUTE + "include: 'd/*'\n"} | {f"d/{n:04}": "" for n in range(MAX_FILES + 9)}
    )
    assert refusals(tmp_path) == [f"config.yaml:5: include: more than {MAX_FILES} files are included"]
    with pytest.raises(PolicyError) as error:
        taken(tmp_path)
    assert error.value.files == (tmp_path / "config.yaml",)


def test_a_pipe_among_the_files_is_told_and_not_waited_for(tmp_path: Path) -> None:
    """Whoever reads it would wait until somebody writes into it."""
    write(tmp_path, {"config.yaml": HEAD + ROUTE + "include: 'd/*'\n", "d/a.yaml": ""})
    os.mkfifo(tmp_path / "d/f.yaml")
    assert refusals(tmp_path) == ["config.yaml:5: include: the file 'd/f.yaml' cannot be read: it is no regular file"]


def test_a_refused_policy_says_what_was_looked_at(tmp_path: Path) -> None:
    """A change there may mend it."""
    write(tmp_path, {"config.yaml": "include: [gone.yaml, 'd/*', 'none/*']\n", "d/a": "a: [\n"})
    with pytest.raises(PolicyError) as error:
        taken(tmp_path)
    assert error.value.files == tuple(tmp_path / name for name in ("config.yaml", "gone.yaml", "d/a"))
    assert error.value.globs == (tmp_path / "d/*", tmp_path / "none/*")


# --- overlays ---


def test_overlays_are_put_over_all_included_files_in_turn(tmp_path: Path) -> None:
    """The last is on top."""
    write(
        tmp_path,
        {
            "config.yaml": HEAD + "include: a.yaml\n",
            "a.yaml": ROUTE + "redis: {timeout: 1s}\nlimits: {x: {scope: ip, rate: 1/1m}}\n",
            "one.yaml": "redis: {timeout: 2s}\nroutes: [{name: app, limits: [x]}]\n",
            "two.yaml": "redis: {timeout: 3s}\n",
        },
    )
    both, turned = taken(tmp_path, ["one.yaml", "two.yaml"]), taken(tmp_path, ["two.yaml", "one.yaml"])
    assert (both.policy.redis.timeout_ms, turned.policy.redis.timeout_ms) == (3_000, 2_000)
    assert [one.name for one in both.policy.routes[0].limits] == ["x"]
    assert both.files == tuple(tmp_path / name for name in ("config.yaml", "a.yaml", "one.yaml", "two.yaml"))


def test_what_is_wrong_in_an_overlay_is_told_with_its_file_and_line(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "config.yaml": HEAD + ROUTE,
            "prod.yaml": "\nincludes: []\ninclude: [x]\nroutes:\n- name: app\n  weight: heavy\n  lmits: []\n",
        },
    )
    assert refusals(tmp_path, ["prod.yaml"]) == [
        "prod.yaml:2: includes: unknown key 'includes'; did you mean 'include'?",
        "prod.yaml:3: include: an overlay includes no files: each is given with --overlay",
        "prod.yaml:6: routes[0].weight: 'heavy' is not a number",
        "prod.yaml:7: routes[0].lmits: unknown key 'lmits'; did you mean 'limits'?",
    ]
    assert refusals(tmp_path, ["gone.yaml", "prod.yaml", "other.yaml"]) == [
        "gone.yaml: cannot be read: No such file or directory",
        "other.yaml: cannot be read: No such file or directory",
    ]


def test_the_version_changes_with_any_of_the_files(tmp_path: Path) -> None:
    """And with nothing else: in one file or in several, the same policy has one version."""
    write(tmp_path, {"config.yaml": HEAD + "redis: {timeout: 1s}\n" + ROUTE})
    whole = taken(tmp_path).policy
    write(tmp_path, {"config.yaml": HEAD + "include: '?.yaml'\n", "a.yaml": ROUTE, "b.yaml": "redis: {timeout: 1s}\n"})
    assert taken(tmp_path).policy == whole
    (tmp_path / "c.yaml").write_text("ip: {deny: [192.0.2.1]}\n")
    more = taken(tmp_path).policy
    (tmp_path / "b.yaml").write_text("redis: {timeout: 2s}\n")
    changed = taken(tmp_path).policy
    (tmp_path / "over.yaml").write_text("redis: {timeout: 3s}\n")
    over = taken(tmp_path, ["over.yaml"]).policy
    assert len({one.version for one in (whole, more, changed, over)}) == 4


# --- a whole policy in parts ---


def split(text: str, parts: int) -> dict[str, str]:
    """A policy's sections, dealt to so many files."""
    root = yaml.compose(text, yaml.SafeLoader)
    assert root is not None
    files = {f"part{n}.yaml": "" for n in range(parts)}
    for n, (key, item) in enumerate(root.value):
        files[f"part{n % parts}.yaml"] += text[key.start_mark.index : item.end_mark.index].rstrip() + "\n"
    return files


@pytest.mark.parametrize("parts", [1, 2, 5, 40])
def test_the_example_in_parts_is_the_same_policy(tmp_path: Path, parts: int) -> None:
    """Every section in another file: the same policy, and the same version."""
    text = EXAMPLE.read_text("utf-8")
    write(tmp_path, {"config.yaml": "include: [part*.yaml]\n", **split(text, parts)})
    whole = load(EXAMPLE, {}, allow_missing_secrets=True)
    joined = load(tmp_path / "config.yaml", {}, allow_missing_secrets=True)
    assert joined.policy == whole.policy
    assert [one.message for one in joined.warnings] == [one.message for one in whole.warnings]


def test_the_examples_entries_in_parts_are_the_same_policy(tmp_path: Path) -> None:
    """Each route, limit and upstream in a file of its own."""
    value = yaml.load(EXAMPLE.read_text("utf-8"), yaml.BaseLoader)
    files: dict[str, Any] = {f"r{n:02}.yaml": {"routes": [route]} for n, route in enumerate(value.pop("routes"))}
    for section in ("limits", "upstreams", "tenants"):
        for name, entry in value.pop(section).items():
            files[f"{section}-{name}.yaml"] = {section: {name: entry}}
    value["include"] = ["r??.yaml", *(name for name in files if not name.startswith("r"))]
    # Numbers and flags as text, which each kind of value reads, too: both sides are written so.
    whole = yaml.load(EXAMPLE.read_text("utf-8"), yaml.BaseLoader)
    write(
        tmp_path,
        {"config.yaml": yaml.safe_dump(value, sort_keys=False), "whole.yaml": yaml.safe_dump(whole, sort_keys=False)}
        | {name: yaml.safe_dump(part, sort_keys=False) for name, part in files.items()},
    )
    one = load(tmp_path / "whole.yaml", {}, allow_missing_secrets=True).policy
    assert load(tmp_path / "config.yaml", {}, allow_missing_secrets=True).policy == one
