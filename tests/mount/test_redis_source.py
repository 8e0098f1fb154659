"""§1, §6: how a Redis server is named, how one logs in, and what is not shown of that."""

import os
import pathlib
import subprocess

import pytest

from helpers import read
from redis_server import running, scripted, server  # noqa: F401 - fixtures
from waiting import PATIENCE

PASSWORD = "p@ss:w/rd%"
ENCODED = "p%40ss%3Aw%2Frd%25"


@pytest.fixture(scope="module")
def locked():
    """A server with a password for all, and a user of its own."""
    with running("--requirepass", PASSWORD) as s:
        client = s.client(password=PASSWORD)
        client.execute_command("ACL", "SETUSER", "us:er", "on", f">{PASSWORD}", "~*", "allchannels", "+@all")
        for db in (0, 1, 7):
            client.execute_command("SELECT", db)
            client.set("db", db)
        yield s


URLS = {
    "password": ("redis://:{pw}@127.0.0.1:{port}", b"0"),
    "user": ("redis://us%3Aer:{pw}@127.0.0.1:{port}/0", b"0"),
    "path": ("redis://:{pw}@127.0.0.1:{port}/7", b"7"),
    "query wins": ("redis://:{pw}@127.0.0.1:{port}/7?db=1", b"1"),
    "path that is no number": ("redis://:{pw}@127.0.0.1:{port}/x", b"0"),
    "host by name": ("redis://:{pw}@localhost:{port}/1", b"1"),
    "password in the query": ("redis://127.0.0.1:{port}/1?password={pw}", b"1"),
    "other members": ("redis://:{pw}@127.0.0.1:{port}/1?socket_timeout=3&decode_responses=1", b"1"),
    "socket": ("unix://:{pw}@{socket}?db=7", b"7"),
    "socket and user": ("unix://us%3Aer:{pw}@{socket}?db=1", b"1"),
}


@pytest.mark.parametrize("case", URLS)
def test_urls_mean_what_they_mean_to_redis_py(locked, mount, case):
    import redis

    url, expect = URLS[case]
    url = url.format(pw=ENCODED, port=locked.port, socket=locked.socket)
    client = redis.Redis.from_url(url.replace("&decode_responses=1", ""))
    assert client.get("db") == expect
    assert read(mount(url) / "db") == expect


@pytest.mark.parametrize("variable", ["CACHEKIT_REDIS_URL", "REDIS_URL"])
def test_the_environment_names_a_server(locked, mount, variable):
    m = mount(None, env={variable: f"redis://:{ENCODED}@127.0.0.1:{locked.port}/7"})
    assert read(m / "db") == b"7"
    assert ENCODED.encode() not in pathlib.Path(f"/proc/{m.pid}/environ").read_bytes()


def test_a_password_is_taken_from_a_file(locked, mount, tmp):
    (tmp / "pw").write_text(PASSWORD + "\nsecond line\n")
    (tmp / "pw").chmod(0o600)
    assert read(mount(locked.url, f"password_file={tmp}/pw") / "db") == b"0"


def complaint(ckfs, tmp, *args) -> str:
    (tmp / "mnt").mkdir(exist_ok=True)
    run = subprocess.run([ckfs, "-f", *map(str, args), tmp / "mnt"], capture_output=True, text=True, timeout=PATIENCE)
    assert run.returncode == 1 and run.stderr.count("\n") == 1
    return run.stderr


def test_a_password_file_that_others_may_read_is_refused(locked, ckfs, tmp):
    (tmp / "pw").write_text(PASSWORD)
    (tmp / "pw").chmod(0o604)
    assert "chmod 600" in complaint(ckfs, tmp, "-o", f"password_file={tmp}/pw", locked.url)


@pytest.mark.parametrize("login", ["", ":wrong@", "us%3Aer:wrong@", "nobody:wrong@"])
def test_a_login_that_fails_says_so(locked, ckfs, tmp, login):
    text = complaint(ckfs, tmp, f"unix://{login}{locked.socket}")
    assert ("WRONGPASS" in text or "NOAUTH" in text) and "password_file=" in text and "wrong" not in text


def test_a_right_that_is_missing_is_not_taken_for_a_login_that_is(server, ckfs, tmp):
    server.client().execute_command("ACL", "SETUSER", "half", "on", ">pw", "~*", "+@read")
    text = complaint(ckfs, tmp, f"unix://half:pw@{server.socket}")
    assert "NOPERM" in text and "+@connection" in text and "password_file=" not in text


def test_a_password_that_no_server_asks_for_is_one_too_many(server, ckfs, tmp):
    text = complaint(ckfs, tmp, f"unix://:secret@{server.socket}")
    assert "without any password" in text and "password_file=" not in text and "secret" not in text


def test_who_gives_no_login_is_told_how(server, ckfs, tmp):
    server.client().execute_command("ACL", "SETUSER", "default", "-@connection", "+auth")
    text = complaint(ckfs, tmp, server.url)
    assert "NOPERM" in text and "password_file=" in text


def test_a_database_that_is_out_of_range_says_so(server, ckfs, tmp):
    assert "DB index is out of range" in complaint(ckfs, tmp, f"{server.url}?db=99")


def test_a_server_that_does_not_answer_times_out(scripted, ckfs, tmp):
    s = scripted(dict.fromkeys(["PING", "SELECT", "CLIENT"], b""))
    assert "timed out" in complaint(ckfs, tmp, "-o", "timeout=0.3", s.url)


def test_what_is_no_redis_server_is_not_mounted(scripted, ckfs, tmp):
    s = scripted(dict.fromkeys(["PING", "SELECT", "CLIENT"], b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    assert "no Redis server" in complaint(ckfs, tmp, s.url)


@pytest.mark.parametrize("where", ["login", "query"])
def test_a_password_shows_nowhere(locked, mount, where):
    login, query = (f":{ENCODED}@", "?db=7") if where == "login" else ("", f"?password={ENCODED}&db=7")
    m = mount(f"unix://{login}{locked.socket}{query}")
    shown = [pathlib.Path(f"/proc/{m.pid}/cmdline").read_text(), pathlib.Path("/proc/self/mounts").read_text(), m.log()]
    shown += [subprocess.check_output(["df", m], text=True), read(m / ".ckfs/stats").decode(), read(m / "meta/db.json").decode()]
    assert not any(secret in text for text in shown for secret in (ENCODED, PASSWORD, "rd%25"))
    assert f"unix://{locked.socket}?db=7 " in shown[1], "the source without it"
    assert f"{locked.socket}" in shown[0]
