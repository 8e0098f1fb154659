"""The documents say what the program does: the manual against --help, the README's commands against a mount."""

import fnmatch
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def option_name(text: str) -> str:
    """`-o match=GLOB` is `match=`, `-f` is `-f`."""
    text = text.removeprefix("-o ").strip()
    return text.split("=")[0] + "=" if "=" in text else text


def options_of_help(ckfs: str) -> set[str]:
    text = subprocess.run([ckfs, "--help"], capture_output=True, text=True, check=True).stdout
    rows = re.findall(r"^    (-.*?)(?:  |$)", text, re.MULTILINE)
    return {option_name(option) for row in rows for option in row.split(", ")} - {"OPTION[,...]"}


def options_of_manual() -> set[str]:
    text = (ROOT / "doc" / "ckfs.1").read_text().replace("\\-", "-")
    section = text[text.index(".SH OPTIONS") : text.index(".SH VIEWS")]
    tags = re.findall(r"^\.TP\n\.[BIR]+ (.*)", section, re.MULTILINE)
    tags = [re.sub(r'"', "", tag) for tag in tags]
    return {option_name(option) for tag in tags for option in re.split(r" *, +(?=-)", tag)} - {"OPTION[,...]"}


def test_the_manual_and_help_name_the_same_options(ckfs):
    assert options_of_manual() == options_of_help(ckfs)


def schemes(text: str) -> set[str]:
    return set(re.findall(r"\b((?:file|unix|rediss?)(?:-[a-z]+)?)://", text))


def test_the_manual_the_readme_and_help_name_the_same_sources(ckfs):
    help_text = subprocess.run([ckfs, "--help"], capture_output=True, text=True, check=True).stdout
    manual, readme = (ROOT / "doc" / "ckfs.1").read_text(), (ROOT / "README.md").read_text()
    code = (ROOT / "backend" / "redis.c").read_text()
    known = {"file", *re.findall(r'"([a-z-]+)"', code[code.index(".schemes = ") : code.index("NULL}")])}
    assert schemes(help_text) == known
    assert schemes(manual[manual.index(".SS SOURCE") : manual.index(".SH OPTIONS")]) == known
    assert schemes(readme[readme.index("## Sources") : readme.index("## How it works")]) == known


def test_the_manual_formats_without_warnings():
    run = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", str(ROOT / "doc" / "ckfs.1")],
        capture_output=True,
        text=True,
        env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin", "MANROFFSEQ": "", "MANWIDTH": "80"},
    )
    assert run.returncode == 0 and run.stderr == ""


def console_blocks(text: str) -> list[tuple[str, str]]:
    """(command, expected output) of the README's tour."""
    tour = text[text.index("## A tour") : text.index("## Views")]
    pairs = []
    for block in re.findall(r"```console\n(.*?)```", tour, re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            while command.endswith("\\"):
                more, _, output = output.partition("\n")
                command = command[:-1] + more
            pairs.append((command, output))
    return pairs


def matches(expected: str, got: str) -> bool:
    """Line by line; `...` stands for whatever differs from run to run."""

    def pattern(line):
        return re.sub(r"([\[\]?*])", r"[\1]", line.rstrip()).replace("...", "*")

    a, b = expected.rstrip().splitlines(), got.rstrip().splitlines()
    return len(a) == len(b) and all(fnmatch.fnmatchcase(y.rstrip(), pattern(x)) for x, y in zip(a, b))


def test_the_commands_of_the_readme_print_what_it_shows(ckfs, tmp):
    subprocess.run([sys.executable, str(ROOT / "tests/tour/fill.py"), str(tmp / "cache")], check=True)
    (tmp / "mnt").mkdir()
    bin_dir = tmp / "bin"
    bin_dir.mkdir()
    (bin_dir / "ckfs").symlink_to(ckfs)
    (bin_dir / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (bin_dir / "python").chmod(0o755)
    blocks = console_blocks((ROOT / "README.md").read_text())
    assert len(blocks) > 8
    try:
        for command, expected in blocks:
            run = subprocess.run(
                ["bash", "-c", command],
                cwd=tmp,
                capture_output=True,
                text=True,
                env={"PATH": f"{bin_dir}:/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8", "HOME": str(tmp)},
            )
            got = run.stdout + run.stderr
            assert matches(expected, got), f"$ {command}\n{got}\n-- the README shows --\n{expected}"
    finally:
        subprocess.run(["fusermount3", "-u", "-z", str(tmp / "mnt")], capture_output=True)


def test_every_document_that_is_linked_exists():
    for document in [ROOT / "README.md", *(ROOT / "doc").glob("*.md"), *(ROOT / "tests").rglob("README.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} links {target}"
