"""§1, §5, §6 on a Redis Cluster: all masters are one directory, also while slots and keys move between them."""

import collections
import os
import threading

import pytest

from announcing import number_of, stamped
from caches import noise
from helpers import FORMATS, failure, read
from redis_cluster import Cluster, cluster, fresh, key_slot  # noqa: F401 - fixtures

SIZES = [0, 1, 511, 512, 513, 4096, 65535, 65536, 65537, (1 << 20) + 1]


def names(m, directory="raw") -> list[str]:
    return [name for name in os.listdir(m / directory) if name not in FORMATS]


def others(cluster, server) -> list:
    return [s for s in cluster.masters if s is not server]


def test_the_keys_of_all_masters_are_listed_once_and_open(fresh, mount):
    db = fresh.db()
    values = {f"k{i}": b"value %d" % i for i in range(3000)}
    for key, value in values.items():
        db.set(key, value)
    assert all(server.client().dbsize() > 500 for server in fresh.masters)
    m = mount(fresh.url)
    for directory in ("raw", "."):
        assert sorted(names(m, directory)) == sorted(values)
    assert all(read(m / key) == value for key, value in values.items())
    assert {e.name: e.stat().st_size for e in os.scandir(m / "raw")} == {k: len(v) for k, v in values.items()}
    assert failure(m / "missing") == "ENOENT"


@pytest.mark.parametrize("order", ["listed first", "opened first"])
def test_values_of_any_size_are_exact(fresh, mount, order):
    db = fresh.db()
    values = {f"v{n}": noise(n) for n in SIZES}
    for key, value in values.items():
        db.set(key, value)
    m = mount(fresh.url)
    if order == "listed first":
        assert {k: os.stat(m / k).st_size for k in names(m)} == {k: len(v) for k, v in values.items()}
    assert {k: read(m / k) for k in values} == values


def test_keys_with_hash_tags_are_found(fresh, mount):
    keys = ["{a}b", "{}b", "a{b}c", "a{b", "a}b{", "{{x}}", "a{}{b}", "{b}{c}"]
    db = fresh.db()
    for key in keys:
        db.set(key, key)
    m = mount(fresh.url)
    assert {key: read(m / key).decode() for key in keys} == {key: key for key in keys}
    assert sorted(names(m)) == sorted(keys)


def test_one_seed_that_lives_is_enough(fresh, mount):
    fresh.db().set("k", b"v")
    m = mount(f"redis-cluster://127.0.0.1:1,127.0.0.1:{fresh.masters[1].port},no-such-host.invalid")
    assert read(m / "k") == b"v" and names(m) == ["k"]


def test_a_key_that_was_looked_up_costs_no_value_again(fresh, mount):
    fresh.db().set("k", b"v" * 1000)
    m = mount(fresh.url)
    read(m / "k")
    server = fresh.owner("k")
    before = server.calls()
    for _ in range(100):
        assert read(m / "k") == b"v" * 1000
    after = server.calls()
    assert after.get("getrange", 0) + after.get("get", 0) == before.get("getrange", 0) + before.get("get", 0)


def test_df_shows_the_sums_of_all_masters(mount):
    with Cluster(options=("--maxmemory", "100mb")) as c:
        st = os.statvfs(mount(c.url))
        assert 299 << 20 < st.f_blocks * st.f_frsize <= 300 << 20


# While slots move


def test_a_slot_that_was_moved_is_followed(fresh, mount):
    db = fresh.db()
    db.set("k", b"1" * 1000)
    m = mount(fresh.url)
    slot, home = key_slot(b"k"), fresh.owner("k")
    assert read(m / "k") == b"1" * 1000
    for i in range(6):
        source = fresh.owner("k")
        target = others(fresh, source)[i % 2]
        fresh.move_slot(slot, source, target)
        assert read(m / "k") == b"%d" % (i + 1) * 1000
        target.client().set("k", b"%d" % (i + 2) * 1000)
        assert read(m / "k") == b"%d" % (i + 2) * 1000
        assert names(m) == ["k"]
    fresh.move_slot(slot, fresh.owner("k"), home)


@pytest.mark.parametrize("to", ["a master", "one that the topology does not show"])
def test_keys_under_way_open_and_are_listed(cluster, mount, to):
    with Cluster(spare=1, tls=cluster.tls) if to != "a master" else _kept(cluster) as c:
        source = c.owner("{t}")
        target = c.spare[0] if c.spare else others(c, source)[0]
        slot = key_slot(b"{t}")
        values = {f"{{t}}{i}": b"%d" % i * 300 for i in range(60)}
        source.client().flushall()
        for key, value in values.items():
            source.client().set(key, value)
        m = mount(c.url)
        assert read(m / "{t}0") == values["{t}0"]
        c.begin_move(slot, source, target)
        assert c.move_keys(slot, source, target, 30) == 30
        # Some were seen before they were moved, some not; some are here, some there.
        assert {key: read(m / key) for key in values} == values
        assert sorted(n for n in names(m) if n in values) == sorted(values)
        assert {e.name: e.stat().st_size for e in os.scandir(m / "raw") if e.name in values} == {k: len(v) for k, v in values.items()}
        # A writer follows too: what it writes is at the target, and new at each open.
        moved = c.cluster(target, "GETKEYSINSLOT", slot, 1)[0]
        writer = target.client(single_connection_client=True)
        for i in range(20):
            writer.execute_command("ASKING")
            writer.set(moved, stamped(i, 4096))
            assert number_of(read(m / moved), 4096) == i
        values[moved] = stamped(19, 4096)
        c.move_keys(slot, source, target)
        c.end_move(slot, source, target)
        assert read(m / "{t}59") == values["{t}59"]
        assert sorted(n for n in names(m) if n in values) == sorted(values)
        if not c.spare:
            c.move_slot(slot, target, source)


class _kept:
    """The shared cluster as a context that does not end it."""

    def __init__(self, cluster):
        self.cluster = cluster

    def __enter__(self):
        return self.cluster

    def __exit__(self, *_):
        pass


class Mover(threading.Thread):
    """Moves a slot from master to master until it is told to stop; with a pause while half of its keys are moved."""

    def __init__(self, cluster, key: str):
        super().__init__()
        self.cluster, self.slot, self.stop, self.moves = cluster, key_slot(key.encode()), threading.Event(), 0
        self.home = self.at = cluster.owner(key)
        self.error = None

    def run(self) -> None:
        try:
            while not self.stop.is_set():
                self._move(others(self.cluster, self.at)[self.moves % 2])
            if self.at is not self.home:
                self._move(self.home)
        except Exception as e:  # noqa: BLE001 - shown by the test
            self.error = e

    def _move(self, target) -> None:
        c, source = self.cluster, self.at
        c.begin_move(self.slot, source, target)
        half = c.cluster(source, "COUNTKEYSINSLOT", self.slot) // 2
        c.move_keys(self.slot, source, target, half)
        self.stop.wait(0.05)
        c.move_keys(self.slot, source, target)
        c.end_move(self.slot, source, target)
        c.settle()
        self.at = target
        self.moves += 1

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.join()
        assert self.error is None, str(self.error)


def test_a_listing_while_keys_move_shows_each_of_them_once(fresh, mount):
    kept = [f"{{t}}{i}" for i in range(300)]
    owner = fresh.owner("{t}")
    owner.client().mset({key: b"v" * 600 for key in kept})
    db = fresh.db()
    more = [f"k{i}" for i in range(2000)]
    for key in more:
        db.set(key, b"x")
    m = mount(fresh.url, "timeout=20")
    with Mover(fresh, "{t}") as mover:
        i = 0
        while mover.moves < 12 and not mover.error:
            i += 1
            counts = collections.Counter(names(m, "raw" if i % 2 else "."))
            assert set(counts.values()) == {1} and len(counts) == len(kept) + len(more)
            assert counts.keys() == {*kept, *more}
    assert i > 10


def test_readers_see_whole_new_values_while_a_slot_moves(fresh, mount):
    """A writer that overwrites as fast as it can, and readers that must never see less than what was set before they opened."""
    sizes = {"{t}small": 400, "{t}middle": 5008, "{t}large": 200_000}
    writer_db = fresh.db()
    done = dict.fromkeys(sizes, 0)
    for key, size in sizes.items():
        writer_db.set(key, stamped(0, size))
    m = mount(fresh.url, "timeout=20")
    stop, wrong, seen = threading.Event(), [], collections.Counter()

    def write():
        i = 0
        while not stop.is_set():
            i += 1
            for key, size in sizes.items():
                writer_db.set(key, stamped(i, size))
                done[key] = i

    def look(key, size):
        while not stop.is_set():
            before = done[key]
            try:
                number = number_of(read(m / key), size)
            except Exception as e:  # noqa: BLE001 - shown by the test
                wrong.append((key, repr(e)))
                return
            if number < before:
                wrong.append((key, number, before))
            seen[key] += 1

    threads = [threading.Thread(target=write)] + [threading.Thread(target=look, args=item) for item in sizes.items()]
    for thread in threads:
        thread.start()
    try:
        with Mover(fresh, "{t}") as mover:
            stop.wait(6)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong
    assert mover.moves > 5 and all(seen[key] > 20 for key in sizes), (mover.moves, seen)
