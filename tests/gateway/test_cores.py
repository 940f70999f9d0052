"""As many workers as there are cores, and no more than the cgroup's quota pays for."""

from pathlib import Path

import pytest

from proxy.gateway.cores import cores, quota, usable


def found_by(tmp_path: Path, membership: str, files: dict[str, str]) -> float | None:
    """A process that is a member there."""
    (tmp_path / "membership").write_text(membership)
    for name, text in files.items():
        file = tmp_path / "cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return quota(tmp_path / "cgroup", tmp_path / "membership")


@pytest.mark.parametrize(("shares", "found"), [(None, 8), (2.0, 2), (0.25, 1), (0.0, 1), (1.5, 2), (8.0, 8), (12.0, 8)])
def test_what_is_begun_of_a_core_counts_as_one(shares: float | None, found: int) -> None:
    assert usable(8, shares) == found


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "150000 100000\n", "kube.slice/pod/cpu.max": "max 100000\n"}, 1.5),
        ({"kube.slice/cpu.max": "400000 100000\n", "kube.slice/pod/cpu.max": "300000 100000\n"}, 3),
        ({"kube.slice/cpu.max": "100000 100000\n", "kube.slice/pod/cpu.max": "300000 100000\n"}, 1),
        ({"elsewhere/cpu.max": "100000 100000\n"}, None),
        ({"cpu.max": "100000 0\n"}, None),
        ({"cpu.max": "lots\n"}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_the_least_quota_of_its_own_cgroup_and_those_above_holds(
    tmp_path: Path, files: dict[str, str], found: float | None
) -> None:
    assert found_by(tmp_path, "0::/kube.slice/pod\n", files) == found


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"cpu/docker/a/cpu.cfs_quota_us": "200000\n", "cpu/docker/a/cpu.cfs_period_us": "100000\n"}, 2),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"memory/cpu.cfs_quota_us": "100000\n", "memory/cpu.cfs_period_us": "100000\n"}, None),
    ],
)  # fmt: skip
def test_the_first_version_of_cgroups_says_it_in_two_files(
    tmp_path: Path, files: dict[str, str], found: float | None
) -> None:
    """In a container the path is the machine's, and what is mounted is the container's own."""
    assert found_by(tmp_path, "5:memory:/docker/a\n4:cpu,cpuacct:/docker/a\n1:name=systemd:/docker/a\n", files) == found


def test_a_machine_that_tells_nothing_has_no_quota(tmp_path: Path) -> None:
    assert quota(tmp_path / "no", tmp_path / "neither") is None
    (tmp_path / "membership").write_bytes(b"0::/\xff\n")
    assert quota(tmp_path, tmp_path / "membership") is None
    assert cores() >= 1
