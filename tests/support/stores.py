"""Fixtures: servers that a session starts once, and empty caches on them."""

from __future__ import annotations

import contextlib
import pathlib

import pytest

import memcached_server
from caches import Cache, FileCache, HttpCache, MemcachedCache, RedisCache
from http_service import HttpService, Pki
from memcached_server import Memcached
from redis_server import running


@pytest.fixture(scope="session")
def redis_of_the_session():
    """A Redis server, for every user: starting one for each test would take longer than most tests."""
    with running("--unixsocketperm", "777") as server:
        server.directory.chmod(0o755)
        yield server


@pytest.fixture(scope="session")
def http_pki():
    made = Pki()
    yield made
    made.remove()


@pytest.fixture(scope="session")
def http_services(http_pki):
    """Services by number."""
    made: dict[int, HttpService] = {}
    yield lambda number: made.get(number) or made.setdefault(number, HttpService(http_pki))
    for service in made.values():
        service.kill()


def empty_http(request, number: int, path: pathlib.Path) -> HttpCache:
    cache = HttpCache(request.getfixturevalue("http_services")(number), path)
    cache.clear()
    return cache


def empty_redis(request, db: int, path: pathlib.Path) -> RedisCache:
    cache = RedisCache(request.getfixturevalue("redis_of_the_session"), db, path)
    cache.clear()
    return cache


@pytest.fixture(scope="session")
def memcached_of_the_session():
    """memcached_of_the_session(n) -> the Memcached server with this number, which takes large values."""
    with contextlib.ExitStack() as stack:
        servers: dict[int, Memcached] = {}

        def of(number: int) -> Memcached:
            if number not in servers:
                servers[number] = stack.enter_context(memcached_server.running("-m", "2048", "-I", "512m"))
            return servers[number]

        yield of


def empty_memcached(request, number: int, path: pathlib.Path) -> MemcachedCache:
    cache = MemcachedCache(request.getfixturevalue("memcached_of_the_session")(number), path)
    cache.clear()
    return cache


def cache_of(request, db: int, path: pathlib.Path) -> Cache:
    """An empty cache of the backend that the test is to run on."""
    if request.param == "file":
        return FileCache(path / "cache")
    make = {"redis": empty_redis, "memcached": empty_memcached, "http": empty_http}[request.param]
    return make(request, db, path)
