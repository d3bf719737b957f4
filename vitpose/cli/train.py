"""`vitpose train`: what `accelerate launch training/run.py` does in a clone, after an install."""

import argparse
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Leave all arguments to the recipe, which explains them itself."""


def run(chosen: argparse.Namespace) -> None:
    """Train as the recipe says, and end with its status."""
    from vitpose.training.run import main

    sys.exit(main(chosen.rest))
