"""The keyring and the seal against cachekit's settings and its EncryptionWrapper."""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import uuid

import numpy as np
import pandas as pd
import pytest
from cachekit.config.settings import CachekitConfig
from cachekit.config.singleton import reset_settings
from cachekit.serializers import ArrowSerializer, OrjsonSerializer, StandardSerializer
from cachekit.serializers.encryption_wrapper import EncryptionWrapper
from cachekit.serializers.interop_serializer import InteropSerializer
from hypothesis import example, given
from hypothesis import strategies as st

from layers import probe  # noqa: F401 - a fixture

VARIABLES = ("CACHEKIT_MASTER_KEY", "CACHEKIT_PREVIOUS_MASTER_KEYS", "CACHEKIT_DEPLOYMENT_UUID")
A, B, C, D, E = (f"{i:02x}" * 32 for i in (0x1A, 0x2B, 0x3C, 0x4D, 0x5E))


def ask(probe, mode: str, *texts) -> dict:
    """A request of texts: str, bytes, or None."""
    texts = [text.encode() if isinstance(text, str) else text for text in texts]
    return probe(mode, b"".join(b"\xff" * 4 if text is None else struct.pack(">I", len(text)) + text for text in texts))


@contextlib.contextmanager
def environment(values):
    """The SDK's settings as from these variables."""
    for name, value in zip(VARIABLES, values):
        if value is not None:
            os.environ[name] = value
    reset_settings()
    try:
        yield
    finally:
        for name in VARIABLES:
            os.environ.pop(name, None)
        reset_settings()


def sdk(master, previous, deployment) -> dict | None:
    """How many keys the SDK has and the tenant it seals as; None: it refuses."""
    with environment((master, previous, deployment)):
        try:
            settings = CachekitConfig.from_env()
            if not settings.master_key:
                return {}
            keys = 1 + len(settings.previous_master_keys)
            EncryptionWrapper()
        except ValueError:  # a pydantic ValidationError, a KeyringConfigurationError
            return None
        except Exception as error:
            assert type(error).__name__ in ("EncryptionError", "KeyringConfigurationError"), error
            return None
        return {"count": keys, "deployment": str(uuid.UUID(settings.deployment_uuid)) if settings.deployment_uuid else "default"}


def ckfs(probe, master, previous, deployment) -> dict | None:
    answer = ask(probe, "k", master, previous, deployment)
    reason = probe.text(answer, "reason")
    assert (answer["errno"] == 0) == (reason == ""), answer
    if answer["errno"]:
        assert answer["errno"] == errno.EINVAL
        assert any(reason.startswith(f"{name}: ") for name in VARIABLES) and "\n" not in reason
        return None
    return {name: answer[name] for name in ("count", "deployment") if name in answer}


# --- configuration ---

SPACES = [" ", "\t", "\n", "\v", "\f", "\r", "\x1c", "\x1f", "\x85", "\xa0", "\u1680", "\u2003", "\u2028", "\u202f", "\u3000", "\u200b", "\ufeff"]


@st.composite
def spelled_keys(draw) -> str:
    """A key as people write it: right, nearly right, wrong."""
    key = draw(st.sampled_from([A, B, C, D]) | st.integers(0, 40).map(lambda n: "7f" * n) | st.binary(min_size=31, max_size=65).map(bytes.hex))
    if draw(st.integers(0, 3)) == 0:
        key = key.upper()
    if draw(st.integers(0, 7)) == 0:
        key = draw(st.sampled_from(SPACES)).join(key[i : i + 2] for i in range(0, len(key), 2))
    if draw(st.integers(0, 5)) == 0:
        at = draw(st.integers(0, len(key)))
        key = key[:at] + draw(st.sampled_from([*SPACES, "g", "0", "0x", ":", "\xff", "\uff11"])) + key[at + draw(st.integers(0, 1)) :]
    return draw(st.sampled_from(["", "", *SPACES])) + key + draw(st.sampled_from(["", "", *SPACES]))


lists = st.lists(spelled_keys() | st.sampled_from(["", " ", A, B]), max_size=5).map(",".join)


@given(master=st.none() | spelled_keys() | st.sampled_from(["", A]), previous=st.none() | lists)
@example(A, f"{B},{C},{D}")
@example(A, f"{B},{C},{D},{E}")
@example(A, f"{B},{B},{B}")
@example(A, f",{B}, ,\u3000,{C}\u2028,,,\x85{D}\x1c,")
@example(A, A.upper())
@example(A + A, A)
@example(None, A)
@example(None, "zz")
@example("", f"{A},{A}")
@example(A, f'["{B}"]')
@example(" ".join(A[i : i + 2] for i in range(0, 64, 2)), " ")
@example("\u3000" + A, None)
@example(A[:62], None)
@example(A[:63], None)
@example("0x" + A, None)
def test_keys_as_the_settings_take_them(probe, master, previous):
    assert ckfs(probe, master, previous, None) == sdk(master, previous, None)


UUID = "0f0e0d0c-0b0a-4908-8706-05040302010f"


def differs_digits_of_int(text: str) -> bool:
    """uuid.UUID() reads the 32 digits with int(), which takes signs, 0x, _, spaces and other scripts' digits as well."""
    digits = text.replace("urn:", "").replace("uuid:", "").strip("{}").replace("-", "")
    return len(digits) == 32 and not all(c in "0123456789abcdefABCDEF" for c in digits)


uuids = st.uuids().map(str) | st.sampled_from([UUID, UUID.upper(), UUID.replace("-", ""), f"{{{UUID}}}", f"urn:uuid:{UUID}"])


@given(
    st.none()
    | uuids
    | st.text("0123456789abcdefABCDEFg{}-_+x ", max_size=40)
    | st.tuples(uuids, st.integers(0, 40), st.sampled_from(["urn:", "uuid:", "{", "}", "-", "urn:uuid:", "uurn:uid:", " ", "g", "0", ""])).map(
        lambda t: t[0][: t[1]] + t[2] + t[0][t[1] :]
    )
)
@example("")
@example(" ")
@example(UUID + " ")
@example("URN:UUID:" + UUID)
@example("uuid:urn:" + UUID)
@example("uurn:uid:" + UUID)
@example("{{}" + UUID + "}{")
@example("-{" + UUID + "}")
@example("{}")
@example(A)
@example("f" * 300)
def test_deployment_as_the_settings_take_it(probe, deployment):
    if deployment and differs_digits_of_int(deployment):
        assert ckfs(probe, A, None, deployment) is None
    else:
        assert ckfs(probe, A, None, deployment) == sdk(A, None, deployment)


def test_the_deployment_is_refused_without_a_key_too(probe):
    assert ckfs(probe, None, None, "no-uuid") is None


@pytest.mark.parametrize(
    "texts, words",
    [
        ((A[:60], None, None), ["CACHEKIT_MASTER_KEY", "30 bytes", "32"]),
        (("key", None, None), ["CACHEKIT_MASTER_KEY", "not hex"]),
        ((A, f"{B},,{C[:62]}", None), ["CACHEKIT_PREVIOUS_MASTER_KEYS", "key 2", "31 bytes"]),
        ((A, f"{B}, x", None), ["CACHEKIT_PREVIOUS_MASTER_KEYS", "key 2", "not hex"]),
        ((A, f"{B},{C},{A}", None), ["CACHEKIT_PREVIOUS_MASTER_KEYS", "key 3", "current", "take it out"]),
        ((A, f"{B},{C},{D},{E}", None), ["CACHEKIT_PREVIOUS_MASTER_KEYS", "3 keys", "take out"]),
        ((A, None, B), ["CACHEKIT_DEPLOYMENT_UUID", "UUID"]),
    ],
)
def test_an_error_says_where_and_shows_no_key(probe, texts, words):
    reason = probe.text(ask(probe, "k", *texts), "reason")
    assert [word for word in words if word not in reason] == []
    assert not any(text[i : i + 8] in reason for text in (A, B, C, D, E) for i in range(0, 57))


# --- choice by fingerprint ---

keys32 = st.binary(min_size=32, max_size=32)
hex_keys = st.binary(min_size=32, max_size=64).map(bytes.hex)
tenants = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40) | st.sampled_from(
    ["default", "x" * 1024, "é" * 512, UUID, " "]
)


def wrapper(master: str, tenant: str, serializer=None, previous: tuple[str, ...] = ()) -> EncryptionWrapper:
    """As cachekit's handler makes it, of hex keys of any length."""
    with environment((None, ",".join(previous), None)):
        return EncryptionWrapper(serializer or StandardSerializer(), bytes.fromhex(master), tenant, _master_key_from_hex=True)


@given(st.lists(hex_keys, min_size=1, max_size=4, unique=True), tenants)
def test_each_fingerprint_of_the_keyring_names_its_key(probe, keys, tenant):
    fingerprints = wrapper(keys[0], tenant, previous=tuple(keys[1:]))._keyring_fingerprints
    numbers = [ask(probe, "h", keys[0], ",".join(keys[1:]), None, tenant, f)["number"] for f in fingerprints]
    assert numbers == list(range(len(keys)))


def test_of_equal_previous_keys_the_first_is_named(probe):
    fingerprint = wrapper(B, "t").encryption_key_fingerprint
    assert ask(probe, "h", A, f"{C},{B},{B}", None, "t", fingerprint)["number"] == 2


@pytest.mark.parametrize("change", ["upper", "other tenant", "cut", "longer", "none", "empty", "no such key"])
def test_only_the_exact_fingerprint_names_a_key(probe, change):
    right = wrapper(A, "t").encryption_key_fingerprint
    assert right != right.upper()
    changed = {
        "upper": right.upper(),
        "other tenant": wrapper(A, "T").encryption_key_fingerprint,
        "cut": right[:-1],
        "longer": right + "0",
        "none": None,
        "empty": "",
        "no such key": wrapper(B, "t").encryption_key_fingerprint,
    }[change]
    assert ask(probe, "h", A, None, None, "t", right)["number"] == 0
    assert ask(probe, "h", A, None, None, "t", changed)["number"] == -errno.ENOKEY


@pytest.mark.parametrize("tenant", ["", "x" * 1025, "x" * 4096, "é" * 513, "x" * 65536])
def test_a_tenant_without_a_key_is_none_for_the_package_either(probe, tenant):
    with pytest.raises(Exception, match="Tenant key derivation failed|derive"):
        wrapper(A, tenant)
    assert ask(probe, "h", A, None, None, tenant, "0" * 32)["number"] == -errno.EUCLEAN
    assert unseal(probe, bytes(40), (A,), tenant=tenant)["opened"] == errno.EUCLEAN


def test_no_tenant_at_all_has_no_key(probe):
    assert ask(probe, "h", A, None, None, None, "0" * 32)["number"] == -errno.EUCLEAN


# --- opening ---


def unseal(probe, sealed: bytes, keys=(A,), number=0, tenant="t", key="key", format="msgpack", compressed=True, original_type=None) -> dict:
    answer = ask(
        probe, "u", keys[0], ",".join(keys[1:]), None, tenant, str(number), key, format, str(compressed), original_type, sealed
    )
    assert answer["errno"] == 0 and answer["intact"], answer
    return answer


def unseal_entry(probe, sealed: bytes, metadata, keys=(A,), number=0, **changed) -> dict:
    """Opens what EncryptionWrapper.serialize returned, by the metadata that a frame would carry."""
    m = metadata.to_dict()
    bound = {"tenant": m["tenant_id"], "format": m["format"], "compressed": m["compressed"], "original_type": m.get("original_type")}
    return unseal(probe, sealed, keys, number, **{**bound, **changed})


SERIALIZERS = {
    "default": (StandardSerializer, {"id": 1, "text": "ünïcode" * 30}),
    "default unchecked": (lambda: StandardSerializer(enable_integrity_checking=False), [1, (2, 3), None]),
    "orjson": (OrjsonSerializer, {"a": [1, 2.5, "x"]}),
    "arrow": (ArrowSerializer, pd.DataFrame({"a": np.arange(50)})),
    "interop": (InteropSerializer, {"a": [1, "x"]}),
}


@pytest.mark.parametrize("name", SERIALIZERS)
@given(master=hex_keys, tenant=tenants, key=st.text(st.characters(codec="utf-8"), min_size=1, max_size=300))
def test_what_the_package_sealed_opens_to_what_was_sealed(probe, name, master, tenant, key):
    make, value = SERIALIZERS[name]
    plain = bytes(make().serialize(value)[0])
    sealed, metadata = wrapper(master, tenant, make()).serialize(value, key)
    assert len(sealed) == len(plain) + 28
    answer = unseal_entry(probe, sealed, metadata, (master,), key=key)
    assert answer["opened"] == 0
    opened = bytes.fromhex(answer["plaintext"])
    assert opened == plain or name == "arrow"
    if name == "arrow":
        pd.testing.assert_frame_equal(make().deserialize(opened, metadata), value)


class Verbatim(StandardSerializer):
    """Seals these very bytes, under metadata that StandardSerializer makes."""

    def serialize(self, obj):
        return obj, super().serialize(None)[1]


@given(st.binary(max_size=300), st.integers(0, 2**16))
@example(b"", 0)
@example(bytes(15), 1 << 20)
@example(bytes(16), (16 << 20) + 5)
def test_a_plaintext_of_any_size(probe, data, more):
    data += bytes(more)
    sealed, metadata = wrapper(A, "t", Verbatim()).serialize(data, "key")
    answer = unseal_entry(probe, sealed, metadata)
    assert (answer["opened"], bytes.fromhex(answer["plaintext"])) == (0, data)


@pytest.mark.parametrize("number", range(4))
def test_what_an_earlier_key_sealed_opens_by_its_number_alone(probe, number):
    keys = (A, B + B, C, D)
    sealed, metadata = wrapper(keys[number], "t").serialize("value", "key")
    opened = [unseal_entry(probe, sealed, metadata, keys, n)["opened"] for n in range(4)]
    assert opened == [0 if n == number else errno.EBADMSG for n in range(4)]
    assert ask(probe, "h", keys[0], ",".join(keys[1:]), None, "t", metadata.key_fingerprint)["number"] == number


@pytest.mark.parametrize(
    "change",
    [
        {"tenant": "T"},
        {"tenant": "t "},
        {"key": "kez"},
        {"key": "ke"},
        {"key": "key\0"},
        {"key": "tkey"},
        {"format": "orjson"},
        {"compressed": False},
        {"original_type": "numpy"},
        {"original_type": None},
        {"original_type": ""},
        {"keys": (B,)},
    ],
    ids=repr,
)
def test_what_was_bound_cannot_be_changed(probe, change):
    sealed, metadata = wrapper(A, "t").serialize("value", "key")
    assert metadata.original_type and unseal_entry(probe, sealed, metadata)["opened"] == 0
    assert unseal_entry(probe, sealed, metadata, **change)["opened"] == errno.EBADMSG


@pytest.mark.parametrize("original_type", [None, ""])
def test_an_original_type_that_is_not_set_is_not_bound(probe, original_type):
    """Only interop values have none."""
    sealed, metadata = wrapper(A, "default", InteropSerializer()).serialize([1], "a:b:c")
    assert not metadata.original_type
    answer = unseal(probe, sealed, tenant="default", key="a:b:c", compressed=False, original_type=original_type)
    assert (answer["opened"], bytes.fromhex(answer["plaintext"] or "")) == (0, b"\x91\x01")
    assert unseal(probe, sealed, tenant="default", key="a:b:c", compressed=False, original_type="x")["opened"] == errno.EBADMSG


def test_each_bit_of_nonce_ciphertext_and_tag_counts(probe):
    sealed, metadata = wrapper(A, "t", Verbatim()).serialize(b"sixteen bytes and some", "key")
    for bit in range(8 * len(sealed)):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        assert unseal_entry(probe, bytes(changed), metadata)["opened"] == errno.EBADMSG, bit


def test_each_length_but_the_right_one_is_refused(probe):
    sealed, metadata = wrapper(A, "t", Verbatim()).serialize(b"plaintext", "key")
    assert unseal_entry(probe, sealed, metadata)["opened"] == 0
    for n in range(len(sealed)):
        assert unseal_entry(probe, sealed[:n], metadata)["opened"] == (errno.EUCLEAN if n < 28 else errno.EBADMSG), n
    assert unseal_entry(probe, sealed + b"\0", metadata)["opened"] == errno.EBADMSG


def test_nothing_is_bound_to_an_empty_key(probe):
    with pytest.raises(ValueError, match="cache_key is required"):
        wrapper(A, "t").serialize("value", "")
    assert unseal(probe, bytes(64), key="")["opened"] == errno.EUCLEAN
