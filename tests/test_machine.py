"""What a container, a job or a service may have of its machine."""

import io
import os
import sys
from pathlib import Path

import pytest

from beautynet import machine


def write(group: Path, **files: str) -> None:
    group.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (group / name.replace("__", ".")).write_text(f"{text}\n")


@pytest.mark.parametrize(
    ("memberships", "left"),
    [
        ("0::/", [600]),
        ("0::/job/step", [300, 600]),  # the step has no limit, the job and the whole have
        ("0::/docker/of-the-host", [600]),  # a container that sees the host's name of its group
        ("5:cpuset:/\n4:memory:/slurm/job\n1:name=systemd:/\n0::/", [70, 600]),
        ("0::/full", [0, 600]),
        ("0::/odd", [600]),
        ("", []),
    ],
)
def test_control_groups_limit_what_may_be_had(memberships: str, left: list[int], tmp_path: Path) -> None:
    write(tmp_path, memory__max="1000", memory__current="500", memory__stat="anon 3\ninactive_file 100")
    write(tmp_path / "job", memory__max="400", memory__current="100", memory__stat="inactive_file 0")
    write(tmp_path / "job" / "step", memory__max="max", memory__current="90", memory__stat="inactive_file 0")
    write(tmp_path / "full", memory__max="10", memory__current="30", memory__stat="inactive_file 5")
    write(tmp_path / "odd", memory__max="10", memory__current="3", memory__stat="nothing 5")
    old = {"memory__limit_in_bytes": "90", "memory__usage_in_bytes": "40", "memory__stat": "total_inactive_file 20"}
    write(tmp_path / "memory" / "slurm" / "job", **old)
    listed = tmp_path / "cgroup"
    listed.write_text(f"{memberships}\n" if memberships else "")
    assert [*machine.memory_left(listed, tmp_path)] == left
    assert not [*machine.memory_left(tmp_path / "none", tmp_path)]


def test_what_is_available_is_less_than_all_there_is() -> None:
    assert 1 << 20 < machine.memory() < 1 << 50
    assert 1 <= machine.cores() <= (os.cpu_count() or 1)


def test_no_more_is_taken_than_the_tightest_group_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    told = "MemTotal: 9 kB\nMemFree: 1 kB\nMemAvailable: 5 kB\n"
    monkeypatch.setattr(machine, "open", lambda *_, **__: io.StringIO(told), raising=False)
    for left, ours in (([], 5120), ([9000], 5120), ([90, 70], 70)):
        monkeypatch.setattr(machine, "memory_left", lambda left=left: iter(left))
        assert machine.memory() == ours
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {*range(6)}, raising=False)
    for quotas, ours in (([], 6), ([99.0], 6), ([1.5, 4.0], 2), ([0.2], 1)):
        monkeypatch.setattr(machine, "quotas", lambda quotas=quotas: iter(quotas))
        assert machine.cores() == ours


@pytest.mark.parametrize(
    ("memberships", "found"),
    [
        ("0::/", []),
        ("0::/job/step", [1.5, 4]),
        ("7:cpu,cpuacct:/docker/of-the-host\n0::/", [0.5]),
        ("7:cpu:/free\n0::/", [0.5]),  # of the group above it
        ("7:cpuset:/\n0::/odd", []),
    ],
)
def test_and_cores(memberships: str, found: list[float], tmp_path: Path) -> None:
    write(tmp_path / "job", cpu__max="400000 100000")
    write(tmp_path / "job" / "step", cpu__max="150000 100000")
    write(tmp_path / "odd", cpu__max="max 100000")
    write(tmp_path / "cpu", cpu__cfs_quota_us="50000", cpu__cfs_period_us="100000")
    write(tmp_path / "cpu" / "free", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    listed = tmp_path / "cgroup"
    listed.write_text(f"{memberships}\n")
    assert [*machine.quotas(listed, tmp_path)] == found
