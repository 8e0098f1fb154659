"""What the tests of sealed entries share."""

from __future__ import annotations

import pytest
from cachekit.serializers.wrapper import SerializationWrapper

from documents import MASTER, load, opened, unsealed

SECRET = "the secret that nobody may see"
DOCUMENT = {"user": "Ada", "note": SECRET}
KEYED = {"CACHEKIT_MASTER_KEY": MASTER}
FOURTH, FIFTH = "1d" * 32, "2e" * 32


def keys(master: str = MASTER, *previous: str, **more: str) -> dict[str, str]:
    return {"CACHEKIT_MASTER_KEY": master, **({"CACHEKIT_PREVIOUS_MASTER_KEYS": ",".join(previous)} if previous else {}), **more}


def document(cache, master: str = MASTER) -> bytes:
    return opened(unsealed(cache, cache.key, master))


def altered(cache, key: str | None = None, payload=None, **metadata) -> None:
    """The entry with its payload mapped, or members of its header replaced; None removes one."""
    key = key or cache.key
    old, header, serializer = SerializationWrapper.unwrap(cache.value(key))
    header = {name: value for name, value in {**header, **metadata}.items() if value is not None}
    cache.set(key, SerializationWrapper.wrap(payload(bytes(old)) if payload else bytes(old), header, serializer))


@pytest.fixture
def keyed(cache, mount):
    """A mount that has the key."""
    return mount(cache, env=KEYED)
