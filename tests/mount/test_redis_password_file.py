"""§7: the password of a file is read again when a login fails, through links that change, so that a rotation needs no new mount."""

import contextlib
import os
import subprocess

import pytest
import redis

from helpers import failure, read
from redis_cluster import Cluster, Service, wait_for
from redis_server import running, scripted  # noqa: F401 - a fixture
from test_redis_source import complaint
from waiting import PATIENCE, until


class Secret:
    """A file as Kubernetes mounts it: pw -> ..data/pw, ..data -> a directory of this version."""

    def __init__(self, tmp, password: str):
        self.directory, self.count = tmp / "secret", 0
        self.directory.mkdir()
        self.path = self.directory / "pw"
        self.rotate(password)
        self.path.symlink_to("..data/pw")

    def rotate(self, password: str, mode: int = 0o440) -> None:
        old, self.count = self.directory / f"..{self.count}", self.count + 1
        new = self.directory / f"..{self.count}"
        new.mkdir()
        (new / "pw").write_text(password)
        (new / "pw").chmod(mode)
        (self.directory / "..data_tmp").symlink_to(new.name)
        (self.directory / "..data_tmp").rename(self.directory / "..data")
        if old.exists():
            (old / "pw").unlink()
            old.rmdir()


@pytest.fixture
def secret(tmp) -> Secret:
    return Secret(tmp, "first")


@pytest.fixture
def locked():
    with running("--requirepass", "first") as s:
        s.client(password="first").set("k", b"v")
        yield s


def change(server, password: str, old: str = "first") -> redis.Redis:
    """Another password, with which all have to log in anew."""
    client = server.client(password=old)
    client.config_set("requirepass", password)
    client.client_kill_filter(skipme=True)
    return server.client(password=password)


def test_a_rotated_password_is_taken_at_the_next_login(locked, secret, mount):
    m = mount(locked.url, f"password_file={secret.path}")
    assert read(m / "k") == b"v"
    for old, new in ("first", "second"), ("second", "third"):
        secret.rotate(new)
        client = change(locked, new, old)
        client.set("k", new)
        assert read(m / "k") == new.encode()
    assert m.log() == ""


def test_a_password_that_comes_late_is_taken_by_the_next_open(locked, secret, mount):
    m = mount(locked.url, f"password_file={secret.path}")
    assert read(m / "k") == b"v"
    change(locked, "second").set("k", b"w")
    # Refused ever more often, so that nobody tries for a while.
    assert {failure(m / "k") for _ in range(10)} == {"EACCES"}
    secret.rotate("second\n")
    assert read(m / "k") == b"w"
    first, *more = m.log().splitlines()
    assert "WRONGPASS" in first and ["answers again" in line for line in more] == [True]


def test_announcements_come_again_soon(locked, secret, mount):
    m = mount(locked.url, f"password_file={secret.path}")
    assert read(m / "k") == b"v"
    client = change(locked, "second")
    assert failure(m / "k") == "EACCES"
    secret.rotate("second")
    assert read(m / "k") == b"v"
    # Who is refused for good is asked again after 30 seconds.
    assert until(lambda: any(c["resp"] == "3" or c["sub"] == "1" for c in client.client_list() if c["name"].startswith("ckfs")), 25)
    for i in range(20):
        client.set("k", str(i))
        assert read(m / "k") == str(i).encode()


def test_connections_that_are_logged_in_go_on(locked, secret, mount):
    m = mount(locked.url, f"password_file={secret.path}")
    assert read(m / "k") == b"v"
    locked.client(password="first").config_set("requirepass", "second")
    locked.client(password="second").set("k", b"w")
    assert read(m / "k") == b"w"
    secret.rotate("second")
    locked.client(password="second").set("k", b"x")
    assert read(m / "k") == b"x" and m.log() == ""


def test_a_user_that_is_made_anew_logs_in_anew(locked, secret, mount):
    admin = locked.client(password="first")
    rights = ("~*", "+@read", "+@connection", "+subscribe", "&__redis__:invalidate")
    admin.execute_command("ACL", "SETUSER", "reader", "on", ">first", *rights)
    m = mount(f"unix://reader@{locked.socket}", f"password_file={secret.path}")
    assert read(m / "k") == b"v"
    admin.execute_command("ACL", "DELUSER", "reader")
    assert failure(m / "k") == "EACCES"
    admin.execute_command("ACL", "SETUSER", "reader", "on", ">second", *rights)
    secret.rotate("second")
    assert read(m / "k") == b"v"


def test_who_is_told_to_log_in_again_does(scripted, mount, secret):
    """As a proxy or a managed server does, whose logins end after some hours."""
    value = {"STRLEN": b":2\r\n", "PTTL": b":-1\r\n", "PEXPIRETIME": b":-1\r\n", "CLIENT": b"-ERR unknown command\r\n"}
    logins = []
    s = scripted({**value, "AUTH": lambda words: logins.append(words[1]) or b"+OK\r\n", "GET": b"$2\r\nok\r\n"})
    m = mount(s.url, f"password_file={secret.path}")
    assert read(m / "k") == b"ok"
    secret.rotate("second")
    before = len(logins)
    s.answers["GET"] = lambda _: b"-NOAUTH Authentication required.\r\n" if len(logins) == before else b"$2\r\nOK\r\n"
    s.answers["AUTH"] = lambda words: b"+OK\r\n" if logins.append(words[1]) or words[1] == b"second" else b"-WRONGPASS invalid\r\n"
    assert read(m / "k") == b"OK" and logins[-2:] == [b"first", b"second"]


@pytest.mark.parametrize("mode, word", [(0o444, "others may read"), (0o460, "others may read"), (0o602, "others may read"), (None, "No such file"), (0o400, "first line")])
def test_a_file_that_is_no_good_changes_nothing_and_is_named_once(locked, secret, mount, mode, word):
    m = mount(locked.url, f"password_file={secret.path}")
    assert read(m / "k") == b"v"
    secret.rotate("\n" if mode == 0o400 else "second", mode or 0o400)
    if mode is None:
        (secret.directory / "..data").unlink()
    locked.client(password="first").client_kill_filter(skipme=True)
    assert read(m / "k") == b"v" and m.log() == "", "nobody needs the file"
    change(locked, "second")
    assert {failure(m / "k") for _ in range(5)} == {"EACCES"}
    (line,) = m.log().splitlines()
    assert "WRONGPASS" in line and str(secret.path) in line and word in line and "second" not in line
    secret.rotate("second")
    assert read(m / "k") == b"v"


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o601, 0o620, 0o610, 0o670])
def test_a_file_that_others_have_rights_on_is_refused(locked, ckfs, tmp, mode):
    (tmp / "pw").write_text("first")
    (tmp / "pw").chmod(mode)
    assert "chmod 600" in complaint(ckfs, tmp, "-o", f"password_file={tmp}/pw", locked.url)


def test_root_takes_a_users_file_if_that_is_private(locked, ckfs, mount, tmp):
    (tmp / "pw").write_text("first")
    os.chown(tmp / "pw", 12345, 12345)
    (tmp / "pw").chmod(0o640)
    assert "chmod 600" in complaint(ckfs, tmp, "-o", f"password_file={tmp}/pw", locked.url)
    (tmp / "pw").chmod(0o600)
    assert read(mount(locked.url, f"password_file={tmp}/pw") / "k") == b"v"


@contextlib.contextmanager
def served(ckfs, tmp, url, *options, **more):
    """A mount by a daemon, as users start it."""
    (tmp / "mnt").mkdir()
    run = subprocess.run([ckfs, *options, url, "mnt"], capture_output=True, timeout=PATIENCE, cwd=tmp, **more)
    try:
        assert (run.returncode, run.stderr) == (0, b"")
        yield tmp / "mnt"
    finally:
        subprocess.run(["fusermount3", "-u", tmp / "mnt"], check=run.returncode == 0)


def test_a_relative_path_goes_on_to_be_what_it_was(locked, secret, ckfs, tmp):
    with served(ckfs, tmp, locked.url, "-o", "password_file=secret/pw") as mnt:
        assert read(mnt / "k") == b"v"
        secret.rotate("second")
        change(locked, "second")
        assert read(mnt / "k") == b"v"


def test_a_pipe_is_read_once(locked, ckfs, tmp):
    """Process substitution, /dev/stdin, or a named one: its password stays, and whatever has its number later is not read."""
    ends = os.pipe()
    os.write(ends[1], b"first\n")
    os.close(ends[1])
    with served(ckfs, tmp, locked.url, "-o", f"password_file=/dev/fd/{ends[0]}", pass_fds=[ends[0]]) as mnt:
        os.close(ends[0])
        assert read(mnt / "k") == b"v"
        locked.client(password="first").client_kill_filter(skipme=True)
        assert read(mnt / "k") == b"v"
        change(locked, "second")
        assert failure(mnt / "k") == "EACCES"
        change(locked, "first", "second")
        wait_for(lambda: failure(mnt / "k") is None, "the password is right again")


def test_standard_input_holds_a_password(locked, ckfs, tmp):
    with served(ckfs, tmp, locked.url, "-o", "password_file=/dev/stdin", input=b"first\n") as mnt:
        assert read(mnt / "k") == b"v"


def test_a_named_pipe_is_waited_for(locked, ckfs, tmp):
    os.mkfifo(tmp / "pipe", 0o600)
    writer = subprocess.Popen(["sh", "-c", "sleep 0.5; echo first >pipe"], cwd=tmp)
    try:
        with served(ckfs, tmp, locked.url, "-o", "password_file=pipe") as mnt:
            assert read(mnt / "k") == b"v"
    finally:
        writer.kill()
        writer.wait()


def test_a_cluster_changes_its_password(mount, secret):
    options = ("--requirepass", "first", "--masterauth", "first")
    keys = [f"k{i}" for i in range(30)]
    with Cluster(options=options, password="first") as c:
        for key in keys:
            c.db().set(key, b"v")
        m = mount(c.url_of(*c.masters), f"password_file={secret.path}")
        assert {read(m / key) for key in keys} == {b"v"}
        secret.rotate("second")
        for server in c.masters:
            change(server, "second")
        assert {read(m / key) for key in keys} == {b"v"} and set(os.listdir(m / "raw")) == set(keys)
        for server in c.masters:
            change(server, "third", "second")
        assert failure(m / keys[0]) == "EACCES"
        secret.rotate("third")
        assert {read(m / key) for key in keys} == {b"v"}


def test_servers_and_their_sentinels_change_their_password(mount, secret):
    with Service(0, 1, ("--requirepass", "first"), ("requirepass first",)) as s:
        s.master.client(password="first").set("k", b"v")
        m = mount(s.url, f"password_file={secret.path}")
        assert read(m / "k") == b"v"
        sentinel = redis.Redis(port=s.plain_ports[0], password="first")
        sentinel.execute_command("SENTINEL", "SET", s.name, "auth-pass", "second")
        change(s.master, "second")
        sentinel.execute_command("ACL", "SETUSER", "default", "resetpass", ">second")
        secret.rotate("second")
        sentinel.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert read(m / "k") == b"v"
