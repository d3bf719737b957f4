"""`vitpose serve`: an endpoint on this machine."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("folder", help="small, base, large, huge or tiny; a folder or Hub id")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 lets other machines in")
    parser.add_argument("--port", type=int, default=8000)


def run(chosen: argparse.Namespace) -> None:
    """Serve the model until it is interrupted."""
    from vitpose.base.published import resolve_model
    from vitpose.hub_cards.endpoint.serve import serve

    serve(resolve_model(chosen.folder), host=chosen.host, port=chosen.port)
