"""§3: names of entries, and the keys they stand for."""

import contextlib
import hashlib
import os
import socket
import subprocess

import pytest

from caches import FileCache
from commands import REFUSED, command, complaint, nobody  # noqa: F401 - fixtures
from helpers import EXTENSION, FORMATS, escaped, failure, listing, lookup_failure, metadata, name_of, prefixed, read, v3
from mounts import Mount, home, mounted
from stores import empty_redis
from waiting import PATIENCE

ROOT_NAMES = [".", "..", ".ckfs", *FORMATS]
KEYS = {
    "a slash": ("a/b", "a%2Fb"),
    "a percent sign": ("100%", "100%25"),
    "what looks like an escape": ("a%2Fb", "a%252Fb"),
    "a newline": ("a\nb", "a%0Ab"),
    "a NUL": ("a\0b", "a%00b"),
    "all control bytes": ("".join(map(chr, range(32))) + "\x7f", "".join(f"%{i:02X}" for i in range(32)) + "%7F"),
    "a dot": (".", "%2E"),
    "two dots": ("..", "%2E."),
    "the private directory": (".ckfs", "%2Eckfs"),
    **{f"the directory {name}": (name, f"%{ord(name[0]):02X}{name[1:]}") for name in FORMATS},
    "the beginning of a directory's name": ("ra", "ra"),
    "more than a directory's name": ("rawx", "rawx"),
    "a directory's name before a colon": ("arrow:1", "arrow:1"),
    "a directory's name before a slash": ("raw/x", "raw%2Fx"),
    "a directory's name in capitals": ("RAW", "RAW"),
    "a directory's name and an extension": ("meta.json", "meta.json"),
    "three dots": ("...", "..."),
    "a hidden name": (".hidden", ".hidden"),
    "a path upwards": ("../../etc/passwd", "..%2F..%2Fetc%2Fpasswd"),
    "a temporary file's name": ("x.tmp.1.2", "x.tmp.1.2"),
    "spaces": (" a  b ", " a  b "),
    "quotes and signs": ("a'\"\\$`*?[]{}<>|&;#~!", "a'\"\\$`*?[]{}<>|&;#~!"),
    "a dash": ("-rf", "-rf"),
    "a tilde after a percent sign": ("a%~b", "a%25~b"),
    "Cyrillic": ("ключ", "ключ"),
    "emoji": ("🦀:1", "🦀:1"),
    "a composed letter": ("caf\u00e9", "caf\u00e9"),
    "a decomposed letter": ("cafe\u0301", "cafe\u0301"),
    "a C1 control character": ("a\u0085b", "a\u0085b"),
    "a decorator's key": ("ns:users:func:app.load:args:" + "0f" * 32 + ":1s", "ns:users:func:app.load:args:" + "0f" * 32 + ":1s"),
}


def orjson_entry(cache, key: str, document: bytes = b'{"a":1}') -> None:
    cache.set(key, v3(prefixed(document), metadata("orjson"), "orjson"))


def shown(names: set[str]) -> set[str]:
    """A root listing without the format directories."""
    return names - set(FORMATS)


def short(key: bytes, cut: int = 206) -> str:
    """The long-name form, cut at a given byte of the escaped key."""
    return os.fsdecode(escaped(key)[:cut]) + "%~" + hashlib.blake2b(key, digest_size=16).hexdigest()


# Escapes


@pytest.fixture(scope="module")
def stored(shared_cache):
    """A cache of all KEYS, each with a value of its own."""
    for case, (key, _) in KEYS.items():
        shared_cache.set(key, case.encode())
    return shared_cache


@contextlib.contextmanager
def beside(ckfs: str, cache, name: str, *options: str):
    m = Mount(ckfs, cache.source, cache.home / name, options, {})
    try:
        yield m
    finally:
        m.unmount()


@pytest.fixture(scope="module")
def named(ckfs, stored):
    with beside(ckfs, stored, "named") as m:
        yield m


@pytest.fixture(scope="module")
def learning(ckfs, stored):
    """Its names are opened in raw/ alone."""
    with beside(ckfs, stored, "learning") as m:
        yield m


@pytest.fixture(scope="module")
def told(ckfs, stored):
    """Mounted by someone who tells all keys; nobody opens them."""
    (stored.home / "keys").write_bytes(b"".join(escaped(key) + b"\n" for key, _ in KEYS.values()))
    with beside(ckfs, stored, "told", f"keys={stored.home / 'keys'}") as m:
        yield m


@pytest.fixture(scope="module")
def mounted_once(request, ckfs, shared_cache):
    with home() as path:
        cache = FileCache(path / "cache") if shared_cache.KIND == "file" else empty_redis(request, 3, path)
        with mounted(ckfs, cache) as m:
            yield cache, m


@pytest.fixture
def alone(mounted_once):
    """An empty cache and its mount, for what lists nothing: a name that another test has taught is not seen."""
    yield mounted_once
    mounted_once[0].remove_all()


def names_of(cache, case: str, directory) -> set[str]:
    """The names by which a directory lists one of KEYS."""
    key, name = KEYS[case]
    return listing(directory) & {name, cache.listed(key)}


@pytest.mark.parametrize("case", KEYS)
def test_a_key_opens_by_its_escaped_name(named, case):
    assert read(named / KEYS[case][1]) == case.encode()


@pytest.mark.parametrize("case", KEYS)
def test_a_listing_shows_the_escaped_name_of_an_opened_key(stored, learning, case):
    read(learning / "raw" / KEYS[case][1])
    assert names_of(stored, case, learning / "raw") == {KEYS[case][1]}


def test_a_listing_shows_each_key_once(learning):
    for _, name in KEYS.values():
        read(learning / "raw" / name)
    assert listing(learning / "raw") == {name for _, name in KEYS.values()}


@pytest.mark.parametrize("case", KEYS)
def test_the_whole_key_is_an_extended_attribute(named, case):
    key, name = KEYS[case]
    assert os.getxattr(named / name, "user.ckfs.key") == key.encode()


def test_each_directory_of_the_root_is_a_name_that_is_escaped(cache, mnt):
    directories = listing(mnt)
    for name in directories:
        cache.set(name, b"value")
    assert [read(mnt / name_of(name)) for name in directories] == [b"value"] * len(directories)
    assert directories == set(FORMATS)


@pytest.mark.parametrize("key", ROOT_NAMES)
@pytest.mark.parametrize("view", ["raw", "json", "meta"])
def test_a_key_that_is_a_name_of_the_root_is_escaped_in_every_directory(alone, view, key):
    cache, mnt = alone
    orjson_entry(cache, key)
    assert failure(mnt / f"{view}/{name_of(key)}{EXTENSION.get(view, '')}") is None


@pytest.mark.parametrize(
    "key, name",
    [
        ("a/b", "a%2fb"),
        ("a\nb", "a%0ab"),
        ("a\nb", "a\nb"),
        ("a\x7fb", "a\x7fb"),
        ("100%", "100%"),
        ("a%2Fb", "a%2Fb"),
        ("rest", "%72est"),
        ("rest", "res%74"),
        ("a b", "a%20b"),
        ("ключ", "%D0%BAлюч"),
        ("raw", "%72%61w"),
        ("raw", "r%61w"),
        ("raw", "raw"),
        ("meta", "meta"),
        (".ckfs", ".ckfs"),
        ("..", "%2E%2E"),
        ("..", ".%2E"),
        (".ckfs", ".ckf%73"),
        (".hidden", "%2Ehidden"),
        ("rawx", "%72awx"),
        ("x%", "x%"),
        ("x%2", "x%2"),
        ("x%GG", "x%GG"),
        ("x%+1", "x%+1"),
        ("x", "x%00"),
    ],
)
def test_another_escaping_than_the_canonical_one_is_enoent(alone, key, name):
    cache, mnt = alone
    cache.set(key, b"value")
    assert lookup_failure(mnt / "raw" / name) == "ENOENT"


def test_two_keys_that_differ_in_unicode_normalisation_are_two_entries(cache, mnt):
    cache.set("caf\u00e9", b"composed")
    cache.set("cafe\u0301", b"decomposed")
    assert (read(mnt / "caf\u00e9"), read(mnt / "cafe\u0301")) == (b"composed", b"decomposed")


@pytest.mark.parametrize("key", [b"\xff", b"a\x80b", b"\xc3", b"\xed\xa0\x80", b"latin \xe9 1"])
def test_bytes_that_are_not_utf8_stay_as_they_are(cache, mnt, key):
    cache.write(key, b"value")
    name = os.fsdecode(key)
    assert (read(mnt / name), os.getxattr(mnt / name, "user.ckfs.key"), shown(listing(mnt))) == (b"value", key, {name})


@pytest.mark.parametrize("name", FORMATS)
def test_a_key_that_begins_with_a_directorys_name_leaves_the_directory_alone(cache, mnt, name):
    cache.set(name, b"value")
    read(mnt / name_of(name))
    assert os.path.isdir(mnt / name)


# Long names


@pytest.mark.parametrize("length", [239, 240])
def test_a_name_of_up_to_240_bytes_is_not_cut(cache, mnt, length):
    cache.set("k" * length, b"value")
    read(mnt / ("k" * length))
    assert shown(listing(mnt)) == {"k" * length}


@pytest.mark.parametrize("length", [241, 255, 256, 1000, 100_000])
def test_a_longer_name_is_cut_and_ends_in_the_hash_of_the_key(cache, mnt, length):
    cache.set("k" * length, b"value")
    assert read(mnt / short(b"k" * length)) == b"value"


@pytest.mark.parametrize("length", [241, 250, 255])
def test_a_name_of_241_to_255_bytes_also_opens_whole(cache, mnt, length):
    cache.set("k" * length, b"value")
    assert read(mnt / ("k" * length)) == b"value"


@pytest.mark.parametrize("length", [241, 255])
def test_a_key_that_was_opened_by_its_whole_long_name_is_listed_by_the_cut_one(cache, mnt, length):
    cache.set("k" * length, b"value")
    read(mnt / ("k" * length))
    assert shown(listing(mnt)) == {short(b"k" * length)}


@pytest.mark.parametrize("length", [241, 255])
def test_a_cut_name_carries_the_whole_key_once_it_is_known(cache, mnt, length):
    key = b"k" * length
    cache.set(key.decode(), b"value")
    read(mnt / key.decode())
    assert os.getxattr(mnt / short(key), "user.ckfs.key") == key


@pytest.mark.parametrize("length", [256, 300, 1100])
def test_a_name_over_255_bytes_does_not_open_whole(cache, mnt, length):
    cache.set("k" * length, b"value")
    assert lookup_failure(mnt / ("k" * length)) in ("ENOENT", "ENAMETOOLONG")


@pytest.mark.parametrize(
    "key, cut",
    [
        ("k" * 204 + "/" + "k" * 50, 204),
        ("k" * 205 + "/" + "k" * 50, 205),
        ("k" * 203 + "/" + "k" * 50, 206),
        ("k" * 206 + "/" + "k" * 50, 206),
        ("/" * 100, 204),
        ("k" + "%" * 100, 205),
        ("k" * 205 + "é" + "k" * 50, 205),
        ("k" * 204 + "é" + "k" * 50, 206),
        ("k" * 203 + "🦀" + "k" * 50, 203),
        ("k" * 205 + "🦀" + "k" * 50, 205),
        ("k" * 202 + "🦀" + "k" * 50, 206),
        ("é" * 150, 206),
        ("€" * 100, 204),
    ],
)
def test_a_long_name_is_cut_before_an_escape_or_character_that_would_not_fit(cache, mount, tmp, key, cut):
    cache.set(key, b"value")
    known = tmp / "keys"
    known.write_bytes(escaped(key) + b"\n")
    names = shown(listing(mount(cache, f"keys={known}")))
    assert names == {short(key.encode(), cut)}


@pytest.mark.parametrize("cut", [0, 10, 200])
def test_a_long_name_cut_elsewhere_is_enoent(cache, mnt, cut):
    cache.set("k" * 300, b"value")
    assert lookup_failure(mnt / short(b"k" * 300, cut)) == "ENOENT"


@pytest.mark.parametrize("digits", ["0" * 32, "f" * 31, "F" * 32])
def test_a_long_name_with_another_hash_is_enoent(cache, mnt, digits):
    cache.set("k" * 300, b"value")
    assert lookup_failure(mnt / ("k" * 206 + "%~" + digits)) == "ENOENT"


def test_the_hash_in_a_long_name_is_lower_case(cache, mnt):
    cache.set("k" * 300, b"value")
    name = short(b"k" * 300)
    assert lookup_failure(mnt / (name[:-32] + name[-32:].upper())) == "ENOENT"


@pytest.mark.parametrize("view", ["json", "meta"])
@pytest.mark.parametrize("length", [240, 241, 300])
def test_an_extension_fits_behind_a_long_name(cache, mnt, view, length):
    orjson_entry(cache, "k" * length)
    assert failure(mnt / f"{view}/{name_of('k' * length)}.json") is None


def test_a_whole_long_name_opens_in_a_view_without_its_extension(cache, mnt):
    orjson_entry(cache, "k" * 255)
    assert read(mnt / "json" / ("k" * 255)) == b'{"a":1}'


# Hashes


@pytest.mark.file_only
def test_an_entry_opens_by_its_hash(cache, mnt):
    cache.set("key", b"value")
    assert read(mnt / cache.hash("key")) == b"value"


@pytest.mark.file_only
@pytest.mark.parametrize("view", ["json", "meta"])
def test_a_view_opens_by_hash(cache, mnt, view):
    orjson_entry(cache, "key")
    assert failure(mnt / f"{view}/{cache.hash('key')}.json") is None


@pytest.mark.file_only
def test_a_name_of_32_hex_digits_is_a_hash_if_such_an_entry_exists(cache, mnt):
    cache.set("key", b"by hash")
    cache.set(cache.hash("key"), b"by key")
    assert read(mnt / cache.hash("key")) == b"by hash"


@pytest.mark.parametrize("key", ["0123456789abcdef" * 2, "0123456789ABCDEF" * 2])
def test_a_name_of_32_hex_digits_is_else_a_key(cache, mnt, key):
    cache.set(key, b"by key")
    assert read(mnt / key) == b"by key"


@pytest.mark.file_only
def test_a_hash_in_capitals_is_no_hash(cache, mnt):
    cache.set("key", b"value")
    assert lookup_failure(mnt / cache.hash("key").upper()) == "ENOENT"


@pytest.mark.file_only
def test_a_temporary_file_of_a_writer_has_no_name(cache, mnt):
    cache.set("key", b"value")
    name = f"{cache.hash('key')}.tmp.1.1"
    (cache.dir / name).write_bytes(cache.path("key").read_bytes())
    assert (lookup_failure(mnt / name), shown(listing(mnt))) == ("ENOENT", {cache.hash("key")})


@pytest.mark.file_only
def test_an_empty_key_opens_by_its_hash_alone(cache, mnt):
    cache.set("", b"value")
    assert (read(mnt / cache.hash("")), shown(listing(mnt))) == (b"value", {cache.hash("")})


# Names that were learnt


@pytest.mark.file_only
def test_a_listing_shows_the_hash_of_a_key_that_was_not_opened(cache, mnt):
    cache.set("key", b"value")
    assert shown(listing(mnt)) == {cache.hash("key")}


@pytest.mark.file_only
def test_a_stat_does_not_teach_a_name(cache, mnt):
    cache.set("key", b"value")
    os.stat(mnt / "key")
    assert shown(listing(mnt)) == {cache.hash("key")}


@pytest.mark.parametrize("directory", ["", "raw", "frame"])
def test_a_listing_shows_the_name_of_a_key_that_was_opened(cache, mnt, directory):
    cache.set("key", b"value")
    cache.set("other", b"value")
    read(mnt / "key")
    assert shown(listing(mnt / directory)) == {"key", cache.listed("other")}


@pytest.mark.parametrize("view", ["json", "meta"])
def test_a_view_is_listed_by_the_name_of_a_key_that_was_opened(cache, mnt, view):
    orjson_entry(cache, "key")
    read(mnt / "key")
    assert listing(mnt / view) == {"key.json"}


@pytest.mark.parametrize("name", ["raw/key", "frame/key", "json/key.json", "json/key", "meta/key.json"])
def test_opening_any_view_teaches_the_name(cache, mnt, name):
    orjson_entry(cache, "key")
    read(mnt / name)
    assert shown(listing(mnt)) == {"key"}


@pytest.mark.file_only
def test_an_entry_that_is_listed_by_name_still_opens_by_its_hash(cache, mnt):
    cache.set("key", b"value")
    read(mnt / "key")
    assert read(mnt / cache.hash("key")) == b"value"


def test_a_name_that_was_learnt_goes_with_its_entry(cache, mnt):
    cache.set("key", b"value")
    read(mnt / "key")
    cache.delete("key")
    assert shown(listing(mnt)) == set()


# -o keys=FILE


@pytest.mark.parametrize("case", KEYS)
def test_a_key_in_the_keys_file_is_listed_by_name(stored, told, case):
    assert names_of(stored, case, told) == {KEYS[case][1]}


def test_the_keys_file_names_all(told):
    assert shown(listing(told)) == {name for _, name in KEYS.values()}


@pytest.mark.file_only
def test_a_key_that_reads_like_the_hash_of_another_entry_does_not_take_its_name(cache, mount, tmp):
    cache.set("key", b"value")
    cache.set(cache.hash("key"), b"other")
    (tmp / "keys").write_text(cache.hash("key"))
    names = [name for name in os.listdir(mount(cache, f"keys={tmp / 'keys'}")) if name not in FORMATS]
    assert sorted(names) == sorted([cache.hash("key"), cache.hash(cache.hash("key"))])


@pytest.mark.parametrize("text", ["one\ntwo\nnobody", "one\n\ntwo\n", "two\none\none\n"], ids=["no last newline", "an empty line", "twice"])
def test_the_keys_file_holds_one_name_a_line(cache, mount, tmp, text):
    for key in ("one", "two", "three"):
        cache.set(key, b"value")
    (tmp / "keys").write_text(text)
    assert shown(listing(mount(cache, f"keys={tmp / 'keys'}"))) == {"one", "two", cache.listed("three")}


def test_the_keys_file_gives_long_keys_their_whole_attribute(cache, mount, tmp):
    key = "é/" * 500
    cache.set(key, b"value")
    (tmp / "keys").write_bytes(escaped(key) + b"\n")
    assert os.getxattr(mount(cache, f"keys={tmp / 'keys'}") / name_of(key), "user.ckfs.key") == key.encode()


def test_a_keys_file_of_many_keys_names_them_all(cache, mount, tmp):
    keys = {f"user:{i}" for i in range(2000)}
    cache.fill(keys, b"value")
    (tmp / "keys").write_text("\n".join(keys))
    assert shown(listing(mount(cache, f"keys={tmp / 'keys'}"))) == keys


READ_BY = {
    "process substitution": 'exec "$@" -o keys=<(printf "one\\ntwo\\n")',
    "standard input": 'printf "one\\ntwo\\n" | "$@" -o keys=/dev/stdin',
    "a file": 'printf "one\\ntwo" >lines; exec "$@" -o keys=/dev/stdin <lines',
    "a descriptor": 'printf "one\\ntwo\\n" | "$@" -o keys=/dev/fd/7 7<&0 0<&-',
    "the process's own": 'printf "one\\ntwo\\n" | "$@" -o keys=/proc/self/fd/0',
    "slow": 'exec "$@" -o keys=<(printf "on"; sleep 1; printf "e\\ntwo\\n")',
    "link": "printf 'one\\ntwo\\n' >lines; ln -s lines link; exec \"$@\" -o keys=link",
}


@pytest.mark.file_only
@pytest.mark.parametrize("case", READ_BY)
def test_keys_come_from_whatever_can_be_read(command, cache, case):
    for key in ("one", "two"):
        cache.set(key, b"value")
    result = command(command.source, command.point, program=["bash", "-c", READ_BY[case], "bash", command.ckfs])
    assert (result.returncode, result.stderr) == (0, "")
    assert shown(listing(command.point)) == {"one", "two", cache.listed("key")}


@pytest.mark.file_only
@pytest.mark.parametrize("blocking", [True, False])
def test_keys_come_from_a_socket(command, cache, blocking):
    """It cannot be opened again by its name; whoever made it may have it not block."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(blocking)
        process = subprocess.Popen([command.ckfs, "-o", "keys=/dev/stdin", command.source, command.point], stdin=theirs)
        ours.sendall(b"key\nother")
        ours.shutdown(socket.SHUT_WR)
        assert (process.wait(PATIENCE), shown(listing(command.point))) == (0, {"key"})


@pytest.mark.file_only
def test_another_users_pipe_brings_keys(command, nobody):  # noqa: F811
    """As `generate | sudo -u cache ckfs -o keys=/dev/stdin`."""
    script = 'chmod 600 /dev/stdin; exec "$@" -o keys=/dev/stdin'
    result = command(command.source, command.point, program=["sh", "-c", f"printf key | sh -c '{script}' sh \"$@\"", "sh", *nobody, command.ckfs])
    assert (result.returncode, result.stderr) == (0, "")
    assert "key" in command(command.point, program=[*nobody, "ls"]).stdout.split()


ENDLESS = {"no line": ("exec \"$@\" -o keys=/dev/zero", ["/dev/zero", "line 1"]), "lines": ("yes | \"$@\" -o keys=/dev/stdin", ["/dev/stdin", "million lines"])}


@pytest.mark.times
@pytest.mark.file_only
@pytest.mark.parametrize("case", ENDLESS)
def test_keys_without_an_end_are_told(command, case):
    script, words = ENDLESS[case]
    result = command(command.source, command.point, program=["sh", "-c", script, "sh", command.ckfs])
    assert complaint(result, "keys=", *words) == REFUSED


SHARED = ["keys=/dev/stdin,master_key_file=/dev/stdin", "password_file=/dev/fd/0,keys=/dev/stdin", "master_key_file=/proc/self/fd/3,password_file=/dev/fd/3"]


@pytest.mark.file_only
@pytest.mark.parametrize("options", SHARED)
def test_two_options_that_name_one_descriptor_are_refused(command, options):
    names = [option.partition("=")[0] + "=" for option in options.split(",")]
    assert complaint(command("-o", options, command.source, command.point), *names, "once") == REFUSED


@pytest.mark.file_only
@pytest.mark.parametrize("name", ["", ".", "nowhere", "/dev/fd/99"])
def test_keys_that_cannot_be_read_are_told(command, name):
    assert complaint(command("-o", f"keys={name}", command.source, command.point), "keys=") == REFUSED
