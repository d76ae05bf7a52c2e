"""Every sentence lies in one gettext catalogue: what is said can be extracted, since it stands there as it is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir

ROOT = Path(__file__).parent.parent.parent
SPEAKING = {"say": None, "say_n": (1, 2), "text": None, "text_n": (1, 2)}
VIEWS = ROOT / "plugins" / "breakout" / "views"


def sentences(folder: Path) -> set[str]:
    found = extract_from_dir(str(folder), [("**.py", "python")], keywords=SPEAKING)
    return {message if isinstance(message, str) else message[0] for _, _, message, _, _ in found}


def calls(path: Path) -> Iterator[tuple[int, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in SPEAKING and node.args:
                yield node.lineno, node


def test_the_sentences_of_the_plugin_can_be_extracted() -> None:
    found = sentences(VIEWS)
    assert "No breakout rooms are set up here. Begin with `{p} setup 4`." in found
    assert len(found) > 150


def test_the_sentences_of_the_host_can_be_extracted() -> None:
    assert len(sentences(ROOT / "bot" / "commands")) > 15


@pytest.mark.parametrize("path", sorted(VIEWS.glob("*.py")), ids=lambda path: path.name)
def test_what_is_said_is_written_where_it_is_said(path: Path) -> None:
    hidden = [
        line for line, call in calls(path) if not all(isinstance(part, ast.Constant) for part in _templates(call))
    ]
    assert not hidden, f"{path.name}: no extraction finds the sentences of lines {hidden}"


def _templates(call: ast.Call) -> list[ast.expr]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    return call.args[: 2 if name.endswith("_n") else 1]
