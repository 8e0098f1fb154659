"""§6 over https://: what counts of an answer is its status, then where its value ends, and then which value it is about."""

from __future__ import annotations

import gzip
import os
import time

import pytest

from helpers import failure, peak, read, reset_peak
from http_mounts import m, patient, service, trusting  # noqa: F401 - fixtures
from http_service import TOKEN, Stored
from waiting import taking
from writing import frame, outcome, write

MIB = 1 << 20
VALUE = b"value" * 1000


def answering(service, status: int, body: bytes = b"", **headers):  # noqa: F811
    def answer(handler) -> bool:
        handler.reply(status, body, **headers)
        return True

    service.on_key["k"] = answer


# Statuses with many words

STATUSES = [(404, "ENOENT"), (401, "EACCES"), (403, "EACCES"), (413, "EFBIG"), (429, "EAGAIN"), (503, "EAGAIN"), (500, "EIO")]


@pytest.mark.parametrize("size", [20_000, 70_000, 2 * MIB])
@pytest.mark.parametrize("status, expected", STATUSES)
def test_a_status_counts_however_much_is_said_with_it(service, m, status, expected, size):  # noqa: F811
    answering(service, status, b"x" * size)
    assert failure(m / "k") == expected
    service.on_key.clear()
    service.data["k"] = Stored(VALUE)
    assert read(m / "k") == VALUE


def test_a_busy_service_that_says_much_is_asked_again_when_it_says(service, m):  # noqa: F811
    times = []

    def busy_once(handler) -> bool:
        times.append(time.monotonic())
        if len(times) == 1:
            handler.reply(503, b"x" * 100_000, Retry_After="1")
        return len(times) == 1

    service.data["k"] = Stored(VALUE)
    service.on_key["k"] = busy_once
    assert (read(m / "k"), len(times), times[1] - times[0] > 0.7) == (VALUE, 2, True)


@pytest.mark.memory
def test_what_is_said_without_end_with_a_status_is_not_read(service, mount):  # noqa: F811
    m = patient(service, mount)

    def endless(handler) -> bool:
        handler.wfile.write(b"HTTP/1.1 404 X\r\nConnection: close\r\n\r\n")
        while True:
            handler.wfile.write(b"x" * 100_000)

    service.on_key["k"] = endless
    before = reset_peak(m)
    with taking():
        assert failure(m / "k") == "ENOENT"
    assert peak(m) - before < 8 * MIB


def test_an_error_of_some_words_costs_no_connection(service, m):  # noqa: F811
    answering(service, 404, b"x" * 20_000)
    failure(m / "k")
    before = service.connections
    assert ([failure(m / "k") for _ in range(5)], service.connections - before) == (["ENOENT"] * 5, 0)


def test_a_change_that_is_answered_with_many_words_is_made(service, mount):  # noqa: F811
    m = mount(service.url, trusting(service), "timeout=3", "write", env={"CACHEKIT_API_KEY": TOKEN})

    def wordy(handler) -> bool:
        if handler.command == "PUT":
            handler.reply(201, b"x" * 100_000)
        return handler.command == "PUT"

    service.on_key["k"] = wordy
    assert outcome(write, m / "frame/k", frame()) is None


def test_a_service_whose_health_is_a_long_tale_is_mounted(service, mount):  # noqa: F811
    def wordy(handler) -> bool:
        is_it = handler.path.endswith("/health")
        if is_it:
            handler.reply(200, b"x" * 100_000)
        return is_it

    service.on_any = wordy
    service.data["k"] = Stored(VALUE)
    assert read(mount(service.url, trusting(service), env={"CACHEKIT_API_KEY": TOKEN}) / "k") == VALUE


# Where a value ends


def chunks(value: bytes) -> bytes:
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(value), value)


ENDS = {
    "chunked": ((b"chunked",), chunks(VALUE), None),
    "chunked in capitals": ((b"Chunked",), chunks(VALUE), None),
    "identity, until it closes": ((b"identity",), VALUE, "EIO"),
    "nothing, until it closes": ((b"",), VALUE, "EIO"),
    "gzip, until it closes": ((b"gzip",), gzip.compress(VALUE), "EIO"),
    "gzip that is cut": ((b"gzip",), gzip.compress(VALUE)[:-20], "EIO"),
    "gzip in chunks": ((b"gzip, chunked",), chunks(gzip.compress(VALUE)), "EIO"),
    "gzip in chunks, by two headers": ((b"gzip", b"chunked"), chunks(gzip.compress(VALUE)), "EIO"),
    "what nobody knows": ((b"unheard-of",), VALUE, "EIO"),
    "chunks that are cut": ((b"chunked",), chunks(VALUE)[:-200], "EIO"),
}


@pytest.mark.parametrize("case", ENDS)
def test_a_value_whose_end_nobody_can_tell_is_eio(service, m, case):  # noqa: F811
    codings, body, expected = ENDS[case]

    def answer(handler) -> bool:
        handler.wfile.write(b"HTTP/1.1 200 X\r\nConnection: close\r\n" + b"".join(b"Transfer-Encoding: %s\r\n" % coding for coding in codings) + b"\r\n" + body)
        handler.close_connection = True
        return True

    service.on_key["k"] = answer
    assert failure(m / "frame/k") == expected
    assert expected or read(m / "frame/k") == VALUE


# Which value it is about


def test_a_new_value_is_told_with_its_own_expiry_at_once(service, m):  # noqa: F811
    service.data["k"] = Stored(b"old", time.time() + 100)
    with open(m / "frame/k", "rb", buffering=0) as old:
        assert 90 <= int(os.getxattr(old.fileno(), "user.ckfs.ttl")) <= 100
        service.data["k"] = Stored(b"new", time.time() + 1000)
        with open(m / "frame/k", "rb", buffering=0) as new:
            assert (new.read(), 990 <= int(os.getxattr(new.fileno(), "user.ckfs.ttl")) <= 1000) == (b"new", True)


def test_one_version_asks_for_its_expiry_once_in_a_moment(service, m):  # noqa: F811
    service.data["k"] = Stored(b"value", time.time() + 100)
    with open(m / "frame/k", "rb", buffering=0) as file:
        for _ in range(3):
            os.getxattr(file.fileno(), "user.ckfs.ttl")
            os.getxattr(file.fileno(), "user.ckfs.expires")
    assert service.asked("k").count("GET ttl") <= 2  # of a busy machine: a second may pass
