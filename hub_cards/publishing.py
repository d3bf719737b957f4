"""A saved model's folder as a repository on the Hub: what `vitpose publish` does."""

from __future__ import annotations

import logging
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from vitpose.modeling.configuration_vitpose import ViTPoseConfig

from .benchmark import Benchmark, eval_results_file
from .card import write_model_card
from .card_check import check_card
from .checkpoint_folder import (
    CARD,
    INDEX,
    check_weights,
    checkpoint_files,
    example_pictures,
    left_out,
    reshard,
    weight_files,
)
from .hand_written import CardParts
from .hub_upload import Destination, upload
from .travelling_code import add_pipeline, endpoint_files

logger = logging.getLogger(__name__)

CHECKPOINT_LINE = re.compile(r'^checkpoint = "[^"\n]*"', re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Publication:
    """What was published, or would be.

    Args:
        files: Path in the repository -> bytes.
        left_out: What of the folder is not published.
        url: The commit or pull request; None after a dry run.
    """

    files: dict[str, int]
    left_out: list[str]
    url: str | None = None


def publish(
    folder: str | os.PathLike[str],
    repo_id: str,
    *,
    private: bool = False,
    create_pr: bool = False,
    revision: str | None = None,
    tag: str | None = None,
    collection: str | None = None,
    max_shard_size: str | None = None,
    benchmark: Benchmark | None = None,
    force: bool = False,
    dry_run: bool = False,
) -> Publication:
    """Make a saved model's folder a repository on the Hub, or a new commit of one, in a single commit.

    Weights, config, processor, card, the pictures it shows, figures, the code that `trust_remote_code` runs, and what
    an Inference Endpoint needs. Files that have not changed are not sent again, and what was written by hand into the
    card on the Hub stays. A broken connection is tried again; after a failure nothing is visible, and the next call
    sends only what is missing. The token is the one of `hf auth login` or `HF_TOKEN`.

    Args:
        folder: With a model and its image processor, as a run or `save_pretrained` leaves it. A folder without a card
            gets one that says what the model is.
        repo_id: `owner/name`; created where it is new.
        private: A new repository is visible to its owner alone.
        create_pr: Open a pull request in an existing repository.
        revision: Branch to commit to, created where it is new; the main one if not given.
        tag: Name for the commit, such as "v1.0".
        collection: Title of a collection of the owner's to add the repository to, created where it is new.
        max_shard_size: Split the weights into files of at most this size, such as "2GB"; as they are if not given.
        benchmark: List a figure of `metrics.json` on the leaderboard of a benchmark.
        force: Publish weights with NaN or infinite values.
        dry_run: Check everything that can be checked offline, and say what would be published.

    Raises:
        ValueError: An argument, the weights or the card is not fit to be published.
        FileNotFoundError: The folder lacks a file.
        PermissionError: There is no token, or the Hub does not let it do this.
        ConnectionError: The Hub cannot be reached.
        OSError: The Hub refused for another reason; the message gives it.
    """
    destination = Destination(
        repo_id=repo_id, private=private, create_pr=create_pr, revision=revision, tag=tag, collection=collection
    )
    _check_repo_id(repo_id)
    with tempfile.TemporaryDirectory(prefix="vitpose-publish-") as scratch:
        files = _files(Path(folder), Path(scratch), repo_id, max_shard_size, benchmark, force=force)
        sizes = {name: _size(source) for name, source in sorted(files.items())}
        publication = Publication(files=sizes, left_out=left_out(Path(folder), [*files, *weight_files(Path(folder))]))
        if dry_run:
            return publication
        message = f"Publish with vitpose: {Path(folder).resolve().name}"
        url = upload(
            files, destination, message=message, benchmark_id=None if benchmark is None else benchmark.dataset_id
        )
    logger.info("published: %s", url)
    return Publication(files=sizes, left_out=publication.left_out, url=url)


def _check_repo_id(repo_id: str) -> None:
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise ValueError(f"The repository's name is not valid: {error}") from error
    if "/" not in repo_id:
        raise ValueError(f"The repository's name must be owner/name, got {repo_id!r}: say whose it is.")


def _files(
    folder: Path, scratch: Path, repo_id: str, max_shard_size: str | None, benchmark: Benchmark | None, *, force: bool
) -> dict[str, Path | bytes]:
    """Path in the repository -> file or content: the folder's, checked, and what it lacks."""
    files: dict[str, Path | bytes] = {**checkpoint_files(folder)}
    weights = [name for name in weight_files(folder) if name != INDEX]
    paths = [folder / name for name in weights]
    check_weights(paths, force=force)
    if max_shard_size is not None:
        files = {name: source for name, source in files.items() if name not in (INDEX, *weights)}
        files |= reshard(paths, scratch / "shards", max_shard_size)
    if benchmark is not None:
        files |= eval_results_file(folder, benchmark)
    files |= add_pipeline(folder, scratch / "saved") | endpoint_files(folder)
    return files | {CARD: _card(folder, scratch, repo_id).encode()}


def _card(folder: Path, scratch: Path, repo_id: str) -> str:
    """The folder's card, or a new one, with the repository's name in its snippets; checked."""
    path = folder / CARD
    if not path.is_file():
        config = ViTPoseConfig.from_pretrained(folder)
        path = write_model_card(scratch / repo_id.split("/")[1], model_config=config, picture=None)
    parts = CardParts.parse(path.read_text(encoding="utf-8"))
    if not parts.digests:  # somebody's own card from end to end
        text = path.read_text(encoding="utf-8")
    else:
        text = _named(parts, repo_id, example_pictures(folder)).render()
    check_card(text)
    return text


def _named(parts: CardParts, repo_id: str, examples: list[str]) -> CardParts:
    """A generated card for a repository: its id in the snippets and the model index, its photos in the widget."""
    by_hand = parts.hand_written
    line = f'checkpoint = "{repo_id}"'
    parts.sections = {heading: CHECKPOINT_LINE.sub(line, text) for heading, text in parts.sections.items()}
    for entry in parts.metadata.get("model-index", []):
        entry["name"] = repo_id.split("/")[1]
    if examples:
        address = f"{constants.ENDPOINT}/{repo_id}/resolve/main"
        parts.metadata["widget"] = [{"src": f"{address}/{name}", "example_title": Path(name).stem} for name in examples]
    digests = parts.seal().digests
    return CardParts(parts.metadata, parts.sections, {part: digests[part] for part in digests if part not in by_hand})


def _size(source: Path | bytes) -> int:
    return len(source) if isinstance(source, bytes) else source.stat().st_size
