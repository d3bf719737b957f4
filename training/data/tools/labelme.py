"""labelme: a JSON file beside each photo, with points, rectangles and polygons.

The label of a point is the name of its keypoint, the label of a rectangle what it holds. Points and the rectangle of a
person share a `group_id`; without one, a point is of the rectangle that it lies in.
"""

from pathlib import Path
from typing import Any

import numpy as np

from vitpose.base.errors import Place, PlacedError
from vitpose.base.files import read_json

from .annotated import Annotations, Photo, Source
from .grouping import HIDDEN_WORDS, Point, Rectangle, categories_of, people_of_photo


def read_labelme(source: Source) -> Annotations:
    """Read the files of a folder, one a photo.

    Raises:
        ValueError: A file is not of labelme, or a shape is unusable; the message names it.
    """
    annotations = Annotations()
    for path in source.files:
        content = read_json(path, object_hook=_without_photo)
        shapes = content.get("shapes") if isinstance(content, dict) else None
        if not isinstance(shapes, list) or not isinstance(content.get("imagePath"), str):
            raise ValueError(f"{path} is not of labelme: expected an object with shapes and imagePath.")
        number = len(annotations.photos)
        annotations.photos.append(Photo(name=content["imagePath"], place=(str(path),), size=_size(content)))
        points, rectangles = _shapes(shapes, path, annotations)
        people = people_of_photo(points, rectangles, photo=number, place=(str(path),))
        annotations.people += people
    annotations.categories = categories_of(annotations.people)
    return annotations


def _without_photo(item: dict[str, Any]) -> dict[str, Any]:
    item.pop("imageData", None)  # the photo once more, as text
    return item


def _size(content: dict[str, Any]) -> tuple[float, float] | None:
    width, height = content.get("imageWidth"), content.get("imageHeight")
    return (width, height) if isinstance(width, (int, float)) and isinstance(height, (int, float)) else None


def _shapes(shapes: list[Any], path: Path, annotations: Annotations) -> tuple[list[Point], list[Rectangle]]:
    points, rectangles = [], []
    for position, shape in enumerate(shapes):
        place = (str(path), f"shape number {position}")
        if not isinstance(shape, dict) or not {"label", "points"} <= shape.keys():
            raise PlacedError(f"expected an object with label and points, got {shape!r}. Correct or remove it.", place)
        kind, group = shape.get("shape_type", "polygon"), shape.get("group_id")
        if kind not in ("point", "rectangle"):
            annotations.remarks[f"shapes of the type {kind} not read"] += 1
            continue
        corners = _corners(shape["points"], kind, place)
        if kind == "point":
            (x, y), flag = corners[0], 1.0 if _is_hidden(shape) else 2.0
            points.append(Point(name=str(shape["label"]), x=x, y=y, flag=flag, place=place, group=group))
        else:
            (left, top), (right, bottom) = corners.min(0).tolist(), corners.max(0).tolist()
            box = left, top, right - left, bottom - top
            rectangles.append(Rectangle(box=box, category=str(shape["label"]), place=place, group=group))
    return points, rectangles


def _corners(values: Any, kind: str, place: Place) -> np.ndarray:
    """The point of a point `(1, 2)`, or corners of a rectangle `(2 or 4, 2)` in any order."""
    counts = (1,) if kind == "point" else (2, 4)
    try:
        corners = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        corners = np.empty(0)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) not in counts or not np.isfinite(corners).all():
        expected = " or ".join(map(str, counts))
        raise PlacedError(f"expected {expected} points x, y of a {kind}, got {values!r}. Correct or remove it.", place)
    return corners


def _is_hidden(shape: dict[str, Any]) -> bool:
    """Whether a flag or the description of the point says so."""
    flags = shape.get("flags")
    said = [name for name, on in flags.items() if on] if isinstance(flags, dict) else []
    return any(str(word).casefold() in HIDDEN_WORDS for word in (*said, shape.get("description") or ""))


def is_labelme(path: Path, head: str) -> bool:
    """Whether a file looks like one of labelme, by its name and first characters."""
    return path.suffix == ".json" and head.startswith("{") and '"shapes"' in head and '"images"' not in head
