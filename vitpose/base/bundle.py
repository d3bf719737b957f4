"""Several modules of the package merged into a few files that need no package: what a saved model brings along."""

import ast
import builtins
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .source_module import Origin, PackageImport, SourceModule

WIDTH = 120


def bundle(files: Mapping[str, Sequence[str]], *, headers: Mapping[str, str]) -> dict[str, str]:
    """Merge modules, and all of the package that they import, into files that import each other flat.

    A module goes into the first file that needs it. Where two modules of a file have different things of one name, the
    later one is renamed after its module.

    Args:
        files: File name -> full names of the modules that it is made for. An earlier file may not need a later one when
            it is imported.
        headers: File name -> its text before the imports.

    Returns:
        File name -> text.

    Raises:
        ValueError: A module cannot be merged; the message names the line.
    """
    modules = _Modules()
    owners = {module: file for file, entries in files.items() for module in entries}
    done: dict[str, _File] = {}
    for name, entries in files.items():
        order = modules.in_order(entries, skip={module for module, owner in owners.items() if owner != name})
        owners |= {module.name: name for module in order}
        done[name] = _File(name, entries, order, modules, owners, done)
    return {name: f"{headers[name].rstrip()}\n\n{file.text()}" for name, file in done.items()}


class _Modules:
    """Modules of the package by name, each read once."""

    def __init__(self) -> None:
        self._read: dict[str, SourceModule] = {}

    def get(self, name: str) -> SourceModule:
        if name not in self._read:
            self._read[name] = SourceModule.find(name)
        return self._read[name]

    def origin(self, module: SourceModule, name: str) -> Origin:
        """Where a name of a module comes from: imports are followed through the package."""
        origin = module.imports.get(name, Origin(module.name, name))
        if origin.module == module.name or origin.name is None or not _same_package(origin.module, module.name):
            return origin
        return self.origin(self.get(origin.module), origin.name)

    def in_order(self, entries: Sequence[str], *, skip: set[str]) -> list[SourceModule]:
        """The modules and all that they need, each after those that it needs when it is imported."""
        found: dict[str, SourceModule] = {}
        later = list(entries)
        while later:
            later += self._visit(later.pop(0), found, skip)
        return list(found.values())

    def _visit(self, name: str, found: dict[str, SourceModule], skip: set[str]) -> list[str]:
        """Add a module after its dependencies; returns those that are needed only after all imports."""
        if name in found or name in skip:
            return []
        at_once, later = self.get(name).dependencies
        later = list(later)
        for other in at_once:
            later += self._visit(other, found, skip)
        found[name] = self.get(name)
        return later


@dataclass
class _File:
    """One file of the bundle.

    Args:
        name: Its name, such as `modeling_vitpose.py`.
        entries: Names of the modules that it is made for, which keep their names.
        modules: What it holds, in order.
        all_modules: Where to look modules up.
        owners: Module -> the file it is in.
        earlier: The files before this one.
    """

    name: str
    entries: Sequence[str]
    modules: list[SourceModule]
    all_modules: _Modules
    owners: dict[str, str]
    earlier: "dict[str, _File]"
    final: dict[Origin, str] = field(init=False)

    def __post_init__(self) -> None:
        self.earlier = dict(self.earlier)
        self.final = {}
        for origin, wish, stem in sorted(self._wishes(), key=lambda entry: self._rank(entry[0], entry[1])):
            if origin not in self.final:
                self.final[origin] = self._free_name(origin, wish, stem)

    def text(self) -> str:
        """Imports and modules."""
        parts = [f"# ---- from {module.name} ----\n\n\n{self._body(module)}" for module in self.modules]
        return "\n\n\n".join([self._imports(), *parts]) + "\n"

    def _wishes(self) -> Iterator[tuple[Origin, str, str]]:
        """Each thing of the file, the name that a module has for it, and the module's."""
        for module in self.modules:
            for name in module.definitions:
                yield self._shared(module, name), name, module.stem
            for name in module.imports:
                origin = self.all_modules.origin(module, name)
                if name in module.used_names and not self._is_later(origin):
                    yield self._final_origin(origin), name, module.stem

    def _rank(self, origin: Origin, wish: str) -> int:
        """Who gets a name first: what the file is made for, earlier files, public definitions, libraries, the rest."""
        owner = self.owners.get(origin.module)
        if owner is None:
            return 3
        if owner != self.name:
            return 1
        if wish.startswith("_"):
            return 4
        return 0 if origin.module in self.entries else 2

    def _free_name(self, origin: Origin, wish: str, stem: str) -> str:
        taken = set(self.final.values())
        wish = origin.name if origin.module in self.owners and origin.name else wish
        if wish not in taken and not hasattr(builtins, wish):
            return wish
        renamed = f"{wish}_{stem}"
        if renamed in taken:
            raise ValueError(f"{self.name}: {wish} of {origin.module} cannot be renamed, {renamed} is taken.")
        return renamed

    def _shared(self, module: SourceModule, name: str) -> Origin:
        """The first module's constant or logger where several of the file make the same in the same words."""
        statement = module.definitions[name]
        for other in self.modules[: self.modules.index(module)]:
            twin = other.definitions.get(name)
            if _is_same_value(statement, twin) and self._names_in(module, statement) == self._names_in(other, twin):
                return Origin(other.name, name)
        return Origin(module.name, name)

    def _names_in(self, module: SourceModule, statement: ast.stmt | None) -> list[Origin]:
        names = [node.id for node in ast.walk(statement or ast.Pass()) if isinstance(node, ast.Name)]
        return [self.all_modules.origin(module, name) for name in names if name in module.imports]

    def _final_origin(self, origin: Origin) -> Origin:
        """An origin of the package, with constants that are shared counted once."""
        owner = self.owners.get(origin.module)
        if owner is None or origin.name is None:
            return origin
        file = self if owner == self.name else self.earlier[owner]
        return file._shared(self.all_modules.get(origin.module), origin.name)

    def _is_later(self, origin: Origin) -> bool:
        owner = self.owners.get(origin.module)
        return owner is not None and owner != self.name and owner not in self.earlier

    def _body(self, module: SourceModule) -> str:
        names, dropped = {}, set()
        for name in module.definitions:
            origin = self._shared(module, name)
            names[name] = self.final[origin]
            dropped |= {name} if origin.module != module.name else set()
        for name in module.imports:
            origin = self.all_modules.origin(module, name)
            if name in module.used_names and not self._is_later(origin):
                names[name] = self.final[self._final_origin(origin)]
        return module.body(names, self._rewritten, dropped)

    def _rewritten(self, found: PackageImport) -> str:
        """The statement for an import inside a function; nothing where the names are those of this file by now."""
        origins = {
            name: self.all_modules.origin(self.all_modules.get(origin.module), str(origin.name))
            for name, origin in found.names.items()
        }
        if not any(map(self._is_later, origins.values())):
            return ""
        (file,) = {self.owners[origin.module] for origin in origins.values()}
        names = [str(origin.name) + ("" if name == origin.name else f" as {name}") for name, origin in origins.items()]
        return f"from .{file.removesuffix('.py')} import {', '.join(names)}"

    def _imports(self) -> str:
        groups: list[set[str]] = [set(), set(), set()]
        froms: dict[str, set[str]] = {}
        for origin, final in self.final.items():
            source = self._import_source(origin)
            if source is None:
                continue
            alias = "" if self._exported(origin) == final else f" as {final}"
            if origin.name is None:
                groups[_group(source)].add(f"import {source}{alias}")
            else:
                froms.setdefault(source, set()).add(f"{self._exported(origin)}{alias}")
        for source, names in froms.items():
            groups[_group(source)].add(_from_import(source, sorted(names)))
        ordered = [sorted(group, key=lambda line: (line.startswith("from"), line)) for group in groups if group]
        return "\n\n".join("\n".join(group) for group in ordered)

    def _import_source(self, origin: Origin) -> str | None:
        """Where the file imports a thing from; None where it holds it."""
        owner = self.owners.get(origin.module)
        if owner == self.name:
            return None
        return origin.module if owner is None else f".{owner.removesuffix('.py')}"

    def _exported(self, origin: Origin) -> str:
        """The name that a thing has where it is imported from."""
        owner = self.owners.get(origin.module)
        return origin.name or origin.module if owner is None else self.earlier[owner].final[origin]


def _is_same_value(one: ast.stmt | None, other: ast.stmt | None) -> bool:
    """Whether two statements make the same constant, or the logger, which modules may share."""
    if not isinstance(one, ast.Assign) or other is None or ast.dump(one) != ast.dump(other):
        return False
    return isinstance(one.value, ast.Constant) or ast.unparse(one.targets[0]) == "logger"


def _same_package(one: str, other: str) -> bool:
    return one.split(".")[0] == other.split(".")[0]


def _group(source: str) -> int:
    """0 for the standard library, 1 for other libraries, 2 for files beside this one."""
    return 2 if source.startswith(".") else int(source.split(".")[0] not in sys.stdlib_module_names)


def _from_import(source: str, names: list[str]) -> str:
    line = f"from {source} import {', '.join(names)}"
    if len(line) <= WIDTH:
        return line
    return f"from {source} import (\n" + "".join(f"    {name},\n" for name in names) + ")"
