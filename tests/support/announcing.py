"""Servers that announce what changes, in each way, and values that tell their number."""

import pytest

from redis_server import running

# No access list forbids HELLO.
WITHOUT_RESP3 = ("--rename-command", "HELLO", "")

# How the server is started, and the user's rights. By RESP3 he needs no more of them than reading does; else he may have to subscribe; and where
# nothing is announced, each open asks.
MODES = {
    "announced": ((), "resetchannels +@read +@connection"),
    "announced by channel": (WITHOUT_RESP3, "allchannels +@read +@connection +subscribe"),
    "each open asks": ((), "resetchannels +@read +@connection -client|tracking"),
}


def reader_of(server, rights: str) -> str:
    """The URL of a server, for a user with these rights."""
    server.client().execute_command("ACL", "SETUSER", "reader", "on", ">pw", "~*", *rights.split())
    return f"unix://reader:pw@{server.socket}"


@pytest.fixture(params=MODES)
def mode(request):
    return MODES[request.param]


@pytest.fixture
def server(request):
    """As the mode has it, where there are modes."""
    options = request.getfixturevalue("mode")[0] if "mode" in request.fixturenames else ()
    with running(*options) as s:
        yield s


@pytest.fixture
def source(mode, server):
    return reader_of(server, mode[1])


def stamped(number: int, size: int) -> bytes:
    """A value all of which tells its number."""
    return (b"%016d" % number) * (size // 16)


def number_of(value: bytes, size: int) -> int:
    """The number of a stamped value, which must be whole."""
    assert len(value) == size // 16 * 16, "torn"
    number = int(value[:16])
    assert value == stamped(number, size), "torn"
    return number
