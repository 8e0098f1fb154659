"""Options, which tests run, and fixtures: caches filled by the real cachekit package, and ckfs mounts over them.

The binary under test is `--ckfs PATH` (default: build/ckfs). Each test has its own
directory; mounts and servers are taken down also when the test fails.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import signal
from collections.abc import Iterator

import pytest

import redis_server
from caches import Cache
from mounts import Mount, Shared, home, shares
from stores import cache_of, http_pki, http_services, memcached_of_the_session, redis_of_the_session  # noqa: F401 - fixtures

ROOT = pathlib.Path(__file__).resolve().parent.parent


def pytest_addoption(parser):
    parser.addoption("--ckfs", default=str(ROOT / "build" / "ckfs"), help="the binary under test")
    parser.addoption("--fuzz-seconds", type=float, default=0, help="for so long tests with random input go on; 0: a moment")
    parser.addoption("--every-call", action="store_true", help="test_failing_calls.py: let each call fail, and not only some of them")
    parser.addoption("--redis-server", default="redis-server", help="the server that tests start, as redis-server or valkey-server")
    parser.addoption("--few", action="store_true", help="fewer entries and examples, where each of them costs many times more, as with a sanitizer")
    parser.addoption("--stores", default="file,redis,memcached,http", help="the stores on which tests run that can on each; what is read at all is so on all of them")
    parser.addoption("--times", choices=["with", "without", "only"], default="with", help="whether to run tests that compare times, which others beside them make fail")
    parser.addoption("--servers", choices=["with", "without", "only"], default="with", help="whether to run modules that start servers or load, which wait most of the time")
    parser.addoption("--soak-seconds", type=float, default=5, help="how long each soak lasts")
    parser.addoption("--soak-seed", type=int, default=1, help="what a soak does follows from it; 0: another one each time")


def pytest_configure(config):
    # A shell has its background jobs ignore ^C, and so would the processes that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("--few"):
        os.environ.setdefault("CKFS_HYPOTHESIS", "few")
    redis_server.PROGRAM = shutil.which(config.getoption("--redis-server")) or pytest.exit("--redis-server: no such program")
    config.addinivalue_line("markers", "file_only: is about what only a cache directory has")
    config.addinivalue_line("markers", "shared_mount: the tests of a module have their cache and its mounts together, each with keys of its own (Cache.key)")
    config.addinivalue_line("markers", "own_mount: has a cache and a mount of its own in a module that shares them")
    config.addinivalue_line("markers", "decoding_only: is one of many about the decoding of a small value, however it was found")
    config.addinivalue_line("filterwarnings", "ignore:Call to deprecated setex:DeprecationWarning")  # the package's own
    config.addinivalue_line("markers", "on_http: runs on the CacheKit service as well, which costs a module of tests some seconds")
    config.addinivalue_line("markers", "not_on_http(why): is about what the CacheKit service does not have")
    config.addinivalue_line("markers", "once: costs much, or is about Python alone, and depends on no compiler, sanitizer or library: runs in the plain build, on one Debian")
    config.addinivalue_line("markers", "times: compares times so closely that little else may run beside it")
    config.addinivalue_line("markers", "memory: measures the daemon's memory, which a sanitizer makes many times larger")


def pytest_collection_modifyitems(config, items):
    """--times"""
    wanted = {"with": (False, True), "without": (False,), "only": (True,)}[config.getoption("--times")]
    left_out = [item for item in items if bool(item.get_closest_marker("times")) not in wanted]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if bool(item.get_closest_marker("times")) in wanted]


class WithoutTests(pytest.Module):
    """A module that is not imported."""

    def collect(self):
        return []


# Modules that start servers of their own import what does so: redis_server, redis_cluster, http_mounts…
STARTS_SERVERS = re.compile(r"^(from|import) (\w+_(server|cluster|service)|http_mounts)\b", re.M)


def pytest_pycollect_makemodule(module_path, parent):
    """--servers, --times and `-m memory`: to import all modules takes longer than to run what compares times or measures memory, which is in few of them."""
    text, option = module_path.read_text(), parent.config.getoption
    servers = STARTS_SERVERS.search(text) is not None or module_path.parent.name == "fault"
    left_out = option("--times") == "only" and "mark.times" not in text
    left_out = left_out or re.match("memory( and|$)", option("-m") or "") and "mark.memory" not in text
    if left_out or servers not in {"with": (False, True), "without": (False,), "only": (True,)}[option("--servers")]:
        return WithoutTests.from_parent(parent, path=module_path)
    return None


# Why a test may be skipped. For any other reason it fails.
SKIPS = (
    "hiredis had no TLS when this ckfs was built (ckfs -V: TLS: no)",
    "this ckfs has TLS",
    "only root may mount a file system",
    "others may lock little memory",
    "only beside the build that users get",
    "this machine has no IPv6",
    "this Python bears more levels",
    "this kernel has no Landlock",
    "this kernel has no seccomp",
    "Memcached takes no key of over 250 bytes",
    "this libfuse, this kernel or this user has no passthrough",
)


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2]
        if not reason.endswith(SKIPS):
            report.outcome = "failed"
            report.longrepr = f"skipped for a reason that nobody expects: {reason}"
    return report


# Finding, reading, naming, listing and refusing, and versions. What is decoded then is the same for each store over a network: those tests run on Redis.
ON_MEMCACHED = {
    f"test_{name}"
    for name in ("claims", "cli_views", "cli_write", "copies", "directory_calls", "errors", "files", "listed_again", "listing", "meta", "names", "readers", "small_files", "unframed", "versions", "views", "write", "write_expiry", "write_refused", "write_tools", "xattr")
}

# Where --stores leaves out none.
ON_EACH_STORE = {"test_files"}


def pytest_generate_tests(metafunc):
    """What works on a cache runs on each backend, but for tests that are marked."""
    marked = {name for name in ("file_only", "decoding_only", "on_http", "not_on_http") if metafunc.definition.get_closest_marker(name)}
    kinds = ["file"]
    if not {"file_only", "decoding_only"} & marked:
        kinds.append("redis")
        if metafunc.module.__name__ in ON_MEMCACHED:
            kinds.append("memcached")
        if "on_http" in marked and "not_on_http" not in marked:
            kinds.append("http")
    stores = metafunc.config.getoption("--stores").split(",")
    if metafunc.module.__name__ not in ON_EACH_STORE:
        kinds = [kind for kind in kinds if kind in stores]
    for name in ("cache", "shared_cache"):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, kinds, indirect=True)


# What tests ask for


@pytest.fixture(scope="session")
def ckfs(request) -> str:
    """Path of the binary under test."""
    path = os.path.abspath(request.config.getoption("--ckfs"))
    assert os.access(path, os.X_OK), f"{path}: build it first (meson setup build && ninja -C build)"
    return path


@pytest.fixture(scope="session")
def few(request) -> bool:
    """--few"""
    return request.config.getoption("--few")


@pytest.fixture
def tmp():
    with home() as path:
        yield path


@pytest.fixture
def cache(request, tmp) -> Iterator[Cache]:
    if not shares(request.node):
        yield cache_of(request, 0, tmp)
        return
    shared = request.getfixturevalue("shared")(request)
    shared.begin()
    yield shared.cache
    shared.end(request.node.stash.get(FAILED, False))


@pytest.fixture(scope="module")
def shared_cache(request):
    """A cache that the tests of a module share."""
    with home() as path:
        yield cache_of(request, 1, path)


@pytest.fixture(scope="module")
def shared(ckfs):
    """shared(request) -> what the tests of a module share, of the backend that the request is about."""
    with contextlib.ExitStack() as stack:
        made: dict[str, Shared] = {}

        def of(request) -> Shared:
            if request.param not in made:
                made[request.param] = Shared(ckfs, cache_of(request, 2, stack.enter_context(home())))
                stack.callback(made[request.param].close)
            return made[request.param]

        yield of


@pytest.fixture
def mount(ckfs, tmp):
    """
    mount(source, *options, env={}) -> Mount. `source` may be a Cache, a path, a URL or None (environment). Where tests share mounts, that
    of the cache may have been there before: it must neither end nor be measured.
    """
    with contextlib.ExitStack() as stack:

        def make(source, *options: str, env: dict[str, str] | None = None) -> Mount:
            if isinstance(source, Cache) and source.shared:
                return source.shared.mount(options, env or {})
            if isinstance(source, Cache):
                source, env = source.source, {**source.env, **(env or {})}
            path = tmp / f"mnt{len(made)}"
            m = Mount(ckfs, None if source is None else str(source), path, options, env or {})
            made.append(m)
            stack.callback(m.unmount)
            return m

        made: list[Mount] = []
        yield make


@pytest.fixture
def mnt(cache, mount) -> Mount:
    """A mount over the test's cache, with default options."""
    return mount(cache)
