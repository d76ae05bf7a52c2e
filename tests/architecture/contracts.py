"""Two kinds of import-linter contracts: what a module may import only, and where alone it may be imported."""

import sys
from collections.abc import Collection, Iterator

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output

ITSELF = "<itself>"
STANDARD_LIBRARY = "<standard library>"


def within(module: str, pattern: str) -> bool:
    """Whether the module is the package that the pattern names, or inside; `*` stands for one part."""
    parts, wanted = module.split("."), pattern.split(".")
    return len(parts) >= len(wanted) and all(w in ("*", p) for p, w in zip(parts, wanted, strict=False))


def owner(module: str, pattern: str) -> str:
    """The package that the pattern names here: `plugins.*.domain` in plugins.breakout.domain.plan."""
    return ".".join(module.split(".")[: pattern.count(".") + 1])


class _Direct(Contract):
    """A rule over pairs of importer and imported; a module that does not exist yet breaks nothing."""

    def allows(self, importer: str, imported: str) -> bool:
        raise NotImplementedError

    def pairs(self, graph: ImportGraph) -> Iterator[tuple[str, str]]:
        for importer in sorted(graph.modules):
            for imported in sorted(graph.find_modules_directly_imported_by(importer)):
                yield importer, imported

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        broken = [
            (importer, imported, graph.get_import_details(importer=importer, imported=imported))
            for importer, imported in self.pairs(graph)
            if not self.allows(importer, imported)
        ]
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for importer, imported, details in check.metadata["broken"]:
            lines = ", ".join(str(detail["line_number"]) for detail in details)
            output.print_error(f"{importer} may not import {imported} (l.{lines})", bold=False)
        output.new_line()


class Only(_Direct):
    """`modules` may import what is `allowed`, and nothing else; `never` takes out of what is allowed.

    `save` are packages inside `modules` for which another contract speaks.
    """

    modules: list[str] = fields.ListField(subfield=fields.StringField())  # type: ignore[assignment]
    allowed: list[str] = fields.ListField(subfield=fields.StringField())  # type: ignore[assignment]
    never: list[str] = fields.ListField(  # type: ignore[assignment]
        subfield=fields.StringField(), default=[]
    )
    save: list[str] = fields.ListField(  # type: ignore[assignment]
        subfield=fields.StringField(), default=[]
    )

    def allows(self, importer: str, imported: str) -> bool:
        if _any(importer, self.save):
            return True
        bound = [pattern for pattern in self.modules if within(importer, pattern)]
        return all(self._allows(imported, owner(importer, pattern)) for pattern in bound)

    def _allows(self, imported: str, itself: str) -> bool:
        if any(within(imported, pattern) for pattern in self.never):
            return False
        return any(
            imported.partition(".")[0] in sys.stdlib_module_names
            if allowed == STANDARD_LIBRARY
            else within(imported, itself if allowed == ITSELF else allowed)
            for allowed in self.allowed
        )


class Home(_Direct):
    """`modules` are imported only from `homes`, and from within themselves."""

    modules: list[str] = fields.ListField(subfield=fields.StringField())  # type: ignore[assignment]
    homes: list[str] = fields.ListField(subfield=fields.StringField())  # type: ignore[assignment]

    def allows(self, importer: str, imported: str) -> bool:
        if not _any(imported, self.modules):
            return True
        return _any(importer, self.homes) or _any(importer, self.modules)


def _any(module: str, patterns: Collection[str]) -> bool:
    return any(within(module, pattern) for pattern in patterns)
