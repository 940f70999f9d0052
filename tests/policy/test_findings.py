"""Notes on a document, at the lines that the file has."""

from proxy.policy.findings import Findings


def test_positions_are_those_of_the_file(read):
    """Also after faulty items before them were cut out."""
    findings = Findings(read("routes:\n  - {a: 1}\n  - {a: 2}\n  - {a: 3}\n"), {("routes",): [0, 2]})
    findings.error(("routes", 1, "a"), "is odd")
    findings.warn(("routes", 0), "is odd")
    assert [str(problem) for problem in findings.errors] == ["config.yaml:4: routes[2].a: is odd"]
    assert [str(problem) for problem in findings.warnings] == ["config.yaml:2: routes[0]: is odd"]


def test_one_place_is_told_once(read):
    """A value that stands for several tiers is one value."""
    findings = Findings(read("a: 1\n"), {})
    findings.error(("a", "gold"), "is odd")
    findings.error(("a", "trial"), "is odd")
    assert len(findings.errors) == 1


def test_names_are_those_of_the_file(read):
    """Faulty ones too: what refers to one of them is not wrong itself."""
    findings = Findings(read("limits: {a: 7, b: {}}\nidentity: []\nroutes: [{name: x}, {name: 7}, y]\n"), {})
    assert findings.names("limits") == ["a", "b"]
    assert findings.names("identity", "keys") == []
    assert findings.names("nowhere") == []
    assert findings.route_names() == ["x"]
