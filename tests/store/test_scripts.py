"""Scripts are found where the program is, and named by their digest."""

import hashlib

import pytest

from proxy.store.scripts import FOLDERS, load


@pytest.mark.parametrize("name", ["admit", "leases", "heartbeat"])
def test_a_script_is_known_by_its_sha1(name: str) -> None:
    script = load(name)
    assert script.sha1 == hashlib.sha1(script.source).hexdigest().encode()
    assert load(name) is script, "read once"


@pytest.mark.parametrize("name", ["admit", "leases", "heartbeat"])
def test_a_script_says_what_it_takes(name: str) -> None:
    """Its head gives keys, arguments, result and cost."""
    head = load(name).source.decode().split("\nlocal ")[0]
    assert all(word in head for word in ("KEYS[1]", "ARGV[1]", "Returns", "Complexity"))


def test_a_missing_script_names_the_places() -> None:
    with pytest.raises(FileNotFoundError, match=str(FOLDERS[0])):
        load("nonesuch")
