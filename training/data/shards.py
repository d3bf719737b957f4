"""People of any dataset as Parquet shards with their photos inside, ready for the Hub and for `read_people`."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset
from datasets.table import embed_table_storage
from tqdm.auto import tqdm

from vitpose.base.files import whole_folder

_GROUP_ROWS = 100  # a reader loads a row group at once: about 100 photos
# Photos are stored once for all their people in a row group; above this size of its table of values Parquet would not.
_DICTIONARY_BYTES = 2**30


def by_photo(people: Dataset) -> Dataset:
    """Sort people so that those of a photo are adjacent, photos in the order of their first person."""
    ids = np.asarray(people["image_id"][:])
    _, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
    return people.select(np.argsort(first[inverse], kind="stable"))


def write_shards(people: Dataset, folder: Path, *, split: str, shard_bytes: int) -> list[Path]:
    """Write people to `train-00000-of-00002.parquet` and so on in a new folder; it is whole or absent.

    Args:
        people: In the common columns, sorted by [`by_photo`]; the bytes of photos on disk are copied unchanged.
        folder: The folder to write, absent or empty.
        split: The first word of the files' names.
        shard_bytes: Approximate limit on the size of a file; one photo may exceed it.

    Raises:
        FileExistsError: There is something at `folder` already.
    """
    bounds = _bounds(people, shard_bytes)
    names = [f"{split}-{shard:05d}-of-{len(bounds):05d}.parquet" for shard in range(len(bounds))]
    with whole_folder(folder) as partial:
        for name, (start, stop) in zip(tqdm(names, desc=f"write {split}", unit="file"), bounds, strict=True):
            _write_shard(people, range(start, stop), partial / name)
    return [folder / name for name in names]


def _bounds(people: Dataset, shard_bytes: int) -> list[tuple[int, int]]:
    """First row and end of each shard, by the sizes of the photos; people of one photo stay together."""
    if shard_bytes < 1:
        raise ValueError(f"shard_bytes: expected 1 or more, got {shard_bytes}.")
    starts, size, last = [0], 0, None
    for row, (number, photo_bytes) in enumerate(_photo_bytes(people)):
        if number == last:
            continue
        if size and size + photo_bytes > shard_bytes:
            starts.append(row)
            size = 0
        size, last = size + photo_bytes, number
    return list(zip(starts, [*starts[1:], len(people)], strict=True))


def _photo_bytes(people: Dataset) -> Iterator[tuple[int, int]]:
    """Number and size of the photo of each row."""
    for batch in people.select_columns(["image_id", "image"]).with_format("arrow").iter(batch_size=_GROUP_ROWS):
        for number, image in zip(batch["image_id"].to_pylist(), batch["image"], strict=True):
            stored = image["bytes"]
            yield number, stored.as_buffer().size if stored.is_valid else os.path.getsize(image["path"].as_py())


def _write_shard(people: Dataset, rows: range, path: Path) -> None:
    formatted = people.with_format("arrow")
    with pq.ParquetWriter(
        path,
        people.features.arrow_schema,  # carries the features, so that the Hub shows images
        compression="zstd",
        dictionary_pagesize_limit=_DICTIONARY_BYTES,
    ) as writer:
        for start in range(rows.start, rows.stop, _GROUP_ROWS):
            table: pa.Table = formatted[start : min(start + _GROUP_ROWS, rows.stop)]
            embedded = embed_table_storage(table.cast(people.features.arrow_schema))
            writer.write_table(embedded, row_group_size=_GROUP_ROWS)
