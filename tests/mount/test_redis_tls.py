"""§1, §6: rediss://, a Redis server by TLS: whom ckfs trusts, what it shows, and what it says when either is no good."""

import os
import pathlib
import shutil
import socket
import subprocess

import pytest
import redis

from certificates import openssl
from commands import ENVIRONMENT, REFUSED, command, complaint, mounted  # noqa: F401 - a fixture
from helpers import failure, read
from redis_server import Listening
from tls_server import TlsRelay, has_tls, pki, running_tls, tls  # noqa: F401 - fixtures
from waiting import PATIENCE, taking, until

# Without TLS, and of any build


def test_the_version_tells_whether_there_is_tls(ckfs):
    text = subprocess.check_output([ckfs, "-V"], text=True)
    assert text.splitlines()[1] in ("TLS: yes", "TLS: no")


@pytest.mark.parametrize("flags", [[], ["-f"]])
def test_a_build_without_tls_says_so_in_one_line(command, flags):
    if has_tls(command.ckfs):
        pytest.skip("this ckfs has TLS")
    lines = set()
    for source in ("rediss://localhost", "rediss-cluster://localhost,h:1", "rediss-sentinel://localhost,h:1/main/2"):
        result = command(*flags, source, command.point)
        assert complaint(result, "this build has no TLS", "hiredis_ssl", "redis-cluster://", "redis-sentinel://") == REFUSED
        lines.add(result.stderr)
    assert len(lines) == 1
    assert complaint(command(*flags, command.point, env={"CACHEKIT_REDIS_URL": "rediss://localhost"}), "this build has no TLS") == REFUSED
    assert (mounted(command.point), command.daemons()) == (None, [])


REFUSED_BY_ANY = {
    "a member of TLS without it": (["redis://localhost:1?ssl_ca_certs=/ca.pem"], ["ssl_ca_certs", "rediss://"]),
    "an option of TLS without it": (["-o", "tls_ca=/ca.pem", "redis://localhost:1"], ["tls_ca", "rediss://"]),
    "an option of TLS at a socket": (["-o", "tls_server_name=a", "unix:///no.sock"], ["tls_server_name", "rediss://"]),
    "a member of TLS, of a cluster": (["redis-cluster://localhost:1?ssl_ca_certs=/ca.pem"], ["ssl_ca_certs", "rediss-cluster://"]),
    "a member of TLS, of sentinels": (["redis-sentinel://h:1/main?ssl_ca_certs=/ca.pem"], ["ssl_ca_certs", "rediss-sentinel://"]),
    "an option of TLS, of a cluster": (["-o", "tls_ca=/ca.pem", "redis-cluster://localhost:1"], ["tls_ca", "; rediss-cluster://"]),
    "an option of TLS, of sentinels": (["-o", "tls_ca=/ca.pem", "redis-sentinel://h:1/main"], ["tls_ca", "; rediss-sentinel://"]),
    "a database of a cluster": (["rediss-cluster://localhost:1/2"], ["rediss-cluster://", "database 0"]),
    "sentinels without a service": (["rediss-sentinel://localhost:1"], ["rediss-sentinel://HOST", "/SERVICE"]),
    "a service that has blanks": (["rediss-sentinel://localhost:1/a%20b"], ["rediss-sentinel://", "service"]),
    "a member that is not known": (["rediss://localhost:1?ssl_password=geheim"], ["ssl_password", "not known"]),
    "an option without its value": (["-o", "tls_cert=", "rediss://localhost:1"], ["tls_cert", "FILE"]),
    "a port that is none": (["rediss://localhost:99999"], ["port"]),
}


@pytest.mark.parametrize("case", REFUSED_BY_ANY)
def test_what_no_build_takes_is_refused_in_one_line(command, case):
    args, words = REFUSED_BY_ANY[case]
    result = command(*args, command.point)
    assert complaint(result, *words) == REFUSED and "geheim" not in result.stderr


# A server with TLS


@pytest.fixture(scope="module")
def open_to_all(pki):
    """A server that asks nobody for a certificate."""
    with running_tls(pki.good, pki.ca.pem, "--tls-auth-clients", "no") as s:
        s.client().mset({"k": b"value"})
        s.client(db=3).set("k", b"three")
        s.client().execute_command("ACL", "SETUSER", "ann", "on", ">s3cr3t", "~*", "allchannels", "+@all")
        yield s


@pytest.fixture(scope="module")
def strict(pki):
    """A server that takes only clients with a certificate."""
    with running_tls(pki.good, pki.ca.pem, "--tls-auth-clients", "yes") as s:
        s.client().set("k", b"value")
        yield s


def places(pki, server) -> dict:
    return {"port": server.tls_port, "plain": server.port, "pki": pki.directory, "ca": pki.ca.pem, "foreign": pki.foreign.pem} | {
        name: getattr(pki, name).cert for name in ("client", "strange_client")
    } | {f"{name}_key": getattr(pki, name).key for name in ("client", "strange_client")} | {"both": pki.client.both()}


GOOD = {
    "a CA": "rediss://localhost:{port}?ssl_ca_certs={ca}",
    "an address": "rediss://127.0.0.1:{port}?ssl_ca_certs={ca}",
    "a database": "rediss://localhost:{port}/3?ssl_ca_certs={ca}",
    "a user": "rediss://ann:s3cr3t@localhost:{port}?ssl_ca_certs={ca}",
    "a directory of CAs": "rediss://localhost:{port}?ssl_ca_path={pki}/hashed",
    "no verification": "rediss://localhost:{port}?ssl_cert_reqs=none",
    "no verification, though a CA": "rediss://localhost:{port}?ssl_cert_reqs=none&ssl_ca_certs={foreign}",
    "optional": "rediss://localhost:{port}?ssl_cert_reqs=optional&ssl_ca_certs={ca}",
    "the first counts": "rediss://localhost:{port}?ssl_ca_certs={ca}&ssl_ca_certs={foreign}",
    "an empty member": "rediss://localhost:{port}?ssl_certfile=&ssl_ca_certs={ca}",
    "a certificate nobody asks for": "rediss://localhost:{port}?ssl_ca_certs={ca}&ssl_certfile={client}&ssl_keyfile={client_key}",
}


@pytest.mark.parametrize("case", GOOD)
def test_urls_mean_what_they_mean_to_redis_py(pki, open_to_all, mount, case):
    url = GOOD[case].format(**places(pki, open_to_all))
    expect = redis.Redis.from_url(url).get("k")
    assert read(mount(url, "timeout=2") / "k") == expect == (b"three" if "/3" in url else b"value")


@pytest.mark.parametrize("query", ["ssl_certfile={client}&ssl_keyfile={client_key}", "ssl_certfile={both}"])
def test_a_client_certificate_opens_a_server_that_asks_for_one(pki, strict, mount, query):
    url = ("rediss://localhost:{port}?ssl_ca_certs={ca}&" + query).format(**places(pki, strict))
    assert read(mount(url) / "k") == redis.Redis.from_url(url).get("k") == b"value"


@pytest.mark.parametrize("options", ["tls_cert={client},tls_key={client_key}", "tls_cert={both}"])
def test_options_say_the_same(pki, strict, mount, options):
    m = mount(strict.rediss, ("tls_ca={ca}," + options).format(**places(pki, strict)))
    assert read(m / "k") == b"value"


def test_options_win_over_the_url(pki, strict, mount):
    p = places(pki, strict)
    url = "rediss://localhost:{port}?ssl_ca_certs={foreign}&ssl_certfile={strange_client}&ssl_keyfile={strange_client_key}".format(**p)
    assert read(mount(url, "tls_ca={ca}".format(**p), "tls_cert={both}".format(**p)) / "k") == b"value"


# What is no good. Who redis-py takes, ckfs takes, and whom it refuses, ckfs refuses.

BAD = {
    "no CA": ("rediss://localhost:{port}", ["not trusted", "tls_ca="]),
    "a wrong CA": ("rediss://localhost:{port}?ssl_ca_certs={foreign}", ["not trusted", "tls_ca="]),
    "a wrong CA, optional": ("rediss://localhost:{port}?ssl_cert_reqs=optional&ssl_ca_certs={foreign}", ["not trusted"]),
    "a wrong CA, any name": ("rediss://localhost:{port}?ssl_check_hostname=no&ssl_ca_certs={foreign}", ["not trusted"]),
}


def refusal(ckfs, tmp, *args, env=None) -> subprocess.CompletedProcess:
    """A mount that must not come about."""
    (tmp / "mnt").mkdir(exist_ok=True)
    args = [ckfs, "-o", "timeout=2", *map(str, args), tmp / "mnt"]
    run = subprocess.run(args, capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL, env={**ENVIRONMENT, **(env or {})})
    came_about = os.path.ismount(tmp / "mnt")
    if came_about:
        subprocess.run(["umount", "-l", tmp / "mnt"], check=False)
    assert not came_about
    return run


@pytest.mark.parametrize("case", BAD)
def test_a_server_that_is_not_trusted_is_not_mounted(pki, open_to_all, ckfs, tmp, case):
    url, words = BAD[case]
    url = url.format(**places(pki, open_to_all))
    with pytest.raises(redis.ConnectionError, match="certificate verify failed"):
        redis.Redis.from_url(url).ping()
    assert complaint(refusal(ckfs, tmp, url), "localhost", *words) == REFUSED


# (certificate, host, options, words of the refusal; none: it is good)
NAMES = {
    "another name": ("named", "localhost", "", ["not for localhost", "tls_server_name="]),
    "another name that is given": ("named", "localhost", ",tls_server_name=cache.example.org", []),
    "a name that is given wrong": ("named", "localhost", ",tls_server_name=cache.example.com", ["not for cache.example.com"]),
    "an address": ("numbered", "127.0.0.1", "", []),
    "an address as a name": ("numbered", "localhost", "", ["not for localhost"]),
    "a name for an address": ("named", "127.0.0.1", "", ["not for 127.0.0.1"]),
    "an address that is given": ("numbered", "localhost", ",tls_server_name=127.0.0.1", []),
    "a star": ("starred", "localhost", ",tls_server_name=a.example.org", []),
    "a star for two levels": ("starred", "localhost", ",tls_server_name=a.b.example.org", ["not for a.b.example.org"]),
    "an expired one": ("expired", "localhost", "", ["expired"]),
}


@pytest.mark.parametrize("case", NAMES)
def test_a_certificate_is_for_one_name_and_time(pki, ckfs, tmp, mount, case):
    certificate, host, options, words = NAMES[case]
    with running_tls(getattr(pki, certificate), pki.ca.pem, "--tls-auth-clients", "no") as s:
        s.client().set("k", b"value")
        url, options = f"rediss://{host}:{s.tls_port}", f"tls_ca={pki.ca.pem}{options}"
        if words:
            assert complaint(refusal(ckfs, tmp, "-o", options, url), *words) == REFUSED
            assert read(mount(f"{url}?ssl_cert_reqs=none") / "k") == b"value", "unless nobody looks"
        else:
            assert read(mount(url, options) / "k") == b"value"


@pytest.mark.parametrize("word, good", {"0": True, "False": True, "no": True, "1": False, "true": False, "off": False}.items())
def test_the_name_counts_unless_the_url_says_no(pki, ckfs, tmp, mount, word, good):
    with running_tls(pki.named, pki.ca.pem, "--tls-auth-clients", "no") as s:
        url = f"{s.rediss}?ssl_ca_certs={pki.ca.pem}&ssl_check_hostname={word}"
        if good:
            assert redis.Redis.from_url(url).ping() and mount(url).is_mounted()
        else:
            assert complaint(refusal(ckfs, tmp, url), "not for localhost") == REFUSED


def test_the_system_s_cas_are_trusted_and_others_besides_or_instead(pki, open_to_all, ckfs, tmp, mount):
    system = {"SSL_CERT_FILE": str(pki.ca.pem)}
    url = open_to_all.rediss
    assert read(mount(url, env=system) / "k") == b"value"
    assert read(mount(f"{url}?ssl_ca_certs={pki.foreign.pem}", env=system) / "k") == b"value", "redis-py trusts both"
    assert complaint(refusal(ckfs, tmp, "-o", f"tls_ca={pki.foreign.pem}", url, env=system), "not trusted") == REFUSED


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize(
    "query, words",
    {
        "": ["asks for a certificate", "tls_cert="],
        "&ssl_certfile={strange_client}&ssl_keyfile={strange_client_key}": ["unknown ca"],
    }.items(),
)
def test_a_client_certificate_that_is_missing_or_no_good_is_told(pki, ckfs, tmp, version, query, words):
    with running_tls(pki.good, pki.ca.pem, "--tls-auth-clients", "yes", "--tls-protocols", version) as s:
        url = ("rediss://localhost:{port}?ssl_ca_certs={ca}" + query).format(**places(pki, s))
        for _ in range(5):
            assert complaint(refusal(ckfs, tmp, url), *words) == REFUSED


FILES = {
    "a CA that is missing": (["-o", "tls_ca={tmp}/no.pem"], "", ["{tmp}/no.pem", "No such"]),
    "a certificate that is missing": (["-o", "tls_cert={tmp}/no.pem"], "", ["{tmp}/no.pem", "No such"]),
    "a key that is missing": (["-o", "tls_cert={client},tls_key={tmp}/no.key"], "", ["{tmp}/no.key", "No such"]),
    "a CA of the URL that is missing": ([], "ssl_ca_certs={tmp}/no.pem", ["{tmp}/no.pem", "No such"]),
    "a directory that is missing": ([], "ssl_ca_path={tmp}/no", ["{tmp}/no", "No such"]),
    "a CA that is a directory": (["-o", "tls_ca={tmp}"], "", ["{tmp}", "not a regular file"]),
    "a CA that is none": (["-o", "tls_ca={client_key}"], "", ["{client_key}", "no CA"]),
    "a certificate that is none": (["-o", "tls_cert={client_key}"], "", ["{client_key}", "no certificate"]),
    "a key that is none": (["-o", "tls_cert={client},tls_key={ca}"], "", ["{ca}", "no private key"]),
    "a certificate without its key": (["-o", "tls_cert={client}"], "", ["{client}", "no private key", "tls_key="]),
    "a key without its certificate": (["-o", "tls_key={client_key}"], "", ["{client_key}", "tls_cert="]),
    "a key of another": (["-o", "tls_cert={client},tls_key={strange_client_key}"], "", ["{strange_client_key}", "another certificate"]),
    "a key with a passphrase": (["-o", "tls_cert={client},tls_key={tmp}/locked.key"], "", ["{tmp}/locked.key", "passphrase"]),
    "a requirement that is none": ([], "ssl_cert_reqs=CERT_NONE", ["ssl_cert_reqs", "none, optional or required"]),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_no_good_is_told_before_anything_is_sent(pki, open_to_all, ckfs, tmp, case):
    openssl("pkey", "-in", pki.client.key, "-aes256", "-passout", "pass:geheim", "-out", tmp / "locked.key")
    args, query, words = FILES[case]
    p = places(pki, open_to_all) | {"tmp": tmp}
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        nobody.setblocking(False)
        url = f"rediss://127.0.0.1:{nobody.getsockname()[1]}?{query.format(**p)}"
        assert complaint(refusal(ckfs, tmp, *(a.format(**p) for a in args), url), *(w.format(**p) for w in words)) == REFUSED
        with pytest.raises(BlockingIOError):
            nobody.accept()


def test_a_server_without_tls_is_told(pki, open_to_all, ckfs, tmp):
    with taking():
        assert complaint(refusal(ckfs, tmp, f"rediss://localhost:{open_to_all.port}"), "TLS", "redis://") == REFUSED


class Saying(Listening):
    """A server that says some bytes to whoever comes, and ends it, by a reset if it has not read what came."""

    def __init__(self, text: bytes, takes: int = 1):
        self.text, self.takes = text, takes
        super().__init__()

    def serve(self, client: socket.socket) -> None:
        client.recv(self.takes)
        client.sendall(self.text)


@pytest.mark.parametrize("takes", [1, 1 << 16])
@pytest.mark.parametrize("text", [b"", b"-ERR unknown command\r\n", b"HTTP/1.1 400 Bad\r\n\r\n", b"\x16\x03\x03\x00\x02\xff\xff", bytes(400)])
def test_what_speaks_no_tls_is_told_in_one_line(tls, ckfs, tmp, text, takes):
    s = Saying(text, takes)
    try:
        for _ in range(5):
            assert complaint(refusal(ckfs, tmp, f"rediss://127.0.0.1:{s.port}"), "127.0.0.1", "TLS") == REFUSED
    finally:
        s.close()


def test_a_server_that_says_nothing_times_out(tls, ckfs, tmp):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"rediss://127.0.0.1:{silent.getsockname()[1]}"
        with taking():
            assert complaint(refusal(ckfs, tmp, "-o", "timeout=0.5", url), "timed out", "TLS") == REFUSED


# Served


def test_a_password_shows_nowhere(pki, open_to_all, mount):
    m = mount(f"rediss://ann:s3cr3t@localhost:{open_to_all.tls_port}/3?ssl_ca_certs={pki.ca.pem}")
    shown = [pathlib.Path(f"/proc/{m.pid}/cmdline").read_text(), pathlib.Path("/proc/self/mounts").read_text(), m.log()]
    shown += [subprocess.check_output(["df", m], text=True), read(m / ".ckfs/stats").decode(), read(m / "meta/k.json").decode()]
    assert not any("s3cr3t" in text for text in shown)
    assert f"rediss://ann@localhost:{open_to_all.tls_port}/3 " in shown[1]


def test_paths_are_those_of_the_callers_directory(pki, open_to_all, command):
    for name in ("ca.pem", "client.pem", "client.key"):
        shutil.copy({"ca.pem": pki.ca.pem, "client.pem": pki.client.cert, "client.key": pki.client.key}[name], command.tmp / name)
    result = command("-o", "tls_cert=client.pem,tls_key=./client.key", f"{open_to_all.rediss}?ssl_ca_certs=ca.pem", command.point)
    assert (result.returncode, result.stderr) == (0, "")
    for _ in range(3):
        assert read(command.point / "k") == b"value"
        open_to_all.client().client_kill_filter(_type="normal", skipme=True)


def test_a_certificate_that_is_renewed_is_read_again(pki, mount, tmp):
    (tmp / "one.pem").write_bytes(pki.ca.pem.read_bytes())
    (tmp / "two.pem").write_bytes(pki.foreign.pem.read_bytes())
    (tmp / "ca.pem").symlink_to("one.pem")
    with running_tls(pki.good, pki.ca.pem, "--tls-auth-clients", "no") as s:
        m = mount(s.rediss, f"tls_ca={tmp}/ca.pem")
        s.client().set("k", b"1")
        assert read(m / "k") == b"1"
        s.kill()
        s.certificate = pki.foreign.issue("renewed")
        s.start()
        s.client().set("k", b"2")
        assert until(lambda: failure(m / "k") == "EACCES"), "its CA is not trusted yet"
        (tmp / "ca.pem").unlink()
        (tmp / "ca.pem").symlink_to("two.pem")
        assert until(lambda: failure(m / "k") is None)
        assert read(m / "k") == b"2"


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_a_server_that_leaves_while_it_is_written_to_is_told(pki, ckfs, tmp, mount, version):
    with running_tls(pki.good, pki.ca.pem, "--tls-auth-clients", "no", "--tls-protocols", version) as s:
        relay = TlsRelay(s.tls_port)
        try:
            m = mount(relay.url, f"tls_ca={pki.ca.pem}")
            # In TLS 1.3 a client writes twice behind what the server says first; in 1.2 it waits.
            relay.replies = lambda data: [data, None]
            for _ in range(5):
                assert complaint(refusal(ckfs, tmp, "-o", f"tls_ca={pki.ca.pem}", relay.url), "localhost", "closed") == REFUSED
                relay.cut()
                assert failure(m / "k") is not None
            relay.replies = lambda data: [data]
            assert until(lambda: failure(m / "k") == "ENOENT")
        finally:
            relay.close()
