"""Values of a recipe's fields in their types: jsonargparse reads them and writes the help."""

import argparse
from collections.abc import Mapping
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from jsonargparse import ArgumentParser

from .fields import FieldIndex, FieldInfo


def make_parser(index: FieldIndex) -> ArgumentParser:
    """A parser of full and unambiguous bare names, whose help has a group for each section."""
    parser = ArgumentParser(
        prog="vitpose train",
        usage="%(prog)s [--num-processes N] [RECIPE] [--field value ...]",
        description="RECIPE is a file, or the name of one that ships, such as lspet_small. Each field is also a line "
        "of a recipe file, by its bare name or below its section. N processes train together, each on a GPU of its "
        "own, or on CPUs; one if not given.",
        exit_on_error=False,
    )
    groups = {name: parser.add_argument_group(name, kind.__doc__) for name, kind in index.sections.items()}
    bare = [info.name for info in index.by_name.values()]
    for full, info in index.by_name.items():
        names = [f"--{full}"] + [f"--{info.name}"] * (bare.count(info.name) == 1)
        groups[info.section].add_argument(*names, type=info.kind, default=info.default, help=info.rules.help)
    return parser


def read_values(index: FieldIndex, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by full name, converted to the types of their fields: texts of a command line and of YAML to numbers.

    Raises:
        ValueError: A value has another type than its field.
    """
    parser = make_parser(index)
    for full, value in values.items():
        if value is None and NoneType not in get_args(index.by_name[full].kind):
            raise _wrong_type(index.by_name[full], value)
    try:
        read = parser.parse_object(dict(values))
    except argparse.ArgumentError:
        raise _explain(parser, index, values) from None
    return {full: read[full] for full in values}


def _explain(parser: ArgumentParser, index: FieldIndex, values: Mapping[str, Any]) -> ValueError:
    """The error of the first value that the parser does not take alone."""
    for full, value in values.items():
        try:
            parser.parse_object({full: value})
        except argparse.ArgumentError:
            return _wrong_type(index.by_name[full], value)
    raise AssertionError("each value is valid by itself")


def _wrong_type(info: FieldInfo, value: Any) -> ValueError:
    return ValueError(f"{info.full_name}: expected {_kind_words(info.kind)}, got {value!r}.")


def _kind_words(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(repr, get_args(kind)))}"
    if NoneType in get_args(kind):
        return f"{_kind_words(get_args(kind)[0])} or null"
    return getattr(kind, "__name__", str(kind)) if get_origin(kind) is None else str(kind)
