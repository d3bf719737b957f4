"""Train a pose model: `accelerate launch training/run.py [RECIPE.yaml] [--field value ...]`.

Without arguments: fine-tunes the shipped tiny checkpoint on generated people, evaluates it, and writes a folder that is
ready for the Hub. `--help` lists the fields.
"""

import logging
import sys

from vitpose.training.recipe import parse_recipe
from vitpose.training.session import run_recipe


def main(arguments: list[str] | None = None) -> int:
    """Run a recipe; a mistake of the user ends with its message and status 2, without a traceback."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        run_recipe(parse_recipe(arguments))
    except (ValueError, FileNotFoundError, FileExistsError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
