"""The arrows between the modules hold, and the checker would notice if they did not."""

from pathlib import Path

import pytest
from grimp import ImportGraph
from importlinter.cli import lint_imports

from tests.architecture.contracts import Home, Only

ROOT = Path(__file__).parents[2]


def test_everybody_imports_only_whom_they_may_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert lint_imports(config_filename="pyproject.toml", cache_dir=None, no_logo=True) == 0


def imports(*arrows: tuple[str, str]) -> ImportGraph:
    graph = ImportGraph()
    for importer, imported in arrows:
        graph.add_import(importer=importer, imported=imported, line_number=1, line_contents="")
    return graph


def only(**options: list[str]) -> Only:
    return Only(name="only", session_options={}, contract_options=dict(options))


@pytest.mark.parametrize(
    ("imported", "kept"),
    [
        ("plugins.chess.domain.board", True),
        ("dataclasses", True),
        ("collections.abc", True),
        ("asyncio", False),
        ("plugins.chess.service", False),
        ("plugins.checkers.domain", False),
        ("bot.plugin", False),
        ("pydantic", False),
    ],
)
def test_a_domain_may_import_itself_and_the_standard_library_only(imported: str, *, kept: bool) -> None:
    contract = only(modules=["plugins.*.domain"], allowed=["<itself>", "<standard library>"], never=["asyncio"])
    graph = imports(("plugins.chess.domain.moves", imported), ("plugins.chess.service", "nio"))
    assert contract.check(graph, verbose=False).kept is kept


@pytest.mark.parametrize(
    ("importer", "kept"),
    [("bot.matrix.client", True), ("nio.rooms", True), ("bot.matrixlike", False), ("bot.app", False)],
)
def test_a_library_is_imported_from_its_home_only(importer: str, *, kept: bool) -> None:
    contract = Home(name="home", session_options={}, contract_options={"modules": ["nio"], "homes": ["bot.matrix"]})
    assert contract.check(imports((importer, "nio"), ("bot.app", "os")), verbose=False).kept is kept
