"""§6, §7: where master keys come from, that wrong ones are told, and that nobody sees them."""

import os
import pathlib
import re
import socket
import subprocess

import pytest

from commands import ENVIRONMENT, NOBODY, REFUSED, command, complaint, mounted, mounts, nobody  # noqa: F401 - a fixture
from helpers import read
from waiting import PATIENCE, until

A, B, C, D, E = (bytes(range(i, i + 32)).hex() for i in (0x10, 0x40, 0x70, 0x90, 0xC0))
MASTER, PREVIOUS = "CACHEKIT_MASTER_KEY", "CACHEKIT_PREVIOUS_MASTER_KEYS"
DEPLOYMENT, FAIL_CLOSED = "CACHEKIT_DEPLOYMENT_UUID", "CACHEKIT_ENCRYPTION_FAIL_CLOSED"
UUID = "0f0e0d0c-0b0a-4908-8706-05040302010f"

# Root without the right to look into others: dumpable or not then counts for it as for anybody.
ROOT = ["setpriv", "--bounding-set=-sys_ptrace"]


def shown_of(text: str) -> list[str]:
    """Which parts of the keys a text shows."""
    return [key[i : i + 8] for key in (A, B, C, D, E) for i in range(57) if key[i : i + 8] in text.lower()]


def key_file(command, content: str | bytes, mode: int = 0o600) -> pathlib.Path:
    path = command.tmp / "key_file"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return path


def start(command, *options: str, env: dict | None = None, program: list[str] | None = None) -> subprocess.CompletedProcess:
    return command(*options, command.source, command.point, env=env, program=program)


# What is wrong

WRONG = {
    "key is no hex": ({MASTER: "secret" + A}, [MASTER, "hex"]),
    "key is short": ({MASTER: A[:62]}, [MASTER, "31 bytes", "32"]),
    "key has an odd digit": ({MASTER: A + "0"}, [MASTER, "hex"]),
    "key is blank": ({MASTER: " "}, [MASTER, "32"]),
    "previous key is no hex": ({MASTER: A, PREVIOUS: f"{B},{C}g"}, [PREVIOUS, "key 2", "hex"]),
    "previous key is short": ({MASTER: A, PREVIOUS: B[:62]}, [PREVIOUS, "key 1", "31 bytes"]),
    "previous keys are JSON": ({MASTER: A, PREVIOUS: f'["{B}"]'}, [PREVIOUS, "hex", "key 1"]),
    "too many previous keys": ({MASTER: A, PREVIOUS: f"{B},{C},{D},{E}"}, [PREVIOUS, "3 keys", "take out"]),
    "previous key is the current one": ({MASTER: A, PREVIOUS: f"{B},{A.upper()}"}, [PREVIOUS, "key 2", "current", "take it out"]),
    "previous key is wrong without a current one": ({PREVIOUS: "x"}, [PREVIOUS, "hex"]),
    "deployment is no UUID": ({MASTER: A, DEPLOYMENT: B}, [DEPLOYMENT, "UUID"]),
    "deployment is wrong without a key": ({DEPLOYMENT: B}, [DEPLOYMENT, "UUID"]),
    "fail closed is no bool": ({FAIL_CLOSED: A}, [FAIL_CLOSED, "true or false"]),
    "fail closed is empty": ({FAIL_CLOSED: ""}, [FAIL_CLOSED, "true or false"]),
    "name in lower case": ({MASTER.lower(): A[:62]}, [MASTER, "31 bytes"]),
}


@pytest.mark.file_only
@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("flags", [(), ("-f",)], ids=["daemon", "foreground"])
def test_a_wrong_key_is_one_line_that_names_the_variable_and_no_key(command, case, flags):
    env, words = WRONG[case]
    result = start(command, *flags, env=env)
    assert complaint(result, *words) == REFUSED
    assert (shown_of(result.stderr), mounted(command.point), command.daemons()) == ([], None, [])


@pytest.mark.file_only
@pytest.mark.parametrize("bit", [1 << i for i in range(6) if i != 5], ids=oct)
def test_a_key_file_that_others_have_rights_on_is_refused(command, bit):
    path = key_file(command, A, 0o600 | bit)
    assert complaint(start(command, "-o", f"master_key_file={path}"), str(path), "chmod 600") == REFUSED


@pytest.mark.file_only
@pytest.mark.parametrize("bit", [1 << i for i in range(6)], ids=oct)
def test_a_users_own_key_file_that_others_have_rights_on_is_refused(command, nobody, bit):
    path = key_file(command, A, 0o600 | bit)
    os.chown(path, 65534, 65534)
    assert complaint(start(command, "-o", f"master_key_file={path}", program=[*nobody, command.ckfs]), str(path), "chmod 600") == REFUSED


@pytest.mark.file_only
@pytest.mark.parametrize("mode, is_taken", [(0o600, True), (0o640, False)])
def test_root_takes_a_users_key_file_if_that_is_private(command, mode, is_taken):
    """As `sudo ckfs`, and fstab do."""
    path = key_file(command, A, mode)
    os.chown(path, 65534, 65534)
    result = start(command, "-o", f"master_key_file={path}")
    assert (result.returncode, str(path) in result.stderr) == (0 if is_taken else 1, not is_taken)


@pytest.mark.parametrize("mode", [0o440, 0o640])
def test_a_key_file_of_root_may_be_for_a_group(command, nobody, mode):
    """As Kubernetes mounts a secret for a pod with fsGroup, behind links that it changes."""
    version = command.tmp / "..2026"
    version.mkdir()
    key_file(command, A, mode).rename(version / "key")
    os.chown(version / "key", 0, 65534)
    (command.tmp / "..data").symlink_to("..2026")
    (command.tmp / "secret").symlink_to("..data/key")
    option = f"master_key_file={command.tmp}/secret"
    result = start(command, "-o", option, env={PREVIOUS: A}, program=[*nobody, command.ckfs])
    assert complaint(result, PREVIOUS, "key 1 is the current key") == REFUSED
    assert start(command, "-o", option, program=[*nobody, command.ckfs]).returncode == 0


@pytest.mark.file_only
@pytest.mark.parametrize(
    "content, words",
    [
        (b"", ["empty"]),
        (b"\n", ["0 bytes", "32"]),
        (A[:62] + "\n", ["31 bytes", "32"]),
        (A + "\n" + B + "\n0", ["hex"]),
        (A.encode() + b"\0" + B.encode(), ["hex"]),
        (bytes.fromhex(B), ["hex"]),
        (f"{MASTER}={A}", ["hex"]),
        (A * 1025, ["hex"]),
    ],
    ids=["empty", "newline", "short", "odd", "NUL", "raw", "assignment", "long"],
)
def test_a_wrong_key_file_is_one_line_that_names_it_and_no_key(command, content, words):
    path = key_file(command, content)
    result = start(command, "-o", f"master_key_file={path}", env={MASTER: B})
    assert (complaint(result, str(path), *words), shown_of(result.stderr)) == (REFUSED, [])


@pytest.mark.file_only
def test_a_key_file_that_is_missing_is_named(command):
    assert complaint(start(command, "-o", f"master_key_file={command.tmp}/none"), f"{command.tmp}/none", "No such") == REFUSED


@pytest.mark.file_only
def test_a_key_file_that_is_no_file_is_named(command):
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(command.tmp / "socket"))
    (command.tmp / "dir").mkdir(0o700)
    for name, why in (("dir", "regular file"), ("socket", "No such device")):
        assert complaint(start(command, "-o", f"master_key_file={name}"), f"{command.tmp}/{name}", why) == REFUSED
    assert complaint(start(command, "-o", "master_key_file=/dev/zero"), "/dev/zero", "regular file") == REFUSED


PIPES = {
    "process substitution": 'exec "$@" -o master_key_file=<(printf %s "$KEY")',
    "standard input": 'printf %s "$KEY" | "$@" -o master_key_file=/dev/stdin',
    "a descriptor": 'printf %s "$KEY" | "$@" -o master_key_file=/dev/fd/7 7<&0 0<&-',
    "here document": '"$@" -o master_key_file=/dev/stdin <<<"$KEY"',
    "named pipe": 'umask 77; mkfifo pipe; printf %s "$KEY" >pipe & exec "$@" -o master_key_file=pipe',
    "slow": 'exec "$@" -o master_key_file=<(sleep 1; printf %s "${KEY:0:10}"; sleep 1; printf %s "${KEY:10}")',
}


@pytest.mark.file_only
@pytest.mark.parametrize("case", PIPES)
def test_a_key_comes_from_a_pipe(command, case):
    """The previous keys tell which one is the current key."""
    shell = ["bash", "-c", PIPES[case], "bash", command.ckfs]
    assert complaint(start(command, env={"KEY": A, PREVIOUS: A}, program=shell), PREVIOUS, "key 1 is the current key") == REFUSED
    (command.tmp / "pipe").unlink(missing_ok=True)
    result = start(command, env={"KEY": A}, program=shell)
    assert (result.returncode, result.stderr, read(command.point / "key")) == (0, "", b"value")


@pytest.mark.file_only
def test_another_users_pipe_brings_a_key(command, nobody):
    """As `generate | sudo -u cache ckfs -o master_key_file=/dev/stdin`."""
    script = 'printf %s "$KEY" | sh -c \'chmod 600 /dev/stdin; exec "$@" -o master_key_file=/dev/stdin\' sh "$@"'
    program = ["sh", "-c", script, "sh", *nobody, command.ckfs]
    assert complaint(start(command, env={"KEY": A, PREVIOUS: A}, program=program), PREVIOUS, "key 1 is the current key") == REFUSED
    assert start(command, env={"KEY": A}, program=program).returncode == 0


@pytest.mark.file_only
def test_a_key_comes_from_a_socket(command):
    """Some runtimes give their children sockets for pipes; these cannot be opened by a name."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        args = [command.ckfs, "-o", "master_key_file=/dev/stdin", command.source, command.point]
        with subprocess.Popen(args, stdin=theirs, stderr=subprocess.PIPE, env={**ENVIRONMENT, PREVIOUS: A}, text=True) as process:
            ours.sendall(A.encode())
            ours.shutdown(socket.SHUT_WR)
            assert "key 1 is the current key" in process.communicate(timeout=PATIENCE)[1]


@pytest.mark.file_only
@pytest.mark.parametrize("words", [["empty"], ["too long"]], ids=lambda words: words[0])
def test_a_pipe_without_a_key_is_told(command, words):
    script = {"empty": "exec \"$@\" -o master_key_file=<(:)", "too long": "exec \"$@\" -o master_key_file=<(exec yes)"}[words[0]]
    assert complaint(start(command, program=["bash", "-c", script, "bash", command.ckfs]), *words) == REFUSED


@pytest.mark.file_only
def test_a_key_file_that_may_not_be_read_is_named(command):
    path = key_file(command, A)
    command.tmp.chmod(0o755)
    result = start(command, "-o", f"master_key_file={path}", program=[*NOBODY, command.ckfs])
    assert complaint(result, str(path), "Permission denied") == REFUSED


def test_a_processor_without_aes_is_told(command, tmp):
    source = "int crypto_aead_aes256gcm_is_available(void) { return 0; }"
    subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-o", tmp / "noaes.so", "-"], input=source, text=True, check=True)
    result = start(command, env={MASTER: A, "LD_PRELOAD": str(tmp / "noaes.so")})
    assert complaint(result, "AES instructions", f"unset {MASTER}") == REFUSED
    assert start(command, env={"LD_PRELOAD": str(tmp / "noaes.so")}).returncode == 0


# What is right

RIGHT = {
    "a key": {MASTER: A},
    "a long key in upper case, spaced": {MASTER: f" {A.upper()}\n{B[:2]} "},
    "no key": {MASTER: ""},
    "all": {MASTER: A, PREVIOUS: f"{B}, {C} ,,{D},", DEPLOYMENT: f"{{{UUID.upper()}}}", FAIL_CLOSED: "1"},
    "previous keys alone": {PREVIOUS: f"{A},{A}"},
    "empty ones": {MASTER: A, PREVIOUS: "", DEPLOYMENT: ""},
    "the last of two that differ in case": {MASTER: "x", MASTER.lower(): A},
}


@pytest.mark.parametrize("case", RIGHT)
def test_what_the_sdk_takes_mounts(command, case):
    result = start(command, env=RIGHT[case])
    assert (result.returncode, result.stderr, read(command.point / "key")) == (0, "", b"value")


@pytest.mark.file_only
@pytest.mark.parametrize("word", ["true", "TRUE", "t", "on", "Yes", "y", "1", "false", "F", "off", "no", "N", "0"])
def test_fail_closed_takes_the_words_of_the_sdk(command, word):
    assert start(command, env={FAIL_CLOSED: word}).returncode == 0


@pytest.mark.file_only
@pytest.mark.parametrize("word", [" true", "true ", "2", "01", "none", "enable"])
def test_fail_closed_takes_no_other_word(command, word):
    assert complaint(start(command, env={FAIL_CLOSED: word}), FAIL_CLOSED) == REFUSED


def test_fail_closed_is_an_option(command):
    assert (start(command, "-o", "fail_closed", env={MASTER: A}).returncode, read(command.point / "key")) == (0, b"value")


@pytest.mark.file_only
@pytest.mark.parametrize("content", [A, A + "\n", f"  {A.upper()}\r\n", A + B])
def test_a_key_file_is_read(command, content):
    """The previous keys tell which one is the current key."""
    key_file(command, content)
    (command.tmp / "link").symlink_to("key_file")
    previous = "".join(content.split())
    result = start(command, "-o", "master_key_file=link", env={PREVIOUS: previous})
    assert complaint(result, PREVIOUS, "key 1 is the current key") == REFUSED
    assert start(command, "-o", "master_key_file=link", env={PREVIOUS: C}).returncode == 0


@pytest.mark.parametrize("other", [B, "no hex"])
def test_the_key_file_wins_over_the_variable(command, other):
    path = key_file(command, A, 0o400)
    assert start(command, "-o", f"master_key_file={path}", env={MASTER: other, PREVIOUS: B}).returncode == 0


# Who sees them


@pytest.fixture(params=["daemon", "foreground"])
def keyed(request, command, monkeypatch) -> int:
    """A ckfs with every kind of key, by its process id."""
    path = key_file(command, A + "\n")
    env = {MASTER: D, PREVIOUS: f"{B},{C}", MASTER.lower(): E, DEPLOYMENT: UUID}
    if request.param == "daemon":
        assert start(command, "-o", f"master_key_file={path}", env=env).returncode == 0
        return command.daemon()
    for name, value in env.items():
        monkeypatch.setitem(ENVIRONMENT, name, value)
    return command.start("-o", f"master_key_file={path}", command.source, command.point).pid


def test_the_environment_shows_no_key(keyed):
    environ = pathlib.Path(f"/proc/{keyed}/environ").read_bytes()
    listed = subprocess.run(["ps", "eww", str(keyed)], capture_output=True, text=True, check=True).stdout
    assert b"PATH=" in environ and "PATH=" in listed
    assert (shown_of(environ.decode() + listed), UUID.encode() in environ) == ([], False)


def test_mounts_and_arguments_show_no_key(keyed):
    assert shown_of("".join(mounts()) + pathlib.Path(f"/proc/{keyed}/cmdline").read_text()) == []


# A sanitizer copies the environment before main() and lets nobody lock memory: plain builds only.


def writable_memory(pid: int):
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in open(f"/proc/{pid}/maps"):
            start, end = (int(x, 16) for x in line.split()[0].split("-"))
            if line.split()[1].startswith("rw"):
                memory.seek(start)
                yield memory.read(end - start)


@pytest.mark.memory
def test_no_key_lies_in_memory_as_text_and_each_that_is_used_once(keyed):
    regions = list(writable_memory(keyed))
    assert sum(map(len, regions)) > 100_000
    text = [key for key in (A, B, C, D, E) for part in (key[:40], key[20:]) if any(part.encode() in region for region in regions)]
    decoded = [sum(region.count(bytes.fromhex(key)) for region in regions) for key in (A, B, C, D, E)]
    assert (text, decoded) == ([], [1, 1, 1, 0, 0])


@pytest.mark.memory
def test_the_keys_are_locked_in_memory(keyed):
    status = pathlib.Path(f"/proc/{keyed}/status").read_text()
    assert int(re.search(r"VmLck:\s+(\d+) kB", status)[1]) > 0


def is_closed(command, who: list[str]) -> bool:
    """Whether a second process of the same user is kept from looking into ckfs, as it is not from looking into others."""
    look = lambda pid: command(f"/proc/{pid}/exe", program=[*who, "readlink"]).stdout.strip()  # noqa: E731
    with subprocess.Popen([*who, "cat"], stdin=subprocess.PIPE) as other:
        assert until(lambda: look(other.pid).endswith("/cat"))
        other.stdin.close()
    return look(command.daemon()) == ""


@pytest.mark.parametrize("env", [{}, {MASTER: A}], ids=["no key", "a key"])
def test_roots_own_processes_may_not_look_into_it(command, env):
    assert start(command, env=env, program=[*ROOT, command.ckfs]).returncode == 0
    assert is_closed(command, ROOT)


@pytest.mark.parametrize("env", [{}, {MASTER: A}], ids=["no key", "a key"])
def test_another_users_own_processes_may_not_look_into_it(command, nobody, env):
    assert start(command, env=env, program=[*nobody, command.ckfs]).returncode == 0
    assert is_closed(command, nobody)


@pytest.mark.parametrize("env", [{}, {MASTER: A}], ids=["no key", "a key"])
def test_it_leaves_no_core_dump(command, env):
    shell = ["sh", "-c", 'ulimit -c unlimited; test "$(ulimit -c)" = unlimited && exec "$@"', "sh", command.ckfs]
    assert start(command, env=env, program=shell).returncode == 0
    limits = pathlib.Path(f"/proc/{command.daemon()}/limits").read_text()
    assert re.search(r"Max core file size +(\S+) +(\S+)", limits).groups() == ("0", "0")


@pytest.mark.parametrize("limit", ["8388608", "0"], ids=["locked memory", "no locked memory"])
def test_another_user_mounts_reads_and_unmounts(command, nobody, limit):
    path = key_file(command, A)
    os.chown(path, 65534, 65534)
    result = start(command, "-o", f"master_key_file={path}", program=[*nobody, "prlimit", f"--memlock={limit}", command.ckfs])
    assert (result.returncode, result.stderr) == (0, "")
    assert command(command.point / "key", program=[*nobody, "cat"]).stdout == "value"
    assert command("-u", command.point, program=[*nobody, "fusermount3"]).returncode == 0
    assert until(lambda: not command.daemons())


def test_another_users_foreground_ends_well(command, nobody):
    """Under LeakSanitizer this also says that it can look into a process that is closed to others."""
    args = [*nobody, command.ckfs, "-f", command.source, command.point]
    process = subprocess.Popen(args, stderr=subprocess.PIPE, env={**ENVIRONMENT, MASTER: A})
    assert until(lambda: command(command.point / "key", program=[*nobody, "cat"]).stdout == "value")
    process.terminate()
    assert (process.communicate(timeout=PATIENCE)[1], process.returncode) == (b"", 0)
