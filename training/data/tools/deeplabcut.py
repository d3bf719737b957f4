"""DeepLabCut: `CollectedData_SCORER.csv` or `.h5`, the labeled frames of one or of several animals.

Above the figures stand the rows scorer, (individuals,) bodyparts and coords; a row of figures begins with the path of
its frame, in one column or in three. The project's config.yaml has the edges to draw.
"""

import csv
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from vitpose.base.errors import Place, PlacedError

from .annotated import Annotations, Category, Person, Photo, Source

_HEADERS = ("scorer", "individuals", "bodyparts", "coords")
SINGLE = "single"  # the individual whom DeepLabCut gives the body parts that only one animal has


@dataclass(frozen=True, kw_only=True)
class _Table:
    """Columns as individual (empty for one animal), body part and coordinate; rows as path and figures."""

    columns: list[tuple[str, str, str]]
    rows: Iterator[tuple[str, np.ndarray, Place]]


def read_deeplabcut(source: Source) -> Annotations:
    """Read the labeled frames of all files, one for each video.

    An animal has no box. A body part without coordinates is not labeled, one with them is visible.

    Raises:
        ValueError: A file has other columns, or a figure is unusable; the message names it.
    """
    annotations = Annotations()
    parts: dict[str, dict[str, None]] = {}
    for path in source.files:
        table = _from_csv(path) if path.suffix == ".csv" else _from_h5(path)
        _check_columns(table.columns, path)
        for individual, part, _ in table.columns:
            parts.setdefault(_category(individual), {}).setdefault(part)
        for frame, figures, place in table.rows:
            annotations.photos.append(Photo(name=frame, place=place))
            annotations.people += _animals(table.columns, figures, len(annotations.photos) - 1, place)
    skeleton = _skeleton(source)
    for name, found in parts.items():
        names = tuple(found)
        edges = tuple((names.index(a), names.index(b)) for a, b in skeleton if a in found and b in found and a != b)
        annotations.categories[name] = Category(keypoints=names, edges=edges)
    return annotations


def _category(individual: str) -> str:
    return SINGLE if individual == SINGLE else "animal"


def _animals(columns: list[tuple[str, str, str]], figures: np.ndarray, photo: int, place: Place) -> Iterator[Person]:
    """The individuals of a frame who have a labeled body part."""
    values: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for (individual, part, coordinate), figure in zip(columns, figures, strict=True):
        values[individual][part][coordinate] = float(figure)
    for individual, parts in values.items():
        own = (*place, f"individual {individual}") if individual else place
        half = [part for part, xy in parts.items() if np.isnan(xy["x"]) != np.isnan(xy["y"])]
        if half:
            raise PlacedError(f"{half[0]!r} has one coordinate of two. Correct or remove it.", own)
        keypoints = {part: (xy["x"], xy["y"], 2.0) for part, xy in parts.items() if not np.isnan(xy["x"])}
        if keypoints:
            yield Person(photo=photo, place=own, category=_category(individual), keypoints=keypoints)


def _check_columns(columns: list[tuple[str, str, str]], path: Path) -> None:
    kinds = {coordinate for *_, coordinate in columns}
    if "likelihood" in kinds:
        raise ValueError(
            f"{path} holds predictions of DeepLabCut (it has likelihoods), not labeled frames. Give the files "
            "CollectedData_... of labeled-data."
        )
    if kinds != {"x", "y"} or len(set(columns)) != len(columns) or len(columns) != 2 * len({c[:2] for c in columns}):
        raise ValueError(f"{path}: expected the coords x and y of each body part once, got {sorted(kinds)}.")


def _from_csv(path: Path) -> _Table:
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = [row for row in csv.reader(file) if any(row)]
    headers = {row[0].strip(): row for row in lines[:5] if row[0].strip() in _HEADERS}
    if not {"bodyparts", "coords"} <= headers.keys():
        raise ValueError(
            f"{path} is not of DeepLabCut: expected the rows scorer, bodyparts and coords above the figures."
        )
    first = next((place for place, name in enumerate(headers["coords"]) if place and name), 0)
    individuals = headers.get("individuals", [""] * len(headers["coords"]))
    columns = list(zip(individuals[first:], headers["bodyparts"][first:], headers["coords"][first:], strict=True))

    def rows() -> Iterator[tuple[str, np.ndarray, Place]]:
        for number, row in enumerate(lines[len(headers) :], start=len(headers) + 1):
            frame, place = "/".join(row[:first]), (str(path), f"line {number}")
            try:
                figures = np.array([float(value) if value.strip() else np.nan for value in row[first:]])
            except ValueError as error:
                raise PlacedError(f"expected numbers, {error}. Correct or remove the line.", place) from error
            if len(figures) != len(columns):
                reason = f"expected {len(columns)} figures, got {len(figures)}. Correct or remove the line."
                raise PlacedError(reason, place)
            yield frame, figures, place

    return _Table(columns=columns, rows=rows())


def _from_h5(path: Path) -> _Table:
    """Read the table that pandas stored, array by array: pandas itself would run code that such a file can hold."""
    try:
        import h5py
    except ImportError as error:
        raise ImportError(
            f'{path} needs h5py: pip install "vitpose[deeplabcut]". DeepLabCut writes the same as .csv beside it.'
        ) from error
    try:
        with h5py.File(path) as file:
            group: Any = next(iter(file.values()))
            names, columns = _axis(group, 0)
            _, frames = _axis(group, 1)
            values = np.asarray(group["block0_values"], dtype=np.float64)
        levels = [names.index(name) if name in names else None for name in _HEADERS[1:]]
        figures = values.reshape(len(frames), len(columns))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
        raise ValueError(f"{path} is not a table of DeepLabCut in HDF5: {error}. Give the .csv beside it.") from error
    if levels[1] is None or levels[2] is None:
        raise ValueError(f"{path} is not of DeepLabCut: expected columns by bodyparts and coords, got {names}.")
    told = [tuple("" if level is None else column[level] for level in levels) for column in columns]
    rows = (
        ("/".join(frame), row, (str(path), f"frame {'/'.join(frame)}"))
        for frame, row in zip(frames, figures, strict=True)
    )
    return _Table(columns=[(column[0], column[1], column[2]) for column in told], rows=rows)


def _axis(group: Any, number: int) -> tuple[list[str], list[tuple[str, ...]]]:
    """Names of the levels of the columns (0) or rows (1), and the words of each column or row."""
    if f"axis{number}" in group:  # of one level
        return [""], [(word.decode(),) for word in group[f"axis{number}"][:]]
    places = range(int(group.attrs[f"axis{number}_nlevels"]))
    stored = [group[f"axis{number}_level{place}"] for place in places]
    names = [level.attrs["name"].decode() for level in stored]
    words = [[word.decode() for word in level[:]] for level in stored]
    codes = [group[f"axis{number}_label{place}"][:] for place in places]
    return names, [tuple(words[place][code] for place, code in enumerate(row)) for row in zip(*codes, strict=True)]


def _skeleton(source: Source) -> list[tuple[str, str]]:
    """Edges by the names of their ends, from the project's config.yaml; none where there is no such file."""
    for folder in (source.root, *source.files[0].parents[:3]):
        config = folder / "config.yaml"
        if config.is_file() and folder.is_relative_to(source.root):
            try:
                content = yaml.safe_load(config.read_text(encoding="utf-8"))
            except (yaml.YAMLError, ValueError):
                return []
            edges = content.get("skeleton") if isinstance(content, dict) else None
            pairs = edges if isinstance(edges, list) else []
            return [(str(e[0]), str(e[1])) for e in pairs if isinstance(e, list) and len(e) == 2]
    return []


def is_deeplabcut(path: Path, head: str) -> bool:
    """Whether a file looks like one of DeepLabCut, by its name and first characters."""
    if path.suffix == ".csv":
        lines = head.lstrip("\ufeff").splitlines()[:4]
        return any(line.startswith("bodyparts,") for line in lines) and any(
            line.startswith("coords,") for line in lines
        )
    return path.suffix == ".h5" and path.name.startswith("CollectedData")
