"""`vitpose train`: a recipe, in this process or in several."""

import argparse
import os
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Leave all arguments but the number of processes to the recipe, which explains them itself."""
    parser.add_argument("--num-processes", "--num_processes", type=int, default=1, metavar="N")


def run(chosen: argparse.Namespace) -> None:
    """Train as the recipe says, and end with its status."""
    count = chosen.num_processes
    if count < 1:
        raise ValueError(f"--num-processes: expected 1 or more, got {count}.")
    asks_for_help = {"-h", "--help"} & set(chosen.rest)
    if count == 1 or asks_for_help or "WORLD_SIZE" in os.environ:  # this may be one of them already
        from vitpose.training.run import main

        sys.exit(main(chosen.rest))
    from vitpose.training.processes import launch

    sys.exit(launch(count, ["vitpose_cli.main", "train", "--num-processes", str(count), *chosen.rest]))
