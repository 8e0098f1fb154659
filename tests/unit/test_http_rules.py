"""Rules of the CacheKit service (backend/http/rules): keys and how they are written in a path, URLs, waits, times to live. The package is asked where it has a say."""

from __future__ import annotations

import email.utils
import errno
import json
import time

import pytest
from cachekit.backends.cachekitio import CachekitIOBackend
from cachekit.backends.cachekitio.config import CachekitIOBackendConfig

from layers import probe  # noqa: F401 - a fixture

# The protocol's own vectors, path-encoding 1.2.0: a key, and how it is written; None: it is never sent.
VECTORS = [
    ('ns:test:func:__main__.get_user:args:3870b2ea5735ae639ded9450ef117768db676f037bec636503796c5b81095153:1s', 'ns%3Atest%3Afunc%3A__main__.get_user%3Aargs%3A3870b2ea5735ae639ded9450ef117768db676f037bec636503796c5b81095153%3A1s'),
    ('default:../../admin', 'default%3A..%2F..%2Fadmin'),
    ('x/../../health', 'x%2F..%2F..%2Fhealth'),
    ('k?x=1#f', 'k%3Fx%3D1%23f'),
    ('a b', 'a%20b'),
    ('100%', '100%25'),
    ('', None),
    ('.', None),
    ('..', None),
    ('health', None),
    ('ttl', None),
    ('lock', None),
    ('a:..', 'a%3A..'),
    ('..a', '..a'),
    ('ns:key', 'ns%3Akey'),
    ("f(x)!*'", 'f%28x%29%21%2A%27'),
    ('a\\..\\health', 'a%5C..%5Chealth'),
    ('.\t.', '.%09.'),
    ('.\r\n.', '.%0D%0A.'),
    ('.. ', '..%20'),
    ('health\x0b', 'health%0B'),
    ('a\x00b\x1fc\x7fd', 'a%00b%1Fc%7Fd'),
    ('%2e%2e', '%252e%252e'),
    ('caf\xe9', 'caf%C3%A9'),
    ('\U0001f600', '%F0%9F%98%80'),
    ('\u2025', '%E2%80%A5'),
    ('a-b~c', 'a-b~c'),
    ('User:Key', 'User%3AKey'),
    ('User%3AKey', 'User%253AKey'),
    ('a+b&c;d,e@f$g[h]i', 'a%2Bb%26c%3Bd%2Ce%40f%24g%5Bh%5Di'),
    ('a"b<c>d^e`f{g|h}i', 'a%22b%3Cc%3Ed%5Ee%60f%7Bg%7Ch%7Di'),
]


@pytest.mark.parametrize("key, encoded", VECTORS)
def test_a_key_is_written_in_a_path_as_the_protocol_has_it(probe, key, encoded):  # noqa: F811
    answer = probe("K", key.encode())
    assert (answer["escaped"], answer["held"]) == ((encoded, answer["held"]) if encoded is not None else (answer["escaped"], False))


@pytest.mark.parametrize("key", ["a", "k" * 400, "ns:a:b", "nsapi:A-_9:x", "a.b", ".a", "a.", "nsx", "t:default:x", "Health", "ns", "a:ns:b", "-", ":"])
def test_keys_that_the_service_can_hold(probe, key):  # noqa: F811
    assert probe("K", key.encode())["held"]
    assert probe("K", key.encode())["escaped"] == CachekitIOBackend._encode_key(key)


@pytest.mark.parametrize("key", ["k" * 401, "a b", "a/b", "ü", "a..b", "..", "ns:", "ns:a", "ns:a:", f"ns:{'n' * 65}:x", "ns:a.b:c", "nsapi::x", "a~b", "a\n", "a%b", ""])
def test_keys_that_the_service_cannot_hold(probe, key):  # noqa: F811
    assert not probe("K", key.encode())["held"]


# URLs

TOKEN = "ck_live_x"


def package_takes(url: str, allow: bool, monkeypatch) -> bool:
    monkeypatch.setenv("CACHEKIT_ALLOW_CUSTOM_HOST", str(allow))
    try:
        CachekitIOBackendConfig(api_url=url, api_key=TOKEN)
    except ValueError:
        return False
    return True


URLS = [
    "api.cachekit.io", "api.staging.cachekit.io", "API.CacheKit.IO", "api.cachekit.io:443", "api.cachekit.io:8443/v2/", "api.cachekit.io.", "www.cachekit.io",
    "api.cachekit.io.evil.org", "cache.example.org", "cache.example.org/a/b", "cache.example.org/?q=1#f", "cache.example.org/a%20b", "localhost", "LocalHost", "localhost.",
    "a.localhost", "a.localhost.", "notlocalhost", "127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "0x7f000001", "10.1.2.3", "172.16.0.1", "172.15.0.1", "172.31.255.255",
    "172.32.0.1", "192.168.1.1", "192.169.1.1", "169.254.169.254", "0.0.0.0", "0", "8.8.8.8", "[::1]", "[::]", "[fe80::1]", "[febf::1]", "[fec0::1]", "[fc00::1]", "[fdff::1]", "[2001:db8::1]",
    "[::ffff:127.0.0.1]", "[::ffff:8.8.8.8]", "[::1]:8443/x", "user@cache.example.org", "user:pw@cache.example.org", "api.cachekit.io\\@evil.org", "evil.org\\.api.cachekit.io", "",
    "/x", ":443", "api.cachekit.io:port", "api.cachekit.io:65536", "[::1", "api.cachekit.io@evil.org",
]


@pytest.mark.parametrize("location", URLS)
def test_the_environments_url_is_taken_where_the_package_takes_it(probe, location, monkeypatch):  # noqa: F811
    answer = probe("U", location.encode())
    mine = [answer["errno"] == 0 and answer[name] for name in ("known", "allowed")]
    assert mine == [package_takes(f"https://{location}", allow, monkeypatch) for allow in (False, True)]


# ckfs takes less.
@pytest.mark.parametrize("location", ["api.cachekit.io:0", "ex ample.org", "ex\tample.org", "h%41.org", "ü.org", "api.cachekit.io/a b", "api.cachekit.io/%zz", "api.cachekit.io/ü"])
def test_what_no_url_should_have_is_refused(probe, location):  # noqa: F811
    answer = probe("U", location.encode())
    assert (answer["errno"], bool(answer["error"])) == (errno.EINVAL, True)


@pytest.mark.parametrize(
    "location, host, port, base",
    [
        ("API.cachekit.io", "api.cachekit.io", 443, "https://api.cachekit.io"),
        ("h:443/", "h", 443, "https://h"),
        ("h:/a//", "h", 443, "https://h/a"),
        ("h:8443/a/b?c#d", "h", 8443, "https://h:8443/a/b"),
        ("[2001:DB8::1]:1", "2001:db8::1", 1, "https://[2001:db8::1]:1"),
        ("[fe80::1%25eth0]", "fe80::1%25eth0", 443, "https://[fe80::1%25eth0]"),
        ("[fe80::1%eth0]", "fe80::1%eth0", 443, "https://[fe80::1%25eth0]"),
    ],
)
def test_what_a_url_says(probe, location, host, port, base):  # noqa: F811
    answer = probe("U", location.encode())
    assert [answer[name] for name in ("errno", "host", "port", "base")] == [0, host, port, base]


def test_no_error_repeats_a_password(probe):  # noqa: F811
    assert "secret" not in probe("U", b"me:secret@cache.example.org")["error"]


# Retry-After

NOW = 1_700_000_000


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("0", 0), ("7", 7), (" 12 ", 12), ("007", 7), ("9" * 40, 10**9),
        (email.utils.formatdate(NOW + 90, usegmt=True), 90), (email.utils.formatdate(NOW - 90, usegmt=True), 0),
        (time.strftime("%A, %d-%b-%y %H:%M:%S GMT", time.gmtime(NOW + 5)), 5), (time.strftime("%a %b %e %H:%M:%S %Y", time.gmtime(NOW + 6)), 6),
    ],
)
def test_when_to_ask_again(probe, text, seconds):  # noqa: F811
    assert probe("R", f"{NOW}\n{text}".encode()) == {"errno": 0, "seconds": seconds}


@pytest.mark.parametrize("text", ["", "-1", "+1", "1.5", "1 2", "soon", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 GMT x", "0x10"])
def test_what_does_not_tell_when_to_ask_again(probe, text):  # noqa: F811
    assert probe("R", f"{NOW}\n{text}".encode())["errno"] == errno.EINVAL


# Times to live


@pytest.mark.parametrize(
    "text, ttl",
    [
        ('{"ttl": 12}', 12), ('{"ttl":0}', 0), (' {\n"ttl" : 2592000 } ', 2592000), ('{"ttl": null}', -1), ('{"a": [1, {"ttl": 5}], "ttl": 7, "b": "ttl"}', 7),
        ('{"ttl": 1, "ttl": 2}', 2), ('{"\\u0074tl": 3}', 3), ('{"ttlx": 1, "tt": 2, "ttl": 4}', 4),
    ],
)
def test_how_long_an_entry_lives(probe, text, ttl):  # noqa: F811
    assert probe("T", text.encode()) == {"errno": 0, "ttl": ttl}
    assert json.loads(text)["ttl"] == (None if ttl == -1 else ttl)


@pytest.mark.parametrize(
    "text", ["", "{}", "12", "null", "[12]", '{"ttl": "12"}', '{"ttl": 1.5}', '{"ttl": 1e3}', '{"ttl": -1}', '{"ttl": true}', '{"ttl": [1]}', '{"ttl": {}}', '{"ttl": 1', '{"ttl": 1} x',
             '{"ttl": 99999999999999999999}', '{"TTL": 1}', '{"ttl": NaN}']
)
def test_what_does_not_tell_how_long(probe, text):  # noqa: F811
    assert probe("T", text.encode())["errno"] == errno.EUCLEAN


def test_a_long_answer_is_read_in_linear_time(probe):  # noqa: F811
    text = b'{"x": "' + b"ttl" * 5000 + b'", "ttl": 1}'
    assert probe("T", text) == {"errno": 0, "ttl": 1}
