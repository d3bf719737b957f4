"""Annotated people from Parquet files, saved datasets or the Hub, in the common columns."""

import glob
import os
import re
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, DatasetDict, Features
from datasets.exceptions import DatasetsError

from vitpose.modeling.keypoint_schemas import KeypointSchema

from .columns import EXTRA_FEATURES, PEOPLE_FEATURES, check_files_exist, checked_columns, usable_rows
from .images import read_image_size

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def read_people(
    source: str | os.PathLike[str] | Dataset,
    *,
    schema: KeypointSchema,
    split: str | None = None,
    min_keypoints: int = 1,
) -> Dataset:
    """Read people with the columns image, bbox and keypoints; the stored images are kept unchanged.

    Columns that are absent are filled: image_id and person_id with the number of the row, width and height from the
    image's header, area with that of the box, iscrowd with 0, dataset with the schema's name. Columns that neither
    `PEOPLE_FEATURES` nor `EXTRA_FEATURES` has are dropped.

    Args:
        source: A Parquet file or pattern (`"data/train-*.parquet"`), a folder of Parquet files, a folder written by
            `save_to_disk`, the id of a dataset on the Hub, or a `datasets.Dataset`.
        schema: The keypoints of the data.
        split: The split of a folder or of a dataset on the Hub, such as `"train"`; None where there is only one.
        min_keypoints: People with fewer labeled keypoints are left out, with their number in the log.

    Raises:
        ValueError: The source does not exist, a column or an image file is missing, or a row is unusable; the message
            names it.
    """
    name = "the dataset" if isinstance(source, Dataset) else os.fspath(source)
    stored = source if isinstance(source, Dataset) else _load_stored(name, split)
    missing = [column for column in ("image", "bbox", "keypoints") if column not in stored.column_names]
    if missing:
        raise ValueError(f"{name} lacks the columns {missing}: it has {stored.column_names}. Rename its columns.")
    images = stored.select_columns("image").cast_column("image", datasets.Image(decode=False))
    check_files_exist(_external_files(images))
    extras = {column: EXTRA_FEATURES[column] for column in EXTRA_FEATURES if column in stored.column_names}
    features = Features({column: kind for column, kind in PEOPLE_FEATURES.items() if column != "image"} | extras)
    present = stored.select_columns([column for column in features if column in stored.column_names])
    columns = {"dataset": [schema.name] * len(images), **_with_defaults(present.with_format(None)[:], images)}
    columns = checked_columns(columns, schema, place_of=lambda row: (name, f"row {row}"))
    kept = usable_rows(columns, min_keypoints=min_keypoints, source=name)
    numbers = Dataset.from_dict({column: columns[column] for column in features}, features=features)
    return datasets.concatenate_datasets([images, numbers], axis=1).select(kept)  # joined without copying the images


def _load_stored(source: str, split: str | None) -> Dataset:
    try:
        if source.endswith(".parquet") or glob.has_magic(source):
            return _load_parquet(source, split)
        if any(Path(source, marker).is_file() for marker in ("state.json", "dataset_dict.json")):
            return _load_saved(source, split)
        if not Path(source).is_dir() and not _HUB_ID.fullmatch(source):
            raise ValueError(f"There is no file or folder {source}. Check the path.")
        split = _choose_split(datasets.get_dataset_split_names(source), split, source)
        return datasets.load_dataset(source, split=split)
    except (DatasetsError, OSError, pa.ArrowInvalid) as error:
        message = f"Cannot read {source} as Parquet files, a saved dataset or a dataset on the Hub"
        raise ValueError(f"{message}: {error}") from error


def _load_parquet(pattern: str, split: str | None) -> Dataset:
    files = sorted(glob.glob(pattern))
    if not files:
        raise ValueError(f"No file matches {pattern}. Check the path.")
    if split is not None:
        raise ValueError(f"{pattern} names files, without splits: leave out split={split!r} or give their folder.")
    return Dataset.from_parquet(files)


def _load_saved(folder: str, split: str | None) -> Dataset:
    saved = datasets.load_from_disk(folder)
    if isinstance(saved, DatasetDict):
        return saved[_choose_split(list(saved), split, folder)]
    if split is not None:
        raise ValueError(f"{folder} holds one dataset without splits: leave out split={split!r}.")
    return saved


def _choose_split(names: list[str], split: str | None, source: str) -> str:
    if split is None and len(names) == 1:
        return names[0]
    if split == "val" and "val" not in names:
        split = "validation"  # what `datasets` calls files named val-*
    if split not in names:
        raise ValueError(f"{source} has the splits {', '.join(names)}: expected one of them, got split={split!r}.")
    return split


def _external_files(images: Dataset) -> list[str]:
    """Paths of the images that are not stored in the dataset; empty strings where even the path is absent."""
    files = []
    for batch in images.with_format("arrow").iter(batch_size=1000):
        column = batch["image"]
        outside = pc.is_null(pc.struct_field(column, "bytes"))
        files += pc.fill_null(pc.struct_field(column.filter(outside), "path"), "").to_pylist()
    return files


def _with_defaults(columns: dict[str, Any], images: Dataset) -> dict[str, Any]:
    rows = list(range(len(images)))
    defaults = {"image_id": rows, "person_id": rows, "iscrowd": [0] * len(images)}
    if "width" not in columns or "height" not in columns:
        sizes = [read_image_size(images[row]["image"], row=row) for row in rows]
        defaults |= {"width": [size[0] for size in sizes], "height": [size[1] for size in sizes]}
    return {**defaults, **columns}
