"""`vitpose completion`: what makes a shell complete the commands, printed for the shell to read."""

import argparse
import sys
from pathlib import Path

SHELLS = ("bash", "zsh", "fish")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "For this shell alone: source <(vitpose completion bash), or vitpose completion fish | source. For all to "
        "come: vitpose completion bash > ~/.local/share/bash-completion/completions/vitpose, vitpose completion fish "
        "> ~/.config/fish/completions/vitpose.fish, or for zsh a file _vitpose in a folder of $fpath."
    )
    parser.add_argument("shell", choices=SHELLS)


def run(chosen: argparse.Namespace) -> None:
    """Print the script, of all commands and their arguments."""
    try:
        import shtab
    except ImportError as error:
        raise ImportError("completion needs the package shtab: pip install 'vitpose[completion]'.") from error

    from .main import COMMANDS, build_parser

    parser, commands = build_parser(COMMANDS)
    commands["train"].add_argument("recipe", nargs="?", choices=_shipped_recipes())
    sys.stdout.write(shtab.complete(parser, shell=chosen.shell))


def _shipped_recipes() -> list[str]:
    """Names of the recipes that ship, found without importing the package they lie in."""
    from importlib.util import find_spec

    package = find_spec("vitpose")
    folders = [] if package is None else [Path(place) for place in package.submodule_search_locations or ()]
    rooms = [room for folder in folders for room in (folder / "training", folder.parent / "training")]  # or a clone
    return sorted(recipe.name for room in rooms for recipe in (room / "recipes").glob("*.yaml"))
