"""§6: which optional commands a server gets. Some have ended servers of some versions, so that goes by what HELLO tells."""

import pytest

from helpers import read
from redis_server import scripted  # noqa: F401 - a fixture


def hello(server: str, version: str) -> bytes:
    """As a server answers to HELLO in RESP2, with a module whose name and version must not be taken for the server's."""
    words = b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in (b"server", server.encode(), b"version", version.encode()))
    module = b"*1\r\n*4\r\n$4\r\nname\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.4.0\r\n"
    return b"*14\r\n" + words + b"$5\r\nproto\r\n:2\r\n$2\r\nid\r\n:3\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n" + module


def commands_of(scripted, mount, answer: bytes) -> list[list[bytes]]:
    """What a server that answers HELLO so is asked by a mount that reads one value."""
    asked = []

    def client(words):
        asked.append([word.upper() for word in words])
        return b":7\r\n" if words[1].upper() == b"ID" else b"+OK\r\n"

    s = scripted({"HELLO": answer, "CLIENT": client, "GET": b"$2\r\nok\r\n", "GETRANGE": b"$2\r\nok\r\n", "STRLEN": b":2\r\n", "PTTL": b":-1\r\n", "PEXPIRETIME": b":-1\r\n"})
    assert read(mount(f"redis://127.0.0.1:{s.port}", "timeout=2") / "k") == b"ok"
    return asked


# Redis 8.0.0 to 8.2.6 and Valkey 8.0.2 to 8.0.5 and 8.1.0 to 8.1.3 can be ended by it.
NO_TOUCH = {
    ("redis", "7.2.0"): True,
    ("redis", "7.2.5"): True,
    ("redis", "7.4.1"): True,
    ("redis", "8.4.0"): True,
    ("redis", "8.2.7"): True,
    ("redis", "10.0.0"): True,
    ("valkey", "8.0.1"): True,
    ("valkey", "8.0.6"): True,
    ("valkey", "8.1.4"): True,
    ("valkey", "9.0.0"): True,
    ("redis", "6.2.14"): False,
    ("redis", "7.0.15"): False,
    ("redis", "7.9.240"): False,
    ("redis", "8.0.2"): False,
    ("redis", "8.2.6"): False,
    ("valkey", "8.0.2"): False,
    ("valkey", "8.0.5"): False,
    ("valkey", "8.1.0"): False,
    ("valkey", "8.1.3"): False,
    # Of between releases, and a candidate.
    ("redis", "255.255.255"): False,
    ("redis", "8.4.0-rc1"): False,
    # What a Valkey 7.2 calls itself after those that are known.
    ("redis", "7.2.8"): False,
    # What a Valkey of any version says where it imitates Redis.
    ("redis", "7.2.4"): False,
    ("keydb", "7.4.0"): False,
    ("redis", "unstable"): False,
    ("redis", "8"): False,
    ("", ""): False,
    ("r" * 100, "9" * 100): False,
}


@pytest.mark.parametrize(("name", "version"), NO_TOUCH)
def test_no_touch_is_asked_of_servers_that_are_known_to_bear_it(scripted, mount, name, version):
    asked = commands_of(scripted, mount, hello(name, version))
    assert ([b"CLIENT", b"NO-TOUCH", b"ON"] in asked) == NO_TOUCH[name, version]


@pytest.mark.parametrize("answer", [b"-ERR unknown command\r\n", b"*0\r\n", b"*1\r\n$6\r\nserver\r\n", b"*-1\r\n", b"$-1\r\n", b"+OK\r\n", b":1\r\n"])
def test_a_server_that_does_not_tell_gets_no_no_touch(scripted, mount, answer):
    assert [b"CLIENT", b"NO-TOUCH", b"ON"] not in commands_of(scripted, mount, answer)


# These end when more keys are tracked than their table holds.
TRACKING = {
    ("redis", "6.2.7"): True,
    ("redis", "6.2.8"): False,
    ("redis", "6.2.10"): False,
    ("redis", "6.2.11"): True,
    ("redis", "7.0.4"): True,
    ("redis", "7.0.5"): False,
    ("redis", "7.0.8"): False,
    ("redis", "7.0.9"): True,
    ("valkey", "9.0.0"): True,
}


@pytest.mark.parametrize(("name", "version"), TRACKING)
def test_tracking_is_not_asked_of_servers_that_it_can_end(scripted, mount, name, version):
    asked = commands_of(scripted, mount, hello(name, version))
    assert any(words[1] == b"TRACKING" for words in asked) == TRACKING[name, version]
