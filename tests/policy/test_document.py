"""YAML with lines and variables: what is read, and where it came from."""

import datetime
import hashlib
import pickle

import pytest

from proxy.policy.document import MAX_NODES, Missing, Surroundings, survey_document
from proxy.policy.problems import PolicyError


def refusals(error: pytest.ExceptionInfo[PolicyError]) -> list[str]:
    return [str(problem) for problem in error.value.problems]


def test_every_path_has_its_line(read):
    """Collections have their key's line, scalars their own."""
    document = read("a: 1\nb:\n  - x\n  - y: {z: 3}\nc:\n  d:\n    long\n")
    assert document.value == {"a": 1, "b": ["x", {"y": {"z": 3}}], "c": {"d": "long"}}
    assert document.lines == {
        (): 1,
        ("a",): 1,
        ("b",): 2,
        ("b", 0): 3,
        ("b", 1): 4,
        ("b", 1, "y"): 4,
        ("b", 1, "y", "z"): 4,
        ("c",): 5,
        ("c", "d"): 7,
    }


def test_a_problem_at_a_path_that_is_not_there_is_told_where_it_would_be(read):
    """A missing key is looked for where its map is."""
    document = read("a:\n  b: 1\n")
    assert str(document.problem(("a", "c", 0), "is odd")) == "config.yaml:1: a: is odd"


def test_keys_are_text_as_written(read):
    """A tenant may be called no, 007 or null."""
    assert list(read("{no: 1, 007: 2, null: 3, 2026-01-01: 4, '': 5}").value) == ["no", "007", "null", "2026-01-01", ""]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("off", False),
        ("yes", True),
        ("60_000", 60_000),
        ("0.1", 0.1),
        ("~", None),
        ("'off'", "off"),
        ("!!str 7", "7"),
        ("10:30", "10:30"),
        ("1:2.5", "1:2.5"),
        ("=", "="),
        ("2026-12-31", datetime.date(2026, 12, 31)),
        ("2026-12-31T10:00:00Z", datetime.datetime(2026, 12, 31, 10, tzinfo=datetime.UTC)),
    ],
)
def test_values_are_yaml_but_for_base_60(read, written, value):
    """SafeLoader's reading; 10:30 is no number of seconds."""
    assert read(f"a: {written}").value == {"a": value}


def test_anchors_and_merge_keys_work(read):
    """A key's own value wins over a merged one, the first of several merged maps over the next."""
    document = read("x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nz:\n  <<: [*x, *y]\n  a: 0\nw: *x\n")
    assert document.value["z"] == {"a": 0, "b": 1, "c": 2}
    assert document.value["w"] == {"a": 1, "b": 1}
    assert document.lines["z", "b"] == 1


def test_a_merge_within_a_merge_works(read):
    """Defaults may have defaults."""
    document = read("x: &x {a: 1}\ny: &y {<<: *x, b: 2}\nz: {<<: *y, c: 3}\n")
    assert document.value["z"] == {"c": 3, "b": 2, "a": 1}


def test_an_alias_to_what_encloses_it_is_refused(read):
    """Through a list, a map and a merge key alike."""
    for text in ("a: &a [*a]", "a: &a {b: {c: *a}}", "a: &a {<<: *a}", "a: &a {b: {<<: *a}}"):
        with pytest.raises(PolicyError) as error:
            read(text)
        assert "refers to what encloses it" in refusals(error)[0]


def test_a_bomb_of_aliases_is_refused(read):
    """Ten aliases of ten, nine times over, never fill the memory."""
    text = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
    with pytest.raises(PolicyError) as error:
        read(text)
    assert f"more than {MAX_NODES} values" in refusals(error)[0]


def test_control_characters_are_refused(read):
    """PyYAML's reader stops before there is a line."""
    with pytest.raises(PolicyError) as error:
        read("a: \x00")
    assert refusals(error)[0].startswith("config.yaml: not YAML: ")


def test_variables_are_put_in(read, tmp_path):
    """Each form, also within a longer text, and twice."""
    (tmp_path / "secret").write_text("s3cret\n\n")
    env = {"A": "1", "EMPTY": "", "DIGITS": "0123"}
    written = {
        "${A}": "1",
        "${DIGITS}": "0123",
        "x${A}y${A}z": "x1y1z",
        "${EMPTY}": "",
        "${EMPTY:-d}": "d",
        "${NONE:-}": "",
        "${NONE:-a:-b}": "a:-b",
        "${A:-d}": "1",
        "${file:secret}": "s3cret\n",
        "$${A}": "${A}",
        "$${A}${A}": "${A}1",
        "$A $$ $": "$A $$ $",
    }
    for text, value in written.items():
        assert read(f"a: '{text}'", env).value == {"a": value}, text


def test_what_a_variable_brings_is_never_read_again(read):
    """A value that looks like a variable or like YAML stays text."""
    assert read("a: ${A}", {"A": "${B}"}).value == {"a": "${B}"}
    assert read("a: ${A}", {"A": "[1, off]"}).value == {"a": "[1, off]"}


def test_values_with_variables_are_remembered_as_written(read):
    """So that messages can show those instead."""
    assert read("a: ${A}\nb: $${A}\nc: [1, '${A}']", {"A": "1"}).written == {("a",): "${A}", ("c", 1): "${A}"}


def test_a_message_shows_a_variable_as_it_is_written(read):
    """Its value may be a secret; the values of others are left alone."""
    document = read("a: ${A}\nb: hush\n", {"A": "hush"})
    assert document.problem(("a", "gold"), "'hush' is odd").message == "'${A}' is odd"
    assert document.problem(("b",), "'hush' is odd").message == "'hush' is odd"


def test_a_file_that_is_not_text_is_refused_even_where_it_might_be_missing(read, tmp_path):
    """It is there, and wrong."""
    (tmp_path / "a").write_bytes(b"\xff")
    with pytest.raises(PolicyError) as error:
        read("a: ${file:a}", allow_missing=True)
    assert refusals(error) == ["config.yaml:1: a: the file 'a' is not UTF-8 text"]


def test_a_missing_variable_may_have_a_stand_in(read):
    """64 hexadecimal digits, others for another variable, marked as missing."""
    value = read("a: ${A}\nb: x${B}\nc: ${A}\n", allow_missing=True).value
    assert all(isinstance(one, Missing) for one in value.values())
    assert len(value["a"]) == 64
    assert int(value["a"], 16)
    assert value["a"] == value["c"] != value["b"][1:]


def test_what_falls_back_to_nothing_may_be_supposed_to_be_set(read):
    """Who compares policies hears of it; other defaults hold, and so does what is set."""
    supposed = []
    text = "a: ${A:-}\nb: ${B:-b}\nc: ${C:-}\nd: ${A}\n"
    value = read(text, {"C": "c"}, allow_missing=True, suppose=supposed.append).value
    assert supposed == ["A"]
    assert isinstance(value["a"], Missing)
    assert value["a"] == value["d"]  # the same variable
    assert (value["b"], value["c"]) == ("b", "c")
    assert read(text, allow_missing=True).value["a"] == ""


def test_literal_reading_leaves_variables_alone(read):
    """For a file that is written again."""
    assert read("a: ${A}", literal=True).value == {"a": "${A}"}


def test_every_missing_variable_is_told(read):
    """Not the first alone."""
    with pytest.raises(PolicyError) as error:
        read("a: ${A}${B}\nb: ${C}\n")
    assert [line.split("'")[1] for line in refusals(error)] == ["A", "B", "C"]


def test_a_problem_survives_pickling(read):
    """It travels from the parent to whoever tells it."""
    problem = read("a: 1").problem(("a",), "is odd")
    assert pickle.loads(pickle.dumps(problem)) == problem


def test_a_survey_goes_on_after_a_fault(tmp_path):
    """What can't be known has a stand-in; two maps of one key are taken together, of other doubles the first counts."""
    around = Surroundings({}, tmp_path, lambda path: path.read_text("utf-8"))
    text = "a: {x: 1, y: 1}\na: {y: 2, z: '${NONE}'}\nb: 1\nb: 2\nc: {'${NAME}': 1, d: 1}\n"
    document = survey_document(text, "config.yaml", around)
    assert document.value["a"] == {"x": 1, "y": 1, "z": hashlib.sha256(b"NONE").hexdigest()}
    assert (document.value["b"], document.value["c"]) == (1, {"d": 1})
    assert document.unknown == {("a", "z")}
    assert document.partial == {("a", "y"), ("b",), ("c",)}
    assert [problem.line for problem in document.problems] == [2, 2, 4, 5]
