"""The laws of the house that a machine can check, read off the syntax trees.

Rooms import only what they may, files that travel to the Hub stand beside each other without a package, and no file
hides an installed library.
"""

import ast
import configparser
import re
import sys
from collections import Counter
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import NamedTuple

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
ROOMS = ("modeling", "processing", "training", "hub_cards", "vitpose")
# The rooms each room may import; None: all of them.
MAY_IMPORT = {
    "modeling": {"modeling"},
    "processing": {"processing"},
    "training": {"modeling", "processing", "training", "vitpose"},
    "hub_cards": None,
    "vitpose": None,
}
# Files of processing/ that stay at home: they may import modeling/, and no model on the Hub carries them.
AT_HOME = {"processing/drawing.py", "processing/keypoint_detection.py"}
LIBRARIES = {
    "modeling": {"torch", "transformers", "safetensors", "huggingface_hub"},
    "processing": {"torch", "numpy", "PIL", "transformers"},
}
DISTRIBUTIONS = {"PIL": "pillow", "yaml": "pyyaml"}  # of packages that are imported under another name


class Import(NamedTuple):
    """One import of one file: `module` is as the file would be known inside the package, without leading dots."""

    file: str
    line: int
    level: int
    module: str
    at_once: bool  # when the file is imported, and not only where a function needs it

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}: {'.' * self.level}{self.module}"

    @property
    def room(self) -> str | None:
        """The room that is imported, "vitpose" for the package itself, None for a library."""
        if self.level == 1:
            return self.file.split("/")[0]
        parts = self.module.split(".")
        if self.level == 0 and parts[0] != "vitpose":
            return None
        inner = parts[1:] if self.level == 0 else parts
        return inner[0] if inner else "vitpose"


def _sources(*folders: str) -> list[str]:
    return sorted(str(path.relative_to(CHECKOUT)) for folder in folders for path in (CHECKOUT / folder).rglob("*.py"))


def _imports_of(file: str, source: str) -> list[Import]:
    found = []
    tree = ast.parse(source)
    for node in ast.walk(tree):
        at_once = node in tree.body
        if isinstance(node, ast.Import):
            found += [Import(file, node.lineno, 0, alias.name, at_once) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(Import(file, node.lineno, node.level, node.module, at_once))
        elif isinstance(node, ast.ImportFrom):
            found += [Import(file, node.lineno, node.level, alias.name, at_once) for alias in node.names]
    return found


def _imports(*folders: str) -> list[Import]:
    return [found for file in _sources(*folders) for found in _imports_of(file, (CHECKOUT / file).read_text("utf-8"))]


def _travels(file: str) -> bool:
    room, _, rest = file.partition("/")
    return room in ("modeling", "processing") and rest != "__init__.py" and file not in AT_HOME


def _room_breaches(imports: list[Import]) -> list[str]:
    breaches = []
    for found in imports:
        allowed = MAY_IMPORT[found.file.split("/")[0]]
        if allowed is not None and found.file in AT_HOME:
            allowed = allowed | {"modeling"}
        if allowed is not None and found.room is not None and found.room not in allowed:
            breaches.append(found.place)
    return breaches


def _flat_breaches(imports: list[Import]) -> list[str]:
    """Imports of the project, in files that travel, that are not `from .sibling import name`."""
    return [
        found.place
        for found in imports
        if _travels(found.file) and found.room is not None and (found.level != 1 or "." in found.module)
    ]


def _library_breaches(imports: list[Import]) -> list[str]:
    return [
        found.place
        for found in imports
        if found.room is None
        and (room := found.file.split("/")[0]) in LIBRARIES
        and (top := found.module.split(".")[0]) not in LIBRARIES[room]
        and top not in sys.stdlib_module_names
    ]


def _extra_breaches(imports: list[Import]) -> list[str]:
    """Imports at the beginning of a file of what `pip install vitpose` does not bring by itself."""
    setup = configparser.ConfigParser()
    setup.read(CHECKOUT / "setup.cfg")
    required = {re.split(r"[<>=!~;\[ ]", line)[0] for line in setup["options"]["install_requires"].split("\n") if line}
    return [
        found.place
        for found in imports
        if found.at_once
        and found.room is None
        and (top := found.module.split(".")[0]) not in sys.stdlib_module_names
        and DISTRIBUTIONS.get(top, top) not in required
    ]


def _repeated_names(files: list[str]) -> list[str]:
    names = Counter(Path(file).name for file in files if _travels(file) or file in AT_HOME)
    return [name for name, times in names.items() if times > 1]


def test_rooms_import_only_the_rooms_they_may() -> None:
    assert _room_breaches(_imports(*ROOMS)) == []


def test_the_rooms_that_travel_use_only_their_libraries() -> None:
    assert _library_breaches(_imports("modeling", "processing")) == []


def test_a_plain_install_imports_every_file() -> None:
    assert _extra_breaches(_imports(*ROOMS)) == []


def test_files_that_travel_import_their_siblings_flat() -> None:
    assert _flat_breaches(_imports("modeling", "processing")) == []


def test_base_names_are_unique_over_the_rooms_that_travel() -> None:
    assert _repeated_names(_sources("modeling", "processing")) == []


@pytest.mark.parametrize("banned", ["torchvision", "cv2", *ROOMS[:-1]])
def test_nobody_imports(banned: str) -> None:
    """torchvision and OpenCV are no dependencies; a room is `vitpose.room`, never a top-level name."""
    imports = _imports(*ROOMS, "tests", "benchmarks", "docs")
    assert [found.place for found in imports if found.level == 0 and found.module.split(".")[0] == banned] == []


def test_no_training_file_hides_a_library() -> None:
    """`training/` is the first entry of sys.path when `training/run.py` runs."""
    libraries = sys.stdlib_module_names | packages_distributions().keys()
    own = {Path(file).stem for file in _sources("training")}
    assert sorted(own & libraries) == []


BREACHES = [
    ("modeling must not know processing", _room_breaches, "modeling/a.py", "from ..processing.b import c"),
    ("processing must not know training", _room_breaches, "processing/a.py", "import vitpose.training.b"),
    (
        "only drawing and the pipeline know modeling",
        _room_breaches,
        "processing/a.py",
        "from vitpose.modeling import b",
    ),
    ("training must not know the command line", _room_breaches, "training/a.py", "from vitpose.cli.main import main"),
    ("training must not know the cards", _room_breaches, "training/a.py", "from ..hub_cards import card"),
    ("a file that travels has no package above it", _flat_breaches, "modeling/a.py", "from ..modeling.b import c"),
    ("a file that travels cannot name the package", _flat_breaches, "modeling/a.py", "import vitpose.modeling.b"),
    ("a file that travels has no folders", _flat_breaches, "processing/a.py", "from .deep.b import c"),
    ("libraries of an extra are imported where they are used", _extra_breaches, "training/a.py", "import scipy.io"),
    ("a model on the Hub needs torch and transformers alone", _library_breaches, "modeling/a.py", "import timm"),
]


@pytest.mark.parametrize(("why", "law", "file", "source"), BREACHES, ids=[row[0] for row in BREACHES])
def test_a_breach_would_be_seen(why: str, law, file: str, source: str) -> None:
    assert len(law(_imports_of(file, source))) == 1


def test_a_repeated_base_name_would_be_seen() -> None:
    assert _repeated_names(["modeling/crops.py", "processing/crops.py", "processing/__init__.py"]) == ["crops.py"]
