"""`vitpose demo`: models in the browser."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("models", nargs="+", metavar="MODEL", help="folders or Hub ids; 'tiny' is inside the package")
    parser.add_argument(
        "--detector", metavar="MODEL", help="object-detection model of transformers that finds the people"
    )
    parser.add_argument("--port", type=int, default=7860)


def run(chosen: argparse.Namespace) -> None:
    """Serve the demo until it is interrupted."""
    from vitpose.hub_cards.demo.interface import launch
    from vitpose.hub_cards.demo.model import Demo

    launch(Demo(chosen.models, detector=chosen.detector), port=chosen.port)
