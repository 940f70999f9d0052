"""The file of gateway keys: every change gives a file that loads, and says what was meant."""

import pytest

from proxy.policy import keysfile
from proxy.policy.keysfile import KeysFileError, created, digest_of, ended, entries, new_key, revoked, rotated
from proxy.policy.problems import PolicyError

A, B, C = (letter * 64 for letter in "abc")


def test_a_new_key_can_be_found_and_copied():
    """A prefix for scanners, then letters and digits: 256 bits, never the same."""
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    for key in keys:
        assert key.startswith("sk-slg-")
        assert len(key) == 50
        assert key.removeprefix("sk-slg-").isalnum()


def test_only_a_digest_is_kept():
    """SHA-256, of which the schema asks 64 digits."""
    assert digest_of("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_create_adds_to_what_is_there():
    """The first into an empty file; names and values that YAML reads as something else stay text."""
    text = created("", "no", A, tenant="007", user="null", tier="trial", expires_ms=1_800_000_000_000)
    text = created(text, "next", B, may_act_for=["*"], routes=["ai"], feature="chat", cost_centre="4711")
    keys = entries(text)
    assert list(keys) == ["no", "next"]
    assert (keys["no"].tenant, keys["no"].user, keys["no"].tier) == ("007", "null", "trial")
    assert [(one.hash, one.expires) for one in keys["no"].sha256] == [(A, 1_800_000_000_000)]
    assert keys["next"].may_act_for == ["*"]
    assert (keys["next"].feature, keys["next"].cost_centre, keys["no"].feature) == ("chat", "4711", None)
    assert "may_act_for: any" in text
    assert text.startswith("# Written by")


def test_create_refuses_a_name_that_is_taken():
    """Also of a revoked key: a log's name must stay one key's."""
    text = revoked(created("", "ci", A), "ci")
    with pytest.raises(KeysFileError, match="there is a key 'ci' already"):
        created(text, "ci", B)


@pytest.mark.parametrize("name", ["", "a b", "a\nb: c", "-a", "é", "a" * 64])
def test_create_refuses_what_is_no_name(name):
    """It stands in log lines."""
    with pytest.raises(KeysFileError, match="is not a name"):
        created("", name, A)


def test_create_refuses_what_would_not_load():
    """The text is read again before it is given back."""
    with pytest.raises(PolicyError, match="never the key itself"):
        created("", "ci", "sk-slg-not-a-digest")


def test_rotation_overlaps():
    """The old digest ends, the new one does not; ended ones go, and an earlier end stays."""
    text = created("", "ci", A)
    text = rotated(text, "ci", B, overlap_until_ms=2_000_000, now_ms=1_000_000)
    assert [(one.hash, one.expires) for one in entries(text)["ci"].sha256] == [(A, 2_000_000), (B, None)]
    text = rotated(text, "ci", C, overlap_until_ms=9_000_000, now_ms=1_500_000)
    assert [(one.hash, one.expires) for one in entries(text)["ci"].sha256] == [
        (A, 2_000_000),
        (B, 9_000_000),
        (C, None),
    ]
    text = rotated(text, "ci", "d" * 64, overlap_until_ms=9_000_000, now_ms=2_000_000)
    assert [one.hash[0] for one in entries(text)["ci"].sha256] == ["b", "c", "d"]


def test_rotation_reads_every_way_of_writing():
    """A digest alone, a list of them, a map."""
    for written in (A, f"[{A}]", f"{{hash: {A}}}", f"[{{hash: {A}, expires: 2026-12-31}}]"):
        text = rotated(f"ci: {{sha256: {written}, tenant: acme}}\n", "ci", B, overlap_until_ms=1_000, now_ms=0)
        assert [(one.hash, one.expires) for one in entries(text)["ci"].sha256] == [(A, 1_000), (B, None)]
        assert entries(text)["ci"].tenant == "acme"


def test_an_end_is_never_put_off():
    """It may only come nearer."""
    text = ended(created("", "ci", A, expires_ms=5_000), "ci", at_ms=9_000)
    assert entries(text)["ci"].sha256[0].expires == 5_000
    assert entries(ended(text, "ci", at_ms=2_000))["ci"].sha256[0].expires == 2_000


def test_revoking_keeps_the_entry_as_a_record():
    """And it can be done once."""
    text = revoked(created("", "ci", A), "ci")
    assert entries(text)["ci"].revoked
    for change in (
        lambda: revoked(text, "ci"),
        lambda: ended(text, "ci", at_ms=1),
        lambda: rotated(text, "ci", B, overlap_until_ms=1, now_ms=0),
    ):
        with pytest.raises(KeysFileError, match="is revoked"):
            change()


def test_a_name_that_is_not_there_is_told():
    """No change of another key by mistake."""
    with pytest.raises(KeysFileError, match="there is no key 'ci'"):
        revoked("", "ci")


def test_a_file_that_is_not_sound_is_not_written_again():
    """What is wrong is told with its line."""
    with pytest.raises(PolicyError, match=r"keys file:2: ci\.tenent: unknown key 'tenent'; did you mean 'tenant'\?"):
        revoked(f"ci:\n  tenent: a\n  sha256: {A}\n", "ci")


def test_variables_stay_as_they_are_written():
    """A change of one key must not write another's secrets out."""
    text = created("ci: {sha256: " + A + ", tenant: '${TENANT}'}\n", "other", B)
    assert "tenant: ${TENANT}" in text


def test_a_changed_file_opens_what_it_should(policy, tmp_path):
    """Compiled: revoked ones are left out, overlapping digests are both there."""
    text = rotated(created("", "ci", A), "ci", B, overlap_until_ms=2_000, now_ms=0)
    text = revoked(created(text, "old", C), "old")
    (tmp_path / "keys.yaml").write_text(text)
    (key,) = policy("identity: {keys_file: keys.yaml}\n").identity.keys
    assert key.name == "ci"
    assert key.sha256 == ((A, 2_000), (B, None))
    assert keysfile.KEY_PREFIX not in text
