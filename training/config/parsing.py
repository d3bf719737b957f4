"""Recipes from YAML files and command lines."""

import sys
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from .checks import check_recipe
from .recipe import FIELDS, Recipe
from .typed import make_parser

RECIPES = Path(__file__).parents[1] / "recipes"


def load_recipe_file(path: str | Path) -> dict[str, Any]:
    """The fields of a YAML recipe by full name, such as `optimization.epochs`, those of its `base` included.

    Args:
        path: A file, or the name of a recipe that ships with vitpose, such as `lspet_small.yaml` or `lspet_small`.

    Raises:
        FileNotFoundError: There is no such file; the message lists the shipped recipes.
        ValueError: The file holds no fields, an unknown one, one twice, or one in the wrong section.
    """
    return _load(Path(path), above=())


def _load(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    """The fields of a recipe that those above build on."""
    file = path if path.is_file() else (RECIPES / path.name).with_suffix(".yaml")
    if not file.is_file():
        raise FileNotFoundError(_unknown_recipe(path))
    fields = _read_yaml(file)
    base = fields.pop("base", None)
    values = FIELDS.flatten(fields, f"Recipe {file}")
    return {**(_base_values(file, base, (*above, file.resolve())) if base is not None else {}), **values}


def _unknown_recipe(path: Path) -> str:
    shipped = sorted(recipe.name for recipe in RECIPES.glob("*.yaml"))
    near = get_close_matches(path.with_suffix(".yaml").name, shipped, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"No recipe {path}.{hint} Recipes that ship with vitpose: {', '.join(shipped)}."


def _base_values(file: Path, base: Any, above: tuple[Path, ...]) -> dict[str, Any]:
    """The fields of the recipe that a file builds on; a file may have the name of the shipped one it builds on."""
    if not isinstance(base, str):
        raise ValueError(f"Recipe {file}: expected base to name a recipe, got {base!r}.")
    beside = file.parent / base
    source = RECIPES / base if beside.resolve() == file.resolve() else beside
    if source.resolve() in above:
        raise ValueError(f"Recipe {file}: its base {base} builds on it in turn.")
    return _load(source, above)


class _UniqueKeyLoader(yaml.SafeLoader):
    """A loader of plain YAML that refuses a key that stands twice, of which YAML's own keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for place, key in enumerate(keys):
            if key in keys[:place]:
                line = node.value[place][0].start_mark.line + 1
                raise yaml.YAMLError(f"{key!r} stands twice, again in line {line}: expected it once")
        return super().construct_mapping(node, deep=deep)


def _read_yaml(file: Path) -> dict[Any, Any]:
    try:
        fields = yaml.load(file.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"Recipe {file} is not valid YAML: {error}.") from error
    if not isinstance(fields, dict):
        raise ValueError(f"Recipe {file}: expected lines of the form 'field: value', got a {type(fields).__name__}.")
    return fields


def parse_recipe(arguments: list[str] | None = None) -> Recipe:
    """The recipe of a command line: `[RECIPE.yaml] [--field value ...]`; later beats earlier.

    Raises:
        ValueError: A field is unknown, of a wrong type, out of range, or contradicts another.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    values = load_recipe_file(arguments.pop(0)) if arguments and not arguments[0].startswith("-") else {}
    if {"-h", "--help"} & set(arguments):
        make_parser(FIELDS).print_help()
        raise SystemExit(0)
    recipe = Recipe().with_values({**values, **dict(_read_options(arguments))})
    check_recipe(recipe)
    return recipe


def _read_options(arguments: list[str]) -> Iterator[tuple[str, Any]]:
    """Full names and texts of the options of a command line."""
    while arguments:
        flag, equals, text = arguments.pop(0).partition("=")
        if not flag.startswith("--"):
            raise ValueError(f"The command line: expected --field value, got {flag!r}.")
        texts = [text] if equals else []
        while not equals and arguments and not arguments[0].startswith("--"):
            texts.append(arguments.pop(0))
        yield _read_option(flag[2:].replace("-", "_"), texts)


def _read_option(name: str, texts: list[str]) -> tuple[str, Any]:
    """One option: `--no_field` and `--field` alone are switches, several values make a list."""
    section, dot, bare = name.rpartition(".")
    if not texts and bare.startswith("no_"):
        name, texts = section + dot + bare.removeprefix("no_"), ["false"]
    info = FIELDS.find(name, "The command line")
    if info.kind is bool and not texts:
        texts = ["true"]
    if info.kind == list[int] and not (len(texts) == 1 and texts[0].startswith("[")):
        return info.full_name, texts
    if len(texts) != 1:
        raise ValueError(f"The command line: {info.full_name}: expected one value, got {texts}.")
    return info.full_name, texts[0]
