"""§6: CLIENT TRACKING is asked for where it is not known to do harm. Some releases die of it."""

import pytest

from helpers import failure, read
from redis_server import scripted  # noqa: F401 - a fixture
from test_redis_no_touch import hello


def commands_of(scripted, mount, answer: bytes) -> list[list[bytes]]:
    """What a server that answers HELLO so is asked by a mount that reads one value."""
    asked, names = [], []

    def client(words):
        asked.append([word.upper() for word in words])
        if asked[-1][1] == b"LIST":
            clients = b"".join(b"id=7 name=%s db=0\n" % words[2] for words in names)
            return b"$%d\r\n%s\r\n" % (len(clients), clients)
        if asked[-1][1] == b"SETNAME":
            names.append(words)
        return b":7\r\n" if asked[-1][1] == b"ID" else b"+OK\r\n"

    s = scripted({"HELLO": answer, "CLIENT": client, "GET": b"$2\r\nok\r\n", "GETRANGE": b"$2\r\nok\r\n", "STRLEN": b":2\r\n", "PTTL": b":-1\r\n", "PEXPIRETIME": b":-1\r\n"})
    assert read(mount(f"redis://127.0.0.1:{s.port}", "timeout=2") / "k") == b"ok"
    return asked


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


def test_what_a_list_of_clients_leaves_over_is_no_value(scripted, mount):
    """A proxy that answers it with something else: the rest of that is not taken for the next answer."""
    def client(words):
        return {b"LIST": b"*3\r\n$2\r\nno\r\n:-1\r\n:-1\r\n", b"ID": b":7\r\n"}.get(words[1].upper(), b"+OK\r\n")

    value = {"GET": b"$2\r\nok\r\n", "GETRANGE": b"$2\r\nok\r\n", "STRLEN": b":2\r\n", "PTTL": b":-1\r\n", "PEXPIRETIME": b":-1\r\n"}
    s = scripted({"HELLO": hello("redis", "7.4.0"), "CLIENT": client, **value})
    assert failure(mount(s.url, "timeout=2") / "k") == "EIO"
