"""Sheets of photos with predicted people, beside the annotated ones where they are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vitpose.modeling.keypoint_schemas import KeypointSchema
from vitpose.processing.drawing import SHEET_COLOUR, contact_sheet, draw_poses, to_array

WINDOW_MARGIN = 1.25  # people are shown in a window this much larger than their boxes or keypoints
MIN_SCORE = 0.2  # predicted keypoints below it are not drawn

Person = Mapping[str, Any]
Window = tuple[int, int, int, int]  # left, top, right, bottom in image pixels


def predictions_sheet(
    images: Sequence[Image.Image],
    people: Sequence[Sequence[Person]],
    schema: KeypointSchema,
    targets: Sequence[npt.ArrayLike] | None = None,
    *,
    captions: Sequence[str] | None = None,
    columns: int = 4,
    tile: tuple[int, int] = (320, 240),
    min_score: float = MIN_SCORE,
) -> Image.Image:
    """Draw predicted people, each image cut to its labelled people, or the predicted ones where none are labelled.

    Args:
        images: Photos or crops.
        people: For each image its predicted people, as `draw_poses` takes them, in image pixels.
        schema: Names and edges of the K keypoints.
        targets: For each image its labeled people `(M, K, 3)`, x, y, visibility in image pixels, drawn to the left
            of the prediction; None draws predictions alone.
        captions: One for each image, such as `"OKS 0.93"`.
        columns: Images in a row.
        tile: Height and width in pixels that each picture is brought to.
        min_score: Keypoints with a lower score are not drawn.
    """
    for name, values in (("people", people), ("targets", targets), ("captions", captions)):
        if values is not None and len(values) != len(images):
            raise ValueError(f"expected one entry of {name} an image, got {len(values)} for {len(images)} images.")
    tiles, labels = [], []
    for index, image in enumerate(images):
        truth = [] if targets is None else _as_people(targets[index], schema)
        window = _window(image, truth or people[index], tile)
        if targets is not None:
            tiles.append(_drawn_tile(image, truth, schema, window, tile, min_score))
            labels.append("annotated")
        tiles.append(_drawn_tile(image, people[index], schema, window, tile, min_score))
        labels.append("predicted" if captions is None else f"predicted, {captions[index]}")
    return contact_sheet(tiles, columns=columns * (1 if targets is None else 2), captions=labels, tile=tile)


def _as_people(targets: npt.ArrayLike, schema: KeypointSchema) -> list[Person]:
    """Convert labeled people `(M, K, 3)` to what `draw_poses` takes; labeled keypoints score 1, others 0."""
    labelled = to_array(targets)
    if labelled.ndim != 3 or labelled.shape[1:] != (schema.num_keypoints, 3):
        raise ValueError(f"targets of an image must have shape (M, {schema.num_keypoints}, 3), got {labelled.shape}.")
    return [{"keypoints": person[:, :2], "scores": (person[:, 2] > 0).astype(float)} for person in labelled]


def _window(image: Image.Image, people: Sequence[Person], tile: tuple[int, int]) -> Window:
    """Window around everybody's box, or the keypoints where there is none, in the aspect ratio of the tile."""
    corners = [_extent(person) for person in people if "bbox" in person or (to_array(person["scores"]) > 0).any()]
    ends = np.concatenate(corners) if corners else np.array([[0, 0], image.size], dtype=np.float64)
    low, high = np.maximum(ends.min(axis=0), 0), np.minimum(ends.max(axis=0), image.size)
    center, sides = (low + high) / 2, np.maximum(high - low, 8) * (WINDOW_MARGIN if corners else 1)
    shape = np.array([tile[1], tile[0]], dtype=np.float64)
    size = np.ceil(shape * (sides / shape).max())
    room = np.maximum(np.array(image.size) - size, 0)  # the window moves into the image where it fits
    left, top = np.where(size <= image.size, np.clip(np.floor(center - size / 2), 0, room), np.floor(center - size / 2))
    return int(left), int(top), int(left + size[0]), int(top + size[1])


def _extent(person: Person) -> np.ndarray:
    """Two corners `(2, 2)` that hold a person."""
    if "bbox" in person:
        return to_array(person["bbox"]).reshape(2, 2)
    points = to_array(person["keypoints"])[to_array(person["scores"]) > 0]
    return np.stack([points.min(axis=0), points.max(axis=0)])


def _drawn_tile(
    image: Image.Image,
    people: Sequence[Person],
    schema: KeypointSchema,
    window: Window,
    tile: tuple[int, int],
    min_score: float,
) -> Image.Image:
    """Cut and resize first, then draw, so that strokes are sharp at any size."""
    size = (tile[1], tile[0])
    origin = np.array(window[:2])
    picture = Image.new("RGB", tuple(np.array(window[2:]) - origin), SHEET_COLOUR)
    picture.paste(image.convert("RGB"), (-window[0], -window[1]))
    picture = picture.resize(size, Image.Resampling.LANCZOS)
    scale = np.array(size) / (np.array(window[2:]) - origin)
    moved = [
        {"keypoints": (to_array(person["keypoints"]) - origin + 0.5) * scale - 0.5, "scores": person["scores"]}
        for person in people
    ]
    return draw_poses(picture, moved, schema, min_score=min_score)
