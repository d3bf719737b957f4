"""Conversion of datasets to Parquet shards, behind `vitpose convert-data`."""

import json
import logging
import re
from pathlib import Path

from vitpose.base.files import read_json, whole_file
from vitpose.hub_cards.cards.dataset_card import write_dataset_card
from vitpose.modeling.keypoint_schemas import KeypointSchema, get_keypoint_schema, list_keypoint_schemas
from vitpose.training.data.loading import dataset_schema, get_known_dataset, read_dataset
from vitpose.training.data.registry import KnownDataset
from vitpose.training.data.shards import by_photo, write_shards
from vitpose.training.data.tools.forms import ANNOTATION_FORMS, read_form

logger = logging.getLogger(__name__)

SCHEMA_FILE = "schema.json"
_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}


def convert_data(
    name: str, data_dir: Path, *, split: str, out: Path, shard_size: str = "500MB", category: str | None = None
) -> list[Path]:
    """Read a split of a dataset and write it as `OUT/SPLIT/SPLIT-00000-of-0000N.parquet`, with a card in OUT.

    Other splits may be written into the same folder; the card then describes all of them. Keypoints of one's own are
    written beside them as `schema.json`.

    Args:
        name: Name of the dataset, or of an annotation tool's form.
        data_dir: Its folder; of a tool also the file.
        split: Its split.
        out: The folder to write into.
        shard_size: About how large a file may be, such as `"500MB"`.
        category: Whose keypoints, where a tool's file has several skeletons.

    Returns:
        The Parquet files.

    Raises:
        FileExistsError: The split has been written there before.
        ValueError: The data cannot be read, `shard_size` is an invalid size, or splits that were written before have
            other keypoints.
    """
    shard_bytes = parse_size(shard_size)
    stored = split.replace("-", "_")  # the Hub wants word characters
    folder = out / stored
    if folder.exists():
        raise FileExistsError(f"{folder} exists already: choose another folder, or delete it.")
    schema = _schema(name, data_dir, split, out, category)
    people = by_photo(read_dataset(name, data_dir, split=split, schema=schema, category=category))
    files = write_shards(people, folder, split=stored, shard_bytes=shard_bytes)
    own = schema if name in ANNOTATION_FORMS and not _is_named(schema) else None
    if own is not None:
        with whole_file(out / SCHEMA_FILE) as path:
            path.write_text(json.dumps(own.to_dict(), indent=1), encoding="utf-8")
    card = write_dataset_card(out, _described(name, schema), own)
    logger.info("%s: %d people in %d files; read %s before publishing.", folder, len(people), len(files), card)
    return files


def _schema(name: str, data_dir: Path, split: str, out: Path, category: str | None) -> KeypointSchema:
    """The keypoints of the data; those of the splits that were written before, where there are any."""
    if name in ANNOTATION_FORMS and (out / SCHEMA_FILE).is_file():
        return KeypointSchema.from_dict(read_json(out / SCHEMA_FILE))
    return dataset_schema(name, data_dir, split=split, category=category)


def _is_named(schema: KeypointSchema) -> bool:
    return schema.name in list_keypoint_schemas() and get_keypoint_schema(schema.name) == schema


def _described(name: str, schema: KeypointSchema) -> KnownDataset:
    """What the card says of a dataset; of a tool's files nobody but their owner knows the terms."""
    if name not in ANNOTATION_FORMS:
        return get_known_dataset(name)
    form = ANNOTATION_FORMS[name]
    return KnownDataset(
        name=name,
        title=f"Annotations of {form.title}",
        schema=schema.name,
        reader=read_form,
        splits={},
        metrics=(),
        license="that of your photos and annotations, for you to state here",
        homepage=form.homepage,
    )


def parse_size(text: str) -> int:
    """Parse a size in bytes, such as `"500MB"`, `"2GB"` or `"1000"`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(KB|MB|GB|)", text.strip().upper())
    if match is None or not float(match[1]):
        raise ValueError(f"Expected a size above 0 such as 500MB or 2GB, got {text!r}.")
    return int(float(match[1]) * _UNITS[match[2]])
