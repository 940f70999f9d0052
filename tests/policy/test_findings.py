"""Notes on a document, at the lines that the file has."""

from proxy.policy.findings import Findings


def test_nothing_is_said_of_what_is_not_known(read):
    """A stand-in's own place, what rests on it, and what a map may have had; the rest is told."""
    document = read("limits: {a: {rate: 1, scope: ip}, b: {rate: 2}}\ntiers: [x]\n")
    findings = Findings(document, frozenset({("limits", "a", "rate")}), frozenset({("tiers",)}))
    findings.error(("limits", "a", "rate", "gold"), "follows")
    findings.error(("limits", "b", "rate"), "follows", ("tiers",))
    findings.error(("limits", "b"), "follows", ("limits", "a"))
    findings.warn(("limits", "a", "rate"), "follows")
    findings.check_reference(("tiers",), "limit", "z", "limits")
    findings.check_reference(("limits", "b"), "limit", "z", "limits")
    findings.error(("limits", "a", "scope"), "is odd", ("limits", "b"), ("limits", "a", "burst"))
    assert [(problem.path, problem.message) for problem in findings.errors] == [
        ("limits.b", "unknown limit 'z'; one of a, b"),
        ("limits.a.scope", "is odd"),
    ]
    assert findings.warnings == []


def test_one_place_is_told_once(read):
    """A value that stands for several tiers is one value."""
    findings = Findings(read("a: 1\n"))
    findings.error(("a", "gold"), "is odd")
    findings.error(("a", "trial"), "is odd")
    assert len(findings.errors) == 1


def test_names_are_those_of_the_file(read):
    """Faulty ones too: what refers to one of them is not wrong itself."""
    findings = Findings(read("limits: {a: 7, b: {}}\nidentity: []\nroutes: [{name: x}, {name: 7}, y]\n"))
    assert findings.names("limits") == ["a", "b"]
    assert findings.names("identity", "keys") == []
    assert findings.names("nowhere") == []
    assert findings.route_names() == ["x"]
