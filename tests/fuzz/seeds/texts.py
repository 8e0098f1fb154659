"""Names, times, lines of the kernel, and what a command says."""

from seeds.common import write


def names() -> None:
    cases = {
        "empty": b"",
        "plain": b"user:7",
        "slash": b"user/7",
        "percent": b"100%",
        "control": b"a\x00b\x1f\x7f",
        "dot": b".",
        "dotdot": b"..",
        "control-directory": b".ckfs",
        "view": b"arrow",
        "escaped": b"user%2F7",
        "escaped-lower": b"user%2f7",
        "escaped-needless": b"%41",
        "escaped-view": b"%61rrow",
        "escape-cut": b"a%2",
        "hash": b"0123456789abcdef0123456789abcdef",
        "interop": b"shop:price:" + b"0" * 64,
        "reserved-namespace": b"ns:price:" + b"0" * 64,
        "long-240": b"x" * 240,
        "long-241": b"x" * 241,
        "long-255": b"x" * 255,
        "long-slashes": b"/" * 100,
        "cut-at-character": b"x" * 204 + "\u20ac".encode() * 20,
        "cut-name": b"x" * 206 + b"%~0123456789abcdef0123456789abcdef",
        "cut-name-too-short": b"x%~0123456789abcdef0123456789abcdef",
        "not-utf8": b"\xff\xfe\xc2",
    }
    for name, content in cases.items():
        write("fuzz_name", name, content)


def mounts() -> None:
    lines = {
        "plain": rb"36 35 98:0 / /mnt rw,noatime master:1 - ext3 /dev/root rw,errors=continue",
        "group": rb"41 32 0:36 /a/b /sys/fs/cgroup/memory ro - cgroup cgroup rw,cpuacct,memory",
        "no-optional": rb"36 35 0:40 / /m rw - cgroup2 none rw",
        "many-optional": rb"36 35 0:40 / /m rw shared:1 master:2 propagate_from:3 unbindable - tmpfs none rw",
        "escapes": rb"36 35 0:40 /a\040b /c\011\012\134d rw - fuse.ckfs a\054b rw",
        "bad-escapes": rb"36 35 0:40 /\40 /\400\08\ rw - tmpfs none rw",
        "no-source": rb"36 35 0:40 / /m rw -  tmpfs  rw",
        "no-end": rb"36 35 0:40 / /m rw shared:1",
        "no-options": rb"36 35 0:40 / /m rw - tmpfs none",
        "bad-device": rb"36 35 98 / /m rw - tmpfs none rw",
        "empty": b"",
    }
    for name, line in lines.items():
        write("fuzz_mountinfo", name, line)


def commands() -> None:
    time = (1_790_000_000_123).to_bytes(8, "big")
    outputs = {"text": time + b"token\n", "empty": time, "bytes": time + b"\xff\0", "cut": time[:7], "nothing": b"", "half-a-character": time + b"\xc3"}
    for name, value in outputs.items():
        write("fuzz_ck_run", f"output-{name}", b"\0" + value)
    for name, value in {"whole": bytes(8) + time, "cut": bytes(15), "long": bytes(17)}.items():
        write("fuzz_ck_run", f"failure-{name}", b"\1" + value)


def told() -> None:
    args = ":args:" + 64 * "0" + ":1s"
    keys = {
        "generated": f"func:app.load{args}",
        "namespace": f"ns:users:func:app.load{args}",
        "method": f"ns:users:func:app.Users._locals_.load._lambda_{args}",
        "tenant": f"t:default:ns:users:func:app.load{args}",
        "custom": "837ff700712c5ebc-default:ck 1",
        "custom-namespace": "837ff700712c5ebc-users:ü",
        "interop": "users:get:" + 64 * "a",
        "long-name": f"func:{201 * 'x'}{args}",
        "long-namespace": f"ns:{1010 * 'n'}:func:app.load{args}",
        "long-key": f"837ff700712c5ebc-users:{1100 * 'k'}",
        "parts": "ns:func::args:",
        "only-args": ":args:",
        "tenant-alone": "t::",
        "empty": "",
    }
    for name, key in keys.items():
        write("fuzz_invalidation", name, key.encode())


def times() -> None:
    texts = {
        "utc": "2027-01-01T00:00:00Z",
        "offset": "2027-01-01 00:00:00.25+05:30",
        "before": "2027-12-31t23:59:60-23:59",
        "first-year": "0000-01-01T00:00:00+23:59",
        "last-year": "9999-12-31T23:59:60-23:59",
        "leap-day": "2028-02-29T12:00:00z",
        "no-such-day": "2027-02-29T12:00:00Z",
        "sign": "2027-+1-01T00:00:00Z",
        "blank": " 2027-1-01T00:00:00Z",
        "no-fraction": "2027-01-01T00:00:00.Z",
        "no-offset": "2027-01-01T00:00:00",
        "cut": "2027-01-01T00:00:00+05:",
        "more": "2027-01-01T00:00:00Z ",
        "never": "never",
    }
    for name, text in texts.items():
        write("fuzz_timestamp", name, text.encode())
