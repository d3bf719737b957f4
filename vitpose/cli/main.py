"""The command line: `vitpose COMMAND`. Each command is a file here, with `add_arguments` and `run`.

`--help`, a mistake and completion answer at once, because neither torch nor transformers is imported before a command
runs.
"""

import argparse
import logging
import os
import re
import sys
from collections.abc import Container, Iterable
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import version
from typing import NoReturn

COMMANDS = {
    "predict": "find the keypoints of people in photos or a video and draw them",
    "convert": "read a checkpoint of the authors' release, MAE, DINOv2 or transformers, and write it as another",
    "train": "train or fine-tune a model by a recipe: [RECIPE.yaml] [--field value ...]",
    "evaluate": "measure a model on annotated people",
    "convert-data": "write a dataset as Parquet files, ready for the Hub",
    "schema": "write the keypoint schema of annotations of one's own",
    "publish": "make a model's folder a repository on the Hub",
    "serve": "answer requests as an Inference Endpoint would, on this machine",
    "demo": "try models on photos and videos in the browser, as a Space of the Hub would",
    "export": "write a model for ONNX Runtime or OpenVINO, checked against torch",
    "completion": "print what makes a shell complete these commands: bash, zsh, fish",
}
TAKE_RECIPES = ("train", "evaluate")
INTERRUPTED = 130  # what shells expect of a command that Ctrl-C ended


class Parser(argparse.ArgumentParser):
    """A parser that tells a mistake with the nearest name that there is, and what is missing with the help."""

    def error(self, message: str) -> NoReturn:
        """End with the mistake and status 2."""
        if message.startswith("the following arguments are required: COMMAND"):
            self.print_help(sys.stderr)
            self.exit(2, "\nerror: Which command? The list above has them.\n")
        wrong = re.search(r"invalid choice: '(.*?)'", message)
        if wrong is not None and self.prog == "vitpose":  # argparse would list all commands, which --help does better
            message = f"There is no command {wrong[1]!r}.{_nearest(wrong[1], COMMANDS)}"
        self.exit(2, f"error: {message}\nHelp: {self.prog} --help\n")

    def tell_unknown(self, arguments: list[str]) -> NoReturn:
        """End because arguments are none of the command's."""
        known = [name for action in self._actions for name in action.option_strings if name.startswith("--")]
        flags = [argument.partition("=")[0] for argument in arguments if argument.startswith("-")]
        hint = next((near for flag in flags if (near := _nearest(flag, known))), "")
        self.error(f"unrecognized arguments: {' '.join(arguments)}.{hint}")


def _nearest(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]}?" if near else ""


def main(arguments: list[str] | None = None) -> int:
    """Run a command; a mistake of the user ends with its message and status 2, without a traceback."""
    chosen = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        return run(chosen)
    except KeyboardInterrupt as interruption:
        if os.environ.get("RANK", "0") == "0":  # one process of several speaks
            sys.stderr.write(f"{interruption or 'Interrupted.'}\n")
        return INTERRUPTED


def run(chosen: argparse.Namespace) -> int:
    """Run a chosen command; a mistake of the user is told, and has status 2."""
    if chosen.command == "completion":  # needs none of the below, which take seconds
        try:
            chosen.run(chosen)
        except ImportError as error:
            return _tell(error)
        return 0
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("vitpose").setLevel(logging.INFO)

    from huggingface_hub.utils import enable_progress_bars
    from safetensors import SafetensorError
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # of reading weights: the bars that are left are the command's own
    enable_progress_bars()  # of downloads, which went with it
    try:
        return chosen.run(chosen) or 0  # nothing but the status, of those commands that have one
    except (ValueError, TypeError, OSError, ImportError) as error:
        return _tell(error)
    except SafetensorError as error:
        sys.stderr.write(f"error: The weights cannot be read as safetensors: {error}. Get or save them again.\n")
        return 2


def _tell(mistake: Exception) -> int:
    sys.stderr.write(f"error: {mistake}\n")
    return 2


def parse(arguments: list[str]) -> argparse.Namespace:
    """What was chosen on the command line.

    Returns:
        The command's arguments, its function `run`, and as `rest` those that are fields of a recipe.

    Raises:
        SystemExit: The arguments are not understood, or ask for help.
    """
    parser, commands = build_parser(arguments[:1])
    chosen, rest = parser.parse_known_args(arguments)
    if rest and chosen.command not in TAKE_RECIPES:
        commands[chosen.command].tell_unknown(rest)
    chosen.rest = rest
    return chosen


def build_parser(described: Container[str]) -> tuple[Parser, dict[str, Parser]]:
    """The parser, and those of the commands by name.

    Args:
        described: The commands that get their arguments, which takes an import each.
    """
    parser = Parser(prog="vitpose", description="Human and animal pose with plain Vision Transformers.")
    parser.add_argument("--version", action="version", version=f"vitpose {version('vitpose')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    parsers = {}
    for name, purpose in COMMANDS.items():
        own_help = name != "train"  # whose help is the recipe's
        parsers[name] = commands.add_parser(name, help=purpose, add_help=own_help, allow_abbrev=own_help)
        if name in described:
            module = import_module(f".{name.replace('-', '_')}", __package__)
            module.add_arguments(parsers[name])
            parsers[name].set_defaults(run=module.run)
    return parser, parsers


if __name__ == "__main__":
    sys.exit(main())
