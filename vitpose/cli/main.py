"""The command line: `vitpose COMMAND`. Each command is a file here, with `add_arguments` and `run`.

`--help` answers at once, because neither torch nor transformers is imported before a command runs.
"""

import argparse
import logging
import sys
from importlib import import_module
from importlib.metadata import version

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
}
TAKE_RECIPES = ("train", "evaluate")
INTERRUPTED = 130  # what shells expect of a command that Ctrl-C ended


def main(arguments: list[str] | None = None) -> int:
    """Run a command; a mistake of the user ends with its message and status 2, without a traceback."""
    chosen = parse(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("vitpose").setLevel(logging.INFO)

    from safetensors import SafetensorError
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # of reading weights: the bars that are left are the command's own
    try:
        chosen.run(chosen)
    except (ValueError, TypeError, OSError, ImportError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except SafetensorError as error:
        sys.stderr.write(f"error: The weights cannot be read as safetensors: {error}. Get or save them again.\n")
        return 2
    except KeyboardInterrupt as interruption:
        sys.stderr.write(f"{interruption or 'Interrupted.'}\n")
        return INTERRUPTED
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """What was chosen on the command line.

    Returns:
        The command's arguments, its function `run`, and as `rest` those that are fields of a recipe.

    Raises:
        SystemExit: The arguments are not understood, or ask for help.
    """
    parser = argparse.ArgumentParser(
        prog="vitpose", description="Human and animal pose with plain Vision Transformers."
    )
    parser.add_argument("--version", action="version", version=f"vitpose {version('vitpose')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, purpose in COMMANDS.items():
        command = commands.add_parser(name, help=purpose, add_help=name != "train")  # whose help is the recipe's
        if name in arguments[:1]:
            module = import_module(f".{name.replace('-', '_')}", __package__)
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    chosen, rest = parser.parse_known_args(arguments)
    if rest and chosen.command not in TAKE_RECIPES:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    chosen.rest = rest
    return chosen


if __name__ == "__main__":
    sys.exit(main())
