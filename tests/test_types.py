"""The type checker follows the mapped rooms and is strict in each of them: planted mistakes are seen everywhere."""

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy", reason="the type checker comes with the dev extra")

CHECKOUT = Path(__file__).resolve().parent.parent
if not (CHECKOUT / ".types").exists():
    pytest.skip("a source archive has no links, which mypy needs; a clone has them", allow_module_level=True)
ROOMS = ("modeling", "processing", "training", "hub_cards", "vitpose")
MOST_IGNORED = 12  # lines in the whole product
# Each line that ends in a comment is a mistake of that code.
PLANTED = """
from vitpose.modeling.configuration_vitpose import ViTPoseConfig
from vitpose.modeling.keypoint_schemas import get_keypoint_schema

right: int = get_keypoint_schema("coco").num_keypoints
wrong: str = get_keypoint_schema("coco").num_keypoints  # assignment
len(right)  # arg-type
get_keypoint_schema("coco").keypoint_colour  # attr-defined
right + "px"  # operator
right[0]  # index
names: list[str] = [right]  # list-item


def length(name: str | None) -> int:
    return len(name.strip())  # union-attr


def first(names: list[str] | None = None) -> str | None:
    return names[0]  # index


class Config(ViTPoseConfig):
    def get_schema(self, dataset_index: str) -> int:  # override
        return 0
"""


def _folders_of_the_product() -> list[Path]:
    """Every folder with modules of the package."""
    setup = configparser.ConfigParser()
    setup.read(CHECKOUT / "setup.cfg")
    names = [name for name in setup["options"]["packages"].split("\n") if name]
    return [_folder_of(name) for name in names]


def _folder_of(package: str) -> Path:
    if package == "vitpose_cli":  # to the checker it is what its folder says
        return Path("vitpose", "cli")
    inner = package.split(".")[1:]
    return Path(*inner) if inner and inner[0] in ROOMS else Path("vitpose", *inner)


def _planted_codes() -> dict[int, str]:
    lines = enumerate(PLANTED.splitlines(), start=1)
    return {number: line.split("  # ")[1] for number, line in lines if "  # " in line}


def test_each_room_has_its_link() -> None:
    setup = configparser.ConfigParser()
    setup.read(CHECKOUT / "setup.cfg")
    mapped = [line.split(" = ") for line in setup["options"]["package_dir"].split("\n") if line]
    rooms = {module: folder for module, folder in mapped if module.startswith("vitpose.")}
    links = {f"vitpose.{path.name}": path for path in (CHECKOUT / ".types" / "vitpose").iterdir()}
    assert {module: link.resolve() for module, link in links.items()} == {
        module: CHECKOUT / folder for module, folder in rooms.items()
    }


def test_mistakes_planted_in_every_folder_are_seen(tmp_path: Path) -> None:
    for name in (*ROOMS, ".types"):
        shutil.copytree(CHECKOUT / name, tmp_path / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(CHECKOUT / "setup.cfg", tmp_path)
    files = [folder / "planted.py" for folder in _folders_of_the_product()]
    for file in files:
        (tmp_path / file).write_text(PLANTED)
    names = [".".join(("vitpose", *file.with_suffix("").parts)).replace("vitpose.vitpose", "vitpose") for file in files]
    # what the checker knows of torch and transformers is kept from run to run, it takes a minute to find out
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", CHECKOUT / ".mypy_cache"]
        + [argument for name in names for argument in ("-m", name)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    seen: dict[str, dict[int, str]] = {file.as_posix(): {} for file in files}
    for path, line, code in re.findall(r"^(\S+planted\.py):(\d+): error: .*\[([a-z-]+)\]$", run.stdout, re.MULTILINE):
        seen[path.removeprefix(".types/vitpose/")][int(line)] = code
    assert seen == {file.as_posix(): _planted_codes() for file in files}, run.stdout


def test_the_checker_is_as_strict_everywhere() -> None:
    """No section of setup.cfg takes back what holds for all."""
    setup = configparser.ConfigParser()
    setup.read(CHECKOUT / "setup.cfg")
    loosening = {"disable_error_code", "ignore_errors", "strict_optional", "follow_imports", "exclude"}
    sections = [name for name in setup.sections() if name.startswith("mypy")]
    assert {name: sorted(loosening & setup[name].keys()) for name in sections} == {name: [] for name in sections}


def test_what_the_checker_is_told_to_ignore_has_a_reason_and_is_rare() -> None:
    sources = [path for room in ROOMS for path in (CHECKOUT / room).rglob("*.py")]
    lines = [line for path in sources for line in path.read_text("utf-8").splitlines()]
    ignored = [line.strip() for line in lines if re.search(r"type: ignore|\bcast\(\"?Any\b", line)]
    ignores = [line for line in ignored if "type: ignore" in line]
    assert [line for line in ignores if not re.search(r"# type: ignore\[[a-z, -]+\]  # \w", line)] == []
    assert len(ignored) <= MOST_IGNORED, "\n".join(ignored)
