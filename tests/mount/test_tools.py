"""§2 of the contract: the usual tools work on a mount as on any directory."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import pathlib
import shutil
import subprocess

import numpy
import pandas
import pyarrow
import pytest

from entries import DIRECTORIES, entries_of, slurp

BIG = numpy.random.default_rng(1).bytes(3_000_017)
NEEDLE = "needle-in-a-json-document"


def run(*args, **options) -> str:
    """A command that must succeed and complain of nothing. Returns what it prints."""
    done = subprocess.run([str(arg) for arg in args], capture_output=True, **options)
    assert (done.returncode, done.stderr) == (0, b""), (args, done.returncode, done.stderr.decode(errors="replace"))
    return done.stdout.decode(errors="replace")


class Stock:
    """A mounted cache of all kinds, and what its views hold, by the name that a listing shows."""

    def __init__(self, cache, mount):
        cache.put("table", pyarrow.table({"number": list(range(5000))}), "arrow")
        cache.put("mixed", pandas.DataFrame({"a": [1.5, 2.5], "b": ["x", "y"]}), "auto")
        cache.put("array", numpy.arange(10_000.0), "auto")
        cache.put("array-large", numpy.arange(300_001, dtype="int64"), "auto", ttl=60)
        cache.put("text", {"text": NEEDLE, "list": list(range(500))}, "orjson")
        cache.put("packed", {"a": [1, 2, 3]}, "default", ttl=None)
        framed = ("table", "mixed", "array", "array-large", "text", "packed")
        foreign = {"foreign": b"just bytes", "empty": b"", "big": BIG, "zeros": bytes(1 << 20), "page": b"p" * 4096}
        for key, value in foreign.items():
            cache.set(key, value)
        self.cache, self.listed = cache, cache.listed
        self.payloads = {self.listed(key): cache.payload(key) for key in framed}
        self.payloads |= {self.listed(key): value for key, value in foreign.items()}
        self.values = {self.listed(key): cache.value(key) for key in (*framed, *foreign)}
        self.m = mount(cache)

    def expected(self, directory: str) -> dict[str, bytes]:
        return self.values if directory == "frame" else self.payloads


@pytest.fixture
def stock(cache, mount):
    return Stock(cache, mount)


def contents(directory: pathlib.Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def differing(directory: pathlib.Path, expected: dict[str, bytes]) -> list[str]:
    """Names of files that are missing, too many or not as expected."""
    found = contents(directory)
    return sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))


@pytest.mark.parametrize("directory", ["raw", "frame"])
class TestCopies:
    def test_cp_a(self, stock, tmp, directory):
        run("cp", "-a", stock.m / directory, tmp / "copy")
        assert differing(tmp / "copy", stock.expected(directory)) == []

    def test_cp_a_keeps_times_and_modes(self, stock, tmp, directory):
        run("cp", "-a", stock.m / directory, tmp / "copy")
        wrong = []
        for name in stock.values:
            source, copy = os.stat(stock.m / directory / name), os.stat(tmp / "copy" / name)
            if (source.st_mtime_ns, source.st_mode) != (copy.st_mtime_ns, copy.st_mode):
                wrong.append(name)
        assert wrong == []

    @pytest.mark.parametrize("sparse", ["always", "auto", "never"])
    def test_cp_of_any_sparseness(self, stock, tmp, directory, sparse):
        run("cp", "-r", f"--sparse={sparse}", stock.m / directory, tmp / "copy")
        assert differing(tmp / "copy", stock.expected(directory)) == []

    def test_rsync_a(self, stock, tmp, directory):
        run("rsync", "-a", f"{stock.m / directory}/", f"{tmp}/copy/")
        assert differing(tmp / "copy", stock.expected(directory)) == []

    def test_a_second_rsync_transfers_nothing(self, stock, tmp, directory):
        run("rsync", "-a", f"{stock.m / directory}/", f"{tmp}/copy/")
        printed = run("rsync", "-a", "--itemize-changes", f"{stock.m / directory}/", f"{tmp}/copy/")
        assert [line for line in printed.splitlines() if line[1:2] != "d"] == []

    def test_a_second_rsync_by_checksum_finds_no_difference(self, stock, tmp, directory):
        run("rsync", "-a", f"{stock.m / directory}/", f"{tmp}/copy/")
        printed = run("rsync", "-ac", "--itemize-changes", f"{stock.m / directory}/", f"{tmp}/copy/")
        assert [line for line in printed.splitlines() if line[1:2] != "d"] == []

    @pytest.mark.parametrize("flags", ["-c", "-cS"], ids=["plain", "sparse"])
    def test_tar(self, stock, tmp, directory, flags):
        run("tar", f"{flags}f", tmp / "archive.tar", "-C", stock.m, directory)
        run("tar", "-xf", tmp / "archive.tar", "-C", tmp)
        assert differing(tmp / directory, stock.expected(directory)) == []

    def test_tar_finds_no_difference_afterwards(self, stock, tmp, directory):
        run("tar", "-cf", tmp / "archive.tar", "-C", stock.m, directory)
        assert run("tar", "-df", tmp / "archive.tar", "-C", stock.m) == ""

    def test_shutil_copytree(self, stock, tmp, directory):
        shutil.copytree(stock.m / directory, tmp / "copy")
        assert differing(tmp / "copy", stock.expected(directory)) == []


class TestFind:
    def names(self, *args) -> set[str]:
        return {os.path.basename(line) for line in run("find", *args).splitlines()}

    def test_size(self, stock):
        expected = {name for name, payload in stock.payloads.items() if len(payload) > 50_000}
        assert self.names(stock.m / "raw", "-type", "f", "-size", "+50000c") == expected

    def test_empty(self, stock):
        assert self.names(stock.m / "raw", "-type", "f", "-empty") == {stock.listed("empty")}

    def test_newer(self, stock, tmp):
        os.stat(stock.m / "raw/page")
        stock.cache.set("page", b"value")
        reference, later = tmp / "reference", os.stat(stock.m / "raw/page").st_mtime_ns
        reference.touch()
        os.utime(reference, ns=(later - 1, later - 1))
        assert self.names(stock.m / "raw", "-type", "f", "-newer", reference) == {stock.listed("page")}

    def test_name(self, stock):
        expected = {f"{stock.listed(key)}.arrow" for key in ("table", "mixed")}
        assert self.names(stock.m, "-name", "*.arrow") == expected

    def test_inum(self, stock):
        name = stock.listed("big")
        assert self.names(stock.m / "raw", "-inum", os.stat(stock.m / f"raw/{name}").st_ino) == {name}

    def test_directories(self, stock):
        assert self.names(stock.m, "-mindepth", 1, "-type", "d") == set(DIRECTORIES)

    def test_sizes_of_printf_are_exact(self, stock):
        lines = run("find", stock.m / "frame", "-type", "f", "-printf", "%f %s\n").splitlines()
        assert dict(line.split() for line in lines) == {name: str(len(value)) for name, value in stock.values.items()}

    def test_perm(self, stock):
        assert self.names(stock.m / "raw", "-type", "f", "!", "-perm", "0600") == set()


class TestSizes:
    def test_du_counts_apparent_bytes(self, stock):
        lines = run("du", "-b", *(stock.m / f"raw/{name}" for name in stock.payloads)).splitlines()
        expected = {name: len(payload) for name, payload in stock.payloads.items()}
        assert {os.path.basename(line.split("\t")[1]): int(line.split("\t")[0]) for line in lines} == expected

    def test_st_blocks_is_the_size_rounded_up(self, stock):
        blocks = {name: os.stat(stock.m / f"raw/{name}").st_blocks for name in stock.payloads}
        assert blocks == {name: -(-len(payload) // 512) for name, payload in stock.payloads.items()}

    def test_stat(self, stock):
        name = stock.listed("big")
        assert run("stat", "-c", "%s %F %a %U", stock.m / f"raw/{name}").split(" ") == [
            str(len(BIG)), "regular", "file", "600", run("id", "-un")
        ]

    def test_stat_of_a_directory(self, stock):
        assert run("stat", "-c", "%F %a", stock.m, stock.m / "raw").splitlines() == ["directory 700"] * 2

    def test_ls_l_tells_the_sizes(self, stock):
        lines = run("ls", "-l", stock.m / "raw").splitlines()[1:]
        expected = {name: len(payload) for name, payload in stock.payloads.items()}
        assert {line.split()[-1]: int(line.split()[4]) for line in lines} == expected

    @pytest.mark.parametrize("directory", ["", *DIRECTORIES])
    def test_ls_color_works(self, stock, directory):
        assert run("ls", "--color=always", stock.m / directory).count("\n") == len(os.listdir(stock.m / directory))

    def test_wc_c(self, stock):
        sizes = [int(run("wc", "-c", stock.m / f"frame/{name}").split()[0]) for name in stock.values]
        assert sizes == [len(value) for value in stock.values.values()]

    def test_df_works(self, stock):
        assert str(stock.m.path) in run("df", "-P", stock.m)

    def test_the_size_is_that_of_what_is_read_in_every_view(self, stock):
        wrong = []
        for top, _, names in os.walk(stock.m):
            for path in (os.path.join(top, name) for name in names):
                if not top.endswith("meta") and os.stat(path).st_size != len(slurp(path)):
                    wrong.append(path)
        assert wrong == []


class TestReaders:
    def test_sha256sum(self, stock):
        lines = run("sha256sum", *(stock.m / f"raw/{name}" for name in stock.payloads)).splitlines()
        expected = [hashlib.sha256(payload).hexdigest() for payload in stock.payloads.values()]
        assert [line.split()[0] for line in lines] == expected

    def test_cmp_finds_no_difference(self, stock, tmp):
        (tmp / "big").write_bytes(BIG)
        assert run("cmp", tmp / "big", stock.m / "big") == ""

    def test_cmp_tells_views_apart(self, stock):
        name = stock.listed("table")
        assert subprocess.run(["cmp", "-s", stock.m / f"raw/{name}", stock.m / f"frame/{name}"]).returncode == 1

    def test_diff_r_finds_no_difference_to_a_copy(self, stock, tmp):
        run("cp", "-r", stock.m / "raw", tmp / "copy")
        assert run("diff", "-r", tmp / "copy", stock.m / "raw") == ""

    def test_head_and_tail(self, stock):
        pieces = [subprocess.check_output([tool, "-c", "70001", stock.m / "raw/big"]) for tool in ("head", "tail")]
        assert pieces == [BIG[:70001], BIG[-70001:]]

    @pytest.mark.parametrize("block", [511, 4093, 65537, 1 << 20, 5_000_000])
    def test_dd_with_odd_block_sizes(self, stock, block):
        args = ["dd", f"if={stock.m / 'big'}", f"bs={block}", "status=none"]
        assert subprocess.check_output(args) == BIG

    def test_dd_that_skips(self, stock):
        args = ["dd", f"if={stock.m / 'big'}", "bs=997", "skip=1003", "count=50", "status=none"]
        assert subprocess.check_output(args) == BIG[997 * 1003 : 997 * 1053]

    def test_reading_behind_the_end_gives_nothing(self, stock):
        with open(stock.m / "raw/big", "rb", buffering=0) as f:
            assert os.pread(f.fileno(), 4096, len(BIG) + 5000) == b""

    def test_grep_r_finds_the_file(self, stock):
        assert run("grep", "-rl", NEEDLE, stock.m / "raw").strip() == str(stock.m / f"raw/{stock.listed('text')}")

    def test_grep_r_over_the_whole_mount_meets_no_error(self, stock):
        found = {os.path.relpath(line, stock.m) for line in run("grep", "-rl", NEEDLE, stock.m).splitlines()}
        name = stock.listed("text")
        assert found == {name, f"raw/{name}", f"frame/{name}", f"json/{name}.json"}

    def test_jq_reads_json(self, stock):
        assert run("jq", "-r", ".text", stock.m / "json/text.json").strip() == NEEDLE

    def test_jq_reads_every_meta(self, stock):
        sizes = run("jq", ".size.stored", *(stock.m / f"meta/{name}.json" for name in stock.values)).split()
        assert sizes == [str(stock.cache.HEADER + len(value)) for value in stock.values.values()]

    def test_getfattr_d_prints_the_attributes(self, stock):
        printed = run("getfattr", "--absolute-names", "-d", stock.m / f"raw/{stock.listed('table')}")
        assert 'user.ckfs.format="arrow"\n' in printed

    def test_getfattr_of_everything_meets_no_error(self, stock):
        files = run("getfattr", "--absolute-names", "-R", "-d", "-m", "-", stock.m).count("# file: ")
        assert files >= 4 * len(stock.values)

    def test_getfattr_and_python_see_the_same_names(self, stock):
        path = stock.m / f"raw/{stock.listed('table')}"
        printed = run("getfattr", "--absolute-names", path).splitlines()[1:]
        assert sorted(line for line in printed if line) == sorted(os.listxattr(path))


class TestSystemCalls:
    def test_sendfile(self, stock, tmp):
        with open(stock.m / "big", "rb") as source, open(tmp / "copy", "wb") as target:
            sent = 0
            while (n := os.sendfile(target.fileno(), source.fileno(), sent, 1 << 20)) > 0:
                sent += n
        assert (tmp / "copy").read_bytes() == BIG

    def test_splice(self, stock):
        reader, writer = os.pipe()
        seen = b""
        with open(stock.m / "big", "rb") as source, open(reader, "rb", buffering=0) as pipe:
            while n := os.splice(source.fileno(), writer, 50_000):
                while n:
                    piece = pipe.read(n)
                    seen, n = seen + piece, n - len(piece)
        os.close(writer)
        assert seen == BIG

    def test_copy_file_range_or_what_stands_for_it(self, stock, tmp):
        run("cp", "--reflink=auto", stock.m / "big", tmp / "copy")
        assert (tmp / "copy").read_bytes() == BIG

    def test_a_shared_mapping_reads_the_bytes(self, stock):
        with open(stock.m / "big", "rb") as f, mmap.mmap(f.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ) as mapped:
            assert mapped[:] == BIG

    def test_a_private_mapping_may_be_written_to(self, stock):
        with open(stock.m / "big", "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
            mapped[100:110] = b"overwrites"
            assert (mapped[:100], mapped[100:110], slurp(stock.m / "big")) == (BIG[:100], b"overwrites", BIG)

    def test_a_mapping_outlives_its_descriptor(self, stock):
        with open(stock.m / "big", "rb") as f:
            mapped = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
        with mapped:
            assert mapped[:] == BIG

    def test_random_reads_read_the_bytes(self, stock):
        positions = numpy.random.default_rng(2).integers(0, len(BIG), 300)
        with open(stock.m / "frame/big", "rb", buffering=0) as f:
            wrong = [n for n in map(int, positions) if os.pread(f.fileno(), n % 9001, n) != BIG[n : n + n % 9001]]
        assert wrong == []

    def test_seek_hole_and_seek_data_see_one_extent(self, stock):
        with open(stock.m / "zeros", "rb") as f:
            ends = os.lseek(f.fileno(), 0, os.SEEK_DATA), os.lseek(f.fileno(), 0, os.SEEK_HOLE)
        assert ends == (0, 1 << 20)

    def test_fadvise_and_readahead_do_no_harm(self, stock):
        with open(stock.m / "big", "rb", buffering=0) as f:
            os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)
            os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            assert f.read() == BIG

    def test_meta_and_stats_are_read_to_their_end(self, stock):
        texts = [json.loads(slurp(stock.m / f"meta/{name}.json")) for name in stock.values]
        assert (len(texts), slurp(stock.m / ".ckfs/stats")[-1:]) == (len(stock.values), b"\n")

    @pytest.mark.file_only
    def test_entries_are_listed_by_hash_until_they_are_opened(self, stock):
        assert sorted(entries_of(stock.m)) == sorted(stock.values)
