"""§6 on servers that say they are a Redis Cluster: what they say is scripted, and may be nonsense."""

import socket
import subprocess
import threading
import time

import pytest

from helpers import failure, read
from redis_cluster import SLOTS, wait_for
from redis_server import Scripted, scripted  # noqa: F401 - fixtures
from test_redis_cluster_faults import FAILOVER
from test_redis_source import complaint
from waiting import PATIENCE, taking

NONSENSE = {
    "nothing": b"*-1\r\n",
    "no slots": b"*0\r\n",
    "a status": b"+OK\r\n",
    "too many ranges": b"*16385\r\n",
    "a range of nothing": b"*1\r\n*0\r\n",
    "a range without servers": b"*1\r\n*2\r\n:0\r\n:16383\r\n",
    "slots beyond the last": b"*1\r\n*3\r\n:0\r\n:16384\r\n*2\r\n$1\r\nh\r\n:1\r\n",
    "slots below the first": b"*1\r\n*3\r\n:-1\r\n:5\r\n*2\r\n$1\r\nh\r\n:1\r\n",
    "slots that end before they begin": b"*1\r\n*3\r\n:9\r\n:5\r\n*2\r\n$1\r\nh\r\n:1\r\n",
    "a server without a port": b"*1\r\n*3\r\n:0\r\n:5\r\n*1\r\n$1\r\nh\r\n",
    "a port that is none": b"*1\r\n*3\r\n:0\r\n:5\r\n*2\r\n$1\r\nh\r\n:70000\r\n",
    "a port of letters": b"*1\r\n*3\r\n:0\r\n:5\r\n*2\r\n$1\r\nh\r\n$1\r\nx\r\n",
    "a server of a million parts": b"*1\r\n*3\r\n:0\r\n:5\r\n*1000000\r\n$1\r\nh\r\n:1\r\n",
    "each slot a thousand times": b"*1000\r\n" + b"*3\r\n:0\r\n:16383\r\n*2\r\n$1\r\nh\r\n:1\r\n" * 1000,
    "a word without an end": b"*1\r\n*3\r\n:0\r\n:5\r\n*3\r\n$1\r\nh\r\n:1\r\n$1000000000000\r\n",
    "more servers than there are": b"*1\r\n*1000000\r\n:0\r\n:5\r\n",
    "deep nesting": b"*1\r\n*3\r\n:0\r\n:5\r\n*3\r\n$1\r\nh\r\n:1\r\n" + b"*1\r\n" * 5000,
    "an unknown name": b"*1\r\n*3\r\n:0\r\n:5\r\n*2\r\n$1\r\n?\r\n:1\r\n",
    "another protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "a name without its end": b"*1\r\n*3\r\n:0\r\n:5\r\n*2\r\n$1\r\nh: :1\r\n",
    "more masters than there may be": b"*1025\r\n" + b"".join(b"*3\r\n:%d\r\n:%d\r\n*2\r\n$1\r\nh\r\n:%d\r\n" % (n, n, n + 1) for n in range(1025)),
    "silence": b"",
    "half of it": b"*1\r\n*3\r\n:0\r\n",
}


@pytest.mark.parametrize("case", NONSENSE)
def test_slots_that_make_no_sense_are_one_clear_line(scripted, ckfs, tmp, case):
    s = scripted({"CLUSTER": NONSENSE[case]})
    with taking():
        text = complaint(ckfs, tmp, "-o", "timeout=0.5", f"redis-cluster://127.0.0.1:{s.port}")
    assert "127.0.0.1" in text and ("cluster" in text or "timed out" in text)


@pytest.mark.parametrize("case", NONSENSE)
def test_slots_that_make_no_sense_later_harm_nothing(scripted, mount, case):
    s = scripted({})
    s.answers |= {**VALUE, "CLUSTER": slots((0, SLOTS - 1, b"127.0.0.1", s.port))}
    m = mount(f"redis-cluster://127.0.0.1:{s.port}", "timeout=2")
    assert read(m / "k") == b"ok"
    s.answers["CLUSTER"] = NONSENSE[case]
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        with taking():
            failure(m / "k")
        time.sleep(0.01)
    s.answers["CLUSTER"] = slots((0, SLOTS - 1, b"127.0.0.1", s.port))
    wait_for(lambda: failure(m / "k") is None, "all is well again")
    assert read(m / "k") == b"ok"


# Of a server that does not announce: one GET.
VALUE = {"GET": b"$2\r\nok\r\n", "STRLEN": b":2\r\n", "PTTL": b":-1\r\n", "PEXPIRETIME": b":-1\r\n", "CLIENT": b"-ERR unknown command\r\n"}


def slots(*ranges) -> bytes:
    """The answer to CLUSTER SLOTS; a host that is None is nil."""

    def server(host, port):
        name = b"$-1\r\n" if host is None else b"$%d\r\n%s\r\n" % (len(host), host)
        return b"*4\r\n" + name + b":%d\r\n$2\r\nid\r\n*2\r\n$2\r\nip\r\n$9\r\n127.0.0.1\r\n" % port

    return b"*%d\r\n" % len(ranges) + b"".join(b"*3\r\n:%d\r\n:%d\r\n" % r[:2] + server(*r[2:]) for r in ranges)


def test_of_the_servers_that_are_announced_one_has_to_be_reached(scripted, mount, ckfs, tmp):
    s = scripted({**VALUE})
    s.answers["CLUSTER"] = slots((0, SLOTS - 1, b"127.0.0.1", 1))
    assert "127.0.0.1 port 1: Connection refused" in complaint(ckfs, tmp, f"redis-cluster://127.0.0.1:{s.port}")
    s.answers["CLUSTER"] = slots((0, 99, b"127.0.0.1", 1), (100, SLOTS - 1, b"127.0.0.1", s.port))
    assert read(mount(f"redis-cluster://127.0.0.1:{s.port}") / "k") == b"ok"


@pytest.mark.parametrize("host", [b"127.0.0.1", b"localhost", b"", None])
def test_hosts_are_named_as_servers_name_them(scripted, mount, host):
    second = scripted({**VALUE})
    first = scripted({})
    first.answers |= {"GET": b"-MOVED 1 %s:%d\r\n" % (host or b"", second.port), "CLIENT": VALUE["CLIENT"]}
    second.answers["CLUSTER"] = slots((0, SLOTS - 1, host, second.port))
    first.answers["CLUSTER"] = slots((0, SLOTS - 1, host, first.port))
    m = mount(f"redis-cluster://127.0.0.1:{first.port}")
    assert read(m / "k") == b"ok"


class Scripted6(Scripted):
    def __init__(self, answers):
        super().__init__(answers)
        super().close()
        self.listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()


def test_servers_with_ipv6_addresses_are_found(scripted, mount):
    try:
        second = Scripted6({**VALUE})
    except OSError:
        pytest.skip("this machine has no IPv6")
    try:
        second.answers["CLUSTER"] = slots((0, SLOTS - 1, b"::1", second.port))
        first = scripted({"GET": b"-MOVED 1 ::1:%d\r\n" % second.port, "CLIENT": VALUE["CLIENT"]})
        first.answers["CLUSTER"] = slots((0, SLOTS - 1, b"", first.port))
        m = mount(f"redis-cluster://127.0.0.1:{first.port}", "timeout=20")
        assert read(m / "k") == b"ok"
    finally:
        second.close()


@pytest.mark.parametrize("reply", [b"-CLUSTERDOWN The cluster is down\r\n", b"-TRYAGAIN Multiple keys\r\n", b"-LOADING Redis is loading\r\n"])
def test_a_server_that_cannot_answer_now_is_waited_for(scripted, mount, reply):
    s = scripted({})
    s.answers |= {**VALUE, "CLUSTER": slots((0, SLOTS - 1, b"127.0.0.1", s.port))}
    m = mount(f"redis-cluster://127.0.0.1:{s.port}", "timeout=5")
    s.answers["GET"] = reply
    threading.Timer(0.6, lambda: s.answers.update(VALUE)).start()
    assert read(m / "k") == b"ok", "it is over before the time is"
    s.answers["GET"] = reply
    with taking(4):
        assert failure(m / "k") == "EAGAIN"


@pytest.mark.parametrize("word", ["MOVED", "ASK"])
@pytest.mark.parametrize("where", ["itself", "nobody", "nonsense"])
def test_redirections_without_end_are_an_error_in_time(scripted, mount, word, where):
    s = scripted({})
    s.answers |= {**VALUE, "CLUSTER": slots((0, SLOTS - 1, b"127.0.0.1", s.port))}
    m = mount(f"redis-cluster://127.0.0.1:{s.port}", "timeout=2")
    place = {"itself": f"127.0.0.1:{s.port}", "nobody": "127.0.0.1:1", "nonsense": "x" * 3000}[where]
    s.answers["GET"] = f"-{word} 1 {place}\r\n".encode()
    with taking():
        assert failure(m / "k") in FAILOVER
    s.answers["GET"] = VALUE["GET"]
    assert read(m / "k") == b"ok"


def test_a_key_that_another_master_may_have_is_asked_for_there(scripted, mount):
    second = scripted({**VALUE})
    asked = []
    second.answers["ASKING"] = lambda words: asked.append(words) or b"+OK\r\n"
    first = scripted({**VALUE, "GET": b"-ASK 1 127.0.0.1:%d\r\n" % second.port})
    first.answers["CLUSTER"] = slots((0, SLOTS - 1, b"127.0.0.1", first.port))
    m = mount(f"redis-cluster://127.0.0.1:{first.port}")
    assert read(m / "k") == b"ok" and asked


def test_a_key_that_is_not_yet_where_an_ask_led_to_is_asked_for_again(scripted, mount):
    """An ASK may be old: the slot was moved on, and is just coming back."""
    answers = [b"$-1\r\n", b"$2\r\nok\r\n"]
    second = scripted({**VALUE, "GET": lambda _: answers.pop(0) if answers else b"$-1\r\n"})
    first = scripted({**VALUE, "GET": b"-ASK 1 127.0.0.1:%d\r\n" % second.port})
    first.answers["CLUSTER"] = slots((0, SLOTS - 1, b"127.0.0.1", first.port))
    m = mount(f"redis-cluster://127.0.0.1:{first.port}", "timeout=60")
    assert read(m / "k") == b"ok"
    with taking():
        assert failure(m / "missing") == "ENOENT"


def node(i: int, target: int) -> bytes:
    """A line of CLUSTER NODES: of a node that a slot leaves."""
    return b"%040x 127.0.0.1:1@2 master - 0 0 0 connected %d [%d->-%040x]\n" % (i, i % SLOTS, i % SLOTS, target)


@pytest.mark.parametrize("targets", [1, 30_000])
def test_a_listing_comes_to_its_end_whatever_is_said_of_slots_that_move(scripted, mount, targets):
    """By more nodes than any cluster has, each of which has slots for another one, or all for the same."""
    nodes = b"".join(node(i, 1 << 80 | i % targets) for i in range(30_000))
    said = {b"NODES": b"$%d\r\n%s\r\n" % (len(nodes), nodes)}
    page = b"*2\r\n$1\r\n0\r\n*1\r\n$1\r\nk\r\n"
    s = scripted({**VALUE, "GETRANGE": VALUE["GET"], "SCAN": page, "CLUSTER": lambda words: said[words[1]]})
    said[b"SLOTS"] = slots((0, SLOTS - 1, b"127.0.0.1", s.port))
    m = mount(f"redis-cluster://127.0.0.1:{s.port}", "timeout=1")
    listing = subprocess.run(["find", m / "raw", "-type", "f"], capture_output=True, text=True, timeout=PATIENCE)
    if targets == 1:
        assert (listing.stdout, listing.stderr) == (f"{m}/raw/k\n", "")
    else:
        assert "Input/output error" in listing.stderr
