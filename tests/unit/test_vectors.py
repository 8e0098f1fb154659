"""Seals that other programs made, from the public test vectors of the protocol, and the fingerprints of their keys.

The package is asked as well: it opens what the layer opens, to the same bytes.
"""

from __future__ import annotations

import errno

import pytest
from cachekit.serializers.base import SerializationMetadata
from cachekit.serializers.encryption_wrapper import EncryptionWrapper

from layers import probe  # noqa: F401 - a fixture
from test_seal import ask, unseal

KEY_0 = "61" * 32
KEY_1 = "11" * 32
KEY_2 = "22" * 32
KEY_3 = "007f80ffa55ac33c1ee12dd24bb469968778f00f01102332455467768998abba"
KEY_4 = "807f80ffa55ac33c1ee12dd24bb469968778f00f01102332455467768998abba"

# master key, tenant, fingerprint
FINGERPRINTS = [
    (KEY_0, "cross-sdk-test", "96179a9bc881aa7ca83f04b78a66afd3"),
    (KEY_1, "keyring-conformance", "b6bfaa4119e9d72c87a393b17f1e117b"),
    (KEY_2, "keyring-conformance", "e066ffdacfb5fb11a6ecc44c7a0ecb4e"),
    (KEY_0, "default", "52d54c97f8e5efaa5bdf58a301f92726"),
    (KEY_3, "default", "f3b07cd5f8ffa96a55243a22fc252200"),
    (KEY_4, "default", "2948ef83d7f97ff9463cddf7ccd951d2"),
]

# name: (master key, tenant, cache key, format, compressed, original type, sealed, plaintext or None: does not open)
SEALS = {
    "basic_bytes": (
        KEY_0, "cross-sdk-test", "test:vector:1", "msgpack", False, None,
        "f8f69c70000000000000000087d9ec09f2c2347a4b37d5330ccf50e3c31e69642801bef5",
        "0102030405060708",
    ),
    "special_cache_key": (
        KEY_0, "cross-sdk-test", "user@example.com:profile", "msgpack", False, None,
        "f8f69c7000000000000000012bf77e0cfc353ab04d0b941b22aa2ce39167ee63",
        "deadbeef",
    ),
    "compressed_basic": (
        KEY_0, "cross-sdk-test", "test:compressed:vector", "msgpack", True, None,
        "44cc06e600000000000000000eb8450c4aac2337265323f7f1b03fc3966deaa515f7",
        "deadbeefcafe",
    ),
    "arrow_uncompressed": (
        KEY_0, "cross-sdk-test", "test:arrow:uncompressed", "arrow", False, "arrow",
        "0a0b0c0d0e0f10110000000066ee6349733c18b89159de7db35910d6b996bdb9150d5f1d",
        "0011223344556677",
    ),
    "arrow_compressed": (
        KEY_0, "cross-sdk-test", "test:arrow:compressed", "arrow", True, "arrow",
        "0a0b0c0d0e0f101100000001a4a4ee2872d4b60054edc7d4973188ad865d239be211796e",
        "8899aabbccddeeff",
    ),
    "orjson_uncompressed": (
        KEY_0, "cross-sdk-test", "test:orjson:vector", "orjson", False, "orjson",
        "0a0b0c0d0e0f1011000000024f4b2924c8166fcd7e6ff731f4e02ff46e6879534e8074c0a4",
        "7b2261223a2231227d",
    ),
    "original_type_numpy": (
        KEY_0, "cross-sdk-test", "test:original-type:numpy", "msgpack", False, "numpy",
        "0a0b0c0d0e0f101100000003657e765491f9790882c0543d98ab280c5951a1ed",
        "93010203",
    ),
    "standard_serializer_default": (
        KEY_0, "cross-sdk-test", "test:standard:default", "msgpack", True, "msgpack",
        (
            "0a0b0c0d0e0f1011000000042ed1d29248afcf662d0cf30bf6bc9b4857c1228517788144c0720dff2ed5eef362bda2c356b0"
            "2d0da6b6653230e63aa5fd436a417d42142c1ce305bad39af86dbf0c88cb4b8f2d8f2c6f29"
        ),
        (
            "94c422f01183a7757365725f69642aa46e616d65a863616368656b6974a6616374697665c398ccdaccf46861cc8e624bccfe"
            "20a76d73677061636b"
        ),
    ),
    "standard_serializer_integrity_off": (
        KEY_0, "cross-sdk-test", "test:standard:integrity-off", "msgpack", False, "msgpack",
        (
            "0a0b0c0d0e0f101100000005275a8abbe4e2c89ffd42723b89608fe7132ba8aca55b350621e6792789e510f88f9a47783090"
            "d2fa823c07bf81984708"
        ),
        "83a7757365725f69642aa46e616d65a863616368656b6974a6616374697665c3",
    ),
    "encrypted_with_k1": (
        KEY_1, "keyring-conformance", "keyring:k1:entry", "msgpack", False, None,
        "010101010101010101010101ebc2f0799d210e06f1ec990ec8d2b3b1b6876e1cdbecb09600b89292",
        "6b312d706c61696e74657874",
    ),
    "encrypted_with_k2": (
        KEY_2, "keyring-conformance", "keyring:k2:entry", "msgpack", False, None,
        "020202020202020202020202c9e7a0e25b70e67fc71a191af2d8ec795ce7fa3bf69d06e291ec1bce",
        "6b322d706c61696e74657874",
    ),
    "default_tenant_interop": (
        KEY_0, "default", "users:get_user:61598716255080080f6456eb065c2e51badfaa4320b0efe97469c29cffee8875", "msgpack", False, None,
        "0d0e0f1011121314151617183c29af318238925ee76d081934adce133c0b4a7c5eb5704102b04582dcbf278ffd",
        "82a36167651ea46e616d65a5616c696365",
    ),
    "master_key_every_hex_digit": (
        KEY_3, "default", "users:get_all:8064bf5f945dba521b017bb3f32b31a293a6e16944838d171ea9e77fab085e8e", "msgpack", False, None,
        "3a3b3c3d3e3f404142434445d282555c393cc14a53d488e005e6db441d92e9fe089e97b3ecc99a86014810c745",
        "9501a374776fcb400c000000000000c0c3",
    ),
    "master_key_first_byte_80": (
        KEY_4, "default", "users:get_by_uuid:14821dfe8848465aa23db43cb83be508f51d9ac556479bcc78b8a522e268a62a", "msgpack", False, None,
        "464748494a4b4c4d4e4f5051cdc95c5f42466d32bdc068c9004c78072ac292fb1a6a93dcbd",
        "cb4000000000000000",
    ),
    "container_envelope_to_plain_reader": (
        KEY_0, "cross-sdk-test", "test:container:envelope", "msgpack", False, None,
        (
            "0a0b0c0d0e0f101100000006e56a19473b4920391a28a7b679f5d6b0116f3849bae902d114d15c5a8ebd0349e90425ec8510"
            "ee508708cea821b0a3e17365dd19081b1acf8b3d29c1c2fed074680628976f261f4cf7807e"
        ),
        (
            "94c422f01183a7757365725f69642aa46e616d65a863616368656b6974a6616374697665c398ccdaccf46861cc8e624bccfe"
            "20a76d73677061636b"
        ),
    ),
    "container_trailing_byte_to_interop_reader": (
        KEY_0, "cross-sdk-test", "t:op:1e364f6582ca4dc93b8bed0ff4413162cddafd52407517bff6248286cb863ac1", "msgpack", False, None,
        "0a0b0c0d0e0f10110000000dbf9fae68d68107a660c2eeeeab78227cc9495dd6fa095825d63701b17c92176ce530",
        "82a36167651ea46e616d65a5616c69636500",
    ),
    "container_plain_to_envelope_reader": (
        KEY_0, "cross-sdk-test", "test:container:plain", "msgpack", True, None,
        (
            "0a0b0c0d0e0f101100000008b1cc384b53cab414c9b6b60e18cb5f20bfcbf47555f53150a3a5b7c21d5de70e1cac21d16031"
            "b17794fa32510187df1a"
        ),
        "83a7757365725f69642aa46e616d65a863616368656b6974a6616374697665c3",
    ),
    "container_plain_json_to_orjson_reader": (
        KEY_0, "cross-sdk-test", "test:container:plain-json", "orjson", False, "orjson",
        (
            "0a0b0c0d0e0f10110000000b2c0dfe92f72ad368c94c23d95795be94330d48224efe0e88f727911d2a1ad35f6d7aefba374f"
            "80b8763ca5fc17cf0713609e41f10329a94e9321505af0f1"
        ),
        "7b22616374697665223a747275652c226e616d65223a2263616368656b6974222c22757365725f6964223a34327d",
    ),
    "container_incomplete_tail_to_interop_reader": (
        KEY_0, "cross-sdk-test", "t:op:03a0edbae0c1b5816c431652268d1527730175cdc0b45807cb07e1025ff971f6", "msgpack", False, None,
        "0a0b0c0d0e0f10110000000eb576a53a34bfd9a8c0103a5d626967fbc8461f03b7393507faba7e59581493c81d58",
        "82a36167651ea46e616d65a5616c69636591",
    ),
    "aad_compressed_false_sealed_true": (
        KEY_0, "cross-sdk-test", "test:compressed:vector", "msgpack", False, None,
        "44cc06e600000000000000000eb8450c4aac2337265323f7f1b03fc3966deaa515f7",
        None,
    ),
    "aad_compressed_true_sealed_false": (
        KEY_0, "cross-sdk-test", "test:vector:1", "msgpack", True, None,
        "f8f69c70000000000000000087d9ec09f2c2347a4b37d5330ccf50e3c31e69642801bef5",
        None,
    ),
    "aad_format_msgpack_sealed_arrow": (
        KEY_0, "cross-sdk-test", "test:arrow:uncompressed", "msgpack", False, "arrow",
        "0a0b0c0d0e0f10110000000066ee6349733c18b89159de7db35910d6b996bdb9150d5f1d",
        None,
    ),
    "aad_without_original_type_sealed_with": (
        KEY_0, "cross-sdk-test", "test:original-type:numpy", "msgpack", False, None,
        "0a0b0c0d0e0f101100000003657e765491f9790882c0543d98ab280c5951a1ed",
        None,
    ),
    "aad_with_original_type_sealed_without": (
        KEY_0, "cross-sdk-test", "test:vector:1", "msgpack", False, "msgpack",
        "f8f69c70000000000000000087d9ec09f2c2347a4b37d5330ccf50e3c31e69642801bef5",
        None,
    ),
    "aad_key_with_prefix_sealed_without": (
        KEY_0, "cross-sdk-test", "app:test:vector:1", "msgpack", False, None,
        "f8f69c70000000000000000087d9ec09f2c2347a4b37d5330ccf50e3c31e69642801bef5",
        None,
    ),
    "aad_compressed_false_sealed_true_five_components": (
        KEY_0, "cross-sdk-test", "test:standard:default", "msgpack", False, "msgpack",
        (
            "0a0b0c0d0e0f1011000000042ed1d29248afcf662d0cf30bf6bc9b4857c1228517788144c0720dff2ed5eef362bda2c356b0"
            "2d0da6b6653230e63aa5fd436a417d42142c1ce305bad39af86dbf0c88cb4b8f2d8f2c6f29"
        ),
        None,
    ),
    "aad_compressed_true_sealed_false_five_components": (
        KEY_0, "cross-sdk-test", "test:standard:integrity-off", "msgpack", True, "msgpack",
        (
            "0a0b0c0d0e0f101100000005275a8abbe4e2c89ffd42723b89608fe7132ba8aca55b350621e6792789e510f88f9a47783090"
            "d2fa823c07bf81984708"
        ),
        None,
    ),
    "aad_without_original_type_sealed_with_msgpack": (
        KEY_0, "cross-sdk-test", "test:standard:default", "msgpack", True, None,
        (
            "0a0b0c0d0e0f1011000000042ed1d29248afcf662d0cf30bf6bc9b4857c1228517788144c0720dff2ed5eef362bda2c356b0"
            "2d0da6b6653230e63aa5fd436a417d42142c1ce305bad39af86dbf0c88cb4b8f2d8f2c6f29"
        ),
        None,
    ),
    "aad_format_arrow_sealed_msgpack": (
        KEY_0, "cross-sdk-test", "test:standard:default", "arrow", True, "msgpack",
        (
            "0a0b0c0d0e0f1011000000042ed1d29248afcf662d0cf30bf6bc9b4857c1228517788144c0720dff2ed5eef362bda2c356b0"
            "2d0da6b6653230e63aa5fd436a417d42142c1ce305bad39af86dbf0c88cb4b8f2d8f2c6f29"
        ),
        None,
    ),
}


@pytest.mark.parametrize("master, tenant, fingerprint", FINGERPRINTS)
def test_the_fingerprint_names_the_key(probe, master, tenant, fingerprint):
    assert ask(probe, "h", master, None, None, tenant, fingerprint)["number"] == 0
    assert opener(master, tenant).encryption_key_fingerprint == fingerprint


def opener(master: str, tenant: str) -> EncryptionWrapper:
    return EncryptionWrapper(master_key=bytes.fromhex(master), tenant_id=tenant, _master_key_from_hex=True)


def opened_by_cachekit(name: str) -> bytes | None:
    master, tenant, key, format, compressed, original_type, sealed, _ = SEALS[name]
    metadata = SerializationMetadata.from_dict({"format": format, "compressed": compressed, "original_type": original_type})
    w = opener(master, tenant)
    try:
        return bytes(w.encryptor.decrypt_with_keys(bytes.fromhex(sealed), w._create_aad(metadata, key), w.tenant_keys))
    except Exception:
        return None


@pytest.mark.parametrize("name", SEALS)
def test_a_seal_opens_to_what_was_sealed(probe, name):
    master, tenant, key, format, compressed, original_type, sealed, plaintext = SEALS[name]
    answer = unseal(probe, bytes.fromhex(sealed), (master,), 0, tenant, key, format, compressed, original_type)
    assert (answer["opened"], answer["plaintext"]) == ((0, plaintext) if plaintext else (errno.EBADMSG, None))
    assert opened_by_cachekit(name) == (bytes.fromhex(plaintext) if plaintext else None)
