"""The laws of the house that a machine can check, read off the syntax trees.

Imports are followed to the file that they reach: relative ones of any level, those inside functions, and public names
taken from `vitpose` itself. `docs/` and CONTRIBUTING.md say the same in words.
"""

import ast
import configparser
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import NamedTuple

import pytest

import vitpose

CHECKOUT = Path(__file__).resolve().parent.parent
ROOMS = ("modeling", "processing", "training", "hub_cards", "vitpose")
MAPPED = ROOMS[:-1]  # they lie beside the folder of the package that they are part of

# Who may import whom. "vitpose" is the package itself with cli/, video/, export/ and so on, "base" is vitpose/base/.
MAY_IMPORT = {
    "base": {"base"},
    "modeling": {"base", "modeling"},
    "processing": {"base", "modeling", "processing"},
    "training": {"base", "modeling", "processing", "training"},
    "hub_cards": {"base", "modeling", "processing", "training", "hub_cards", "vitpose"},
    "vitpose": {"base", "modeling", "processing", "training", "hub_cards", "vitpose"},
}
# What a file may know beyond its room: the entry of a run hands the card writer in.
MAY_ALSO_IMPORT = {"training/run.py": {"hub_cards"}}
# What hub_cards/ takes of the package itself: the demo shows videos, a card knows exported models.
HUB_CARDS_TAKES = ("vitpose.export", "vitpose.video")

# The floors of training/: a folder imports itself and those below it. Files of no folder stand on top.
FLOORS = {
    **{"metrics": 0, "synthetic": 0},
    **{"data": 1, "pictures": 1},
    **{"config": 2, "samples": 3, "evaluation": 4, "engine": 5, "results": 6},
}
TOP_FLOOR = 7

LIBRARIES = {
    "base": {"torch", "huggingface_hub"},
    "modeling": {"torch", "transformers", "safetensors", "huggingface_hub"},
    "processing": {"torch", "transformers", "numpy", "PIL"},
}
DISTRIBUTIONS = {"PIL": "pillow", "yaml": "pyyaml"}  # of packages that are imported under another name
MOST_FILES = 17  # in one folder
SCRIPTS = ("training/run.py", "hub_cards/demo/space/app.py")  # Python runs them outside of any package
STANDS_ALONE = "training/metrics/evaluate_modules/"  # files that the library evaluate loads, as a user's own code


class Import(NamedTuple):
    """One import of one file, with whole names."""

    file: str
    line: int
    level: int  # the dots it was written with
    named: str  # what the statement names
    module: str  # what it reaches: of `from a import b` the module a.b if there is one
    at_once: bool  # when the file is imported, and not only where a function needs it

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}: {self.module}"

    @property
    def is_ours(self) -> bool:
        return self.module.split(".")[0] == "vitpose"

    @property
    def library(self) -> str:
        return self.module.split(".")[0]


def _name_of(file: str) -> str:
    """The whole name of the module that a file is."""
    parts = Path(file).with_suffix("").parts
    parts = parts if parts[0] == "vitpose" else ("vitpose", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def _is_module(name: str) -> bool:
    first, *rest = name.split(".")[1:] or [""]
    path = CHECKOUT.joinpath(*([] if first in MAPPED else ["vitpose"]), first, *rest)
    return path.is_dir() or path.with_suffix(".py").is_file()


def _reached(parent: str, name: str) -> str:
    """Where `from parent import name` leads: a module, or the home of a public name."""
    if parent == "vitpose" and name in vitpose._HOMES:
        return f"vitpose.{vitpose._HOMES[name]}"
    return f"{parent}.{name}" if parent.startswith("vitpose") and _is_module(f"{parent}.{name}") else parent


def _from_imports(file: str, node: ast.ImportFrom, *, at_once: bool) -> list[Import]:
    parent = node.module or ""
    if node.level:
        package = _name_of(file).split(".")
        package = package if file.endswith("__init__.py") else package[:-1]
        above = package[: len(package) - (node.level - 1)]
        parent = ".".join([*above, *parent.split(".")] if parent else above)
    modules = dict.fromkeys(_reached(parent, alias.name) for alias in node.names)
    return [Import(file, node.lineno, node.level, parent, module, at_once) for module in modules]


def _attributes_of_the_root(tree: ast.AST, file: str) -> list[Import]:
    """Public names that are taken from the package itself later on, as in `vitpose.publish`."""
    return [
        Import(file, node.lineno, 0, "vitpose", _reached("vitpose", node.attr), False)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "vitpose"
        if node.attr in vitpose._HOMES
    ]


@cache
def _imports_of(file: str, source: str) -> list[Import]:
    tree, found = ast.parse(source), list[Import]()
    for node in ast.walk(tree):
        at_once = node in tree.body
        if isinstance(node, ast.Import):
            found += [Import(file, node.lineno, 0, alias.name, alias.name, at_once) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += _from_imports(file, node, at_once=at_once)
    return found + _attributes_of_the_root(tree, file)


def _sources(*folders: str) -> list[str]:
    files = (path.relative_to(CHECKOUT) for folder in folders for path in (CHECKOUT / folder).rglob("*.py"))
    return sorted(file.as_posix() for file in files)


def _imports(*folders: str) -> list[Import]:
    return [
        found
        for file in _sources(*folders)
        if not file.startswith(STANDS_ALONE)
        for found in _imports_of(file, (CHECKOUT / file).read_text("utf-8"))
    ]


def _room(module: str) -> str:
    """The room of a module of ours."""
    first = [*module.split(".")[1:], ""][0]
    return first if first in ("base", *MAPPED) else "vitpose"


def _travels(file: str) -> bool:
    """Whether models on the Hub may carry the file: it lies in `modeling/` or `processing/`, and in no folder there."""
    return file.split("/")[0] in ("modeling", "processing") and file.count("/") == 1 and "__init__" not in file


def _room_breaches(imports: Iterable[Import]) -> list[str]:
    return [
        found.place
        for found in imports
        if found.is_ours
        and _room(found.module) not in MAY_IMPORT[_room(_name_of(found.file))] | MAY_ALSO_IMPORT.get(found.file, set())
    ]


def _card_breaches(imports: Iterable[Import]) -> list[str]:
    """What hub_cards/ takes of the package itself beyond what it needs."""
    return [
        found.place
        for found in imports
        if found.is_ours and found.file.startswith("hub_cards/") and _room(found.module) == "vitpose"
        if not f"{found.module}.".startswith(tuple(f"{name}." for name in HUB_CARDS_TAKES))
    ]


def _root_breaches(imports: Iterable[Import]) -> list[str]:
    """Imports of the package itself inside a room, through which any room can be reached, and in a circle."""
    return [found.place for found in imports if found.file.split("/")[0] in MAPPED and found.named == "vitpose"]


def _floor(module: str) -> int:
    folder = [*module.split(".")[2:], ""][0]
    return FLOORS.get(folder, TOP_FLOOR)


def _floor_breaches(imports: Iterable[Import]) -> list[str]:
    """Imports inside training/ of the same floor in another folder, or of a higher one."""
    breaches = []
    for found in imports:
        own = _name_of(found.file)
        if not (own.startswith("vitpose.training.") and found.module.startswith("vitpose.training.")):
            continue
        same_folder = own.split(".")[2] == found.module.split(".")[2]
        above = _floor(found.module) >= _floor(own) and _floor(own) < TOP_FLOOR
        if above and not same_folder:
            breaches.append(found.place)
    return breaches


def _flat_breaches(imports: Iterable[Import]) -> list[str]:
    """Imports of ours, in files that travel, that the bundle of a saved model cannot take in."""
    return [found.place for found in imports if found.is_ours and _travels(found.file) and not _can_bundle(found)]


def _can_bundle(found: Import) -> bool:
    own, parts = found.file.split("/")[0], found.module.split(".")
    if found.level:
        return found.level == 1 and len(parts) == 3 and parts[1] == own
    return len(parts) == 3 and parts[1] in {"base", "modeling"} - {own}


def _library_breaches(imports: Iterable[Import]) -> list[str]:
    return [
        found.place
        for found in imports
        if not found.is_ours
        and (room := _room(_name_of(found.file))) in LIBRARIES
        and found.library not in LIBRARIES[room] | sys.stdlib_module_names
    ]


def _extra_breaches(imports: Iterable[Import]) -> list[str]:
    """Imports at the beginning of a file of what `pip install vitpose` does not bring by itself."""
    setup = configparser.ConfigParser()
    setup.read(CHECKOUT / "setup.cfg")
    required = {re.split(r"[<>=!~;\[ ]", line)[0] for line in setup["options"]["install_requires"].split("\n") if line}
    return [
        found.place
        for found in imports
        if found.at_once and not found.is_ours and found.library not in sys.stdlib_module_names
        if DISTRIBUTIONS.get(found.library, found.library) not in required
    ]


def _banned_breaches(imports: Iterable[Import]) -> list[str]:
    """torchvision and OpenCV are no dependencies; a room is `vitpose.room`, never a top-level name."""
    return [found.place for found in imports if found.level == 0 and found.library in ("torchvision", "cv2", *MAPPED)]


def _script_breaches(imports: Iterable[Import]) -> list[str]:
    """Relative imports of scripts, which have no package to start from."""
    return [found.place for found in imports if found.file in SCRIPTS and found.level]


def _lost_imports(imports: Iterable[Import]) -> list[str]:
    """Modules of ours that are not there; those inside functions are found by nobody else until somebody calls them."""
    return [found.place for found in imports if found.is_ours and not _is_module(found.module)]


def _hiding_names(names: Iterable[str]) -> list[str]:
    """Names of libraries among the names of files and folders in a folder that Python looks into first."""
    return sorted({Path(name).stem for name in names} & (sys.stdlib_module_names | packages_distributions().keys()))


def _repeated_names(files: Iterable[str]) -> list[str]:
    names = Counter(Path(file).name for file in files if not file.endswith("__init__.py"))
    return [name for name, times in names.items() if times > 1]


def _crowded_folders(files: Iterable[str]) -> list[str]:
    counts = Counter(Path(file).parent.as_posix() for file in files)
    return [f"{folder}: {count} files" for folder, count in counts.items() if count > MOST_FILES]


def _circle(imports: Iterable[Import]) -> list[str]:
    """Modules that import each other when they are imported; none if all can be put in an order."""
    graph: dict[str, set[str]] = {}
    for found in imports:
        if found.at_once and found.is_ours and found.module != "vitpose":
            graph.setdefault(_name_of(found.file), set()).add(found.module)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def _command_breaches(imports: Iterable[Import]) -> list[str]:
    """Imports with which the command line, which lies outside the package, would not start at once."""
    return [
        found.place
        for found in imports
        if found.file.startswith("vitpose/cli/") and found.library not in sys.stdlib_module_names
        if found.level > 1 or (found.level == 0 and found.at_once)
    ]


LAWS: dict[str, tuple[Callable[[Iterable[Import]], list[str]], tuple[str, ...]]] = {
    "a room imports only the rooms below it": (_room_breaches, ROOMS),
    "hub_cards takes of the package what it needs": (_card_breaches, ("hub_cards",)),
    "no room imports the package itself": (_root_breaches, MAPPED),
    "a folder of training imports only those below it": (_floor_breaches, ("training",)),
    "files that travel import flat": (_flat_breaches, ("modeling", "processing")),
    "base, modeling and processing use only their libraries": (_library_breaches, ROOMS),
    "a plain install imports every file": (_extra_breaches, ROOMS),
    "nobody imports torchvision, OpenCV or a room by itself": (
        _banned_breaches,
        (*ROOMS, "tests", "benchmarks", "docs", ".ci"),
    ),
    "modules import in no circle": (_circle, ROOMS),
    "the command line starts with the standard library": (_command_breaches, ("vitpose",)),
    "scripts import by whole names": (_script_breaches, ("training", "hub_cards")),
    "what is imported is there": (_lost_imports, (*ROOMS, "tests", "benchmarks", "docs")),
}


@pytest.mark.parametrize(("law", "folders"), LAWS.values(), ids=LAWS)
def test_the_law_holds(law: Callable[[Iterable[Import]], list[str]], folders: tuple[str, ...]) -> None:
    assert law(_imports(*folders)) == []


def test_base_names_are_unique_over_the_rooms_that_travel() -> None:
    assert _repeated_names(_sources("modeling", "processing")) == []


def test_nothing_at_the_top_of_training_hides_a_library() -> None:
    """`training/` is the first entry of sys.path when `training/run.py` runs."""
    assert _hiding_names(_modules_at_the_top("training")) == []


def _modules_at_the_top(folder: str) -> Iterator[str]:
    for path in (CHECKOUT / folder).iterdir():
        if path.suffix == ".py" or (path.is_dir() and path.name != "__pycache__"):
            yield path.name


def test_no_folder_is_crowded() -> None:
    assert _crowded_folders(_sources("training", "hub_cards", "vitpose")) == []


def test_every_folder_of_training_has_its_floor() -> None:
    packages = {path.parent.name for path in (CHECKOUT / "training").glob("*/__init__.py")}
    assert packages == FLOORS.keys()


BREACHES = [
    ("modeling must not know processing", _room_breaches, "modeling/a.py", "from ..processing.b import c"),
    ("nor from two floors down", _room_breaches, "modeling/convert/a.py", "from ...processing.b import c"),
    ("processing must not know training", _room_breaches, "processing/a.py", "import vitpose.training.b"),
    (
        "training must not know the command line",
        _room_breaches,
        "training/a.py",
        "from vitpose.photos.predicting import f",
    ),
    ("training must not know the cards", _room_breaches, "training/engine/a.py", "from ...hub_cards import cards"),
    ("nor late", _room_breaches, "training/results/a.py", "def f():\n    from vitpose.hub_cards.cards import card"),
    ("nor through a public name", _room_breaches, "training/results/a.py", "from vitpose import write_model_card"),
    ("nor late through one", _room_breaches, "training/a.py", "import vitpose\ndef f():\n    vitpose.publish()"),
    ("base stands on the ground", _room_breaches, "vitpose/base/a.py", "from ..modeling.b import c"),
    ("a room takes nothing from the root", _root_breaches, "training/data/a.py", "from vitpose import ViTPoseConfig"),
    ("nor the root itself", _root_breaches, "processing/a.py", "def f():\n    import vitpose"),
    ("cards do not run commands", _card_breaches, "hub_cards/cards/a.py", "from vitpose.photos.predicting import f"),
    ("metrics know no data", _floor_breaches, "training/metrics/a.py", "from ..data.b import c"),
    ("data know no samples", _floor_breaches, "training/data/readers/a.py", "from ...samples.b import c"),
    ("samples know no engine", _floor_breaches, "training/samples/a.py", "def f():\n    from ..engine import b"),
    (
        "the engine knows no results",
        _floor_breaches,
        "training/engine/a.py",
        "from vitpose.training.results.b import c",
    ),
    ("nor the whole run", _floor_breaches, "training/engine/a.py", "from ..session import run_recipe"),
    ("pictures and data are neighbors", _floor_breaches, "training/pictures/a.py", "from ..data.b import c"),
    ("a file that travels has no package above it", _flat_breaches, "modeling/a.py", "from ..modeling.b import c"),
    ("nor names its own", _flat_breaches, "modeling/a.py", "import vitpose.modeling.b"),
    ("nor has folders", _flat_breaches, "processing/a.py", "from .deep.b import c"),
    ("nor takes what does not travel", _flat_breaches, "processing/a.py", "from vitpose.modeling.convert.b import c"),
    ("libraries of an extra are imported where they are used", _extra_breaches, "training/a.py", "import scipy.io"),
    ("a model on the Hub needs torch and transformers alone", _library_breaches, "modeling/a.py", "import timm"),
    ("base needs torch alone", _library_breaches, "vitpose/base/a.py", "def f():\n    import numpy"),
    ("commands import the package when they run", _command_breaches, "vitpose/cli/a.py", "from vitpose.b import c"),
    ("and by its name", _command_breaches, "vitpose/cli/a.py", "def f():\n    from ..b import c"),
    ("torchvision is no dependency", _banned_breaches, "tests/a.py", "def f():\n    from torchvision import ops"),
    ("a script has no package", _script_breaches, "training/run.py", "from .session import run_recipe"),
    ("a module has moved", _lost_imports, "docs/a.py", "def f():\n    from vitpose.training.readers import read_coco"),
    ("a room is part of the package", _banned_breaches, "docs/a.py", "from modeling.b import c"),
]


@pytest.mark.parametrize(("law", "file", "source"), [row[1:] for row in BREACHES], ids=[row[0] for row in BREACHES])
def test_a_breach_would_be_seen(law: Callable[[Iterable[Import]], list[str]], file: str, source: str) -> None:
    assert law(_imports_of(file, source)) != []


KEPT = [
    ("the entry of a run hands the card writer in", "training/run.py", "from vitpose.hub_cards.cards.card import c"),
    ("processing builds on modeling", "processing/a.py", "from vitpose.modeling.keypoint_schemas import K"),
    ("modeling builds on base", "modeling/a.py", "from vitpose.base.files import whole_file"),
    ("a room of training uses its own folder", "training/data/readers/a.py", "from ..table import people_table"),
    ("siblings of a package's own file", "training/data/__init__.py", "from .table import people_table"),
    ("the demo shows videos as the command does", "hub_cards/demo/a.py", "from vitpose.video.files import f"),
]


@pytest.mark.parametrize(("file", "source"), [row[1:] for row in KEPT], ids=[row[0] for row in KEPT])
def test_what_is_allowed_is_no_breach(file: str, source: str) -> None:
    imports = _imports_of(file, source)
    assert [place for law, _ in LAWS.values() if law is not _lost_imports for place in law(imports)] == []


def test_other_breaches_would_be_seen() -> None:
    assert _repeated_names(["modeling/crops.py", "processing/crops.py", "processing/__init__.py"]) == ["crops.py"]
    assert _hiding_names(["run.py", "accelerate", "json.py"]) == ["accelerate", "json"]
    assert _crowded_folders([f"training/data/{index}.py" for index in range(18)]) == ["training/data: 18 files"]
    one = _imports_of("training/data/table.py", "from .columns import a")
    other = _imports_of("training/data/columns.py", "from .table import b")
    assert set(_circle(one + other)) == {"vitpose.training.data.table", "vitpose.training.data.columns"}
