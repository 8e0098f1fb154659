"""Frames of both kinds, what is sealed in them and with which keys, and the header of an entry of the file cache."""

import base64
import json
import struct

from cachekit.serializers.wrapper import SerializationWrapper

from seeds.common import frame, payloads, write

SEALED = {
    "format": "msgpack",
    "encoding": "utf-8",
    "compressed": True,
    "original_type": "msgpack",
    "encrypted": True,
    "tenant_id": "acme",
    "encryption_algorithm": "AES-256-GCM",
    "key_fingerprint": "00112233445566778899aabbccddeeff",
}


def frames() -> None:
    for name, (serializer, metadata, payload) in payloads().items():
        write("fuzz_frame", name, SerializationWrapper.wrap(payload[:160], metadata, serializer))
    aligned = SerializationWrapper.wrap_prefix({"format": "arrow"}, "ArrowSerializer", align=64, offset=22)
    cases = {
        "empty": b"",
        "one-byte": b"C",
        "magic-only": b"CK",
        "cut-short": b"CK\x03\x00\x00\x00",
        "header-empty": frame(b""),
        "header-past-end": frame({"s": "a"}, b"", length=0xFFFFFFFF),
        "header-too-long-by-one": frame({"s": "a"}, b"", length=11),
        "version-1": frame({"s": "a"}, version=1),
        "foreign": b"a lock",
        "foreign-object": b'{"a": 1}',
        "aligned": aligned + b"ARROW1",
        "sealed": SerializationWrapper.wrap(bytes(range(44)), SEALED, "default"),
        "no-serializer": frame({"m": {}}),
        "serializer-empty": frame({"s": ""}),
        "serializer-number": frame({"s": 3}),
        "serializer-nul": frame(b'{"s": "a\\u0000b"}'),
        "serializer-4097": frame({"s": "x" * 4097}),
        "serializer-twice": frame(b'{"s": 1, "m": {"format": "arrow"}, "\\u0073": "auto", "m": {"format": "orjson"}}'),
        "metadata-list": frame({"s": "a", "m": [1, {"format": "arrow"}]}),
        "metadata-null": frame({"s": "a", "m": None}),
        "metadata-wrong-types": frame({"s": "a", "m": {"format": 1, "compressed": "yes", "encrypted": None}}),
        "metadata-nested": frame({"s": "a", "m": {"m": {"format": "arrow"}, "format": ["arrow"]}}),
        "header-array": frame(b'["s", "a"]'),
        "header-text-behind": frame(b'{"s": "a"} x'),
        "header-nan": frame(b'{"s": "a", "x": [NaN, -Infinity]}'),
        "header-lone-surrogate": frame(b'{"s": "\\ud800", "m": {"format": "\\udc00\\ud83d\\ude00"}}'),
        "header-mark": frame(b'\xef\xbb\xbf{"s": "a"}'),
        "header-not-utf8": frame(b'{"s": "a\xff"}'),
        "header-surrogate-in-utf8": frame(b'{"s": "a\xed\xa0\x80"}'),
        "header-utf16": frame('{"s": "a"}'.encode("utf-16")),
        "header-1-level-too-deep": frame(b'{"s": "a", "x": ' + b"[" * 993 + b"]" * 993 + b"}"),
        "header-just-not-too-deep": frame(b'{"s": "a", "x": ' + b"[" * 992 + b"]" * 992 + b"}"),
        "header-integer-4300": frame(b'{"s": "a", "x": ' + b"9" * 4300 + b"}"),
        "header-integer-4301": frame(b'{"s": "a", "x": ' + b"9" * 4301 + b"}"),
        "header-over-first-read": frame({"s": "a", "m": {"x": "y" * 700, "format": "arrow"}}),
    }
    for name, content in cases.items():
        write("fuzz_frame", name, content)


def legacy(**members) -> bytes:
    return json.dumps({"data": "cGF5bG9hZA==", "serializer": "default", "metadata": {"format": "msgpack"}} | members).encode()


def legacies() -> None:
    for name, (serializer, metadata, payload) in payloads().items():
        if name.endswith("-unchecked"):
            continue
        data = base64.b64encode(payload[:160]).decode()
        write("fuzz_legacy", name, legacy(data=data, serializer=serializer, metadata=metadata))
    cases = {
        "empty": b"",
        "brace": b"{",
        "object-empty": b"{}",
        "foreign": b"foreign",
        "foreign-object": b'{"data": 1, "other": [1, 2]}',
        "data-empty": legacy(data=""),
        "data-skipped-characters": legacy(data="cG F5\nbG!9h*ZA=="),
        "data-cut-short": legacy(data="cGF5bG9hZA="),
        "data-one-digit": legacy(data="c"),
        "data-pad-first": legacy(data="=cGF5"),
        "data-pad-in-the-middle": legacy(data="cGF5bG9hZA==cGF5"),
        "data-pads-parted": legacy(data="cA=x=="),
        "data-not-ascii": legacy(data="cGF5ü"),
        "data-not-ascii-behind-pads": legacy(data="cA==ü"),
        "data-escaped": b'{"data": "cGF5\\u0062G9hZA=\\u003d\\/", "serializer": "a"}',
        "data-twice": b'{"data": "AAAA", "serializer": "a", "d\\u0061ta": "cGF5"}',
        "data-then-number": b'{"data": "AAAA", "serializer": "a", "data": 1}',
        "data-bad-then-good": b'{"data": "A", "serializer": "a", "data": "cGF5"}',
        "data-in-metadata": b'{"metadata": {"data": "AAAA"}, "serializer": "a"}',
        "serializer-missing": b'{"data": "AAAA"}',
        "serializer-null": legacy(serializer=None),
        "metadata-missing": b'{"data": "AAAA", "serializer": "a"}',
        "metadata-text": legacy(metadata="none"),
        "space-behind": legacy() + b" \n",
        "text-behind": legacy() + b"{}",
        "space-before": b" " + legacy(),
        "white-space-around": b"\r\n\t " + legacy() + b"\t\r\n ",
        "white-space-of-many-reads": b" \n" * 400 + legacy(),
        "byte-order-mark": b"\xef\xbb\xbf" + legacy(),
        "1-level-too-deep": b'{"data": "QQ==", "serializer": "a", "x": ' + b"[" * 994 + b"]" * 994 + b"}",
        "integer-4301": b'{"data": "QQ==", "serializer": "a", "x": ' + b"9" * 4301 + b"}",
        "not-utf8": legacy()[:-1] + b', "x": "\xc0\xaf"}',
    }
    for name, content in cases.items():
        write("fuzz_legacy", name, content)


def keyrings() -> None:
    a, b, c, d, e = (bytes(range(i, i + 32)).hex() for i in (0x10, 0x40, 0x70, 0x90, 0xC0))
    uuid = "0f0e0d0c-0b0a-4908-8706-05040302010f"
    cases = {
        "empty": (),
        "one": (a,),
        "long": (a + b + "00",),
        "short": (a[:62],),
        "odd": (a + "0",),
        "no-hex": (a + "g",),
        "no-hex-but-digits-around": ("x" + a,),
        "upper-spaced": (" ".join(a.upper()[i : i + 2] for i in range(0, 64, 2)) + "\n",),
        "split-in-a-byte": (a[:63] + " " + a[63:],),
        "all": (a, f"{b},{c},{d}", uuid),
        "blanks": (a, f" ,{b}\u2003,, \u3000,{c}\x85,\x1f", ""),
        "four": (a, f"{b},{c},{d},{e}"),
        "equal": (a, f"{b},{b}"),
        "current-among-previous": (a, f"{b},{a.upper()}"),
        "current-longer": (a + a, a),
        "previous-short": (a, f"{b},{c[:62]}"),
        "previous-json": (a, f'["{b}"]'),
        "previous-alone": ("", f"{a},{b}"),
        "uuid-urn": (a, "", f"urn:uuid:{{{uuid.upper()}}}"),
        "uuid-braces": (a, "", f"{{{{}}{uuid.replace('-', '')}}}"),
        "uuid-a-key": (a, "", b),
        "uuid-long": (a, "", "-" * 300 + uuid),
        "uuid-short": ("", "", uuid[:-1]),
    }
    for name, texts in cases.items():
        write("fuzz_keyring", name, "\0".join(texts).encode())


def seals() -> None:
    def case(flags, position, key, tenant, format, original_type, plaintext):
        texts = b"".join(bytes((len(text),)) + text for text in (key, tenant, format, original_type))
        return struct.pack(">BH", flags, position) + texts + plaintext

    cases = {
        "empty": b"",
        "nothing": case(0, 0, b"k", b"default", b"msgpack", b"", b""),
        "default": case(3, 77, b"users:func:f:args:0:1s", b"acme", b"msgpack", b"msgpack", payloads()["default-document"][2]),
        "orjson": case(2, 1234, b"key", b"acme", b"orjson", b"orjson", payloads()["orjson-document"][2]),
        "interop": case(4, 2, b"shop:price:" + b"0" * 64, b"default", b"msgpack", b"", b"\x91\x01"),
        "long-names": case(1, 65535, b"k" * 255, b"t" * 255, b"f" * 255, b"o" * 255, bytes(33)),
        "block": case(1, 9, b"key", b"t", b"arrow", b"arrow", bytes(range(16))),
        "eight-blocks-and-one": case(3, 300, b"key", b"other", b"other", b"numpy", bytes(range(129))),
    }
    for name, content in cases.items():
        write("fuzz_seal", name, content)


def entry_headers() -> None:
    good = b"CK\x01\x00" + struct.pack(">HQ", 0, 1_900_000_000)
    cases = {
        "empty": b"",
        "never": b"CK\x01\x00" + bytes(10),
        "expires": good,
        "with-frame": good + b"CK\x03",
        "expires-after-time-ends": b"CK\x01\x00" + struct.pack(">HQ", 0, 2**64 - 1),
        "short": good[:13],
        "magic": b"ck" + good[2:],
        "version": b"CK\x02" + good[3:],
        "frame-version": b"CK\x03" + good[3:],
        "reserved": b"CK\x01\x01" + good[4:],
        "flags-high": good[:4] + b"\x01" + good[5:],
        "flags-low": good[:5] + b"\x01" + good[6:],
    }
    for name, content in cases.items():
        write("fuzz_entry_header", name, content)
