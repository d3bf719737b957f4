"""One module of the package as source text: which names it imports and defines, and the text without its imports."""

import ast
import symtable
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec, resolve_name
from typing import NamedTuple, TypeAlias

Edit: TypeAlias = tuple[int, int, int, str]
"""Line from 1, first and last byte in it, and the text to put there."""


class Origin(NamedTuple):
    """What a name stands for: `name` of `module`, or the module itself where `name` is None."""

    module: str
    name: str | None


class PackageImport(NamedTuple):
    """A `from module import names` of the package inside a function or a block; `names` are by bound name."""

    statement: ast.ImportFrom
    names: dict[str, Origin]
    is_alone: bool  # the only statement of its block


@dataclass(frozen=True)
class SourceModule:
    """A module of the package.

    Args:
        name: Its full name, such as `vitpose.modeling.modeling_vitpose`.
        source: Its text.
    """

    name: str
    source: str

    @classmethod
    def find(cls, name: str) -> "SourceModule":
        """The module of a full name.

        Raises:
            ValueError: There is no such module, or its source is not at hand.
        """
        spec = find_spec(name)
        loader = None if spec is None else spec.loader
        source = loader.get_source(name) if loader is not None and hasattr(loader, "get_source") else None
        if source is None:
            raise ValueError(f"{name}: expected a module with its source, found none. Install vitpose from source.")
        return cls(name, source)

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax tree."""
        return ast.parse(self.source)

    @property
    def package(self) -> str:
        """Its first name: what it shares with the modules that it may be merged with."""
        return self.name.partition(".")[0]

    @property
    def stem(self) -> str:
        """Its last name."""
        return self.name.rpartition(".")[2]

    @cached_property
    def top(self) -> frozenset[ast.AST]:
        """The statements at its top."""
        return frozenset(self.tree.body)

    @cached_property
    def imports(self) -> dict[str, Origin]:
        """Bound name -> origin: library imports at the top, and imports of the package wherever they stand."""
        found: dict[str, Origin] = {}
        for node in ast.walk(self.tree):
            if node in self.top or self._is_of_package(node):
                for name, origin in self._bound(node):
                    if found.setdefault(name, origin) != origin:
                        self.fail(node, f"{name} is imported from two places")
        return found

    @cached_property
    def definitions(self) -> dict[str, ast.stmt | None]:
        """Names that are defined at its top -> their statement, where there is one of the name alone."""
        table = symtable.symtable(self.source, self.name, "exec")
        names = [symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned()]
        return {name: self._statement_of(name) for name in names if name not in self.imports}

    @cached_property
    def dependencies(self) -> tuple[list[str], list[str]]:
        """Modules of the package that it needs when it is imported, and those that it needs later."""
        at_once: list[str] = []
        later: list[str] = []
        for node in ast.walk(self.tree):
            if self._is_of_package(node):
                (at_once if node in self.top else later).append(self._source_of(node))
        return at_once, later

    @cached_property
    def used_names(self) -> set[str]:
        """Every name in it, those in annotations that are strings included."""
        trees: list[ast.AST] = [self.tree]
        trees += [ast.parse(text, mode="eval") for _, text in _strings_in_annotations(self.tree)]
        return {node.id for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Name)}

    def inner_imports(self) -> Iterator[PackageImport]:
        """Imports of the package that do not stand at its top."""
        for block in _blocks(self.tree):
            for node in block if block is not self.tree.body else []:
                if isinstance(node, ast.ImportFrom) and self._is_of_package(node):
                    yield PackageImport(node, dict(self._bound(node)), len(block) == 1)

    def _optional_imports(self) -> Iterator[ast.stmt]:
        """Imports of other libraries inside functions, outside of any `try`."""
        waiting: list[ast.AST] = [node for node in self.tree.body if not isinstance(node, ast.Import | ast.ImportFrom)]
        while waiting:
            node = waiting.pop()
            if isinstance(node, ast.Import | ast.ImportFrom):
                library = node.names[0].name if isinstance(node, ast.Import) else self._source_of(node)
                if library.split(".")[0] not in {self.package, *sys.stdlib_module_names}:
                    yield node
            elif not isinstance(node, ast.Try):
                waiting += ast.iter_child_nodes(node)

    def body(self, final_names: Mapping[str, str], rewrite: Callable[[PackageImport], str], dropped: set[str]) -> str:
        """Its text without docstring, top-level imports and some definitions.

        Args:
            final_names: Name -> the one to write instead, for names that it defines or imports.
            rewrite: Gives the statement for an inner import of the package, "" for none.
            dropped: Definitions to leave out.

        Raises:
            ValueError: A name cannot be exchanged, because a function has a variable of that name.
        """
        renamed = {name: final for name, final in final_names.items() if name != final}
        self._check_renamed(renamed)
        edits = _name_edits(self.tree, renamed)
        gone = {line for node in self.tree.body if self._is_gone(node, dropped) for line in range(*_line_range(node))}
        for node in self._optional_imports():
            edits += _guarded(node)
        for found in self.inner_imports():
            first, after = _line_range(found.statement)
            text = rewrite(found) or ("pass" if found.is_alone else "")
            gone |= set(range(first + 1, after)) if text else set(range(first, after))
            edits.append((first, found.statement.col_offset, -1, text))
        text = _edited(self.source, edits, gone)
        return _quoted(text) if any(map(_is_future, self.tree.body)) else text

    def fail(self, node: ast.AST, problem: str) -> None:
        """Raise a `ValueError` that names the line."""
        raise ValueError(f"{self.name}, line {getattr(node, 'lineno', '?')}: {problem}; saved code cannot hold that.")

    def _is_of_package(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Import) and any(alias.name.split(".")[0] == self.package for alias in node.names):
            self.fail(node, "a module of the package is imported; import names from it")
        return isinstance(node, ast.ImportFrom) and self._source_of(node).split(".")[0] == self.package

    def _source_of(self, node: ast.AST) -> str:
        assert isinstance(node, ast.ImportFrom)
        relative = "." * node.level + (node.module or "")
        return resolve_name(relative, self.name.rpartition(".")[0]) if node.level else relative

    def _bound(self, node: ast.AST) -> Iterator[tuple[str, Origin]]:
        if isinstance(node, ast.ImportFrom) and not _is_future(node):
            for alias in node.names:
                if alias.name == "*":
                    self.fail(node, "every name of a module is imported")
                yield alias.asname or alias.name, Origin(self._source_of(node), alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if "." in alias.name and alias.asname is None:
                    self.fail(node, f"{alias.name} is imported under two names; import names from it")
                yield alias.asname or alias.name, Origin(alias.name, None)

    def _statement_of(self, name: str) -> ast.stmt | None:
        for node in self.tree.body:
            if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [name]:
                return node
        return None

    def _is_gone(self, node: ast.stmt, dropped: set[str]) -> bool:
        is_docstring = node is self.tree.body[0] and isinstance(node, ast.Expr)
        is_dropped = any(self.definitions.get(name) is node for name in dropped)
        return is_docstring or is_dropped or isinstance(node, ast.Import | ast.ImportFrom)

    def _check_renamed(self, renamed: Mapping[str, str]) -> None:
        tables = [symtable.symtable(self.source, self.name, "exec")]
        while tables:
            table = tables.pop()
            tables += table.get_children()
            for name in renamed.keys() & set(table.get_identifiers()) if table.get_type() != "module" else ():
                symbol = table.lookup(name)
                is_method = table.get_type() == "class" and symbol.is_namespace()
                if symbol.is_local() and not symbol.is_imported() and not is_method:
                    raise ValueError(
                        f"{self.name}: {table.get_name()} has a variable {name}, which is a name of two "
                        "modules. Rename the one in the function."
                    )


def _guarded(node: ast.stmt) -> list[Edit]:
    """An import in a `try` of its own: transformers asks for all libraries but those, before it loads saved code."""
    indent = " " * node.col_offset
    before = (node.lineno, node.col_offset, node.col_offset, f"try:\n{indent}    ")
    last = node.end_lineno or node.lineno
    end = node.end_col_offset or 0
    return [before, (last, end, end, f"\n{indent}except ModuleNotFoundError:\n{indent}    raise")]


def _is_future(node: ast.AST) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _line_range(node: ast.stmt) -> tuple[int, int]:
    """Its first line and the one after its last."""
    return node.lineno, (node.end_lineno or node.lineno) + 1


def _blocks(tree: ast.AST) -> Iterator[list[ast.stmt]]:
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            block = getattr(node, field, None)
            if isinstance(block, list):
                yield block


def _statements_of_module(tree: ast.Module) -> Iterator[ast.stmt]:
    """The statements in the scope of the module, those in its `if` and `try` included."""
    waiting: list[ast.AST] = [*tree.body]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.stmt):
            yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            waiting += ast.iter_child_nodes(node)


def _annotations(tree: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
            yield node.annotation
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns is not None:
            yield node.returns


def _strings_in_annotations(tree: ast.AST) -> Iterator[tuple[ast.Constant, str]]:
    """Names in quotes; not the values of a `Literal`."""
    for annotation in _annotations(tree):
        waiting: list[ast.AST] = [annotation]
        while waiting:
            node = waiting.pop()
            if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("Literal"):
                continue
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node, node.value
            waiting += ast.iter_child_nodes(node)


def _name_edits(tree: ast.Module, renamed: Mapping[str, str]) -> list[Edit]:
    edits = [
        (node.lineno, node.col_offset, node.end_col_offset or 0, renamed[node.id])
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.id in renamed
    ]
    for node in _statements_of_module(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name in renamed:
            keyword = {ast.FunctionDef: "def ", ast.AsyncFunctionDef: "async def ", ast.ClassDef: "class "}[type(node)]
            start = node.col_offset + len(keyword)
            edits.append((node.lineno, start, start + len(node.name.encode()), renamed[node.name]))
    for constant, text in _strings_in_annotations(tree):
        inner = ast.parse(text, mode="eval")
        for name in [part for part in ast.walk(inner) if isinstance(part, ast.Name) and part.id in renamed]:
            start = constant.col_offset + 1 + name.col_offset
            edits.append((constant.lineno, start, start + len(name.id), renamed[name.id]))
    return edits


def _quoted(source: str) -> str:
    """The same text with annotations as strings: what `from __future__ import annotations` means, for one module."""
    edits = []
    for node in _annotations(ast.parse(source)):
        if not isinstance(node, ast.Constant):
            edits.append((node.lineno, node.col_offset, node.end_col_offset or 0, repr(ast.unparse(node))))
            assert node.lineno == node.end_lineno, f"an annotation in two lines: {ast.unparse(node)}"
    return _edited(source, edits, set())


def _edited(source: str, edits: list[Edit], gone: set[int]) -> str:
    """The text with bytes of its lines exchanged, -1 being the end of a line, and without some of its lines."""
    lines = [line.encode() for line in source.splitlines()]
    for number, start, end, text in sorted(edits, reverse=True):
        line = lines[number - 1]
        lines[number - 1] = line[:start] + text.encode() + (b"" if end == -1 else line[end:])
    kept = [line.decode() for number, line in enumerate(lines, start=1) if number not in gone]
    return "\n".join(kept).strip("\n")
