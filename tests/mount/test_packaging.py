"""What stands beside the command: completion of shells, the unit of systemd, the version, the package."""

import email
import pathlib
import re
import shutil
import subprocess
import tomllib

import pytest

from helpers import read
from test_docs import ROOT, options_of_help, schemes

# Completion


@pytest.fixture(scope="module")
def help_text(ckfs) -> str:
    return subprocess.run([ckfs, "--help"], capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def made(ckfs) -> pathlib.Path:
    """What the build has made for shells and systemd."""
    return pathlib.Path(ckfs).parent / "packaging"


def bash(script: pathlib.Path, line: str) -> list[str]:
    """What bash offers at the end of a line, as readline asks for it."""
    ask = '. "$1"; COMP_LINE=$2 COMP_POINT=${#2}; _ckfs; printf "%s\\n" "${COMPREPLY[@]}"'
    return subprocess.run(["bash", "-uc", ask, "sh", script, line], capture_output=True, text=True, check=True).stdout.splitlines()


def zsh(script: pathlib.Path, line: str) -> list[str]:
    """Its own functions, which show what they are given, say what it would offer: it has no way to ask without a terminal."""
    options = line.startswith("ckfs -o ")
    stubs = f"""
        _arguments() {{ print -rl -- "$@"; {"state=options; return 1" if options else "return 0"}; }}
        _values() {{ print -rl -- "$@"; }}
        _alternative() {{ print -rl -- $schemes; }}
        words=("${{@[2,-1]}}") CURRENT=$(($# - 1))
        . "$1"; {"" if options else "_ckfs_source"}"""
    said = subprocess.run(["zsh", "-fc", stubs, "zsh", script, *line.split(" ")], capture_output=True, text=True, check=True).stdout.splitlines()
    if options:
        return [name + "=" * bool(more) for name, more in re.findall(r"^([a-z_]+)\[.*(?<!\\)\](:?)", "\n".join(said), re.MULTILINE)]
    return [word for given in said for word in ([given] if "://" in given else re.findall(r"(?:^|[)*])(-[-\w]+)(?=[+[])", given))]


def fish(script: pathlib.Path, line: str) -> list[str]:
    ask = "source $argv[1]; complete -C $argv[2]"
    said = subprocess.run(["fish", "--no-config", "-c", ask, script, line], capture_output=True, text=True, check=True).stdout
    return [row.split("\t")[0] for row in said.splitlines()]


SHELLS = [(bash, "ckfs"), (zsh, "_ckfs"), (fish, "ckfs.fish")]


@pytest.fixture(params=SHELLS, ids=[shell.__name__ for shell, _ in SHELLS])
def complete(request, made):
    """complete(line) -> what is offered at its end"""
    shell, name = request.param
    if not shutil.which(shell.__name__):
        pytest.fail(f"there is no {shell.__name__}: test.sh installs it")
    return lambda line: shell(made / name, line)


def test_completion_offers_the_options_of_help(complete, ckfs):
    options = {option for option in options_of_help(ckfs) if not option.startswith("-")}
    offered = complete("ckfs -o ")
    assert (set(offered), len(offered)) == (options, len(options))


def test_completion_offers_the_flags_of_help(complete, ckfs):
    flags = {option for option in options_of_help(ckfs) if option.startswith("-")}
    assert {word for word in complete("ckfs -") if word.startswith("-")} - {"-o"} == flags


@pytest.mark.parametrize("command", ["ls", "cat", "stat", "name", "rm", "put"])
def test_completion_offers_the_flags_of_a_command(complete, ckfs, command):
    usage = subprocess.run([ckfs, command, "--help"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    flags = set(re.findall(r"\[(-[-\w]+)\]", usage)) | {"-h", "--help"}
    if "options" in usage:
        flags |= {"-d", "-o"}
    assert {word for word in complete(f"ckfs {command} -") if word.startswith("-")} | (flags & {"-o"}) == flags


def test_completion_offers_the_schemes_of_help(complete, help_text):
    assert schemes(" ".join(complete("ckfs "))) == schemes(help_text)


@pytest.mark.parametrize("shell", SHELLS[::2], ids=["bash", "fish"])
@pytest.mark.parametrize(
    "line, offered",
    [
        ("ckfs -o write,spo", ["write,spool_dir="]),
        ("ckfs -ospo", ["-ospool_dir="]),
        ("ckfs -o verify=f", ["verify=first"]),
        ("ckfs -o umask=022,log=", ["umask=022,log=stderr", "umask=022,log=syslog"]),
        ("ckfs -o timeout=", []),
        ("ckfs -o ttl=n", ["ttl=never"]),
        ("ckfs -o keys=TMP/k", ["keys=TMP/keys"]),
        ("ckfs -o spool_dir=TMP/", ["spool_dir=TMP/cache"]),
        ("ckfs TMP/", ["TMP/cache"]),
        ("ckfs redis-s", ["redis-sentinel://"]),
        ("ckfs redis://host/0 TMP/c", ["TMP/cache"]),
        ("ckfs -f -o write TMP/cache TMP/c", ["TMP/cache"]),
        ("ckfs ca", ["cat"]),
        ("ckfs -d sta", ["stat"]),
        ("ckfs TMP/cache sta", []),
        ("ckfs ls TMP/", ["TMP/cache"]),
        ("ckfs ls redis-s", ["redis-sentinel://"]),
        ("ckfs -o write ls redis-s", ["redis-sentinel://"]),
        ("ckfs ls TMP/cache m", ["meta", "msgpack"]),
        ("ckfs ls TMP/cache json TMP/", []),
        ("ckfs cat TMP/cache TMP/", []),
        ("ckfs name TMP/", []),
        ("ckfs TMP/cache TMP/cache TMP/", []),
    ],
)
def test_completion_knows_what_a_value_is(shell, line, offered, made, tmp):
    (tmp / "keys").touch()
    (tmp / "cache").mkdir()
    ask, name = shell
    got = [word.rstrip("/") if "TMP" in line else word for word in ask(made / name, line.replace("TMP", str(tmp))) if word]
    wanted = [word.replace("TMP", str(tmp)) for word in offered]
    # bash wants what follows the last = or : of the word.
    typed = re.search(r"^.*[=:]", line.split(" ")[-1].replace("TMP", str(tmp)))
    if ask is bash and typed:
        wanted = [word.removeprefix(typed[0]) for word in wanted]
    assert sorted(got) == wanted


# systemd

# Each of these gives a service a mount namespace of its own (systemd.exec(5), v252 to v257), in which a mount stays.
NAMESPACES = re.compile(
    r"(Private(Tmp|Devices|Mounts|IPC|Users|Network|PIDs)|Protect(System|Home|Kernel\w+|ControlGroups|Proc)|ProcSubset|Root\w+|MountFlags|MountAPIVFS"
    r"|\w+Paths|Bind\w+|TemporaryFileSystem|\w+Images|DynamicUser|User|LogNamespace|\w+Directory)="
)


@pytest.fixture
def unit(made) -> str:
    return (made / "ckfs@.service").read_text()


def test_the_unit_mounts_where_all_see_it(unit):
    assert [line for line in unit.splitlines() if NAMESPACES.match(line)] == []


@pytest.mark.once
def test_the_unit_is_exposed_little(made, tmp):
    shutil.copy(made / "ckfs@.service", tmp / "ckfs@mnt-cache.service")
    run = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=49", "--no-pager", tmp / "ckfs@mnt-cache.service"], capture_output=True, text=True)
    assert (run.returncode, "Unknown" in run.stderr) == (0, False), run.stdout[-200:] + run.stderr


def test_the_units_command_mounts(unit, command_of_unit):
    assert read(command_of_unit / "key") == b"value"


@pytest.fixture
def command_of_unit(unit, ckfs, cache, tmp):
    """Starts what the unit starts, with its settings as /etc/default/ckfs would have them."""
    cache.set("key", b"value")
    (tmp / "mnt").mkdir()
    line = re.search(r"^ExecStart=\S+/ckfs (.*)", unit, re.MULTILINE)[1]
    settings = dict(re.findall(r"(CKFS_\w+)=(\S*)", re.search(r"^Environment=(.*)", unit, re.MULTILINE)[1]))
    assert settings.keys() == {"CKFS_SOURCE", "CKFS_OPTIONS"} == set(re.findall(r"^#?(\w+)=", (ROOT / "debian/ckfs.default").read_text(), re.MULTILINE))
    settings["CKFS_SOURCE"] = cache.source
    args = [arg.replace("${CKFS_OPTIONS}", settings["CKFS_OPTIONS"]).replace("$CKFS_SOURCE", settings["CKFS_SOURCE"]).replace("%f", str(tmp / "mnt")) for arg in line.split()]
    with open(tmp / "log", "wb") as log:
        subprocess.run([ckfs, *args], check=True, stderr=log)
    yield tmp / "mnt"
    subprocess.run(["umount", tmp / "mnt"], check=True)


# The version


def test_there_is_one_version(ckfs):
    version = re.search(r"^  version: '(.*)'", (ROOT / "meson.build").read_text(), re.MULTILINE)[1]
    shown = subprocess.run([ckfs, "--version"], capture_output=True, text=True, check=True).stdout
    assert shown.startswith(f"ckfs {version} ")
    assert re.match(r"ckfs \((.*)-\d+\) ", (ROOT / "debian/changelog").read_text())[1] == version
    assert f'"ckfs {version}"' in (ROOT / "doc/ckfs.1").read_text().splitlines()[0]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "version" not in project and project["dynamic"] == ["version"]


# The package


def test_what_the_package_needs_is_what_the_build_needs():
    """Each library that meson.build asks for, with the version from which on it does."""
    control = email.message_from_string((ROOT / "debian/control").read_text())
    needed = dict(re.findall(r"([\w.:-]+)(?: \(>= ([\d.]+)\))?(?:,|$)", control["Build-Depends"].replace("\n", "")))
    for library, version in {"libfuse3-dev": "3.14", "libseccomp-dev": "2.5", "libcurl4-openssl-dev": "7.87", "meson": "1.0"}.items():
        assert needed[library] == version
    asked = dict(re.findall(r"dependency\('([\w-]+)', version: '>=([\d.]+)'", (ROOT / "meson.build").read_text()))
    assert (asked["fuse3"], asked["libseccomp"], asked["libcurl"]) == ("3.14", "2.5", "7.87")


def test_the_package_brings_each_document():
    """All that README refers to; debhelper installs the manual by itself."""
    brought = (ROOT / "debian/ckfs.docs").read_text().split()
    assert sorted(brought) == sorted(["README.md", *(f"doc/{path.name}" for path in (ROOT / "doc").iterdir() if path.is_file() and path.name != "ckfs.1")])
