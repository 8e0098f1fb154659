"""§9: what the commands take, say and return."""

import errno
import os
import pathlib
import pty
import re
import select
import signal
import subprocess

import pytest

from caches import noise
from entries import framed, prefixed
from helpers import memory, name_of
from without_mount import Commands, commands  # noqa: F401 - a fixture

pytestmark = pytest.mark.file_only

ODD_KEYS = [b"a/b", b"%", b"new\nline", b"tab\t", b"\x7f", b"\xff\xfe", "schön".encode(), b"json", b".", b"..", b".ckfs", b"-l", b"a b", b"k" * 300, b"\xc2\x9b31m"]


@pytest.fixture
def c(cache, commands) -> Commands:
    return commands(cache)


# Names


@pytest.mark.parametrize("key", ODD_KEYS)
def test_name_prints_the_name_of_a_key_which_opens_it(cache, c, key):
    cache.write(key, b"value of it")
    name = c.__class__(c.program, None, {}).out("name", "--", key)
    assert name == os.fsencode(name_of(key)) + b"\n"
    assert c.out("cat", "--", name[:-1]) == b"value of it"


@pytest.mark.parametrize("key", ODD_KEYS)
def test_the_hash_of_a_key_is_its_file(cache, commands, key):
    assert commands(None).out("name", "--hash", "--", key) == cache.hash(key).encode() + b"\n"


def test_an_empty_key_has_no_name(commands):
    ended = commands(None).run("name", "a", "", "b")
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, b"a\nb\n", b"ckfs: '': Invalid argument: an empty key has no name\n")


def test_keys_of_a_file_are_listed_by_name_one_a_line(cache, c, tmp):
    for key in ODD_KEYS:
        cache.write(key, b"x" * 20)
    (tmp / "keys").write_bytes(b"".join(os.fsencode(name_of(key)) + b"\n" for key in ODD_KEYS if len(key) < 300))
    names = c.out("ls", options=(f"keys={tmp / 'keys'}",)).splitlines()
    assert set(names) == {os.fsencode(name_of(key)) if len(key) < 300 else cache.hash(key).encode() for key in ODD_KEYS}
    assert c.out("ls", "-0", options=(f"keys={tmp / 'keys'}",)).split(b"\0")[:-1] == names


def test_match_limits_a_listing(cache, c):
    for key in ("a", "b"):
        cache.write(key, b"x" * 20)
    assert c.names(options=(f"match={cache.hash('a')[:8]}*",)) == [cache.hash("a")]


@pytest.mark.parametrize("path", ["json/k", "/json/k", "./json/k", "json//k", "json/k.json", "json/./k"])
def test_a_path_may_be_written_as_others_are(cache, c, path):
    cache.put("k", {"a": 1}, "orjson")
    assert c.out("cat", path) == b'{"a":1}'


# Failures


@pytest.mark.parametrize(
    "path, said",
    [
        ("nobody", "ckfs: nobody: No such file or directory"),
        ("json/nobody", "ckfs: json/nobody: No such file or directory"),
        ("npy/doc", "ckfs: npy/doc: No such file or directory: the document is JSON"),
        ("a/b", "ckfs: a/b: No such file or directory: there is no such directory; in the name of a key a slash is %2F"),
        ("json/a/b", "ckfs: json/a/b: No such file or directory: there is no such directory; in the name of a key a slash is %2F"),
        ("json", "ckfs: json: Is a directory"),
        ("/", "ckfs: /: Is a directory"),
        ("", "ckfs: '': No such file or directory"),
        ("k" * 256, f"ckfs: {'k' * 256}: File name too long"),
        (".ckfs", "ckfs: .ckfs: No such file or directory"),
        ("raw/bad", "ckfs: raw/bad: Structure needs cleaning: …"),
        ("json/altered", "ckfs: json/altered: Bad message: …"),
        (b"\xff\x1b[2J", r"ckfs: \xff\x1b[2J: No such file or directory"),
    ],
)
def test_a_path_that_fails_is_told_in_one_line_and_the_others_are_shown(cache, c, path, said):
    cache.put("doc", {"a": 1}, "orjson")
    cache.write("bad", b"CK\x01")
    cache.write("altered", framed(prefixed(b'{"a": 1, "b": 22}')[:-1] + b"]", "orjson", "orjson"))
    ended = c.run("cat", "json/doc", path, "json/doc")
    line = ended.stderr.decode()
    assert (ended.returncode, ended.stdout, line.count("\n")) == (1, b'{"a":1}' * 2, 1)
    assert line.startswith(said.removesuffix("…")) if said.endswith("…") else line == said + "\n"


@pytest.mark.parametrize("command", ["cat", "stat"])
def test_each_failure_of_several_is_told(c, command):
    assert c.failure(command, "a", "b") == "ckfs: a: No such file or directory\nckfs: b: No such file or directory\n"


@pytest.mark.parametrize("command", ["ls", "cat", "stat", "rm", "put"])
def test_an_empty_path_names_nothing(c, command):
    assert c.failure(command, "", options=("write",), stdin=subprocess.DEVNULL) == "ckfs: '': No such file or directory\n"


def test_a_view_that_there_is_not_cannot_be_listed(c):
    assert c.failure("ls", "nope") == "ckfs: nope: Not a directory: VIEW is one of raw, frame, arrow, npy, msgpack, json, meta\n"


@pytest.mark.parametrize("before", [[], ["-d"], ["-o", "unchecked"], ["-ounchecked", "-d"]], ids=" ".join)
def test_options_may_stand_before_the_command(ckfs, cache, before):
    cache.write("k", b"value of it")
    ended = subprocess.run([ckfs, *before, "cat", cache.source, "k"], capture_output=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr != b"") == (0, b"value of it", "-d" in before)


def test_options_of_a_mount_may_not_stand_before_a_command(ckfs, cache):
    ended = subprocess.run([ckfs, "-f", "ls", cache.source], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", "ckfs: -f: no such option\n")


WRONG = {
    ("cat",): "too few operands; usage: ckfs cat [options] SOURCE PATH...",
    ("cat", "SOURCE"): "too few operands; usage: ckfs cat [options] SOURCE PATH...",
    ("stat",): "too few operands; usage: ckfs stat [options] SOURCE KEY...",
    ("name",): "too few operands; usage: ckfs name [--hash] KEY...",
    ("rm", "-o", "write"): "too few operands; usage: ckfs rm -o write [options] SOURCE KEY...",
    ("ls", "SOURCE", "json", "raw"): "raw: one operand too many; usage: ckfs ls [-l] [-0] [options] [SOURCE] [VIEW]",
    ("ls", "-x"): "-x: no such option",
    ("ls", "-lx"): "-lx: no such option",
    ("cat", "-l", "SOURCE", "a"): "-l: no such option",
    ("ls", "--long"): "--long: no such option",
    ("ls", "-o"): "-o needs an option",
    ("ls", "-o", "allow_other", "SOURCE"): "-o allow_other: no such option without a mount",
    ("ls", "-o", "cache_size=x", "SOURCE"): "-o cache_size=x: not a valid value; use cache_size=SIZE",
}


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_wrong_use_is_told_and_ends_with_2(ckfs, cache, words):
    ended = subprocess.run([ckfs, *(cache.source if word == "SOURCE" else word for word in words)], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", f"ckfs: {WRONG[words]}\n")


@pytest.mark.parametrize("command", ["ls", "cat", "stat", "name", "rm"])
def test_each_command_has_help(ckfs, command):
    ended = subprocess.run([ckfs, command, "--help"], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "") and ended.stdout.startswith(f"usage: ckfs {command} ")


def test_a_source_that_cannot_be_opened_ends_with_1(commands, tmp):
    assert commands(tmp / "none").failure("ls").startswith(f"ckfs: {tmp / 'none'}: No such file or directory")
    assert commands("redis://127.0.0.1:1").failure("ls") == "ckfs: 127.0.0.1 port 1: Connection refused; is the server running?\n"


def test_a_spool_that_was_asked_for_has_to_work(c, tmp):
    (tmp / "file").touch()
    assert "spool_dir" in c.failure("ls", options=(f"spool_dir={tmp / 'file'}",))


# SOURCE


def test_the_environment_tells_the_source(cache, commands, tmp):
    cache.write("k", b"value of it")
    nowhere = commands(None, {"CACHEKIT_FILE_CACHE_DIR": cache.source})
    assert nowhere.names() == [cache.hash("k")]
    assert commands("-", {"CACHEKIT_FILE_CACHE_DIR": cache.source}).out("cat", "k") == b"value of it"
    two = commands("-", {"CACHEKIT_FILE_CACHE_DIR": cache.source, "CACHEKIT_REDIS_URL": "redis://localhost"})
    assert "CACHEKIT_REDIS_URL" in two.failure("ls")


def test_a_mountpoint_of_a_commands_name_is_written_with_its_directory(ckfs, cache, tmp):
    (tmp / "cat").mkdir()
    cache.write("k", b"value of it")
    subprocess.run([ckfs, cache.source, "./cat"], cwd=tmp, check=True)
    try:
        assert (tmp / "cat" / "k").read_bytes() == b"value of it"
    finally:
        subprocess.run(["fusermount3", "-u", str(tmp / "cat")], check=True)


# Standard output


def test_a_reader_who_goes_away_ends_it_silently(cache, c):
    cache.write("k", noise(8 << 20))
    cache.fill((f"key {i}" for i in range(3000)), b"x" * 20)
    for words in (("cat", "k"), ("ls",), ("ls", "-l")):
        with subprocess.Popen(c.line(*words[:1], *words[1:]), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=c.env) as process:
            process.stdout.read(10)
            process.stdout.close()
            assert (process.wait(60), process.stderr.read()) == (-signal.SIGPIPE, b""), words


@pytest.mark.parametrize("words", [("ls",), ("cat", "k"), ("cat", "json/doc"), ("stat", "k")])
def test_a_full_disk_is_told(cache, c, words):
    cache.write("k", noise(1 << 20))
    cache.put("doc", {"a": 1}, "orjson")
    with open("/dev/full", "wb") as full:
        ended = subprocess.run(c.line(*words), stdout=full, stderr=subprocess.PIPE, env=c.env, check=False)
    assert (ended.returncode, ended.stderr) == (1, b"ckfs: standard output: No space left on device\n")


@pytest.mark.parametrize("mode", ["wb", "ab", "r+b"])
def test_standard_output_may_be_a_file(cache, c, tmp, mode):
    value = noise(2_000_003)
    cache.write("k", value)
    (tmp / "out").write_bytes(b"before")
    with open(tmp / "out", mode) as out:
        subprocess.run(c.line("cat", "k", "frame/k"), stdout=out, env=c.env, check=True)
    assert (tmp / "out").read_bytes() == (b"before" if mode == "ab" else b"") + value * 2


def test_standard_output_may_be_a_pipe_that_does_not_wait(cache, c):
    value = noise(2_000_003)
    cache.write("k", value)
    out, to = os.pipe2(os.O_NONBLOCK)
    with subprocess.Popen(c.line("cat", "k", "frame/k"), stdout=to, env=c.env) as process:
        os.close(to)
        got = b""
        while select.select([out], [], [], 60)[0] and (piece := os.read(out, 1 << 16)):
            got += piece
        os.close(out)
        assert (process.wait(60), got == value * 2) == (0, True)


def test_closed_streams_do_no_harm(cache, c):
    cache.write("k", b"value of it")
    ended = subprocess.run(["sh", "-c", '"$@" >&- 2>&- <&-', "sh", *c.line("cat", "k")], env=c.env, check=False)
    assert ended.returncode == 0


def on_terminal(c, *words, env: dict[str, str] | None = None, options: tuple[str, ...] = ()) -> str:
    """What a command shows on a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(c.line(*words, options=options), stdout=theirs, stdin=theirs, env={**c.env, "TERM": "xterm", "COLUMNS": "80", **(env or {})}) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                piece = os.read(ours, 1 << 16)
            except OSError as e:
                assert e.errno == errno.EIO
                break
            if not piece:
                break
            shown += piece
        os.close(ours)
        assert process.wait(60) == 0
    return shown.decode(errors="replace").replace("\r\n", "\n")


@pytest.fixture
def named(cache, commands, tmp):
    """Entries whose keys are known, and one whose key is not: commands, keys, options."""
    keys = [f"key:{i:02}" for i in range(20)] + ["wide:日本"]
    cache.fill([*keys, "unknown"], b"x" * 20)
    (tmp / "keys").write_text("".join(f"{key}\n" for key in keys))
    return commands(cache), keys, (f"keys={tmp / 'keys'}",)


def test_names_stand_in_columns_on_a_terminal(cache, named):
    c, keys, options = named
    shown = on_terminal(c, "ls", options=options, env={"NO_COLOR": "1"})
    rows = shown.splitlines()
    assert 1 < len(rows) < 21 and all(len(row) <= 80 for row in rows)
    assert set(shown.split()) == {*keys, cache.hash("unknown")}
    assert "\033" not in shown


def test_hashes_are_dim_on_a_terminal(cache, named):
    c, _, options = named
    for words in (("ls",), ("ls", "-l")):
        shown = on_terminal(c, *words, options=options)
        assert f"\033[2m{cache.hash('unknown')}\033[0m" in shown
        assert shown.count("\033") == 2
    assert "\033" not in on_terminal(c, "ls", options=options, env={"TERM": "dumb"})
    assert b"\033" not in c.out("ls", options=options) + c.out("ls", "-l", options=options)


def test_nothing_in_a_name_steers_a_terminal(cache, c, tmp):
    keys = [b"\xc2\x9b31m:x", b"\xff\xfe:y", "e\u0301:z".encode()]
    for key in keys:
        cache.write(key, b"x" * 20)
    (tmp / "keys").write_bytes(b"".join(key + b"\n" for key in keys))
    for letters in ([], ["-l"]):
        shown = on_terminal(c, "ls", *letters, options=(f"keys={tmp / 'keys'}",), env={"NO_COLOR": "1"})
        assert re.search(r"\?31m:x", shown) and re.search(r"\?\?:y", shown) and "e\u0301:z" in shown
        assert "\x9b" not in shown and "\033" not in shown
    assert set(c.out("ls", options=(f"keys={tmp / 'keys'}",)).splitlines()) == set(keys)


# The process


def test_it_changes_nothing_in_the_cache(cache, c):
    cache.put("k", {"a": 1}, "orjson")
    cache.contents()  # reads it, which may set the time of access
    before = cache.contents()
    c.out("ls", "-l")
    c.out("cat", "json/k", "frame/k")
    c.out("stat", "k")
    assert cache.contents() == before


def test_it_needs_no_device_of_a_kernel(cache, c, tmp):
    """/dev is empty: there is no /dev/fuse, nor anything else."""
    cache.put("k", {"a": 1}, "orjson")
    line = ["unshare", "--mount", *([] if os.getuid() == 0 else ["--map-root-user"]), "sh", "-c", 'mount -t tmpfs none /dev && exec "$@"', "sh"]
    ended = subprocess.run([*line, *c.line("cat", "json/k")], capture_output=True, env=c.env, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b'{"a":1}', b"")


def test_ctrl_c_ends_it_at_once(cache, c):
    cache.write("k", noise(8 << 20))
    with subprocess.Popen(c.line("cat", "k"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=c.env) as process:
        process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == -signal.SIGINT
        assert process.stderr.read() == b""


def process_while_it_prints(c, *options) -> str:
    """What the kernel tells of a process that has begun to print, and waits for a reader."""
    with subprocess.Popen(c.line("cat", "k", options=options), stdout=subprocess.PIPE, env=c.env) as process:
        process.stdout.read(1)
        told = "".join(pathlib.Path(f"/proc/{process.pid}/{name}").read_text() for name in ("status", "limits"))
        process.stdout.read()
    return told


@pytest.mark.skipif(not os.path.exists("/proc/sys/kernel/seccomp"), reason="this kernel has no seccomp")
def test_it_is_in_the_sandbox_and_leaves_no_core(cache, c):
    cache.write("k", noise(8 << 20))
    told = process_while_it_prints(c)
    assert re.search(r"^Seccomp:\t2$", told, re.M) and re.search(r"^NoNewPrivs:\t1$", told, re.M)
    assert re.search(r"^Max core file size +0 +0 ", told, re.M)
    assert re.search(r"^Seccomp:\t0$", process_while_it_prints(c, "sandbox=off"), re.M)


def test_a_short_wait_is_not_told_of(cache, c):
    """What takes no second is not told of, on a terminal either."""
    cache.write("k", b"value of it")
    ours, theirs = pty.openpty()
    assert subprocess.run(c.line("cat", "k"), stdout=subprocess.PIPE, stderr=theirs, env=c.env, check=True).stdout == b"value of it"
    os.close(theirs)
    with pytest.raises(OSError, match="Input/output error"):  # the other end is closed, and nothing was written
        os.read(ours, 100)
    os.close(ours)


@pytest.mark.memory
def test_a_large_value_costs_no_memory(cache, c):
    size = 256 << 20
    path = cache.write_file("k", cache.entry_header())
    os.truncate(path, size + 14)
    with subprocess.Popen(c.line("cat", "k"), stdout=subprocess.PIPE, env=c.env) as process:
        got = sum(len(process.stdout.read(1 << 20)) for _ in range(size // (1 << 20) - 4))
        most = memory(process, "VmHWM")
        got += len(process.stdout.read())
        assert (got, process.wait(60)) == (size, 0)
    assert most < 32 << 20


def test_rm_removes_entries_with_write_alone(cache, c):
    cache.put("k", {"a": 1}, "orjson")
    assert c.failure("rm", "k") == "ckfs: rm: Read-only file system: it changes entries only with -o write\n"
    assert c.failure("rm", "json/k", "nobody", options=("write",)).splitlines() == [
        "ckfs: json/k: Operation not permitted: entries are removed from the root, raw/ or frame/",
        "ckfs: nobody: No such file or directory",
    ]
    assert cache.names() == {cache.hash("k")}
    for path in ("k", "raw/k", "frame/k", cache.hash("k")):
        cache.put("k", {"a": 1}, "orjson")
        assert c.out("rm", path, options=("write",)) == b""
        assert cache.names() == set()
