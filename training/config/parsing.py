"""Recipes from YAML files and command lines, each mistake named with the nearest thing that exists."""

import argparse
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import NoneType
from typing import Any, NoReturn, cast, get_args, get_type_hints

import yaml
from transformers import HfArgumentParser

from .recipe import Recipe, check_types, reject_unknown

RECIPES = Path(__file__).parents[1] / "recipes"


def load_recipe_file(path: str | Path) -> dict[str, Any]:
    """The fields of a YAML recipe, those of its `base` included.

    Args:
        path: A file, or the name of a recipe that ships with vitpose, such as `lspet.yaml`.

    Raises:
        FileNotFoundError: There is no such file; the message lists the shipped recipes.
        ValueError: The file holds no fields, one of a wrong type, or an unknown one; the message has the nearest name.
    """
    path = Path(path)
    file = path if path.is_file() else RECIPES / path.name
    if not file.is_file():
        shipped = ", ".join(sorted(recipe.name for recipe in RECIPES.glob("*.yaml")))
        raise FileNotFoundError(f"No recipe {path}. Recipes that ship with vitpose: {shipped}.")
    fields = _read_yaml(file)
    base = fields.pop("base", None)
    reject_unknown(fields, f"Recipe {file}")
    fields = _with_numbers(fields)
    check_types(fields)
    return {**(_base_fields(file, base) if base else {}), **fields}


def _base_fields(file: Path, base: Any) -> dict[str, Any]:
    """The fields of the recipe that a file builds on; a file may have the name of the shipped one it builds on."""
    if not isinstance(base, str):
        raise ValueError(f"Recipe {file}: expected base to name a recipe, got {base!r}.")
    beside = file.parent / base
    source = RECIPES / base if beside.resolve() == file.resolve() else beside
    try:
        return load_recipe_file(source)
    except RecursionError:
        raise ValueError(f"Recipe {file}: its base {base} builds on it in turn.") from None


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        fields = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"Recipe {file} is not YAML: {error}.") from error
    if not isinstance(fields, dict):
        raise ValueError(f"Recipe {file}: expected lines of the form 'field: value', got a {type(fields).__name__}.")
    return fields


def parse_recipe(arguments: list[str] | None = None) -> Recipe:
    """The recipe of a command line: `[RECIPE.yaml] [--field value ...]`; later beats earlier.

    Raises:
        ValueError: A field is unknown, of a wrong type, out of range, or contradicts another.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    fields = load_recipe_file(arguments.pop(0)) if arguments and not arguments[0].startswith("-") else {}
    given = [argument[2:].split("=")[0].replace("-", "_") for argument in arguments if argument.startswith("--")]
    fields_named = [name.removeprefix("no_") if name.startswith("no_") else name for name in given if name != "help"]
    reject_unknown(fields_named, "The command line")
    parser = _Parser(cast(Any, Recipe), prog="training/run.py", usage="%(prog)s [RECIPE.yaml] [--field value ...]")
    parser.set_defaults(**fields)
    (recipe,) = parser.parse_args_into_dataclasses(arguments, look_for_args_file=False)
    recipe.validate()
    return recipe


class _Parser(HfArgumentParser):
    """A parser whose mistakes are raised like those of a recipe file, and that reads `null` as one does."""

    def add_argument(self, *names: str, **settings: Any) -> argparse.Action:
        kind = get_type_hints(Recipe).get(names[0].lstrip("-"))
        if NoneType in get_args(kind):
            settings["type"] = _or_null(settings["type"])
        return super().add_argument(*names, **settings)

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"The command line: {message}.")


def _or_null(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """A reader of a command-line value that gives None for `null`."""

    @wraps(kind)  # messages name the kind
    def read(text: str) -> Any:
        return None if text == "null" else kind(text)

    return read


def _with_numbers(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a file with numbers where YAML has text: it reads `5e-4` so, for want of a dot."""
    kinds = get_type_hints(Recipe)
    return {
        name: _to_float(name, value) if kinds[name] in (float, float | None) and isinstance(value, str) else value
        for name, value in fields.items()
    }


def _to_float(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"Recipe field {name}: expected a number, got {value!r}.") from None
