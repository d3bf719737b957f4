"""People with photos on disk as one table in the common columns."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset, DatasetInfo, Features
from datasets.table import InMemoryTable

from vitpose.base.errors import Place
from vitpose.modeling.keypoint_schemas import KeypointSchema

from .columns import EXTRA_FEATURES, PEOPLE_FEATURES, check_files_exist, checked_columns, usable_rows
from .images import read_image_size


def people_table(
    columns: dict[str, Any],
    files: Sequence[str],
    *,
    schema: KeypointSchema,
    dataset: str,
    source: Path,
    place_of: Callable[[int], Place],
    min_keypoints: int,
    everyone: bool,
) -> Dataset:
    """Check people and convert them to the common columns; unusable ones are left out, with their number in the log.

    Args:
        columns: Lists or arrays with one entry for each person: image_id, person_id, width, height, bbox and
            keypoints; where known area and iscrowd, and any of the columns that only some datasets have.
        files: Path of each person's photo; the photos are not opened.
        schema: The keypoints of these people.
        dataset: Name of the dataset.
        source: The file they come from, for the log.
        place_of: Gives the place of a row for errors.
        min_keypoints: People with fewer labeled keypoints are left out.
        everyone: Keep everyone, as ground truth needs it.

    Raises:
        ValueError: A photo is missing, or a row is unusable; the message names it.
    """
    count = len(files)
    check_files_exist(files)
    columns = checked_columns({"iscrowd": np.zeros(count, np.int8), **columns}, schema, place_of=place_of)
    kept = slice(None) if everyone else usable_rows(columns, min_keypoints=min_keypoints, source=str(source))
    columns["dataset"] = np.full(count, dataset, dtype=object)
    extras = Features({name: EXTRA_FEATURES[name] for name in EXTRA_FEATURES if name in columns})
    features = Features({**PEOPLE_FEATURES, **extras})
    arrow = features.arrow_schema
    arrays = [_image_paths(files, kept, arrow.field("image").type)]
    arrays += [_arrow(columns[name], kept, arrow.field(name).type) for name in features if name != "image"]
    table = InMemoryTable(pa.Table.from_arrays(arrays, schema=arrow))
    return Dataset(table, info=DatasetInfo(features=features))


def _image_paths(files: Sequence[str], kept: Any, kind: pa.DataType) -> pa.Array:
    paths = pa.array(np.array(files, dtype=object)[kept], pa.string())
    return pa.StructArray.from_arrays([pa.nulls(len(paths), pa.binary()), paths], fields=list(kind))


def _arrow(values: Any, kept: Any, kind: pa.DataType) -> pa.Array:
    """Convert the kept rows to an Arrow column; arrays of several dimensions become nested lists without a copy."""
    rows = (values if isinstance(values, np.ndarray) else np.array(values, dtype=object))[kept]
    if rows.ndim == 1:
        return pa.array(rows, kind)
    nested = pa.array(rows.ravel())
    for length in rows.shape[:0:-1]:
        nested = pa.ListArray.from_arrays(np.arange(0, len(nested) + 1, length, dtype=np.int32), nested)
    return nested


def photo_sizes(files: Sequence[str]) -> np.ndarray:
    """Read width and height `(n, 2)` in pixels from the photos' headers, for annotations that lack them.

    Raises:
        ValueError: A photo is missing or damaged; the message names it.
    """
    check_files_exist(files)
    sizes = {file: read_image_size({"bytes": None, "path": file}, row=row) for row, file in enumerate(files)}
    return np.array([sizes[file] for file in files]).reshape(-1, 2)
