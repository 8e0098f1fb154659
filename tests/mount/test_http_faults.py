"""§6 over https://: what the service answers instead of a value, broken answers, and a service that is late, busy or gone."""

from __future__ import annotations

import contextlib
import email.utils
import gzip
import os
import signal
import subprocess
import time
import zlib

import pytest

from helpers import failure, peak, read, reset_peak
from http_mounts import held, m, patient, service  # noqa: F401 - fixtures
from http_service import Stored
from waiting import PATIENCE, all_wait, taking, until
from while_lost import ends_on_a_signal

VALUE = b"value" * 1000


def answering(service, status: int, body: bytes = b"", **headers):  # noqa: F811
    service.data["k"] = Stored(VALUE)

    def answer(handler) -> bool:
        handler.reply(status, body, **headers)
        return True

    service.on_key["k"] = answer


def raw(service, *pieces: bytes, pause: float = 0):  # noqa: F811
    """Answers with these bytes, and closes the connection."""

    def answer(handler) -> bool:
        for piece in pieces:
            handler.wfile.write(piece)
            handler.wfile.flush()
            time.sleep(pause)
        handler.close_connection = True
        return True

    service.on_key["k"] = answer


def recovers(service, m) -> bool:  # noqa: F811
    service.on_key.clear()
    service.data["k"] = Stored(VALUE)
    return read(m / "k") == VALUE


# Statuses


@pytest.mark.parametrize(
    "status, expected",
    [(400, "EIO"), (401, "EACCES"), (402, "EIO"), (403, "EACCES"), (405, "EIO"), (410, "EIO"), (413, "EFBIG"), (414, "EIO"), (429, "EAGAIN"), (500, "EIO"), (502, "EIO"), (503, "EAGAIN"),
     (504, "EIO"), (206, "EIO"), (300, "EIO"), (304, "EIO"), (599, "EIO")],
)
def test_a_status_has_its_errno_and_is_logged_once(service, m, status, expected):  # noqa: F811
    answering(service, status, b"secret words of the service")
    assert [failure(m / "k") for _ in range(3)] == [expected] * 3
    assert (len(m.log_lines(f"HTTP {status}")), "secret words" in m.log()) == (1, False)
    assert recovers(service, m)


def test_absence_is_not_logged(service, m):  # noqa: F811
    assert (failure(m / "k"), m.log()) == ("ENOENT", "")


@pytest.mark.parametrize("status", [200, 201, 203, 204])
def test_all_other_200s_have_a_value(service, m, status):  # noqa: F811
    answering(service, status, b"" if status == 204 else b"v")
    assert read(m / "k") == (b"" if status == 204 else b"v")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirection_is_not_followed(service, m, status):  # noqa: F811
    service.data["elsewhere"] = Stored(b"token, please")
    answering(service, status, Location="/v1/cache/elsewhere")
    assert (failure(m / "k"), service.asked("elsewhere"), len(m.log_lines("redirects to elsewhere"))) == ("EIO", [], 1)


# A service that has no time


def busy_once(service, status: int, retry_after):  # noqa: F811
    """`retry_after()` is what it says then."""
    service.data["k"] = Stored(VALUE)
    times: list[float] = []

    def answer(handler) -> bool:
        times.append(time.monotonic())
        if len(times) == 1:
            handler.reply(status, Retry_After=retry_after())
        return len(times) == 1

    service.on_key["k"] = answer
    return times


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", [lambda: "1", lambda: email.utils.formatdate(time.time() + 2, usegmt=True)], ids=["seconds", "date"])
def test_a_busy_service_is_asked_again_when_it_says(service, m, status, form):  # noqa: F811
    times = busy_once(service, status, form)
    assert (read(m / "k"), len(times), 0.7 < times[1] - times[0]) == (VALUE, 2, True)


@pytest.mark.parametrize("retry_after", ["60", "99999999999999999999", "soon", "-1", ""])
def test_a_service_that_has_no_time_soon_is_eagain_at_once(service, mount, retry_after):  # noqa: F811
    m = patient(service, mount)
    times = busy_once(service, 503, lambda: retry_after)
    with taking():
        assert (failure(m / "k"), len(times)) == ("EAGAIN", 1)


def test_a_service_that_is_always_busy_is_not_asked_all_the_time(service, m):  # noqa: F811
    answering(service, 429, Retry_After="0")
    service.requests.clear()
    assert failure(m / "k") == "EAGAIN"
    assert 2 <= len(service.requests) <= 16


def test_who_waits_for_a_busy_service_can_be_interrupted(service, mount):  # noqa: F811
    m = patient(service, mount)
    answering(service, 503, Retry_After="50")
    ends_on_a_signal("cat", m / "k")


# Broken answers

HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "pieces",
    [
        [HEAD + b"Content-Length: 5000\r\n\r\n", VALUE[:100]],
        [HEAD + b"Content-Length: 5000\r\n\r\n"],
        [HEAD + b"Content-Length: -1\r\n\r\n", VALUE],
        [HEAD + b"Content-Length: many\r\n\r\n", VALUE],
        [HEAD + b"\r\n", VALUE],
        [HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"10\r\nvalue"],
        [HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nvalue\r\n"],
        [HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"zz\r\nvalue\r\n0\r\n\r\n"],
        [HEAD + b"Content-Length: 5"],
        [b"HTTP/1.1 2"],
        [b""],
        [b"220 mail.example.org ESMTP\r\n"],
        [b"\0\xff" * 1000],
        [b"HTTP/9.9 200 OK\r\nContent-Length: 5\r\n\r\nvalue"],
    ],
    ids=range(14),
)
def test_a_broken_answer_is_eio(service, m, pieces):  # noqa: F811
    raw(service, *pieces)
    assert failure(m / "k") == "EIO"
    assert recovers(service, m)


def test_a_value_in_chunks_is_whole(service, m):  # noqa: F811
    raw(service, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nvalue\r\n", b"3;x=y\r\n!!!\r\n0\r\n\r\n", pause=0.1)
    assert read(m / "k") == b"value!!!"


def test_what_follows_a_value_is_not_taken_for_the_next_answer(service, m):  # noqa: F811
    answering(service, 200, VALUE + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", length=len(VALUE))
    service.data["next"] = Stored(b"right")
    for _ in range(3):
        assert (read(m / "k"), read(m / "next")) == (VALUE, b"right")


def test_two_lengths_are_eio_or_the_value(service, m):  # noqa: F811
    raw(service, HEAD + b"Content-Length: 5\r\nContent-Length: 4000\r\n\r\nvalue")
    assert failure(m / "k") == "EIO"


# Too much


def test_the_largest_value_is_read(service, m):  # noqa: F811
    service.data["k"] = Stored(os.urandom(25_000_000))
    assert read(m / "k") == service.data["k"].value


def flood(handler, piece: bytes, most: int = 200) -> bool:
    for _ in range(most):
        handler.wfile.write(piece)
    handler.close_connection = True
    return True


MIB = b"x" * (1 << 20)


FLOODS = pytest.mark.parametrize(
    "head, piece",
    [
        (b"Content-Length: 1000000000000\r\n", MIB),
        (b"Content-Length: 26214401\r\n", MIB),
        (b"Transfer-Encoding: chunked\r\n", b"100000\r\n" + MIB + b"\r\n"),
        (b"Content-Encoding: gzip\r\nContent-Length: 100000000\r\n", gzip.compress(bytes(100 << 20))),
        (b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", b"%x\r\n" % len(gzip.compress(bytes(30 << 20))) + gzip.compress(bytes(30 << 20)) + b"\r\n"),
    ],
    ids=["claim", "one byte", "chunks", "bomb", "bomb in chunks"],
)


@FLOODS
def test_what_is_too_much_is_efbig(service, m, head, piece):  # noqa: F811
    service.on_key["k"] = lambda handler: (handler.wfile.write(HEAD + head + b"\r\n"), flood(handler, piece))[1]
    assert failure(m / "k") == "EFBIG"
    assert recovers(service, m)


@FLOODS
@pytest.mark.memory
def test_what_is_too_much_takes_little_memory(service, m, head, piece):  # noqa: F811
    service.on_key["k"] = lambda handler: (handler.wfile.write(HEAD + head + b"\r\n"), flood(handler, piece))[1]
    before = reset_peak(m)
    assert (failure(m / "k"), peak(m) - before < 60 << 20) == ("EFBIG", True)


def test_a_flood_of_headers_is_an_error(service, m):  # noqa: F811
    def answer(handler) -> bool:
        handler.wfile.write(HEAD)
        for i in range(200):
            handler.wfile.write(b"".join(b"X-%d-%d: %s\r\n" % (i, j, b"y" * 1000) for j in range(100)))
        handler.close_connection = True
        return True

    service.on_key["k"] = answer
    assert failure(m / "k") == "EIO"
    assert recovers(service, m)


# Compressed, though nobody asks for it


@pytest.mark.parametrize(
    "coding, body",
    [("gzip", gzip.compress(VALUE)), ("x-gzip", gzip.compress(VALUE)), ("GZIP", gzip.compress(VALUE)), ("deflate", zlib.compress(VALUE)), ("identity", VALUE),
     ("gzip", gzip.compress(VALUE[:100]) + gzip.compress(VALUE[100:]))],
    ids=["gzip", "x-gzip", "GZIP", "deflate", "identity", "two members"],
)
def test_a_compressed_value_is_shown_as_it_was(service, m, coding, body):  # noqa: F811
    answering(service, 200, body, Content_Encoding=coding)
    assert (read(m / "k"), os.stat(m / "k").st_size) == (VALUE, len(VALUE))


@pytest.mark.parametrize(
    "coding, body",
    [("gzip", gzip.compress(VALUE)[:-1]), ("gzip", gzip.compress(VALUE)[:20]), ("gzip", b""), ("gzip", VALUE), ("gzip", gzip.compress(VALUE) + b"more"), ("br", VALUE), ("zstd", VALUE), ("gzip, gzip", gzip.compress(gzip.compress(VALUE)))],
    ids=["one byte short", "cut", "empty", "plain", "more", "br", "zstd", "twice"],
)
def test_what_cannot_be_decompressed_is_eio(service, m, coding, body):  # noqa: F811
    answering(service, 200, body, Content_Encoding=coding)
    assert failure(m / "k") == "EIO"
    assert recovers(service, m)


# Late, or gone


def test_a_silent_service_times_out(service, m):  # noqa: F811
    service.data["k"] = Stored(VALUE)
    with held(service, "k"):
        with taking(2.8):
            assert failure(m / "k") == "ETIMEDOUT"
    assert until(lambda: failure(m / "k") is None)
    assert (len(m.log_lines("timed out")), len(m.log_lines("answers again"))) == (1, 1)


def test_a_service_that_makes_progress_is_waited_for(service, m):  # noqa: F811
    """For longer than the timeout of three seconds."""
    raw(service, HEAD + b"Content-Length: 6\r\n\r\n", *[b"%d" % i for i in range(6)], pause=0.7)
    assert read(m / "k") == b"012345"


def test_a_service_that_stops_within_a_value_times_out(service, m):  # noqa: F811
    raw(service, HEAD + b"Content-Length: 6\r\n\r\nabc", b"", pause=3)
    assert failure(m / "k") == "ETIMEDOUT"


def test_who_waits_can_be_interrupted_and_the_mount_ended(service, mount):  # noqa: F811
    m = patient(service, mount)
    service.data["k"] = Stored(VALUE)
    with held(service, "k"):
        ends_on_a_signal("cat", m / "k")
        reader = subprocess.Popen(["cat", m / "k"], stderr=subprocess.DEVNULL)
        assert all_wait(reader)
        with taking():
            m.process.send_signal(signal.SIGTERM)
            assert (m.process.wait(PATIENCE), reader.wait(PATIENCE) != 0) == (0, True)


def test_many_who_wait_for_a_silent_service_hold_up_nobody_who_asks_nothing_of_it(service, mount):  # noqa: F811
    m = patient(service, mount)
    keys = [f"k{i}" for i in range(40)]
    service.data |= dict.fromkeys(["open", *keys], Stored(VALUE))
    with open(m / "open", "rb") as file, contextlib.ExitStack() as silent:
        for key in keys:
            silent.enter_context(held(service, key))
        waiting = [subprocess.Popen(["cat", m / key], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for key in keys]
        try:
            assert all_wait(*waiting)
            with taking():
                assert file.read() == VALUE
                assert os.listdir(m / "raw") == ["open"]
                assert (m / ".ckfs/stats").read_text()
                assert (m / "meta").is_dir()
            assert all(process.poll() is None for process in waiting)
        finally:
            for process in waiting:
                process.kill()
                process.wait()
    assert until(lambda: not any(failure(m / key) for key in keys))


def test_a_service_that_is_gone_refuses_and_comes_back(service, m):  # noqa: F811
    service.data["k"] = Stored(VALUE)
    with open(m / "k", "rb") as file:
        service.kill()
        assert ({failure(m / name) for name in ("k", "none")}, file.read()) == ({"ECONNREFUSED"}, VALUE)
        assert (len(m.log_lines("refused")), len(m.log_lines("token"))) == (1, 0)
        service.start()
        assert (read(m / "k"), failure(m / "none"), len(m.log_lines("answers again"))) == (VALUE, "ENOENT", 1)


def test_a_connection_that_was_closed_meanwhile_is_replaced(service, m):  # noqa: F811
    service.data["k"] = Stored(VALUE)
    for _ in range(5):
        assert read(m / "k") == VALUE
        service.kill()
        service.start()


def test_without_an_expiry_a_value_is_shown_all_the_same(service, m):  # noqa: F811
    service.data["k"] = Stored(VALUE)
    service.on_any = lambda handler: handler.path.endswith("/ttl") and (handler.reply(404), True)[1]
    assert (read(m / "k"), "ttl" in xattrs_without_expiry(m / "k")) == (VALUE, False)


def xattrs_without_expiry(path) -> list[str]:
    return [name for name in os.listxattr(path) if name != "user.ckfs.expires"]
