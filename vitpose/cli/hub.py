"""The commands of the command line that share a model: `vitpose publish`, `serve`, `demo` and `export`."""

import argparse
import sys
from pathlib import Path
from typing import Any


def add_hub_commands(commands: Any) -> None:
    """Add the commands to the subparsers of the command line."""
    _add_publish(commands)
    _add_serve(commands)
    _add_demo(commands)
    _add_export(commands)


def _add_publish(commands: Any) -> None:
    publish = commands.add_parser("publish", help="make a model's folder a repository on the Hub")
    publish.add_argument("folder", type=Path, help="of a run, of save_pretrained, or of vitpose export")
    publish.add_argument("--repo", required=True, metavar="OWNER/NAME")
    publish.add_argument("--private", action="store_true", help="a new repository is visible to its owner alone")
    publish.add_argument("--create-pr", action="store_true", help="open a pull request in an existing repository")
    publish.add_argument("--revision", metavar="BRANCH", help="branch to commit to, created where it is new")
    publish.add_argument("--tag", help="name for the commit, such as v1.0")
    publish.add_argument("--collection", metavar="TITLE", help="collection of the owner's to add the repository to")
    publish.add_argument("--max-shard-size", metavar="SIZE", help="split the weights into files of at most this size")
    publish.add_argument(
        "--benchmark",
        nargs=3,
        metavar=("DATASET", "TASK", "METRIC"),
        help="list a figure of metrics.json, such as AP, on the leaderboard of a benchmark of the Hub",
    )
    publish.add_argument("--force", action="store_true", help="publish weights with NaN or infinite values")
    publish.add_argument("--dry-run", action="store_true", help="check, and list files and sizes, without the network")
    publish.set_defaults(command=_publish)


def _add_serve(commands: Any) -> None:
    serve = commands.add_parser("serve", help="answer requests as an Inference Endpoint would, on this machine")
    serve.add_argument("folder", help="folder or Hub id; 'tiny' is the one inside the package")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 lets other machines in")
    serve.add_argument("--port", type=int, default=8000)
    serve.set_defaults(command=_serve)


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser(
        "demo", help="try models on photos and videos in the browser, as a Space of the Hub would"
    )
    demo.add_argument("models", nargs="+", metavar="MODEL", help="folders or Hub ids; 'tiny' is inside the package")
    demo.add_argument(
        "--detector", metavar="MODEL", help="object-detection model of transformers that finds the people"
    )
    demo.add_argument("--port", type=int, default=7860)
    demo.set_defaults(command=_demo)


def _add_export(commands: Any) -> None:
    export = commands.add_parser("export", help="write a model for ONNX Runtime or OpenVINO, checked against torch")
    export.add_argument("source", help="folder or Hub id; 'tiny' is the one inside the package")
    export.add_argument("--to", choices=("onnx", "openvino"), required=True, help="format to write")
    export.add_argument("--precision", choices=("fp32", "fp16"), default="fp32", help="of the weights")
    export.add_argument("--dataset", metavar="NAME", help="whose keypoints to find, where a model has several")
    export.add_argument("--out", type=Path, required=True, help="folder to write")
    export.set_defaults(command=_export)


def _publish(chosen: argparse.Namespace, _: list[str]) -> None:
    from vitpose.hub_cards.publish.benchmark import Benchmark
    from vitpose.hub_cards.publish.publishing import publish

    named = zip(("dataset_id", "task_id", "metric"), chosen.benchmark or (), strict=False)
    publication = publish(
        chosen.folder,
        chosen.repo,
        private=chosen.private,
        create_pr=chosen.create_pr,
        revision=chosen.revision,
        tag=chosen.tag,
        collection=chosen.collection,
        max_shard_size=chosen.max_shard_size,
        benchmark=Benchmark(**dict(named)) if chosen.benchmark else None,
        force=chosen.force,
        dry_run=chosen.dry_run,
    )
    if not chosen.dry_run:
        sys.stdout.write(f"{publication.url}\n")
        return
    lines = [f"{size:>13,}  {name}" for name, size in publication.files.items()]
    lines += [f"left out: {', '.join(publication.left_out)}"] if publication.left_out else []
    count, total = len(publication.files), sum(publication.files.values())
    lines.append(f"{count} files of {total:,} bytes would be published to {chosen.repo}")
    sys.stdout.write("\n".join(lines) + "\n")


def _serve(chosen: argparse.Namespace, _: list[str]) -> None:
    from vitpose.hub_cards.endpoint.serve import serve

    from ..base.bundled import resolve_model

    serve(resolve_model(chosen.folder), host=chosen.host, port=chosen.port)


def _demo(chosen: argparse.Namespace, _: list[str]) -> None:
    from vitpose.hub_cards.demo.interface import launch
    from vitpose.hub_cards.demo.model import Demo

    launch(Demo(chosen.models, detector=chosen.detector), port=chosen.port)


def _export(chosen: argparse.Namespace, _: list[str]) -> None:
    from ..export.export import export_model

    export_model(chosen.source, chosen.out, to=chosen.to, precision=chosen.precision, dataset=chosen.dataset)
