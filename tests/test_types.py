"""The type checker follows the mapped rooms: it sees what a module of another room really returns."""

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy", reason="the type checker comes with the dev extra")

CHECKOUT = Path(__file__).resolve().parent.parent
PLANTED = """
from vitpose.modeling.keypoint_schemas import get_keypoint_schema

right: int = get_keypoint_schema("coco").num_keypoints
wrong: str = get_keypoint_schema("coco").num_keypoints
"""


def test_each_room_has_its_link() -> None:
    setup = configparser.ConfigParser()
    setup.read(CHECKOUT / "setup.cfg")
    mapped = [line.split(" = ") for line in setup["options"]["package_dir"].split("\n") if line]
    rooms = {module: folder for module, folder in mapped if module != "vitpose"}
    links = {f"vitpose.{path.name}": path for path in (CHECKOUT / ".types" / "vitpose").iterdir()}
    assert {module: link.resolve() for module, link in links.items()} == {
        module: CHECKOUT / folder for module, folder in rooms.items()
    }


def test_a_type_error_across_rooms_is_caught(tmp_path: Path) -> None:
    for name in ("modeling", "processing", "training", "hub_cards", "vitpose", ".types"):
        shutil.copytree(CHECKOUT / name, tmp_path / name, symlinks=True)
    shutil.copy(CHECKOUT / "setup.cfg", tmp_path)
    (tmp_path / "training" / "planted.py").write_text(PLANTED)
    # what the checker knows of torch and transformers is kept from run to run, it takes a minute to find out
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", CHECKOUT / ".mypy_cache", "-m", "vitpose.training.planted"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    (error,) = (line for line in run.stdout.splitlines() if "training/planted.py" in line)
    assert 'planted.py:5: error: Incompatible types in assignment (expression has type "int"' in error
