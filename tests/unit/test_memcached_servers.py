"""Which Memcached servers a source names, and which of them has a key: as the package and its client have it."""

from __future__ import annotations

import json
import random
import string

import pytest
from cachekit.backends.memcached import MemcachedBackendConfig
from cachekit.backends.memcached.backend import _parse_server
from hypothesis import example, given
from hypothesis import strategies as st
from layers import Probe, probe  # noqa: F401 - a fixture
from pymemcache.client.hash import HashClient

INVALID = 22  # EINVAL


def ask(probe: Probe, source: str, keys=(), is_list: bool = False) -> dict:
    return probe("e" if is_list else "a", source.encode() + b"\n" + b"".join(key.encode() + b"\n" for key in keys))


def winners(probe: Probe, servers: list[str], keys: list[str]) -> list[str]:
    answer = ask(probe, json.dumps(servers), keys, is_list=True)
    return [answer["nodes"][place]["name"] for place in answer["places"]]


# --- places ---


def keys_of(n: int, seed: int) -> list[str]:
    """Keys as the package makes them, and of any other text that it takes, up to the longest."""
    dice = random.Random(seed)
    letters = "".join(sorted(set(string.printable) - set(string.whitespace)))

    def one(i: int) -> str:
        if i % 2:
            return "".join(dice.choices(letters, k=dice.randint(1, 250)))
        return f"ns:users:func:app.load_{dice.randint(0, 99)}:args:{dice.randbytes(32).hex()}:1s"

    return [one(i) for i in range(n)]


@pytest.mark.parametrize("count", range(1, 8))
def test_ten_thousand_keys_are_where_the_sdks_client_looks_for_them(probe, count):
    servers = [f"10.0.{count}.{i}:{11211 + i % 2}" for i in range(count)]
    client = HashClient([_parse_server(server) for server in servers])
    keys = keys_of(10_000, count)
    theirs = [client.hasher.get_node(key) for key in keys]
    assert winners(probe, servers, keys) == theirs
    assert len(set(theirs)) == count


@pytest.mark.parametrize("servers", [["mc-a:11211", "mc-b:11211", "mc-c:11211"], ["::1:11211", "localhost:11211", "LOCALHOST:11211"], ["h:0011211", "h: 11212"]])
def test_names_of_servers_count_as_the_sdk_has_them(probe, servers):
    client = HashClient([_parse_server(server) for server in servers])
    keys = keys_of(500, 77)
    assert winners(probe, servers, keys) == [client.hasher.get_node(key) for key in keys]


def test_the_order_of_servers_does_not_matter(probe):
    servers = ["a:1", "b:2", "c:3", "d:4"]
    keys = keys_of(500, 78)
    assert winners(probe, servers, keys) == winners(probe, servers[::-1], keys)


TENS = ["10.0.0.1:11211", "10.0.0.2:11211", "10.0.0.3:11211"]


@pytest.mark.parametrize(
    "key, number",
    [("a", 3), ("foo", 3), ("user:1", 2), ("user:2", 1), ("key-0", 1), ("key-2", 2), ("key-4", 3), ("x" * 250, 2), ("users:get_user:" + "ab" * 32, 1)],
)
def test_keys_whose_place_is_known(probe, key, number):
    assert winners(probe, TENS, [key]) == [f"10.0.0.{number}:11211"]


# --- the SDK's list ---

addresses = st.one_of(
    st.sampled_from(["a:1", "::1:11211", "[::1]:11211", "h:0011211", "h: 11211", "h:1_1", "h:+1", "h:-1", "h:_1", "h:1_", "h:1__1", "h", "h:", ":1", "h:0", "h:65536", "h:1 ", "h:1x", "é:1"]),
    st.text("ab:.-_[]1 \t", max_size=12),
)


@given(st.lists(addresses, max_size=4))
@example([])
def test_a_list_means_what_it_means_to_the_sdk(probe, servers):
    answer = ask(probe, json.dumps(servers), is_list=True)
    try:
        theirs = [_parse_server(server) for server in MemcachedBackendConfig(servers=servers).servers]
    except ValueError:
        assert answer["errno"] == INVALID
        return
    assert [(node["host"], node["port"]) for node in answer["nodes"]] == list(dict.fromkeys(theirs))
    assert [node["name"] for node in answer["nodes"]] == list(dict.fromkeys(f"{host}:{port}" for host, port in theirs))


@pytest.mark.parametrize("text", ["a:1,b:2", "a:1", '"a:1"', "[1]", '[["a:1"]]', "[", '["a:1"', "{}", '{"a:1": 1}', "[null]", '["a:1"] x'])
def test_what_is_no_list_is_refused_as_by_the_sdk(probe, text, monkeypatch):
    monkeypatch.setenv("CACHEKIT_MEMCACHED_SERVERS", text)
    with pytest.raises(Exception, match="."):
        MemcachedBackendConfig.from_env()
    answer = ask(probe, text, is_list=True)
    assert answer["errno"] == INVALID and answer["reason"].startswith("SERVERS: ")


def test_null_is_the_default_as_for_the_sdk(probe, monkeypatch):
    monkeypatch.setenv("CACHEKIT_MEMCACHED_SERVERS", "null")
    assert nodes(ask(probe, "null", is_list=True)) == MemcachedBackendConfig.from_env().servers


def test_an_element_that_is_wrong_is_named_by_its_number_alone(probe):
    answer = ask(probe, '["a:1", "secret"]', is_list=True)
    assert (answer["errno"], "number 1" in answer["reason"], "secret" in answer["reason"]) == (INVALID, True, False)


# --- URLs ---


def nodes(answer: dict) -> list[str]:
    return [node["name"] for node in answer["nodes"]]


@pytest.mark.parametrize(
    "url, names, shown",
    [
        ("", ["localhost:11211"], ""),
        ("cache.example.org", ["cache.example.org:11211"], "cache.example.org"),
        ("a,b:1,[::1]:2", ["a:11211", "b:1", "::1:2"], "a,b:1,[::1]:2"),
        ("a,a:11211,A", ["a:11211", "A:11211"], "a,a:11211,A"),
        ("a/", ["a:11211"], "a/"),
        ("/run/mc.sock", ["/run/mc.sock"], "/run/mc.sock"),
        ("/run/a%2Cb.sock,c", ["/run/a,b.sock", "c:11211"], "/run/a%2Cb.sock,c"),
        ("me:secret@a,b", ["a:11211", "b:11211"], "me@a,b"),
        ("me@/run/mc.sock", ["/run/mc.sock"], "me@/run/mc.sock"),
    ],
)
def test_a_url_names_servers(probe, url, names, shown):
    answer = ask(probe, url)
    assert (nodes(answer), answer["shown"]) == (names, f"memcached://{shown}")


def test_a_login_is_decoded(probe):
    answer = ask(probe, "m%40e:p%3A%40ss@a")
    assert (answer["user"], answer["password"], answer["shown"]) == ("m@e", "p:@ss", "memcached://m%40e@a")


@pytest.mark.parametrize(
    "url, why",
    [
        ("a,,b", "a comma without a server"),
        ("a,", "a comma without a server"),
        ("a/0", "nothing may follow the servers"),
        ("a?x=1", "it has no '?'"),
        ("a:65536", "the port is not a number"),
        ("[::1", "a '[' without its ']'"),
        (":secret@a", "a password without a user"),
        (",".join(f"h{i}" for i in range(65)), "more than 64 servers"),
    ],
)
def test_a_wrong_url_is_told_without_its_password(probe, url, why):
    answer = ask(probe, url)
    assert answer["errno"] == INVALID and why in answer["reason"] and "secret" not in answer["reason"]
