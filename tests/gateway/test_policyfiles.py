"""A policy's files are read anew once one of them is another."""

from pathlib import Path

from proxy.gateway.policyfiles import PolicyFiles


def test_a_file_has_changed_with_its_content_its_link_and_its_end(tmp_path: Path) -> None:
    old, new, link = tmp_path / "old", tmp_path / "new", tmp_path / "link"
    old.write_text("x")
    new.write_text("x")
    link.symlink_to(old)
    files = PolicyFiles([link])
    assert not files.changed()
    link.unlink()
    link.symlink_to(new)
    assert files.changed()
    files.look()
    assert not files.changed()
    new.write_text("longer")
    assert files.changed()
    files.look()
    new.unlink()
    assert files.changed()


def test_a_wildcard_has_changed_with_what_it_matches(tmp_path: Path) -> None:
    """And with nothing else that comes into its folder: an editor's copy is no reason to read the policy."""
    files = PolicyFiles([], [tmp_path / "routes.d/*.yaml"])
    (tmp_path / "routes.d").mkdir()
    assert files.changed()
    files.look()
    for name in (".a.yaml.swp", "a.yaml~", "README"):
        (tmp_path / "routes.d" / name).write_text("")
    assert not files.changed()
    (tmp_path / "routes.d/a.yaml").write_text("")
    assert files.changed()
    files.look()
    (tmp_path / "routes.d/a.yaml").unlink()
    assert files.changed()


def test_a_configmaps_swap_is_a_change_of_each_of_its_files(tmp_path: Path) -> None:
    """a.yaml → ..data/a.yaml, ..data → ..1, and then ..data → ..2, which has a file more."""
    for folder, names in (("..1", "a"), ("..2", "ab")):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / f"{name}.yaml").write_text(folder)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "a.yaml").symlink_to("..data/a.yaml")
    files, globs = PolicyFiles([tmp_path / "a.yaml"]), PolicyFiles([], [tmp_path / "*.yaml"])
    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").rename(tmp_path / "..data")
    assert (files.changed(), globs.changed()) == (True, False)
    (tmp_path / "b.yaml").symlink_to("..data/b.yaml")
    assert globs.changed()


def test_what_changes_while_it_is_read_has_changed(tmp_path: Path) -> None:
    """What counts is how it was before."""
    file = tmp_path / "config.yaml"
    file.write_text("first")
    files = PolicyFiles([file])
    files.look()
    file.write_text("first, and then some")
    files.accepted([file], [])
    assert files.changed()


def test_what_a_refused_policy_was_made_of_is_looked_at_until_one_is_taken(tmp_path: Path) -> None:
    """Its fault may be in a file that the policy in force does not have."""
    config, part = tmp_path / "config.yaml", tmp_path / "part.yaml"
    config.write_text("")
    files = PolicyFiles([config])
    files.refused([config, part], [])
    assert not files.changed()
    part.write_text("a: 1")
    assert files.changed()
    files.look()
    config.write_text("another")
    assert files.changed()
    files.accepted([config], [])
    files.look()
    part.write_text("a: another")
    assert not files.changed()
