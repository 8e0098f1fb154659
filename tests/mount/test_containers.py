"""doc/containers.md: what it shows is in order, and mounts propagate between containers as it says."""

import os
import re
import signal
import subprocess

import pytest
import yaml

from commands import command, until  # noqa: F401 - a fixture
from test_docs import ROOT, option_name, options_of_help

pytestmark = pytest.mark.file_only

PAGE = (ROOT / "doc" / "containers.md").read_text()
DOCUMENTS = [document for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) for document in yaml.safe_load_all(block)]
POD = next(document for document in DOCUMENTS if document.get("kind") == "Pod")["spec"]
SIDECAR, APPLICATION = POD["initContainers"][0], POD["containers"][0]


def test_each_container_has_limits_and_mounts_what_there_is():
    volumes = {volume["name"] for volume in POD["volumes"]}
    for container in (SIDECAR, APPLICATION):
        assert {"cpu", "memory"} <= container["resources"]["limits"].keys()
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes


def test_mounts_go_from_the_sidecar_to_the_application():
    propagation = [next(mount for mount in container["volumeMounts"] if mount["name"] == "mounts")["mountPropagation"] for container in (SIDECAR, APPLICATION)]
    assert propagation == ["Bidirectional", "HostToContainer"]
    assert SIDECAR["restartPolicy"] == "Always" and SIDECAR["securityContext"]["privileged"]


def test_secrets_are_files_that_the_secret_has():
    secret = next(document for document in DOCUMENTS if document.get("kind") == "Secret")
    volume = next(volume for volume in POD["volumes"] if volume["name"] == "secrets")["secret"]
    assert (volume["secretName"], volume["defaultMode"]) == (secret["metadata"]["name"], 0o400)
    assert set(re.findall(r"/secrets/([\w-]+)", " ".join(SIDECAR["args"]))) == secret["stringData"].keys()


def test_the_options_are_those_of_ckfs(ckfs):
    lists = [SIDECAR["args"][i + 1] for i, word in enumerate(SIDECAR["args"]) if word == "-o"]
    lists += re.findall(r" -o (\S+)", PAGE)
    assert {option_name(option) for options in lists for option in options.split(",")} - {"allow_other", "PROPAGATION"} <= options_of_help(ckfs)


# A node and two containers: namespaces of mounts, and a volume of the node that each has at a place of its own.
NODE = """
    mkdir node side app
    mount -t tmpfs node node
    mount --make-shared node
    mkdir -p node/volume/mnt
    echo; exec cat"""
PLACE = 'mount --bind node/volume "$1"; mount --make-"$2" "$1"; echo; exec cat'


class Node:
    def __init__(self, command):
        self.command = command
        self.namespaces: list[subprocess.Popen] = []
        self.enter = self.started(["unshare", "-m", "--propagation", "private", "sh", "-euc", NODE])

    def started(self, args: list[str]) -> list[str]:
        """Keeps a namespace, until close(). Returns what to put before a command in it."""
        namespace = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=self.command.tmp)
        self.namespaces.append(namespace)
        assert namespace.stdout.readline() == b"\n"
        return ["nsenter", f"--mount=/proc/{namespace.pid}/ns/mnt", f"--wdns={self.command.tmp}"]

    def container(self, place: str, propagation: str) -> list[str]:
        return self.started([*self.enter, "unshare", "-m", "--propagation", "unchanged", "sh", "-euc", PLACE, "sh", place, propagation])

    def close(self) -> None:
        for namespace in reversed(self.namespaces):
            namespace.communicate()


@pytest.fixture
def node(command):
    made = Node(command)
    yield made
    made.close()


def test_what_a_sidecar_mounts_is_seen_by_others_also_after_it_was_killed(command, node):
    side, app = node.container("side", "rshared"), node.container("app", "rslave")
    shown = lambda: command("cat", "app/mnt/key", program=app).stdout  # noqa: E731
    for end in (signal.SIGKILL, signal.SIGTERM):
        sidecar = subprocess.Popen([*side, command.ckfs, "-f", command.source, "side/mnt"], cwd=command.tmp, stderr=subprocess.PIPE)
        try:
            assert until(lambda: shown() == "value", 30), sidecar.stderr.peek()
        finally:
            os.kill(sidecar.pid, end)
            sidecar.wait(30)
            sidecar.stderr.close()
    assert until(lambda: command("mountpoint", "-q", "app/mnt", program=app).returncode != 0, 30)
