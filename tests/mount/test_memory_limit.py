"""§7: how much is kept by default: an eighth of the memory that the process may use, at least 64 MiB and at most 4 GiB."""

import os
import re
import subprocess

import pytest

from commands import command  # noqa: F401 - a fixture
from helpers import read
from waiting import until

MIB = 1 << 20
GIB = 1 << 30

# Starts ckfs with these files in the place of what the kernel says of the process. exec keeps the number that they are mounted for.
RUN = 'mount --bind "$1" /proc/$$/cgroup; mount --bind "$2" /proc/$$/mountinfo; shift 2; exec "$@"'


def machine() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def share(limit: int) -> int:
    return max(64 * MIB, min(4 * GIB, min(limit, machine()) // 8))


def cache_size(command, *options: str, groups: str, mounts: list[tuple[str, str, str, str]], files: dict[str, str]) -> int:
    """
    What ckfs takes in such groups: the text of /proc/self/cgroup, mounts as (root, mountpoint, type, options), and files with what is in them.
    Mountpoints and files lie below a directory of the test.
    """
    top = command.tmp / "cgroup"
    for name, text in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    lines = [f"{30 + i} 23 0:{28 + i} {root} {top}/{point} rw,relatime shared:9 - {kind} none {given}" for i, (root, point, kind, given) in enumerate(mounts)]
    (command.tmp / "groups").write_text(groups)
    (command.tmp / "mountinfo").write_text("".join(f"{line}\n" for line in lines))
    args = [command.ckfs, "-f", *options, command.source, command.point]
    inside = ["unshare", "--mount", "sh", "-euc", RUN, "sh", command.tmp / "groups", command.tmp / "mountinfo", *args]
    # Its mount is in that namespace alone: it is seen from there.
    process = subprocess.Popen([str(word) for word in inside], stderr=subprocess.PIPE)
    command.foreground.append(process)
    stats = f"/proc/{process.pid}/root{command.point}/.ckfs/stats"
    assert until(lambda: os.path.exists(stats) or process.poll() is not None)
    assert process.poll() is None, process.stderr.read()
    found = re.search(rb"^ckfs_cache_size_bytes (\d+)$", read(stats), re.M)
    process.terminate()
    process.wait()
    return int(found[1])


V2 = {"groups": "0::/a/b\n", "mounts": [("/", "", "cgroup2", "rw,nsdelegate")]}
V1 = {"groups": "5:cpu,memory:/a/b\n1:name=systemd:/\n0::/\n", "mounts": [("/", "cpu", "cgroup", "rw,cpu"), ("/", "m", "cgroup", "rw,cpuacct,memory")]}

CASES = {
    "no group": ({"groups": "", "mounts": [], "files": {}}, None),
    "no limit": ({**V2, "files": {"a/b/memory.max": "max\n", "a/memory.max": "max\n"}}, None),
    "a limit": ({**V2, "files": {"a/b/memory.max": f"{GIB}\n"}}, GIB),
    "one above": ({**V2, "files": {"a/b/memory.max": "max\n", "a/memory.max": f"{GIB}\n"}}, GIB),
    "one for all": ({**V2, "files": {"memory.max": f"{GIB}\n"}}, GIB),
    "the least counts": ({**V2, "files": {"a/b/memory.max": f"{2 * GIB}\n", "a/memory.max": f"{GIB}\n"}}, GIB),
    "a limit that slows down": ({**V2, "files": {"a/b/memory.max": f"{2 * GIB}\n", "a/b/memory.high": f"{GIB}\n"}}, GIB),
    "of others": ({**V2, "files": {"a/c/memory.max": f"{GIB}\n"}}, None),
    "little": ({**V2, "files": {"a/b/memory.max": f"{128 * MIB}\n"}}, 128 * MIB),
    "more than there is": ({**V2, "files": {"a/b/memory.max": f"{1 << 50}\n"}}, None),
    "nonsense": ({**V2, "files": {"a/b/memory.max": "nonsense\n", "a/memory.max": "-5\n", "memory.max": "0\n"}}, None),
    "a namespace of groups": ({"groups": "0::/\n", "mounts": [("/", "", "cgroup2", "rw")], "files": {"memory.max": f"{GIB}\n"}}, GIB),
    "a group outside of the namespace": ({"groups": "0::/../c\n", "mounts": [("/", "", "cgroup2", "rw")], "files": {"memory.max": f"{GIB}\n"}}, GIB),
    "a part of the groups is mounted": ({"groups": "0::/a/b\n", "mounts": [("/a", "", "cgroup2", "rw")], "files": {"b/memory.max": f"{GIB}\n"}}, GIB),
    "just the group is mounted": ({"groups": "0::/a/b\n", "mounts": [("/a/b", "", "cgroup2", "rw")], "files": {"memory.max": f"{GIB}\n"}}, GIB),
    "mounted on a path with a space": ({"groups": "0::/a\n", "mounts": [("/", r"of\040all", "cgroup2", "rw")], "files": {"of all/a/memory.max": f"{GIB}\n"}}, GIB),
    "a group with a space": ({"groups": "0::/a b/c\n", "mounts": [(r"/a\040b", "", "cgroup2", "rw")], "files": {"c/memory.max": f"{GIB}\n"}}, GIB),
    "the mount of others comes first": (
        {
            "groups": "0::/a/b\n",
            "mounts": [("/c", "theirs", "cgroup2", "rw"), ("/a", "ours", "cgroup2", "rw")],
            "files": {"theirs/memory.max": f"{600 * MIB}\n", "ours/b/memory.max": f"{GIB}\n"},
        },
        GIB,
    ),
    "a mount with many options": (
        {"groups": "4:memory:/\n", "mounts": [("/", "", "cgroup", f"rw,release_agent={'a' * 300},memory")], "files": {"memory.limit_in_bytes": f"{GIB}\n"}},
        GIB,
    ),
    "version 1": ({**V1, "files": {"m/a/b/memory.limit_in_bytes": f"{GIB}\n"}}, GIB),
    "version 1, one above": ({**V1, "files": {"m/a/memory.limit_in_bytes": f"{GIB}\n", "m/a/b/memory.limit_in_bytes": "9223372036854771712\n"}}, GIB),
    "version 1, another controller": ({**V1, "files": {"cpu/a/b/memory.limit_in_bytes": f"{GIB}\n"}}, None),
}


@pytest.mark.file_only
@pytest.mark.parametrize("case", CASES)
def test_the_default_is_a_share_of_what_may_be_used(command, case):
    given, limit = CASES[case]
    assert cache_size(command, **given) == share(machine() if limit is None else limit)


@pytest.mark.file_only
@pytest.mark.memory  # a sanitizer reserves terabytes
@pytest.mark.parametrize("name", ["as", "data"])
def test_the_limit_of_the_process_counts(command, name):
    """As batch schedulers set it; a soft one is raised first."""
    for soft, limit in ((GIB, GIB), (GIB, 2 * GIB)):
        command.start(command.source, command.point, program=["prlimit", f"--{name}={soft}:{limit}", command.ckfs])
        found = re.search(rb"^ckfs_cache_size_bytes (\d+)$", read(command.point / ".ckfs/stats"), re.M)
        assert int(found[1]) == share(limit)
        subprocess.run(["fusermount3", "-u", command.point], check=True)


@pytest.mark.file_only
def test_a_size_that_is_given_counts(command):
    given, _ = CASES["little"]
    assert cache_size(command, "-o", "cache_size=1G", **given) == GIB
