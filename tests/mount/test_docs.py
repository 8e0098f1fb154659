"""The documents say what the program does: the manual, the commands of the README, the promises, and the tables of the architecture."""

import ast
import collections
import fnmatch
import pathlib
import re
import subprocess
import sys

import pytest

from helpers import listing

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


def directories(text: str) -> set[str]:
    """Of the paths that a page shows: `raw/KEY`, and the root's none."""
    return set(re.findall(r"\b([a-z]+)/KEY\b", re.sub(r"\\f.", "", text)))


def test_the_manual_and_the_readme_name_the_views_of_a_mount(mnt):
    views = listing(mnt)
    manual, readme = (ROOT / "doc" / "ckfs.1").read_text(), (ROOT / "README.md").read_text()
    assert directories(manual[manual.index(".SH VIEWS") : manual.index(".SH NAMES")]) == views
    assert directories(readme[readme.index("## Views") : readme.index("## Sources")]) == views


def schemes(text: str) -> set[str]:
    return set(re.findall(r"\b((?:file|unix|https|rediss?|memcached)(?:-[a-z]+)?)://", text))


def test_the_manual_the_readme_and_help_name_the_same_sources(ckfs):
    help_text = subprocess.run([ckfs, "--help"], capture_output=True, text=True, check=True).stdout
    manual, readme = (ROOT / "doc" / "ckfs.1").read_text(), (ROOT / "README.md").read_text()
    tables = [re.search(r"\.schemes = .*?NULL", path.read_text(), re.DOTALL) for path in (ROOT / "backend").glob("*/*.c")]
    known = {scheme for table in tables if table for scheme in re.findall(r'"([a-z-]+)"', table[0])}
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
        for point in ("mnt", "there"):
            subprocess.run(["fusermount3", "-u", "-z", str(tmp / point)], capture_output=True)


def test_every_document_that_is_linked_exists():
    for document in [ROOT / "README.md", *(ROOT / "doc").glob("*.md"), *(ROOT / "tests").rglob("README.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} links {target}"


def test_what_the_threats_name_is_there():
    text = (ROOT / "doc" / "THREATS.md").read_text()
    named = set(re.findall(r"`(\w+\.(?:py|c|h))", text))
    there = {path.name for folder in ("fs", "backend", "include", "tests") for path in (ROOT / folder).rglob("*.*")}
    assert len(named) > 20 and named <= there


def sources() -> dict[str, str]:
    """The C code: texts by path."""
    return {str(path.relative_to(ROOT)): path.read_text() for top in ("fs", "backend", "include") for path in sorted((ROOT / top).rglob("*.[ch]"))}


def rows_of(page: str, *columns: str) -> list[list[str]]:
    """The rows of all tables of a page that have these columns."""
    rows = []
    for table in re.findall(r"(?:^\|.*\|\n)+", page, re.MULTILINE):
        head, _, *body = ([cell.strip() for cell in line.strip("|\n").split(" | ")] for line in table.splitlines())
        if head == list(columns):
            rows += body
    return rows


# Promises


def names_of_tests(text: str) -> set[str]:
    """The tests in a file, as pytest names them: `test_a`, `TestB::test_c`."""
    found = set()
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{name}" for name in names_of_tests(ast.unparse(ast.Module(node.body, [])))}
        elif isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
            found.add(node.name)
    return found


def faults_of_promises(page: str, tests: set[str]) -> list[str]:
    """What is wrong with a page of promises: rows of one sentence and the tests that hold it."""
    found = []
    for sentence, cell in rows_of(page, "promise", "test"):
        named = re.findall(r"`([^`]+)`", cell)
        if not sentence.endswith(".") or re.search(r"[.!?] ", sentence):
            found.append(f"not one sentence: {sentence}")
        if not named or re.sub(r"`[^`]+`", "", cell).strip(", "):
            found.append(f"no test, or more than tests: {sentence}")
        found += [f"named twice: {name}" for name, times in collections.Counter(named).items() if times > 1]
        found += [f"no such test: {name}" for name in named if name not in tests]
    return found


def test_each_promise_has_tests_that_exist():
    files = list((ROOT / "tests").rglob("test_*.py"))
    assert len({path.name for path in files}) == len(files), "a file name tells which one is meant"
    tests = {f"{path.name}::{name}" for path in files for name in names_of_tests(path.read_text())}
    page = (ROOT / "doc" / "SEMANTICS.md").read_text()
    assert len(rows_of(page, "promise", "test")) > 150
    assert faults_of_promises(page, tests) == []


@pytest.mark.parametrize(
    "row, fault",
    [
        ("All is well. | `test_a.py::test_b`, `test_a.py::TestC::test_d`", None),
        ("All is well. | `test_a.py::test_d`", "no such test: test_a.py::test_d"),
        ("All is well. | ", "no test, or more than tests: All is well."),
        ("All is well. | `test_a.py::test_b` and more", "no test, or more than tests: All is well."),
        ("All is well. | `test_a.py::test_b`, `test_a.py::test_b`", "named twice: test_a.py::test_b"),
        ("All is well. So it stays. | `test_a.py::test_b`", "not one sentence: All is well. So it stays."),
        ("All is well | `test_a.py::test_b`", "not one sentence: All is well"),
    ],
)
def test_what_is_wrong_with_a_promise_is_told(row, fault):
    tests = {f"test_a.py::{name}" for name in names_of_tests("def test_b(): pass\nclass TestC:\n    def test_d(self): pass\n    def help(self): pass\n")}
    assert faults_of_promises(f"| promise | test |\n|---|---|\n| {row} |\n", tests) == ([fault] if fault else [])


# Times

UNITS = {"ns": 1, "µs": 1000, "ms": 10**6, "s": 10**9, "min": 60 * 10**9}
SUFFIXES = {"NS": "ns", "US": "µs", "MS": "ms", "SECONDS": "s", "MINUTES": "min"}


def nanoseconds(text: str) -> int:
    """Of `50 µs`, `20 ms`, `1 s`, `5 min`."""
    number, unit = text.split()
    return int(number) * UNITS[unit]


def faults_of_times(page: str, texts: dict[str, str]) -> list[str]:
    """What differs between the table of times and the constants of the code: each one by its name and value, in whatever file."""
    found = []
    told = collections.Counter((name.strip("`"), nanoseconds(value)) for name, value, _ in rows_of(page, "constant", "value", "what for"))
    there: collections.Counter = collections.Counter()
    for file, text in texts.items():
        for name, value in re.findall(r"^#define (\w+)[ \t]+([^/\n]*)", text, re.MULTILINE):
            if name.rpartition("_")[2] in SUFFIXES:
                there[name, int(value) * UNITS[SUFFIXES[name.rpartition("_")[2]]]] += 1
            elif re.search(r"(^|_)(PAUSE|DELAY|INTERVAL|TIMEOUT)$", name) and value.strip().isdigit():
                found.append(f"{file}: {name} does not tell its unit")
        found += [f"{file}: a time without a name: {code}" for code in re.findall(r"clock_(?:ms|ns|unix)\(\) [-+] \d+", text)]
        for name, seconds in re.findall(r"^\t\t\.(listed_ttl|timeout) = (\d+),$", text, re.MULTILINE):
            there[f"{name}=", int(seconds) * UNITS["s"]] += 1
    found += [f"only in the table: {name} of {value} ns" for name, value in told - there]
    return found + [f"not in the table: {name} of {value} ns" for name, value in there - told]


def test_the_table_of_times_is_that_of_the_code():
    page = (ROOT / "doc" / "ARCHITECTURE.md").read_text()
    assert len(rows_of(page, "constant", "value", "what for")) > 30
    assert faults_of_times(page, sources()) == []


@pytest.mark.parametrize(
    "text, fault",
    [
        ("#define KEPT_MS 1000\n#define KEPT_MAX 7\n", None),
        ("#define KEPT_MS 1000 /* and why */\n", None),
        ("", "only in the table: KEPT_MS of 1000000000 ns"),
        ("#define KEPT_MS 1000\n#define REST_SECONDS 2\n", "not in the table: REST_SECONDS of 2000000000 ns"),
        ("#define KEPT_MS 1000\n#define KEPT_MS 1000\n", "not in the table: KEPT_MS of 1000000000 ns"),
        ("#define KEPT_MS 1000\n#define PAUSE 7\n", "a.c: PAUSE does not tell its unit"),
        ("#define KEPT_MS 1000\nx = clock_ms() + 250;\n", "a.c: a time without a name: clock_ms() + 250"),
    ],
)
def test_what_is_wrong_with_a_table_of_times_is_told(text, fault):
    page = "| constant | value | what for |\n|---|---|---|\n| `KEPT_MS` | 1 s | entries |\n"
    assert faults_of_times(page, {"a.c": text}) == ([fault] if fault else [])


# Threads

STARTERS = re.compile(r"\b(?:thread_start|work_pool_new|fork|fuse_session_loop_mt)\(")


def test_the_table_of_threads_names_each_file_that_starts_one():
    rows = rows_of((ROOT / "doc" / "ARCHITECTURE.md").read_text(), "thread", "started by", "how many", "what it does", "what ends it")
    told = {name for row in rows for name in re.findall(r"`([\w.]+\.c)`", row[1])}
    uses = {path.rpartition("/")[2] for path, text in sources().items() if STARTERS.search(re.sub(r"^\S.*", "", text, flags=re.MULTILINE))}
    assert told == uses - {"work.c"}, "work.c starts the threads of all pools"
