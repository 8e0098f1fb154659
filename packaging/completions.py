#!/usr/bin/env python3
"""Makes the completion of a shell from the table of options: completions.py TEMPLATE option_rows.c, to standard output.

A template has one line @ROWS@, and gets a line there for each option that --help shows. The shell is the end of the template's name.
"""

import pathlib
import re
import sys

ROW = re.compile(r'^\t\{"(?P<name>[a-z_]+)(?P<equals>=?)", "(?P<value>[^"\\]*)", (?:"(?P<help>[^"\\]+)"|NULL), set_\w+\},$', re.MULTILINE)


def rows_of(source: str) -> list[re.Match]:
    table = re.search(r"option_rows\[\] = \{\n(.*?)\n\};", source, re.DOTALL)[1]
    rows = list(ROW.finditer(table))
    if len(rows) != len(re.findall(r"^\t\{", table, re.MULTILINE)):
        sys.exit("completions.py: a row of option_rows is not as all others are")
    return [row for row in rows if row["help"]]


def words(value: str) -> list[str]:
    """What may be typed as it stands: of `SECONDS|never`, never. What is in capitals stands for something else."""
    return [word for word in value.split("|") if word.islower()]


def quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def bash(row) -> str:
    return f"\t\t[{row['name']}{row['equals']}]={quoted(row['value'] if row['value'] in ('FILE', 'DIR') else ' '.join(words(row['value'])))}"


def zsh(row) -> str:
    text = re.sub(r"([\[\]:\\])", r"\\\1", row["help"])
    action = {"FILE": "_files", "DIR": "_directories"}.get(row["value"], f"({' '.join(words(row['value']))})")
    # Without words there is nothing to offer but what is meant.
    action = " " if action == "()" else action
    return "\t\t'" + f"{row['name']}[{text}]{':' + row['value'] + ':' + action if row['equals'] else ''}".replace("'", "'\\''") + "'"


def fish(row) -> str:
    kind = row["value"] if row["value"] in ("FILE", "DIR") else " ".join(words(row["value"]))
    return f"\t\t{quoted(row['name'] + row['equals'])} {quoted(kind)} {quoted(row['help'])}"


def main(template: str, table: str) -> None:
    line = {"bash": bash, "zsh": zsh, "fish": fish}[template.removesuffix(".in").rpartition(".")[2]]
    rows = rows_of(pathlib.Path(table).read_text())
    ends = " \\" if line is fish else ""
    text = pathlib.Path(template).read_text()
    sys.stdout.write(text.replace("@ROWS@", "\n".join(line(row) + ends for row in rows).removesuffix(" \\")))


main(*sys.argv[1:])
