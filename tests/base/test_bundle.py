"""Modules merged into files: the files do what the modules did, whatever the names."""

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from vitpose.base.bundle import bundle

MODULES = {
    "shapes.py": '''
        """Shapes."""
        import logging
        import math
        from dataclasses import dataclass

        logger = logging.getLogger(__name__)
        LIMIT = 3


        def _area(radius):
            return math.pi * radius**2


        @dataclass
        class Circle:
            radius: float

            def area(self):
                return _area(self.radius)

            def draw(self):
                from .drawing import draw

                return draw(self)
    ''',
    "deep/drawing.py": '''
        from __future__ import annotations

        from ..shapes import LIMIT as MOST, Circle


        def draw(circle: Circle, shown: Later | None = None) -> "Circle":
            """The Circle, drawn."""
            import nowhere.to.be.found as lost

            return lost.draw(circle, MOST)


        class Later:
            pass
    ''',
    "drawing.py": """
        from .shapes import Circle


        def draw(circle: "Circle"):
            return "o" * round(circle.radius)
    """,
    "sizes.py": """
        import logging
        from numpy import linalg as math

        from parts.shapes import Circle, logger as log

        logger = logging.getLogger(__name__)
        LIMIT = 3
        _WIDTH = 4


        def _area(side: "Circle"):
            logger.info("äöü %s", _WIDTH); log.info("%s", side)
            return side * side + LIMIT


        def total(sides):
            from .shapes import Circle as Round

            return sum(map(_area, sides)) + Round(1).radius + math.norm([3, 4])
    """,
}


@pytest.fixture
def parts(tmp_path, monkeypatch) -> Path:
    """A package of modules that have things of the same name."""
    import textwrap

    for name, text in MODULES.items():
        path = tmp_path / "parts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.split(".")[0] in ("parts", "merged")]:
        monkeypatch.delitem(sys.modules, name)
    importlib.invalidate_caches()
    return tmp_path


def merge(folder: Path, files: dict[str, list[str]]) -> dict[str, str]:
    texts = bundle(files, headers=dict.fromkeys(files, "# header"))
    (folder / "merged").mkdir()
    for name, text in texts.items():
        (folder / "merged" / name).write_text(text, encoding="utf-8")
    (folder / "merged" / "__init__.py").touch()
    importlib.invalidate_caches()
    return texts


def load(name: str) -> ModuleType:
    return importlib.import_module(name)


ONE = {"all.py": ["parts.sizes"]}
TWO = {"first.py": ["parts.shapes"], "second.py": ["parts.sizes"]}
LATER = {"first.py": ["parts.shapes"], "second.py": ["parts.sizes", "parts.drawing"]}


@pytest.mark.parametrize("files", [ONE, TWO, LATER], ids=["one file", "two files", "a later file, imported on use"])
def test_the_files_do_what_the_modules_did(files, parts) -> None:
    texts = merge(parts, files)
    last = load(f"merged.{list(files)[-1].removesuffix('.py')}")
    assert last.total([1, 2]) == load("parts.sizes").total([1, 2]) == 1 + 4 + 2 * 3 + 1 + 5
    assert "parts." not in "".join(
        line for text in texts.values() for line in text.splitlines() if "# ----" not in line
    )
    first = load(f"merged.{list(files)[0].removesuffix('.py')}")
    assert first.Circle(2).area() == pytest.approx(4 * 3.14159265)
    assert first.Circle(3).draw() == "ooo"


def test_equal_things_are_shared_and_others_of_one_name_are_renamed(parts) -> None:
    text = merge(parts, ONE)["all.py"]
    assert text.count("LIMIT = 3") == 1 and text.count("logger = logging.getLogger(__name__)") == 1
    assert "def _area(" in text and "def _area_sizes(" in text and "map(_area_sizes, sides)" in text
    assert "from numpy import linalg as math_sizes" in text and "math_sizes.norm" in text


def test_each_part_says_where_it_is_from_and_a_header_comes_first(parts) -> None:
    text = merge(parts, ONE)["all.py"]
    assert text.startswith("# header\n\nimport logging\n")
    sources = [line.split()[3] for line in text.splitlines() if line.startswith("# ---- from")]
    assert sources == ["parts.shapes", "parts.sizes", "parts.drawing"]


def test_annotations_of_a_module_that_postpones_them_become_strings(parts) -> None:
    text = merge(parts, {"all.py": ["parts.deep.drawing"]})["all.py"]
    assert "__future__" not in text and "def draw_drawing(" not in text.replace("draw_drawing(circle: 'Circle'", "")
    assert "shown: 'Later | None' = None" in text


def test_a_library_of_one_function_is_not_asked_for_when_the_file_is_read(parts) -> None:
    """transformers looks through saved code for what is not installed, but not into `try`."""
    from transformers.dynamic_module_utils import get_imports

    merge(parts, {"all.py": ["parts.deep.drawing"]})
    assert "nowhere" not in get_imports(parts / "merged" / "all.py")
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        load("merged.all").draw(None)


BAD = {
    "a star": ("from .shapes import *", "line 1: every name of a module is imported"),
    "a module": ("import parts.shapes", "line 1: a module of the package is imported"),
    "two names": ("import os.path", "line 1: os.path is imported under two names"),
    "no source": ("from .nowhere import nothing", "parts.nowhere: expected a module with its source"),
    "a variable": (
        "from .shapes import LIMIT, Circle\n\n\ndef _area(x):\n    return x\n\n\ndef f(_area):\n    return _area",
        "f has a variable _area",
    ),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD)
def test_what_cannot_be_merged_is_refused_by_name(text, message, parts) -> None:
    (parts / "parts" / "bad.py").write_text(text)
    with pytest.raises(ValueError, match=message):
        merge(parts, {"all.py": ["parts.bad"]})


def test_no_name_of_the_files_is_unused_or_unknown(parts) -> None:
    merge(parts, TWO)
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F", str(parts / "merged")]
    done = subprocess.run(command, capture_output=True, text=True)
    if "No module named ruff" in done.stderr:
        pytest.skip("ruff is not installed")
    assert done.returncode == 0, done.stdout
