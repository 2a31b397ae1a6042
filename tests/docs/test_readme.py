"""The two READMEs say the same, and what they say can be typed."""

import io
import re
import shlex
from pathlib import Path

import pytest

from seq2x.cli import main

ROOT = Path(__file__).parents[2]
ENGLISH, CHINESE = (ROOT / name for name in ("README.md", "README.zh-CN.md"))


def parts(path):
    """(fenced blocks, inline code, figures in the rest) of a Markdown file."""
    text = path.read_text(encoding="utf-8")
    blocks = re.findall(r"```.*?\n(.*?)```", text, re.DOTALL)
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return (
        blocks,
        re.findall(r"`([^`\n]+)`", prose),
        re.findall(r"\d+(?:[.,]\d+)*(?:e-\d+)?", re.sub(r"`[^`]*`", "", prose)),
    )


def test_commands_and_figures_are_equal_in_both_languages():
    english, chinese = parts(ENGLISH), parts(CHINESE)
    assert english[0] == chinese[0]
    assert sorted(english[1]) == sorted(chinese[1])
    assert sorted(english[2]) == sorted(chinese[2])


def commands():
    text = "\n".join(parts(ENGLISH)[0])
    for line in text.split("\n"):
        command = line.removeprefix("$ ").split("#")[0].strip()
        if command.startswith("seq2x "):
            yield re.sub(r"\s[<>|].*", "", command)


@pytest.mark.parametrize("command", sorted(set(commands())))
def test_every_command_of_the_readme_is_one(command, capsys, tmp_path, monkeypatch):
    """It parses, and fails at most because the reader's files are not here: never with a usage error of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    _, verb, *rest = shlex.split(command)
    code = main([verb, *rest])
    printed = capsys.readouterr()
    expected = 4 if verb in ("predict", "evaluate") or rest[0] in ("back", "distill") else 3  # no run; no data
    assert code == expected, printed
    assert "no such f" in printed.out + printed.err


TARGETS = "demo test setup test-all lint bench recipes dist dry-run docs"


@pytest.mark.parametrize("target", TARGETS.split())
def test_the_makefile_has_what_is_promised(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_no_placeholder_is_left():
    for path in (ENGLISH, CHINESE):
        assert not re.search(r"DEMO_|_BLOCK|TODO", path.read_text(encoding="utf-8"))
