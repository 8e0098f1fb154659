"""https:// as SOURCE: who is let in, who is trusted, what is said when either fails, and that the token shows nowhere."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import threading

import pytest

from commands import ENVIRONMENT
from helpers import failure, read
from http_mounts import service, trusting  # noqa: F401 - fixtures
from http_service import NAME, TOKEN, Stored
from waiting import PATIENCE, until

VALUE = b"value"


@pytest.fixture
def said(ckfs, tmp):
    """What ckfs says when it does not mount: (status, its one line)."""

    def run(*args, env: dict[str, str] | None = None, program: list[str] | None = None) -> str:
        (tmp / "point").mkdir(exist_ok=True)
        words = [*(program or []), ckfs, "-f", *map(str, args), str(tmp / "point")]
        result = subprocess.run(words, capture_output=True, text=True, env={**ENVIRONMENT, **(env or {})}, timeout=PATIENCE)
        assert (result.returncode, result.stdout, result.stderr.count("\n")) == (1, "", 1), result
        return result.stderr

    return run


LET_IN = {"CACHEKIT_API_KEY": TOKEN}

# Who is not mounted


@pytest.mark.parametrize(
    "source, words",
    [
        ("http://localhost:1", ["unknown kind of source", "https://HOST"]),
        ("https://", ["no host"]),
        ("https://me:secret@localhost", ["no user and no password", "CACHEKIT_API_KEY"]),
        ("https://localhost:99999", ["port"]),
        ("https://localhost\\@evil", ["backslash"]),
        ("https://localhost:1", ["localhost port 1", "refused", "is the service running"]),
        ("https://no-such-host.invalid", ["no-such-host.invalid"]),
    ],
)
def test_a_url_that_names_no_service_is_told(said, source, words):
    text = said(source, env=LET_IN)
    assert ([word for word in words if word not in text], "secret" in text) == ([], False), text


@pytest.fixture
def without_libcurl(ckfs) -> str:
    """The build of ckfs as it is without libcurl, beside the one under test."""
    path = pathlib.Path(ckfs).resolve().parent / "tests/toy/ckfs-no-http"
    assert os.access(path, os.X_OK), f"{path}: build it first (-Dfuzz=enabled)"
    return str(path)


@pytest.mark.once
@pytest.mark.parametrize("source", [["https://localhost"], []], ids=["a URL", "the environment"])
def test_a_build_without_libcurl_says_so(without_libcurl, tmp, source):
    (tmp / "point").mkdir()
    result = subprocess.run([without_libcurl, "-f", *source, tmp / "point"], capture_output=True, text=True, env={**ENVIRONMENT, **LET_IN}, timeout=60)
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (1, "", 1), result
    assert "this build has no HTTP" in result.stderr and "build ckfs with libcurl" in result.stderr and TOKEN not in result.stderr


@pytest.mark.once
def test_a_build_without_libcurl_loads_none(without_libcurl):
    libraries = subprocess.run(["ldd", without_libcurl], capture_output=True, text=True, check=True).stdout
    assert "libfuse3" in libraries and "libcurl" not in libraries


@pytest.mark.parametrize(
    "option, words",
    [("tenant=a", ["tenant=", "token"]), ("tls_server_name=x", ["tls_server_name=", "https://"]), ("tls_ca=/none", ["/none", "No such file"]), ("token_file=/none", ["/none", "No such file"])],
)
def test_options_that_do_not_fit_are_told(said, service, option, words):  # noqa: F811
    text = said("-o", option, service.url, env=LET_IN)
    assert [word for word in words if word not in text] == [], text


def test_without_a_token_nothing_is_asked(said, service):  # noqa: F811
    text = said("-o", trusting(service), service.url)
    assert ("no token" in text, "token_file=" in text, service.requests) == (True, True, [])


@pytest.mark.parametrize("token", ["ck live", "ck_live_x\n", "\ufeffck_live_x", "ck_live_ü", "=", "ck\x01"])
def test_what_is_no_token_is_told_without_it(said, service, token):  # noqa: F811
    text = said("-o", trusting(service), service.url, env={"CACHEKIT_API_KEY": token})
    assert ("CACHEKIT_API_KEY" in text, "not a token" in text, "ck_live_" in text, service.requests) == (True, True, False, [])


@pytest.mark.parametrize(
    "status, words",
    [(401, ["refuses the token", "401"]), (403, ["403"]), (404, ["no CacheKit service", "404"]), (302, ["redirects", "name the place itself"]), (500, ["HTTP 500"]), (503, ["no time", "503"])],
)
def test_a_service_that_does_not_let_in_is_not_mounted(said, service, status, words):  # noqa: F811
    service.on_any = lambda handler: (handler.reply(status), True)[1]
    text = said("-o", trusting(service), service.url, env=LET_IN)
    assert ([word for word in words if word not in text], TOKEN in text) == ([], False), text


def test_mounting_asks_once(service, mount):  # noqa: F811
    mount(service.url, trusting(service), env=LET_IN)
    assert service.requests == [("GET", "/v1/cache/health")]


# Certificates


def test_a_service_that_is_not_trusted_is_not_mounted(said, service, http_pki):  # noqa: F811
    assert "not trusted" in said(service.url, env=LET_IN)
    text = said("-o", f"tls_ca={http_pki.foreign.pem}", service.url, env={**LET_IN, "SSL_CERT_FILE": str(http_pki.ca.pem)})
    assert ("not trusted" in text, "tls_ca=" in text, service.requests) == (True, True, [])


def test_a_certificate_is_for_one_host_and_time(said, service, http_pki):  # noqa: F811
    service.use(http_pki.ca.issue("other", "DNS:cache.example.org"))
    assert "is not for localhost" in said("-o", trusting(service), service.url, env=LET_IN)
    service.use(http_pki.ca.issue("expired", days=-1))
    assert "expired" in said("-o", trusting(service), service.url, env=LET_IN)
    assert service.requests == []


def test_a_file_without_certificates_and_a_server_without_tls_are_told(said, service, tmp):  # noqa: F811
    (tmp / "empty.pem").write_text("nothing")
    assert "empty.pem" in said("-o", f"tls_ca={tmp}/empty.pem", service.url, env=LET_IN)
    with socket.create_server(("127.0.0.1", 0)) as plain:
        threading.Thread(target=lambda: plain.accept()[0].sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"), daemon=True).start()
        assert "TLS" in said("-o", trusting(service), f"https://localhost:{plain.getsockname()[1]}", env=LET_IN)


def test_the_environment_and_an_option_say_whom_to_trust(service, mount, http_pki):  # noqa: F811
    service.data["k"] = Stored(VALUE)
    assert read(mount(service.url, env={**LET_IN, "SSL_CERT_FILE": str(http_pki.ca.pem)}) / "k") == VALUE
    assert read(mount(service.url, trusting(service), env={**LET_IN, "SSL_CERT_FILE": "/none"}) / "k") == VALUE


def test_a_ca_that_is_renewed_is_read_again(service, mount, tmp, http_pki):  # noqa: F811
    shutil.copy(http_pki.ca.pem, tmp / "ca.pem")
    service.data["k"] = Stored(VALUE)
    m = mount(service.url, f"tls_ca={tmp}/ca.pem", "timeout=2", env=LET_IN)
    assert read(m / "k") == VALUE
    service.kill()
    service.use(http_pki.foreign.issue("renewed"))
    service.start()
    assert (failure(m / "k"), len(m.log_lines("not trusted"))) == ("EACCES", 1)
    shutil.copy(http_pki.foreign.pem, tmp / "new.pem")
    os.rename(tmp / "new.pem", tmp / "ca.pem")
    assert read(m / "k") == VALUE


# The token


def test_a_token_comes_from_a_file_which_wins(service, mount, tmp):  # noqa: F811
    service.data["k"] = Stored(VALUE)
    path = tmp / "token"
    path.touch(0o600)
    path.write_text(TOKEN + "\nmore\n")
    m = mount(service.url, trusting(service), f"token_file={path}", env={"CACHEKIT_API_KEY": "ck_live_wrong"})
    assert (read(m / "k"), service.seen[-1]["Authorization"]) == (VALUE, f"Bearer {TOKEN}")


def test_a_token_that_was_changed_is_read_again_when_the_old_one_is_refused(service, mount, tmp):  # noqa: F811
    service.data["k"] = Stored(VALUE)
    (tmp / "token").touch(0o600)
    (tmp / "token").write_text(TOKEN)
    m = mount(service.url, trusting(service), f"token_file={tmp}/token", env={})
    service.tokens = {"ck_live_new"}
    assert (failure(m / "k"), failure(m / "k"), len(m.log_lines("refuses the token"))) == ("EACCES", "EACCES", 1)
    (tmp / "next").touch(0o600)
    (tmp / "next").write_text("not a token")
    os.rename(tmp / "next", tmp / "token")
    assert failure(m / "k") == "EACCES"
    (tmp / "next").touch(0o600)
    (tmp / "next").write_text("ck_live_new\n")
    os.rename(tmp / "next", tmp / "token")
    service.requests.clear()
    assert (read(m / "k"), service.asked("k"), service.seen[-1]["Authorization"]) == (VALUE, ["GET", "GET"], "Bearer ck_live_new")


def test_a_token_comes_from_a_pipe(service, mount, tmp):  # noqa: F811
    os.mkfifo(tmp / "token", 0o600)
    threading.Thread(target=lambda: (tmp / "token").write_text(TOKEN), daemon=True).start()
    service.data["k"] = Stored(VALUE)
    assert read(mount(service.url, trusting(service), f"token_file={tmp}/token") / "k") == VALUE


def test_a_file_that_others_have_rights_on_or_that_holds_no_token_is_refused(said, service, tmp):  # noqa: F811
    (tmp / "token").write_text(TOKEN)
    (tmp / "token").chmod(0o644)
    assert "chmod 600" in said("-o", trusting(service), "-o", f"token_file={tmp}/token", service.url)
    (tmp / "token").chmod(0o600)
    (tmp / "token").write_text("ck_live_secret with blanks")
    text = said("-o", trusting(service), "-o", f"token_file={tmp}/token", service.url)
    assert ("not a token" in text, "ck_live_secret" in text) == (True, False)


def test_a_token_shows_nowhere(service, mount, ckfs, tmp):  # noqa: F811
    service.data["k"] = Stored(VALUE)
    m = mount(service.url, trusting(service), "log=stderr", env=LET_IN)
    read(m / "k")
    service.tokens = set()
    assert failure(m / "k") == "EACCES"
    proc = pathlib.Path(f"/proc/{m.pid}")
    places = [proc / "cmdline", proc / "environ", proc / "mountinfo", m / ".ckfs/stats", m.stderr]
    assert [str(place) for place in places if TOKEN.encode() in place.read_bytes()] == []
    assert TOKEN not in subprocess.check_output(["df", m], text=True)
    assert os.stat(proc).st_uid == 0, "it is not dumpable"


def test_with_d_the_token_is_not_printed(service, ckfs, tmp):  # noqa: F811
    service.data["k"] = Stored(VALUE)
    (tmp / "point").mkdir()
    with open(tmp / "log", "wb") as log:
        process = subprocess.Popen([ckfs, "-d", "-o", trusting(service), service.url, tmp / "point"], stderr=log, stdout=log, env={**ENVIRONMENT, **LET_IN})
        try:
            assert until(lambda: os.path.ismount(tmp / "point"))
            assert read(tmp / "point/k") == VALUE
        finally:
            process.terminate()
            process.wait(PATIENCE)
    text = (tmp / "log").read_bytes()
    assert (b"http: find k: ok" in text, TOKEN.encode() in text) == (True, False)


# The environment


@pytest.mark.parametrize(
    "env, words",
    [
        ({"CACHEKIT_API_URL": "https://localhost:1"}, ["private or local", "SOURCE"]),
        ({"CACHEKIT_API_URL": "https://127.1", "CACHEKIT_ALLOW_CUSTOM_HOST": "true"}, ["private or local"]),
        ({"CACHEKIT_API_URL": "https://cache.example.org"}, ["not a host of CacheKit", "CACHEKIT_ALLOW_CUSTOM_HOST=true"]),
        ({"CACHEKIT_API_URL": "https://cache.example.org", "CACHEKIT_ALLOW_CUSTOM_HOST": "no"}, ["not a host of CacheKit"]),
        ({"CACHEKIT_API_URL": "https://cache.example.org", "CACHEKIT_ALLOW_CUSTOM_HOST": "maybe"}, ["CACHEKIT_ALLOW_CUSTOM_HOST", "true or false"]),
        ({"CACHEKIT_API_URL": "http://api.cachekit.io"}, ["not an https:// URL"]),
        ({"CACHEKIT_API_URL": "https://me:secret@api.cachekit.io"}, ["no user and no password"]),
    ],
)
def test_the_environments_url_is_held_to_the_sdks_rules(said, env, words):
    text = said(env={**LET_IN, **env})
    assert ([word for word in words if word not in text], "secret" in text) == ([], False), text


def test_the_environment_names_a_service(service, ckfs, tmp):  # noqa: F811
    """In a mount namespace where the service's name is in /etc/hosts."""
    service.data["k"] = Stored(VALUE)
    (tmp / "point").mkdir()
    (tmp / "hosts").write_text(f"127.0.0.1 localhost {NAME}\n")
    script = 'mount --bind "$1" /etc/hosts; "$2" "$3"; cat "$3/k"; tr "\\0" "\\n" </proc/self/mounts | grep ckfs; umount "$3"'
    env = {**ENVIRONMENT, **service.pki.env, "CACHEKIT_API_URL": f"https://{NAME}:{service.port}/", "CACHEKIT_ALLOW_CUSTOM_HOST": "true"}
    words = ["unshare", "-m", "sh", "-euc", script, "sh", tmp / "hosts", ckfs, tmp / "point"]
    result = subprocess.run([str(word) for word in words], capture_output=True, text=True, env=env, timeout=PATIENCE)
    assert (result.returncode, result.stdout.startswith("value"), f"https://{NAME}:{service.port} " in result.stdout) == (0, True, True), result


# Proxies


class Proxy:
    """Takes CONNECT, and remembers what it was told."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.serve, args=(self.listening.accept()[0],), daemon=True).start()

    def serve(self, client: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        self.heads.append(head)
        host, port = head.split()[1].rsplit(b":", 1)
        server = socket.create_connection((host, int(port)))
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        for a, b in ((client, server), (server, client)):
            threading.Thread(target=self.copy, args=(a, b), daemon=True).start()

    @staticmethod
    def copy(a: socket.socket, b: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := a.recv(65536):
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)


def test_a_proxy_of_the_environment_is_used_and_sees_no_token(service, mount):  # noqa: F811
    proxy = Proxy()
    service.data["k"] = Stored(VALUE)
    m = mount(service.url, trusting(service), env={**LET_IN, "HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}"})
    assert (read(m / "k"), len(proxy.heads) > 0, any(b"Bearer" in head for head in proxy.heads)) == (VALUE, True, False)
    seen = len(proxy.heads)
    m = mount(service.url, trusting(service), env={**LET_IN, "HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}", "NO_PROXY": "localhost"})
    assert (read(m / "k"), len(proxy.heads)) == (VALUE, seen)
    proxy.listening.close()
