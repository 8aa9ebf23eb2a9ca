"""What the pages show runs: each page's blocks in order, in a folder of its own, with the output that is shown.

A python block that begins with `# name.py` is written to that file, any other is run. In a console block a line that
begins with `$ ` is run by bash and what follows must be its output: `...` stands for anything within a line, and on a
line of its own for any lines. A command may fail only when the next one is `echo $?`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pages import PAGES, ROOT, Block, blocks, name_of

_END = "--- end of a command: "


def is_run(block: Block) -> bool:
    return block.language in ("python", "console")


def session(folder: Path) -> dict[str, str]:
    tools = folder.parent / "bin"
    tools.mkdir(exist_ok=True)
    for name, words in (("onward", " -m onward"), ("python", "")):
        # A link to the interpreter of a virtual environment would not find its packages.
        (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}"{words} "$@"\n')
        (tools / name).chmod(0o755)
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8"}


@pytest.mark.parametrize("page", [page for page in PAGES if any(map(is_run, blocks(page)))], ids=name_of)
def test_the_blocks_of_a_page_run_and_say_what_is_shown(
    page: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    environment = session(folder)
    for name in ("LEDGER", "NEWS"):
        if f"env:{name}" in page.read_text():
            environment[name] = request.getfixturevalue("postgres_url")
    if "examples/" in page.read_text():
        shutil.copytree(ROOT / "examples", folder / "examples")
    found = [block for block in blocks(page) if is_run(block)]
    # Files first: a hidden block may stand below the text that it serves.
    for block in found:
        if name := named_file(block):
            (folder / name).write_text(block.text)
    for block in found:
        if block.language == "console":
            run_console(page, block, folder, environment)
        elif not named_file(block):
            run_python(page, block, folder, environment)


def named_file(block: Block) -> str | None:
    found = re.match(r"# (\w+\.py)\n", block.text)
    return found[1] if block.language == "python" and found else None


def run_python(page: Path, block: Block, folder: Path, environment: dict[str, str]) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", block.text], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, f"{name_of(page)}, line {block.line}:\n{ran.stderr}"


def run_console(page: Path, block: Block, folder: Path, environment: dict[str, str]) -> None:
    parts = re.split(r"^\$ (.+)\n", block.text, flags=re.MULTILINE)
    commands, shown = parts[1::2], parts[2::2]
    assert parts[0] == "", f"{name_of(page)}, line {block.line}: output before the first command"
    script = "\n".join(f"{command}\n__code=$?; echo '{_END}'$__code; (exit $__code)" for command in commands)
    ran = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, timeout=60,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    said = re.split(rf"^{_END}(\d+)\n", ran.stdout, flags=re.MULTILINE)
    for at, (command, wanted, output, code) in enumerate(zip(commands, shown, said[::2], said[1::2], strict=False)):
        where = f"{name_of(page)}, line {block.line}: $ {command}\n{output}"
        may_fail = at + 1 < len(commands) and commands[at + 1] == "echo $?"
        assert may_fail or code == "0", f"{where}[exit code {code}]"
        assert not re.search(r"^Traceback", output, re.MULTILINE), where
        assert pattern(wanted).fullmatch(output), f"{where}\nis not what is shown:\n{wanted}"


def pattern(shown: str) -> re.Pattern[str]:
    lines = []
    for line in shown.splitlines():
        if line == "...":
            lines.append(r"(?:.*\n)*?")
        else:
            lines.append(r"[^\n]*".join(re.escape(part) for part in line.split("...")) + r"\n")
    return re.compile("".join(lines))
