"""The Python blocks of README.md and docs/ run, file by file and in order, in an empty folder.

A block runs unless the line above it says why not: `<!-- not run: needs a download -->`. The folder holds one
photograph of a person, `photo.jpg`.
"""

import json
import re
import runpy
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image
from skimage.data import astronaut

import vitpose
from vitpose import get_keypoint_schema
from vitpose.training.config.parsing import parse_recipe
from vitpose_cli.evaluate import evaluation_recipe
from vitpose_cli.main import COMMANDS, parse

CHECKOUT = Path(__file__).resolve().parent.parent
PAGES = [path for path in (CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("**/*.md"))) if path.exists()]
GLOSSARY = "glossary.md"
WITHOUT_BLOCKS = {GLOSSARY, "benchmarks.md"}  # words alone, and figures of scripts
BLOCK = re.compile(r"(?P<excuse><!-- not run: .+? -->\s*)?^```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """One block of Python: the page's line of its first statement, and the code."""

    line: int
    code: str


def _blocks(text: str) -> list[Block]:
    return [
        Block(text.count("\n", 0, match.start("code")) + 1, match["code"])
        for match in BLOCK.finditer(text)
        if not match["excuse"]
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_the_blocks_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(astronaut()).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    blocks = _blocks(page.read_text("utf-8"))
    assert blocks or page.name in WITHOUT_BLOCKS, (
        "a page shows how something is done: at least one block of it can run here"
    )
    for block in blocks:
        # blank lines in front, so that a traceback gives the line of the page
        exec(compile("\n" * (block.line - 1) + block.code, str(page), "exec"), names)


def test_the_glossary_is_linked_and_defines_each_term_once() -> None:
    terms = re.findall(r"^\| (?!term|-)([^|]+) \|", (CHECKOUT / "docs" / GLOSSARY).read_text("utf-8"), re.MULTILINE)
    words = [word for term in terms for word in term.split(", ")]
    assert len(terms) >= 40 and len(set(words)) == len(words)
    assert f"(docs/{GLOSSARY})" in (CHECKOUT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_tables_are_those_of_the_code(page: Path) -> None:
    made = runpy.run_path(str(CHECKOUT / "docs" / "tables.py"))["filled"]
    text = page.read_text("utf-8")
    assert made(text) == text, "python docs/tables.py writes them anew"


def test_every_page_has_a_place_on_the_site() -> None:
    navigation = (CHECKOUT / "mkdocs.yml").read_text("utf-8").partition("\nnav:")[2]
    listed = re.findall(r"(\w+\.md)$", navigation, re.MULTILINE)
    assert sorted(listed) == sorted(page.name for page in PAGES if page.parent == CHECKOUT / "docs")


def test_every_public_name_is_in_the_reference() -> None:
    described = set(re.findall(r"^::: (\S+)$", (CHECKOUT / "docs" / "reference.md").read_text("utf-8"), re.MULTILINE))
    for module in (vitpose, vitpose.data, vitpose.metrics):
        for name in module.__all__:
            if callable(value := getattr(module, name)):
                homes = {f"vitpose.{name}", f"{module.__name__}.{name}"}
                assert described & homes, f"docs/reference.md lacks {value}"


def test_links_of_the_readme_lead_somewhere() -> None:
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", (CHECKOUT / "README.md").read_text("utf-8")):
        assert (CHECKOUT / link).exists(), link


def test_blocks_are_found_by_line_and_excused_by_reason() -> None:
    page = (
        "# Title\n\n```python\na = 1\n```\n\n<!-- not run: needs a GPU -->\n```python\nb = 2\n```\n```bash\nls\n```\n"
    )
    assert _blocks(page) == [Block(4, "a = 1\n")]


NAMES = "|".join(COMMANDS)
COMMAND = re.compile(rf"(?:accelerate launch training/run\.py|vitpose (?:{NAMES})) .+")
LINES = [
    (page.name, line)
    for page in (*PAGES, *sorted((CHECKOUT / "training" / "recipes").glob("*.yaml")))
    for line in COMMAND.findall(page.read_text("utf-8"))
    if "[" not in line and "`" not in line  # prose about a command, with placeholders
]


@pytest.mark.parametrize(("page", "line"), LINES, ids=[line for _, line in LINES])
def test_every_command_is_understood(page: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its arguments exist and have values of their kind; what it reads need not be here, but for a schema."""
    monkeypatch.chdir(tmp_path)
    Path("my_schema.json").write_text(json.dumps(get_keypoint_schema("lspet").to_dict()))
    arguments = shlex.split(line, comments=True)
    if arguments[0] == "accelerate":
        parse_recipe(arguments[3:])
        return
    chosen = parse(arguments[1:])
    if chosen.command == "train":
        parse_recipe(chosen.rest)
    if chosen.command == "evaluate":
        evaluation_recipe(chosen)


def test_commands_are_found() -> None:
    assert {"README.md", "lspet_small.yaml", "tiny.yaml"} <= {page for page, _ in LINES}
    assert len(LINES) >= 10
