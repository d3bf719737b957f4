"""`vitpose publish`: a model's folder as a repository on the Hub."""

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("folder", type=Path, help="of a run, of save_pretrained, or of vitpose export")
    parser.add_argument("--repo", required=True, metavar="OWNER/NAME")
    parser.add_argument("--private", action="store_true", help="a new repository is visible to its owner alone")
    parser.add_argument("--create-pr", action="store_true", help="open a pull request in an existing repository")
    parser.add_argument("--revision", metavar="BRANCH", help="branch to commit to, created where it is new")
    parser.add_argument("--tag", help="name for the commit, such as v1.0")
    parser.add_argument("--collection", metavar="TITLE", help="collection of the owner's to add the repository to")
    parser.add_argument("--max-shard-size", metavar="SIZE", help="split the weights into files of at most this size")
    parser.add_argument(
        "--benchmark",
        nargs=3,
        metavar=("DATASET", "TASK", "METRIC"),
        help="list a figure of metrics.json, such as AP, on the leaderboard of a benchmark of the Hub",
    )
    parser.add_argument("--force", action="store_true", help="publish weights with NaN or infinite values")
    parser.add_argument("--dry-run", action="store_true", help="check, and list files and sizes, without the network")


def run(chosen: argparse.Namespace) -> None:
    """Publish the folder, or with `--dry-run` list what would be published."""
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
