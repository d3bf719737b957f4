"""The folder of a saved or exported model as a repository on the Hub: what `vitpose publish` does."""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from huggingface_hub import constants
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from vitpose.base.files import read_json
from vitpose.modeling.configuration_vitpose import ViTPoseConfig
from vitpose.modeling.configuration_vitpose_mim import ViTPoseMaskedImageModelingConfig
from vitpose.modeling.convert.complete import load_complete
from vitpose.modeling.modeling_vitpose_mim import ViTPoseForMaskedImageModeling

from ..cards.card import write_model_card
from ..cards.exported_card import write_exported_card
from ..cards.metadata_check import check_metadata
from ..cards.user_edits import CardParts
from .benchmark import Benchmark, eval_results_file
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
from .exported_folder import check_runs, exported_files, is_exported
from .remote_code import CONFIG, add_pipeline, endpoint_files
from .upload import Destination, upload

logger = logging.getLogger(__name__)

# Path in the repository -> file or content, and the names of files in the folder that others stand for
Prepared: TypeAlias = tuple[dict[str, Path | bytes], list[str]]

CHECKPOINT_LINE = re.compile(r'^checkpoint = "[^"\n]*"', re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Publication:
    """A repository that was published, or would be by a dry run.

    Args:
        files: Path in the repository -> bytes.
        left_out: Files of the folder that are not uploaded.
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
    """Make the folder of a model a repository on the Hub, or a new commit of one, in a single commit.

    Weights, config, processor, card, the pictures it shows, metrics, the code that `trust_remote_code` runs, and what
    an Inference Endpoint needs; of an exported model all but the last two, of a pre-trained one all but the last. Files
    that have not changed are not sent again, and user edits of the card on the Hub are kept. A broken
    connection is tried again; after a failure nothing is visible, and the next call sends what is missing. The token is
    `hf auth login`'s or `HF_TOKEN`.

    Args:
        folder: With a model and its image processor, as a run or `save_pretrained` leaves it, or an exported model,
            as `vitpose export` does. A folder without a card gets one that says what the model is.
        repo_id: `owner/name`; created where it is new.
        private: A new repository is visible to its owner alone.
        create_pr: Open a pull request in an existing repository.
        revision: Branch to commit to, created where it is new; the main one if not given.
        tag: Name for the commit, such as "v1.0".
        collection: Title of a collection of the owner's to add the repository to, created where it is new.
        max_shard_size: Split the weights into files of at most this size, such as "2GB"; as they are if not given.
        benchmark: List a metric of `metrics.json` on the leaderboard of a benchmark.
        force: Publish weights with NaN or infinite values.
        dry_run: Check everything that can be checked offline, and list what would be published.

    Raises:
        ValueError: An argument, the weights or the card is not fit to be published.
        FileNotFoundError: The folder lacks a file.
        PermissionError: There is no token, or the Hub does not let it do this.
        ConnectionError, OSError: The Hub cannot be reached, or refused for another reason; the message gives it.
    """
    destination = Destination(
        repo_id=repo_id, private=private, create_pr=create_pr, revision=revision, tag=tag, collection=collection
    )
    _check_repo_id(repo_id)
    with tempfile.TemporaryDirectory(prefix="vitpose-publish-") as scratch:
        prepare = _exported if is_exported(Path(folder)) else _saved
        files, replaced = prepare(Path(folder), Path(scratch), repo_id, max_shard_size, force=force)
        if benchmark is not None:
            files |= eval_results_file(Path(folder), benchmark)
        sizes = {name: _size(source) for name, source in sorted(files.items())}
        publication = Publication(files=sizes, left_out=left_out(Path(folder), [*files, *replaced]))
        if dry_run:
            return publication
        message = f"Publish with vitpose: {Path(folder).resolve().name}"
        benchmark_id = None if benchmark is None else benchmark.dataset_id
        url = upload(files, destination, message=message, benchmark_id=benchmark_id)
    logger.info("published: %s", url)
    return Publication(files=sizes, left_out=publication.left_out, url=url)


def _check_repo_id(repo_id: str) -> None:
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise ValueError(f"The repository's name is not valid: {error}") from error
    if "/" not in repo_id:
        raise ValueError(f"The repository's name must be owner/name, got {repo_id!r}: say whose it is.")


def _saved(folder: Path, scratch: Path, repo_id: str, max_shard_size: str | None, *, force: bool) -> Prepared:
    """Check the folder of a PyTorch model and add what it lacks."""
    files: dict[str, Path | bytes] = {**checkpoint_files(folder)}
    names = weight_files(folder)
    paths = [folder / name for name in names if name != INDEX]
    check_weights(paths, force=force)
    if max_shard_size is not None:
        files = {name: source for name, source in files.items() if name not in names}
        files |= reshard(paths, scratch / "shards", max_shard_size)
    card = folder / CARD
    if read_json(folder / CONFIG).get("model_type") == ViTPoseMaskedImageModelingConfig.model_type:
        load_complete(ViTPoseForMaskedImageModeling, folder)  # it finds no keypoints: it has no pipeline, no endpoint
        if not card.is_file():
            raise FileNotFoundError(f"{folder} lacks {CARD}: publish the folder of the pre-training run, which has it.")
    else:
        added = add_pipeline(folder, scratch / "saved")
        if added:  # code of the folder may be that of an earlier vitpose
            files = {name: source for name, source in files.items() if not name.endswith(".py")}
        files.update({**added, **endpoint_files(folder)})
    if not card.is_file():
        config = ViTPoseConfig.from_pretrained(folder)
        card = write_model_card(scratch / repo_id.split("/")[1], model_config=config, picture=None)
    return files | {CARD: _card(card, repo_id, example_pictures(folder)).encode()}, names


def _exported(folder: Path, scratch: Path, repo_id: str, max_shard_size: str | None, *, force: bool) -> Prepared:
    """Check the folder of an exported model."""
    if max_shard_size is not None:
        raise ValueError("max_shard_size splits safetensors files, and an exported model has none: leave it out.")
    files: dict[str, Path | bytes] = {**exported_files(folder)}
    check_runs(folder, force=force)
    if not (card := folder / CARD).is_file():
        shutil.copyfile(folder / CONFIG, scratch / CONFIG)
        card = write_exported_card(scratch, name=repo_id)
    return files | {CARD: _card(card, repo_id, example_pictures(folder)).encode()}, []


def _card(path: Path, repo_id: str, examples: list[str]) -> str:
    """Check a card, and put the repository's name into its snippets unless a user wrote it from scratch."""
    text = path.read_text(encoding="utf-8")
    parts = CardParts.parse(text)
    if parts.digests:
        text = _for_repository(parts, repo_id, examples).render()
    check_metadata(text)
    return text


def _for_repository(parts: CardParts, repo_id: str, examples: list[str]) -> CardParts:
    """Adapt a generated card: the repository's id in the snippets and the model index, its photos in the widget."""
    edited = parts.user_edits
    line = f'checkpoint = "{repo_id}"'
    parts.sections = {heading: CHECKPOINT_LINE.sub(line, text) for heading, text in parts.sections.items()}
    for entry in parts.metadata.get("model-index", []):
        entry["name"] = repo_id.split("/")[1]
    if examples:
        address = f"{constants.ENDPOINT}/{repo_id}/resolve/main"
        parts.metadata["widget"] = [{"src": f"{address}/{name}", "example_title": Path(name).stem} for name in examples]
    digests = parts.seal().digests
    return CardParts(parts.metadata, parts.sections, {part: digests[part] for part in digests if part not in edited})


def _size(source: Path | bytes) -> int:
    return len(source) if isinstance(source, bytes) else source.stat().st_size
