"""What the docs tell an admin to type is there: commands, options, services, files; and each link leads somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml

from bot.cli import app
from tests.deploy.clean import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
INSTALL = ROOT / "docs" / "install.md"
MOST = 8
"""Commands from nothing to a session, those that are typed in the room included."""


def code(page: Path) -> Iterator[str]:
    """Each line of code of a page, comments left out, and each span of code within its text."""
    for number, part in enumerate(re.split(r"^```.*$", page.read_text("utf-8"), flags=re.MULTILINE)):
        if number % 2:
            yield from filter(None, (re.sub(r"(^|\s)#.*", "", line).strip() for line in part.splitlines()))
        else:
            yield from re.findall(r"`([^`\n]+)`", part)


def commands() -> dict[str, set[str]]:
    """The program's commands with their options."""
    group = typer.main.get_command(app)
    named = getattr(group, "commands")  # noqa: B009 - a group of commands has them, though its type does not say so
    return {name: {o for p in command.params for o in (*p.opts, *p.secondary_opts)} for name, command in named.items()}


def typed(page: Path) -> Iterator[tuple[str, set[str]]]:
    """Each use of the program: its command, and the options."""
    for line in code(page):
        for found in re.finditer(r"(?:^|[ /])breakout-bot ([a-z]+)(?![\w-])([^;&|>]*)", line):
            yield found[1], set(re.findall(r"(?<=\s)--[a-z][a-z-]+", found[2]))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_command_of_the_program_is_there_with_its_options(page: Path) -> None:
    known = commands()
    faults = [
        (command, options - known.get(command, set()))
        for command, options in typed(page)
        if command not in known or (command != "demo" and not options <= known[command])
    ]
    assert faults == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_service_that_compose_is_told_is_in_the_compose_file(page: Path) -> None:
    services = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text("utf-8"))["services"]
    for line in code(page):
        if found := re.search(r"docker compose (?:-f \S+ )?(run|up|exec|stop|restart|logs)\b(.*)", line):
            rest = re.sub(r" (?:-v|-e|--entrypoint) \S+", "", found[2])
            words = [word for word in rest.split() if not word.startswith("-")]
            named = words[:1] if found[1] in ("run", "exec") else words
            assert set(named) <= set(services), line


def anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_link_to_a_page_of_ours_leads_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, part = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), target
        if part:
            headings = re.findall(r"^#+ (.+)$", there.read_text("utf-8"), re.MULTILINE)
            assert part in {anchor(heading) for heading in headings}, target


def test_the_shortest_way_to_a_session_is_short() -> None:
    text = INSTALL.read_text("utf-8")
    [shell] = re.findall(r"^## 1: .*?^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    [room] = re.findall(r"^## The first session.*?^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert 0 < len(shell.splitlines()) + len(room.splitlines()) <= MOST


def test_what_has_to_be_edited_is_counted_right() -> None:
    marked = (ROOT / "config.example.yaml").read_text("utf-8").count("# EDIT")
    assert marked == 3
    for page in (*PAGES, ROOT / "config.example.yaml"):
        assert all(word == "three" for word in re.findall(r"(\w+) lines marked EDIT", page.read_text("utf-8"))), page
