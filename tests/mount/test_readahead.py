"""What is mapped costs what is looked at; what is read from end to end comes in large pieces (fs/fuse/readahead.h)."""

import os
import pathlib

import numpy
import pyarrow
import pyarrow.compute
from cachekit.serializers.arrow_serializer import ArrowSerializer

from documents import store
from entries import stats
from helpers import read

MIB = 1 << 20
COLUMNS, BATCHES = 32, 4
MAPPED, STREAMED = 128, 4096
# Without root it stays what the kernel gives each mount.
KERNELS_OWN = 128


def readahead_kb(m) -> int:
    device = os.stat(m).st_dev
    return int(pathlib.Path(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb").read_text())


def table(mib: int) -> pyarrow.Table:
    rows = mib * MIB // 8 // COLUMNS
    whole = pyarrow.table({f"c{i}": numpy.arange(rows) * 0.5 + i for i in range(COLUMNS)})
    return pyarrow.Table.from_batches(whole.to_batches(max_chunksize=rows // BATCHES))


def test_one_column_of_a_mapped_table_costs_little_more_than_its_bytes(cache, mount):
    stored = table(64)
    store(cache, "k", stored, ArrowSerializer(compression=None, return_format="arrow"))
    m = mount(cache, "verify=never", "cache_size=1G")
    store(cache, "other", table(8), ArrowSerializer(compression=None))
    read(m / "raw/other")  # the large pieces of this one are not those of the next
    before = stats(m)["ckfs_read_bytes_total"]
    with pyarrow.memory_map(str(m / "arrow/k.arrow")) as source:
        column = pyarrow.ipc.open_file(source).read_all()["c17"]
        assert pyarrow.compute.sum(column).as_py() == pyarrow.compute.sum(stored["c17"]).as_py()
    assert stats(m)["ckfs_read_bytes_total"] - before < 3 * column.nbytes


def test_each_file_has_the_read_ahead_of_its_view(cache, mount):
    store(cache, "table", table(8), ArrowSerializer(compression=None))
    store(cache, "small", [1, 2, 3])
    m = mount(cache)
    streamed = STREAMED if os.geteuid() == 0 else KERNELS_OWN
    for path, expected in [("raw/table", streamed), ("arrow/table.arrow", MAPPED), ("arrow/table.arrow", MAPPED), ("frame/table", streamed)]:
        read(m / path)
        assert readahead_kb(m) == expected, path
    read(m / "json/small.json")
    read(m / "arrow/table.arrow")
    read(m / "raw/small")
    assert readahead_kb(m) == MAPPED  # what is small is read whole anyway
