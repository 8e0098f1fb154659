"""§1, §6: what is wrong before the mount serves is one line on stderr, and exit status 1."""

import os
import shutil

import pytest

from commands import REFUSED, SELECTORS, command, complaint, mounted  # noqa: F401 - a fixture

# What is wrong is told before a cache is opened.
pytestmark = pytest.mark.file_only

# Errors: exit 1 and one line that names the problem

WRONG = {
    "no such directory": (["{tmp}/nowhere", "{point}"], ["{tmp}/nowhere", "No such"]),
    "no such directory in a URL": (["file://{tmp}/no%20where", "{point}"], ["{tmp}/no where", "No such"]),
    "source is a file": (["{tmp}/file", "{point}"], ["{tmp}/file", "Not a directory"]),
    "mountpoint is missing": (["{source}", "{tmp}/nowhere"], ["{tmp}/nowhere", "No such"]),
    "mountpoint is a file": (["{source}", "{tmp}/file"], ["{tmp}/file", "Not a directory"]),
    "unknown option": (["-o", "nonsense=1", "{source}", "{point}"], ["option", "nonsense"]),
    "unknown flag": (["--nonsense", "{source}", "{point}"], ["--nonsense"]),
    "unknown letter": (["-Z", "{source}", "{point}"], ["Z"]),
    "option without its value": (["{source}", "{point}", "-o"], []),
    "no operand": ([], ["MOUNTPOINT"]),
    "three operands": (["{source}", "{point}", "{tmp}/third"], ["{tmp}/third"]),
    "unknown scheme": (["ftp://host/dir", "{point}"], ["ftp"]),
    "Redis that is not there": (["redis://localhost:1", "{point}"], ["localhost", "refused"]),
    "Redis with TLS, or without it in this build": (["rediss://localhost:1", "{point}"], []),
    "Redis Cluster with TLS, or without it in this build": (["rediss-cluster://localhost:1", "{point}"], []),
    "sentinels with TLS, or without it in this build": (["rediss-sentinel://localhost:1/main", "{point}"], []),
    "Redis by a socket that is not there": (["unix://{tmp}/no.sock?db=0", "{point}"], ["{tmp}/no.sock", "No such"]),
    "Redis by no socket": (["unix://", "{point}"], ["path"]),
    "Redis with a port that is none": (["redis://localhost:99999", "{point}"], ["port"]),
    "Redis with a database that is none": (["redis://localhost?db=x", "{point}"], ["db="]),
    "Redis on an unknown host": (["redis://no-such-host.invalid", "{point}"], ["no-such-host.invalid"]),
    "timeout is zero": (["-o", "timeout=0", "{source}", "{point}"], ["timeout"]),
    "password file is missing": (["-o", "password_file={tmp}/no.pw", "redis://localhost:1", "{point}"], ["{tmp}/no.pw", "No such"]),
    "a file cache has no prefix": (["-o", "prefix=a", "{source}", "{point}"], ["prefix"]),
    "Redis Cluster that is not there": (["redis-cluster://localhost:1,127.0.0.1:1", "{point}"], ["127.0.0.1 port 1", "refused"]),
    "Redis Cluster with a database": (["redis-cluster://localhost:1/2", "{point}"], ["database 0"]),
    "Redis Cluster with a comma too many": (["redis-cluster://localhost:1,,localhost:2", "{point}"], ["comma"]),
    "sentinels that are not there": (["redis-sentinel://localhost:1/main", "{point}"], ["localhost port 1", "refused"]),
    "sentinels without a service": (["redis-sentinel://localhost:1", "{point}"], ["/SERVICE"]),
    "a service that has blanks": (["redis-sentinel://localhost:1/a%20b", "{point}"], ["service"]),
    "read_from is another word": (["-o", "read_from=any", "redis-cluster://localhost:1", "{point}"], ["read_from"]),
    "a file cache has no replicas": (["-o", "read_from=replica", "{source}", "{point}"], ["read_from"]),
    "a single server has no replicas": (["-o", "read_from=replica", "redis://localhost:1", "{point}"], ["read_from", "redis-cluster://"]),
    "Memcached that is not there": (["memcached://localhost:1,127.0.0.1:1", "{point}"], ["localhost port 1", "refused"]),
    "Memcached with a database": (["memcached://localhost/0", "{point}"], ["nothing may follow"]),
    "Memcached with a comma too many": (["memcached://a,,b", "{point}"], ["comma"]),
    "a service without a token": (["https://localhost:1", "{point}"], ["no token", "CACHEKIT_API_KEY", "token_file="]),
    "file URL of another host": (["file://host/dir", "{point}"], ["file://host/dir"]),
    "file URL with a broken escape": (["file:///a%G0", "{point}"], ["file:///a", "%"]),
    "file URL with a NUL": (["file:///a%00b", "{point}"], ["file:///a", "%"]),
    "umask is no number": (["-o", "umask=8", "{source}", "{point}"], ["umask"]),
    "umask is out of range": (["-o", "umask=1000", "{source}", "{point}"], ["umask"]),
    "uid is no number": (["-o", "uid=-1", "{source}", "{point}"], ["uid"]),
    "gid is no number": (["-o", "gid=12x", "{source}", "{point}"], ["gid"]),
    "bare is another word": (["-o", "bare=json", "{source}", "{point}"], ["bare", "msgpack"]),
    "bare_tenant is empty": (["-o", "bare_tenant=", "{source}", "{point}"], ["bare_tenant"]),
    "bare_tenant is longer than any": (["-o", "bare_tenant=" + "x" * 1025, "{source}", "{point}"], ["bare_tenant"]),
    "verify is another word": (["-o", "verify=always", "{source}", "{point}"], ["verify"]),
    "keys file is missing": (["-o", "keys={tmp}/nokeys", "{source}", "{point}"], ["{tmp}/nokeys", "No such"]),
    "listed_ttl is no number": (["-o", "listed_ttl=soon", "{source}", "{point}"], ["listed_ttl"]),
    "cache_size is no size": (["-o", "cache_size=big", "{source}", "{point}"], ["cache_size"]),
    "max_threads is zero": (["-o", "max_threads=0", "{source}", "{point}"], ["max_threads"]),
    "log is another word": (["-o", "log=file", "{source}", "{point}"], ["log"]),
    "spool_dir is missing": (["-o", "spool_dir={tmp}/nospool", "{source}", "{point}"], ["{tmp}/nospool", "No such"]),
    "empty source": (["", "{point}"], []),
}


def refusal(command, case: str, *flags) -> tuple:
    (command.tmp / "file").write_text("x")
    (command.tmp / "third").mkdir()
    names = {"tmp": command.tmp, "source": command.source, "point": command.point}
    args, words = WRONG[case]
    return complaint(command(*flags, *(a.format(**names) for a in args)), *(w.format(**names) for w in words))


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_call_exits_with_1_and_one_line_that_names_the_problem(command, case):
    assert refusal(command, case) == REFUSED


@pytest.mark.parametrize("case", WRONG)
def test_so_it_does_in_the_foreground(command, case):
    assert refusal(command, case, "-f") == REFUSED


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_call_leaves_no_mount_and_no_process(command, case):
    refusal(command, case)
    assert (mounted(command.point), command.daemons()) == (None, [])


def test_a_mountpoint_inside_which_the_cache_lies_is_refused(command):
    assert complaint(command("cache", command.tmp), str(command.tmp)) == REFUSED


def test_where_there_is_no_device_the_commands_are_named_that_need_none(command):
    """As in a container."""
    away = ["unshare", "--mount", *([] if os.getuid() == 0 else ["--map-root-user"]), "sh", "-c", 'mount -t tmpfs none /dev && exec "$@"', "sh", command.ckfs]
    assert complaint(command(command.source, command.point, program=away), "/dev/fuse", "ckfs ls, cat, stat") == REFUSED


@pytest.mark.parametrize("one, other", [(a, b) for a in SELECTORS for b in SELECTORS if a < b])
def test_two_sources_in_the_environment_are_named(command, one, other):
    result = command(command.point, env={one: SELECTORS[one], other: SELECTORS[other]})
    assert complaint(result, one, other) == REFUSED


@pytest.mark.parametrize("name", ["CACHEKIT_REDIS_URL", "REDIS_URL"])
def test_a_server_in_the_environment_that_is_not_there_is_named(command, name):
    assert complaint(command(command.point, env={name: "redis://localhost:1"}), "localhost", "refused") == REFUSED


@pytest.mark.parametrize("value", ["localhost:11211", "[]", "[1]", '["localhost"]'])
def test_servers_in_the_environment_that_are_no_list_are_refused(command, value):
    assert complaint(command(command.point, env={"CACHEKIT_MEMCACHED_SERVERS": value}), "CACHEKIT_MEMCACHED_SERVERS") == REFUSED


@pytest.mark.parametrize("value", ["localhost", "file:///tmp", "/tmp", "http://localhost"])
def test_a_server_in_the_environment_that_is_no_url_is_refused(command, value):
    assert complaint(command(command.point, env={"REDIS_URL": value}), "REDIS_URL", "redis://") == REFUSED


@pytest.mark.parametrize("name", ["CACHEKIT_API_KEY", "CACHEKIT_REDIS_URL"])
def test_a_secret_in_the_environment_is_not_printed(command, name):
    result = command(command.point, env={name: SELECTORS[name], "CACHEKIT_API_URL": "https://localhost:1"})
    assert (result.returncode, "secret" in result.stderr) == (1, False)


def test_a_secret_in_a_url_is_not_printed(command):
    assert "s3cr3t" not in command("redis://user:s3cr3t@localhost/0", command.point).stderr


def test_without_a_source_the_missing_default_directory_is_named(command):
    result = command(command.point, env={"TMPDIR": str(command.tmp)})
    assert complaint(result, f"{command.tmp}/cachekit") == REFUSED


def test_a_default_directory_of_another_user_is_refused(command):
    shutil.move(command.source, command.tmp / "cachekit")
    os.chown(command.tmp / "cachekit", 1234, 1234)
    assert complaint(command(command.point, env={"TMPDIR": str(command.tmp)}), f"{command.tmp}/cachekit") == REFUSED


def test_a_default_directory_that_is_a_symlink_is_refused(command):
    (command.tmp / "cachekit").symlink_to(command.source)
    assert complaint(command(command.point, env={"TMPDIR": str(command.tmp)}), f"{command.tmp}/cachekit") == REFUSED
