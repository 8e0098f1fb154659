"""§2, .ckfs/stats: what it counts is what was done."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from helpers import failure, flipped, read
from waiting import until

pytestmark = pytest.mark.shared_mount

DOC = pathlib.Path(__file__).resolve().parent.parent.parent / "doc"
TIMES = ("ckfs_request_duration_seconds", "ckfs_backend_call_duration_seconds")


def families(m):
    return list(text_string_to_metric_families(read(m / ".ckfs/stats").decode()))


def counted(m) -> dict[str, float]:
    """Samples by name, or name{label}: of all with a name `le` alone is left out."""
    samples = [s for family in families(m) for s in family.samples if "le" not in s.labels]
    return {s.name + "".join(f"{{{label}}}" for label in s.labels.values()): s.value for s in samples}


def more(m, deed) -> dict[str, float]:
    """How much more was counted after `deed` than before."""
    before = counted(m)
    deed()
    return {name: n - before.get(name, 0) for name, n in counted(m).items()}


def test_requests_are_measured_until_they_are_answered(cache, mnt):
    cache.set(cache.key, b"value")
    before = counted(mnt)
    for _ in range(5):
        read(mnt / cache.key)

    def measured() -> bool:
        """Of the last ones that may be a moment after their answers."""
        now = counted(mnt)
        return all(now[name] - before.get(name, 0) >= 5 for name in (f"ckfs_request_duration_seconds_count{{{request}}}" for request in ("lookup", "open", "release")))

    assert until(measured)
    assert counted(mnt)["ckfs_opens_total"] - before["ckfs_opens_total"] >= 5
    assert counted(mnt)["ckfs_request_duration_seconds_sum{open}"] > 0


def test_counts_of_times_add_up(cache, mnt):
    cache.set(cache.key, b"value")
    read(mnt / cache.key)
    for family in families(mnt):
        if family.name not in TIMES:
            continue
        for operation in {s.labels["operation"] for s in family.samples}:
            of = [s for s in family.samples if s.labels["operation"] == operation]
            buckets = [(float(s.labels["le"]), s.value) for s in of if s.name.endswith("_bucket")]
            assert buckets == sorted(buckets) and [n for _, n in buckets] == sorted(n for _, n in buckets)
            assert buckets[-1] == (float("inf"), next(s.value for s in of if s.name.endswith("_count")))


def test_calls_are_measured_where_they_go_over_a_network(cache, mnt):
    cache.set(cache.key, b"value")
    read(mnt / cache.key)
    assert ("ckfs_backend_call_duration_seconds_count{find}" in counted(mnt)) == (cache.KIND != "file")


def test_a_find_is_counted_once(cache, mnt):
    absent = [mnt / f"absent-{i}" for i in range(5)]
    told = more(mnt, lambda: [failure(path) for path in absent])
    assert sum(n for name, n in told.items() if name.startswith("ckfs_backend_calls_total{find}")) == 5


def test_errors_are_counted_by_name(cache, mnt):
    cache.put(cache.key, {"a": 1}, "orjson")
    cache.set(cache.key, flipped(cache.value(cache.key)))
    told = more(mnt, lambda: [failure(mnt / f"json/{cache.key}.json") for _ in range(3)])
    assert {name: n for name, n in told.items() if name.startswith("ckfs_errors_total") and n} == {"ckfs_errors_total{EBADMSG}": 3}


def test_what_is_kept_decoded_is_a_hit(cache, mnt):
    cache.put(cache.key, {"a": ["text"] * 1000}, "default")
    first = more(mnt, lambda: read(mnt / f"json/{cache.key}.json"))
    assert first["ckfs_decodes_total"] > 0 and first["ckfs_decoded_bytes"] > 0
    assert until(lambda: counted(mnt)["ckfs_entries"] == 0), "an entry that was found stays open for a moment"
    again = more(mnt, lambda: read(mnt / f"json/{cache.key}.json"))
    assert (again["ckfs_decodes_total"], again["ckfs_decoded_hits_total"] > 0) == (0, True)


@pytest.mark.file_only
def test_the_build_is_told(ckfs, mnt):
    (info,) = next(f for f in families(mnt) if f.name == "ckfs_build_info").samples
    version, libfuse = re.match(r"ckfs (\S+) \(libfuse (\S+)\)", subprocess.check_output([ckfs, "-V"], text=True)).groups()
    assert (info.labels["version"], info.labels["libfuse"], info.value) == (version, libfuse, 1)
    assert re.fullmatch(r"\d+\.\d+.*", info.labels["hiredis"])


def test_names_follow_the_conventions(mnt):
    for family in families(mnt):
        # The parser takes the ending off.
        assert (family.type == "counter") == any(s.name.endswith("_total") for s in family.samples), family.name
        assert "seconds" not in family.name or family.name.endswith("_seconds")


@pytest.mark.file_only
def test_the_manual_names_each_statistic(mnt):
    page = (DOC / "ckfs.1").read_text()
    names = {family.name + ("_total" if family.type == "counter" else "") for family in families(mnt)}
    assert {name for name in names if name not in page} == set()
    assert set(re.findall(r"ckfs_\w+", page)) == names


@pytest.mark.file_only
def test_the_dashboard_shows_only_what_there_is(mnt):
    dashboard = json.loads((DOC / "grafana.json").read_text())
    there = {s.name for family in families(mnt) for s in family.samples}
    there |= {f"{name}_{ending}" for name in TIMES for ending in ("bucket", "sum", "count")}
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert {name for expression in asked for name in re.findall(r"\bckfs_\w+", expression)} - there == set()
    assert len(asked) > 8 and all("ckfs_" in expression for expression in asked)
