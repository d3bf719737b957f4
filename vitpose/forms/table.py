"""Tables with a row for each keypoint of each person, as CSV and as Parquet."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vitpose.processing.people_vitpose import People

from ..base.files import whole_file
from .base import Photo, Source, Write, text_file

_TYPES = {
    **{"image_id": pa.int64(), "image": pa.string(), "person": pa.int64(), "label": pa.string()},
    **{"track_id": pa.int64(), "person_score": pa.float64()},
    **dict.fromkeys(("box_x", "box_y", "box_width", "box_height"), pa.float64()),
    **{"keypoint": pa.string(), "x": pa.float32(), "y": pa.float32(), "score": pa.float32()},
}
_ROWS_AT_ONCE = 100_000  # that a Parquet file has in a group


def _columns(photo: Photo, people: People) -> dict[str, list[Any]]:
    return people.to_columns(image_id=photo.number, image=photo.video or photo.name)


@contextmanager
def csv_table(out: Path, _: Source) -> Iterator[Write]:
    """`predictions.csv`; photos without people have no row."""
    with text_file(out / "predictions.csv") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(_TYPES)

        def write(photo: Photo, people: People) -> None:
            for row in zip(*_columns(photo, people).values(), strict=True):
                table.writerow([round(value, 4) if isinstance(value, float) else value for value in row])

        yield write


@contextmanager
def parquet_table(out: Path, _: Source) -> Iterator[Write]:
    """`predictions.parquet`; photos without people have no row."""
    schema = pa.schema(_TYPES)
    waiting: list[pa.RecordBatch] = []
    with whole_file(out / "predictions.parquet") as path, pq.ParquetWriter(path, schema) as table:

        def flush() -> None:
            table.write_table(pa.Table.from_batches(waiting, schema))
            waiting.clear()

        def write(photo: Photo, people: People) -> None:
            waiting.append(pa.RecordBatch.from_pydict(_columns(photo, people), schema))
            if sum(map(len, waiting)) >= _ROWS_AT_ONCE:
                flush()

        yield write
        flush()
