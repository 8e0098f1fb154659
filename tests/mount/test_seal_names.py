"""§6: a seal binds the key that an entry is stored under. The same bytes under another key are no entry of that one, whatever was opened before."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from documents import INTEROP, JSON, TABLE, seal, store
from helpers import failure, listing, meta, read, xattrs
from sealed import DOCUMENT, KEYED, keyed  # noqa: F401 - a fixture

OTHER_KEY = "ns:users:func:app.load_other"
DOCUMENTS = {
    "msgpack": (DOCUMENT, "default", ("msgpack/{}.msgpack", "json/{}.json")),
    "orjson": (JSON, "orjson", ("json/{}.json",)),
    "arrow": (TABLE, "arrow", ("arrow/{}.arrow",)),
}


def rename(cache, old: str, new: str) -> None:
    if cache.STORES_KEYS:
        cache.client.rename(old, new)
    else:
        os.rename(cache.path(old), cache.path(new))


def link(cache, old: str, new: str) -> None:
    if cache.STORES_KEYS:  # Redis has no links: the nearest is a copy that its server makes
        cache.client.copy(old, new)
        return
    os.link(cache.path(old), cache.path(new))


def copy(cache, old: str, new: str) -> None:
    if cache.STORES_KEYS:
        cache.client.set(new, cache.client.get(old))
    else:
        shutil.copy2(cache.path(old), cache.path(new))


WAYS = [rename, copy, link]


def told(mnt, files: list[str], key: str) -> dict:
    """All that a mount tells of an entry."""
    return {
        "failures": [failure(mnt / file) for file in files],
        "meta": meta(mnt, key),
        "xattrs": {name: value for name, value in xattrs(mnt / key).items() if "ttl" not in name},
        "after": [failure(mnt / file) for file in files],
    }


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_was_opened_under_one_key_is_not_served_under_another(cache, mount, keyed, document, way):  # noqa: F811
    obj, serializer, forms = DOCUMENTS[document]
    store(cache, cache.key, obj, serializer, seal())
    for form in forms:
        read(keyed / form.format(cache.key))
    meta(keyed, cache.key)
    way(cache, cache.key, OTHER_KEY)
    files = [form.format(OTHER_KEY) for form in forms]
    seen = told(keyed, files, OTHER_KEY)
    assert set(seen["failures"]) == {"EBADMSG"}
    assert seen == told(mount(cache, env=KEYED), files, OTHER_KEY)


@pytest.mark.parametrize("way", WAYS)
def test_what_failed_under_one_key_opens_under_its_own(cache, keyed, way):  # noqa: F811
    store(cache, cache.key, DOCUMENT, sealing=seal())
    kept = read(keyed / f"msgpack/{cache.key}.msgpack")
    way(cache, cache.key, OTHER_KEY)
    assert failure(keyed / f"msgpack/{OTHER_KEY}.msgpack") == "EBADMSG"
    if way is not rename:
        cache.delete(cache.key)
    way(cache, OTHER_KEY, cache.key)
    assert read(keyed / f"msgpack/{cache.key}.msgpack") == kept


@pytest.mark.parametrize("way", WAYS)
def test_a_sealed_interop_value_under_another_key_is_refused(cache, keyed, way):  # noqa: F811
    other = cache.interop_key[:-4] + "beef"
    store(cache, cache.interop_key, INTEROP, sealing=seal(), interop=True)
    read(keyed / f"json/{cache.interop_key}.json")
    way(cache, cache.interop_key, other)
    assert failure(keyed / f"json/{other}.json") == "EBADMSG"
    assert meta(keyed, other)["checksum"] != "ok"


# Stores under many keys, each in a process of its own: the package begins its nonces at random for each process. Prints the first key whose
# ciphertext looks like an envelope, which some 3 % do.
SEALED_LIKE_AN_ENVELOPE = """
import os, pathlib, sys
from caches import FileCache
from documents import seal, store

cache = FileCache(pathlib.Path(sys.argv[1]))
for attempt in range(600):
    key = f"{sys.argv[2]}{attempt}"
    if (child := os.fork()) == 0:
        store(cache, key, {"user": "Ada"}, sealing=seal())
        os._exit(0)
    os.waitpid(child, 0)
    first, second = cache.payload(key)[:2]
    if 0x81 <= first <= 0x8F and 0x04 <= second <= 0x7F:
        print(key)
        break
"""


@pytest.mark.file_only
@pytest.mark.parametrize("look", ["json", "meta/{}.json"])
def test_that_a_hash_does_not_open_it_is_not_believed_of_the_key(cache, keyed, look):  # noqa: F811
    script = [sys.executable, "-c", SEALED_LIKE_AN_ENVELOPE, str(cache.dir), cache.key]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    key = subprocess.run(script, capture_output=True, text=True, check=True, env=env).stdout.strip()
    assert key
    path = keyed / look.format(cache.hash(key))
    list(os.scandir(path)) if path.is_dir() else read(path)
    assert failure(keyed / f"json/{cache.hash(key)}.json") == "ENOKEY"
    assert failure(keyed / f"json/{key}.json") is None


@pytest.mark.file_only
def test_a_listing_leaves_out_what_failed_under_its_name(cache, keyed):  # noqa: F811
    store(cache, cache.key, DOCUMENT, sealing=seal())
    read(keyed / f"json/{cache.key}.json")
    link(cache, cache.key, OTHER_KEY)
    assert failure(keyed / f"json/{OTHER_KEY}.json") == "EBADMSG"
    assert listing(keyed / "json") == {f"{cache.key}.json"}
