"""§6: CLIENT NO-TOUCH is used where it is known to do the server no harm. Some releases die of it."""

import pytest

from helpers import read
from redis_server import scripted  # noqa: F401 - a fixture
from test_redis_source import complaint

VALUE = {"GET": b"$2\r\nok\r\n", "STRLEN": b":2\r\n", "PTTL": b":-1\r\n", "PEXPIRETIME": b":-1\r\n"}


def text(word: str) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(word), word.encode())


def hello(server: str, version: str) -> bytes:
    """The answer to HELLO, in RESP2, of a server that has modules."""
    members = text("server") + text(server) + text("version") + text(version) + text("proto") + b":2\r\n" + text("id") + b":7\r\n"
    members += text("mode") + text("standalone") + text("role") + text("master")
    module = b"*4\r\n" + text("name") + text("version") + text("ver") + b":1\r\n"
    return b"*14\r\n" + members + text("modules") + b"*1\r\n" + module


class Recording:
    """Answers to CLIENT, none of which is known but NO-TOUCH."""

    def __init__(self):
        self.asked = []

    def __call__(self, words):
        self.asked.append(words[1].upper())
        return b"+OK\r\n" if self.asked[-1] == b"NO-TOUCH" else b"-ERR unknown command\r\n"


# What is said to be safe: redis pull requests 13512 and 14415, valkey pull requests 1499 and 2347.
SAFE = [
    *(("redis", v) for v in ("7.2.0", "7.2.3", "7.2.5", "7.2.7", "7.4.0", "7.4.2", "7.4.9", "8.2.7", "8.2.9", "8.4.0", "8.6.3", "8.10.0", "9.0.0")),
    *(("valkey", v) for v in ("8.0.0", "8.0.1", "8.0.6", "8.0.13", "8.1.4", "8.1.12", "9.0.0", "9.1.4")),
]
UNSAFE = [
    *(("redis", v) for v in ("6.2.14", "7.0.15", "7.9.224", "8.0.0", "8.0.2", "8.0.6", "8.1.240", "8.2.0", "8.2.3", "8.2.6", "8.3.224", "255.255.255")),
    *(("valkey", v) for v in ("7.2.5", "8.0.2", "8.0.5", "8.1.0", "8.1.1", "8.1.3", "255.255.255")),
    # Any Valkey that is told to look like Redis; a Valkey 7.2, of which those later on are not known.
    *(("redis", v) for v in ("7.2.4", "7.2.8", "7.2.13")),
    *((server, "8.4.0") for server in ("keydb", "dragonfly", "redict", "Redis", "")),
    *(("redis", v) for v in ("", "8", "8.4", "8.4.0-rc1", "8.4.0.1", "v8.4.0", "8.4.x", "99999999999.4.0", "-8.4.0")),
]


@pytest.mark.parametrize("server, version, safe", [(*s, True) for s in SAFE] + [(*s, False) for s in UNSAFE])
def test_a_server_is_told_not_to_count_reads_where_that_is_known_to_be_safe(scripted, mount, server, version, safe):
    client = Recording()
    s = scripted({**VALUE, "HELLO": hello(server, version), "CLIENT": client})
    assert read(mount(s.url) / "k") == b"ok"
    assert (b"NO-TOUCH" in client.asked) == safe


HELLOS = {
    "no such command": b"-ERR unknown command 'HELLO'\r\n",
    "Redis 6.0": b"-ERR wrong number of arguments for 'hello' command\r\n",
    "no right to it": b"-NOPERM this user has no permissions to run the 'hello' command\r\n",
    "a status": b"+OK\r\n",
    "nothing": b"*0\r\n",
    "nil": b"*-1\r\n",
    "no strings": b"*4\r\n:1\r\n:2\r\n*1\r\n:3\r\n$-1\r\n",
    "a version that is a list": b"*4\r\n" + text("server") + text("redis") + text("version") + b"*1\r\n" + text("8.4.0"),
    "a version that is long": b"*4\r\n" + text("server") + text("redis") + text("version") + text("8.4.0" + " " * 5000),
    "no server": b"*2\r\n" + text("version") + text("8.4.0"),
}


@pytest.mark.parametrize("case", HELLOS)
def test_a_server_that_does_not_say_what_it_is_is_read_all_the_same(scripted, mount, case):
    client = Recording()
    s = scripted({**VALUE, "HELLO": HELLOS[case], "CLIENT": client})
    assert read(mount(s.url) / "k") == b"ok"
    assert b"NO-TOUCH" not in client.asked


NONSENSE = {"a string": text("redis"), "half a pair": b"*1\r\n" + text("server"), "too many": b"*1000\r\n" + text("x") * 1000}


@pytest.mark.parametrize("case", NONSENSE)
def test_what_answers_nonsense_is_no_server(scripted, ckfs, tmp, case):
    s = scripted({**VALUE, "HELLO": NONSENSE[case]})
    assert "no Redis server" in complaint(ckfs, tmp, s.url)


def test_a_server_that_refuses_after_all_is_read_all_the_same(scripted, mount):
    s = scripted({**VALUE, "HELLO": hello("redis", "7.4.2"), "CLIENT": b"-ERR unknown subcommand 'NO-TOUCH'\r\n"})
    assert read(mount(s.url) / "k") == b"ok"
