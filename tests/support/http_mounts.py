"""A service of a test's own, and mounts of it."""

from __future__ import annotations

import contextlib
import threading

import pytest

from http_service import TOKEN, HttpService
from waiting import PATIENCE


@pytest.fixture
def service(http_pki):
    made = HttpService(http_pki)
    yield made
    made.kill()


def trusting(service) -> str:
    return f"tls_ca={service.pki.ca.pem}"


@pytest.fixture
def m(service, mount):
    return mount(service.url, trusting(service), "timeout=3", env={"CACHEKIT_API_KEY": TOKEN})


def patient(service, mount):
    """A mount that waits for longer than any test."""
    return mount(service.url, trusting(service), "timeout=60", env={"CACHEKIT_API_KEY": TOKEN})


@contextlib.contextmanager
def held(service, key: str):
    """What is asked of a key waits until this ends. Yields what tells how many wait."""
    go, waiting = threading.Event(), []

    def wait(handler) -> bool:
        waiting.append(handler)
        go.wait(PATIENCE)
        return False

    service.on_key[key] = wait
    try:
        yield lambda: len(waiting)
    finally:
        del service.on_key[key]
        go.set()
