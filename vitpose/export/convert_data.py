"""Conversion of datasets to Parquet shards, behind `vitpose convert-data`."""

import logging
import re
from pathlib import Path

from vitpose.hub_cards.cards.dataset_card import write_dataset_card
from vitpose.training.data.loading import get_known_dataset, read_dataset
from vitpose.training.data.shards import by_photo, write_shards

logger = logging.getLogger(__name__)

_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}


def convert_data(name: str, data_dir: Path, *, split: str, out: Path, shard_size: str = "500MB") -> list[Path]:
    """Read a split of a dataset and write it as `OUT/SPLIT/SPLIT-00000-of-0000N.parquet`, with a card in OUT.

    Other splits may be written into the same folder; the card then describes all of them.

    Args:
        name: Name of the dataset.
        data_dir: Its folder.
        split: Its split.
        out: The folder to write into.
        shard_size: About how large a file may be, such as `"500MB"`.

    Returns:
        The Parquet files.

    Raises:
        FileExistsError: The split has been written there before.
        ValueError: The data cannot be read, or `shard_size` is an invalid size.
    """
    shard_bytes = parse_size(shard_size)
    stored = split.replace("-", "_")  # the Hub wants word characters
    folder = out / stored
    if folder.exists():
        raise FileExistsError(f"{folder} exists already: choose another folder, or delete it.")
    people = by_photo(read_dataset(name, data_dir, split=split))
    files = write_shards(people, folder, split=stored, shard_bytes=shard_bytes)
    card = write_dataset_card(out, get_known_dataset(name))
    logger.info("%s: %d people in %d files; read %s before publishing.", folder, len(people), len(files), card)
    return files


def parse_size(text: str) -> int:
    """Parse a size in bytes, such as `"500MB"`, `"2GB"` or `"1000"`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(KB|MB|GB|)", text.strip().upper())
    if match is None or not float(match[1]):
        raise ValueError(f"Expected a size above 0 such as 500MB or 2GB, got {text!r}.")
    return int(float(match[1]) * _UNITS[match[2]])
