"""DeepLabCut's CSV: a row a photo or a frame, with x, y and likelihood of each body part."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from vitpose.processing.people_vitpose import People

from .base import Numbers, Photo, Source, Write, text_file

SCORER = "vitpose"
_COORDS = ("x", "y", "likelihood")


@contextmanager
def deeplabcut(out: Path, source: Source) -> Iterator[Write]:
    """`deeplabcut.csv`: three header rows of one animal, or four with individuals where a photo shows several.

    Tracked people are one individual in all frames, others are numbered within each photo. Rows are indexed by the
    photo's name or the frame's number; cells of individuals that a photo does not show are empty.
    """
    individuals, most = Numbers(first=0), 0
    with text_file(out / "deeplabcut.csv") as file, TemporaryFile("w+", encoding="utf-8") as rows:

        def write(photo: Photo, people: People) -> None:
            nonlocal most
            track_ids = range(len(people)) if people.track_ids is None else people.track_ids.tolist()
            own = [individuals(str(number)) for number in track_ids]
            most = max(most, len(individuals.names))
            columns = people.to_columns()
            values = list(zip(*(columns[name] for name in ("x", "y", "score")), strict=True))
            index = photo.name if photo.video is None else photo.number
            rows.write(json.dumps([index, own, [[round(value, 4) for value in row] for row in values]]) + "\n")

        yield write
        rows.seek(0)
        _write_table(csv.writer(file, lineterminator="\n").writerow, rows, source.schema.keypoints, most)


def _write_table(
    write_row: Callable[[Iterable[Any]], object], rows: Iterable[str], parts: Sequence[str], most: int
) -> None:
    """Headers and rows, which are as wide as the most individuals need."""
    most = max(most, 1)
    width = len(parts) * len(_COORDS)
    write_row(["scorer", *[SCORER] * (most * width)])
    if most > 1:
        write_row(["individuals", *(f"individual{number + 1}" for number in range(most) for _ in range(width))])
    write_row(["bodyparts", *[part for part in parts for _ in _COORDS] * most])
    write_row(["coords", *_COORDS * (most * len(parts))])
    for row in rows:
        index, own, values = json.loads(row)
        cells: list[Any] = [""] * (most * width)
        for place, number in enumerate(own):
            points = values[place * len(parts) : (place + 1) * len(parts)]
            cells[number * width : (number + 1) * width] = [value for point in points for value in point]
        write_row([index, *cells])
