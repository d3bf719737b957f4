"""What is installed: every module, every data file, the command, and public names that cost nothing until used."""

import ast
import configparser
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import vitpose
from vitpose_cli.main import COMMANDS

CHECKOUT = Path(__file__).resolve().parent.parent
ROOMS = ("modeling", "processing", "training", "hub_cards")
ARCHIVED = (".ci", "benchmarks", "docs", "tests")  # beside the rooms in the source archive, which so can run its tests


def _in_fresh_process(code: str, folder: Path) -> str:
    run = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def _copy_of_the_tree(folder: Path) -> Path:
    """A copy, so that building leaves nothing lying in the checkout."""
    for name in (*ROOMS, "vitpose"):
        shutil.copytree(CHECKOUT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for name in ARCHIVED:
        if (CHECKOUT / name).exists():
            shutil.copytree(CHECKOUT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in CHECKOUT.iterdir():
        if path.is_file() and path.name != ".git":
            shutil.copy2(path, folder / path.name)
    return folder


def _installed_names(tree: Path) -> set[str]:
    """Paths that the files of the rooms must have in the installed package."""
    files = [path.relative_to(tree) for name in (*ROOMS, "vitpose") for path in (tree / name).rglob("*")]
    names = {
        path.as_posix() if path.parts[0] == "vitpose" else f"vitpose/{path.as_posix()}"
        for path in files
        if (tree / path).is_file()
    }
    return {name.replace("vitpose/cli/", "vitpose_cli/") for name in names}  # the command line lies beside the package


def test_a_wheel_built_from_the_source_archive_holds_every_file_and_the_command(tmp_path: Path) -> None:
    tree = _copy_of_the_tree(tmp_path / "tree")
    expected = _installed_names(tree)
    build = "from setuptools import build_meta as b; print(b.build_{}({!r}))"
    archive = _in_fresh_process(build.format("sdist", str(tmp_path)), tree).splitlines()[-1]
    with tarfile.open(tmp_path / archive) as source:
        source.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    beside = {path.relative_to(tree) for name in ARCHIVED for path in (tree / name).rglob("*") if path.is_file()}
    assert {path for path in beside if not (unpacked / path).is_file()} == set()
    assert (unpacked / "constraints.txt").is_file()
    wheel_name = _in_fresh_process(build.format("wheel", str(tmp_path)), unpacked).splitlines()[-1]
    with zipfile.ZipFile(tmp_path / wheel_name) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        (commands,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
        assert "vitpose = vitpose_cli.main:main" in wheel.read(commands).decode()
    assert names == expected


def test_the_command_is_installed() -> None:
    (command,) = entry_points(group="console_scripts", name="vitpose")
    assert callable(command.load())


# What `train` takes are the fields of recipes, whose choices come from the rooms themselves.
@pytest.mark.parametrize("command", ["", *sorted(COMMANDS.keys() - {"train"})])
def test_help_imports_neither_torch_nor_transformers(command: str, tmp_path: Path) -> None:
    code = (
        "import contextlib, io, sys\n"
        "from vitpose_cli.main import main\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as shown:\n"
        f"    main({[*command.split(), '--help']!r})\n"
        "print('usage: vitpose' in shown.getvalue(), *sys.modules.keys() & {'torch', 'transformers', 'vitpose'})"
    )
    assert _in_fresh_process(code, tmp_path) == "True"


@pytest.mark.parametrize("name", vitpose.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(vitpose, name) is not None
    assert name in dir(vitpose)


def test_type_checkers_see_the_public_names_where_they_are() -> None:
    tree = ast.parse(Path(vitpose.__file__).read_text("utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert {name: home for name, home in seen.items() if home} == vitpose._HOMES
    assert {*seen, "__version__"} == set(vitpose.__all__)


def test_an_unknown_public_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'ViTPose'; public names: .*ViTPoseForPoseEstimation"):
        _ = vitpose.ViTPose


def test_importing_vitpose_does_not_load_what_only_training_and_drawing_need(tmp_path: Path) -> None:
    late = ("vitpose.training", "datasets", "pycocotools", "matplotlib")
    code = f"import sys, vitpose; print(*(name for name in {late!r} if name in sys.modules))"
    assert _in_fresh_process(code, tmp_path) == ""


def _extras() -> dict[str, list[Requirement]]:
    setup = configparser.ConfigParser()
    setup.read(CHECKOUT / "setup.cfg")
    sections = {"": setup["options"]["install_requires"], **setup["options.extras_require"]}
    return {name: [Requirement(line) for line in lines.split("\n") if line] for name, lines in sections.items()}


def test_constraints_pin_every_requirement_within_its_range() -> None:
    wanted = [want for lines in _extras().values() for want in lines if want.name != "vitpose"]
    pinned = {}
    for line in (CHECKOUT / "constraints.txt").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            pin = Requirement(line)
            pinned[canonicalize_name(pin.name)] = next(iter(pin.specifier)).version
    unpinned = "0"
    assert [
        str(want) for want in wanted if not want.specifier.contains(pinned.get(canonicalize_name(want.name), unpinned))
    ] == []


def test_extras_refer_to_extras_and_all_has_those_of_users() -> None:
    extras = _extras()
    referred = {
        name: {extra for want in wants if want.name == "vitpose" for extra in want.extras}
        for name, wants in extras.items()
    }
    assert set().union(*referred.values()) <= extras.keys()
    assert referred["all"] == extras.keys() - {"", "all", "dev", "docs", "test"}


def test_the_description_for_the_index_has_no_link_into_the_repository() -> None:
    describe = runpy.run_path(str(CHECKOUT / "setup.py"), run_name="setup")["long_description"]
    readme = (CHECKOUT / "README.md").read_text("utf-8")
    links = re.compile(r"\]\((?!https:)[^)]*\)")
    assert len(links.findall(readme)) > 10
    assert links.findall(describe(readme, None)) == []
    assert "![" not in describe(readme, None)
    absolute = describe(readme, "https://example.org/vitpose")
    assert links.findall(absolute) == []
    assert "](https://example.org/vitpose/raw/HEAD/docs/images/people.png)" in absolute
    assert "](https://example.org/vitpose/blob/HEAD/docs/glossary.md)" in absolute


def test_places_that_name_the_version_agree() -> None:
    assert f"\nversion: {vitpose.__version__}\n" in (CHECKOUT / "CITATION.cff").read_text("utf-8")
    assert f"\n## [{vitpose.__version__}]\n" in (CHECKOUT / "CHANGELOG.md").read_text("utf-8")


def test_an_endpoint_asks_for_the_same_lower_ends() -> None:
    setup = configparser.ConfigParser()
    setup.read(CHECKOUT / "setup.cfg")
    ours = set(setup["options"]["install_requires"].split("\n"))
    lines = (CHECKOUT / "hub_cards" / "endpoint" / "requirements.txt").read_text("utf-8").splitlines()
    assert [line for line in lines if ">=" in line and line not in ours] == []
