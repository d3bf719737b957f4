"""`vitpose demo`: models in the browser."""

import argparse

DETECTOR = "light"  # a visitor waits for each answer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "models",
        nargs="*",
        default=["base"],
        metavar="MODEL",
        help="small, base, large or huge, fetched once; folders or Hub ids; 'tiny' is the one inside the package",
    )
    people = parser.add_mutually_exclusive_group()
    people.add_argument(
        "--detector",
        help="what finds the people: light (by default) or accurate, fetched once; a folder or Hub id",
    )
    people.add_argument(
        "--no-detector", action="store_true", help="people come from boxes, or one fills the picture; so it is for tiny"
    )
    parser.add_argument("--port", type=int, default=7860)


def run(chosen: argparse.Namespace) -> None:
    """Serve the demo until it is interrupted."""
    from vitpose.hub_cards.demo.interface import launch
    from vitpose.hub_cards.demo.model import Demo

    # tiny knows generated people only, which no detector of photographs finds, and is there for who is offline
    usual = None if chosen.no_detector or chosen.models == ["tiny"] else DETECTOR
    launch(Demo(chosen.models, detector=chosen.detector or usual), port=chosen.port)
