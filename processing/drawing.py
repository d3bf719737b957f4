"""Pictures of poses: skeletons over a photo, and sheets of several photos.

Strokes are drawn enlarged on a transparent layer over each person's own region and reduced, which gives them smooth
edges and sub-pixel positions with nothing but Pillow.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vitpose.modeling.keypoint_schemas import KeypointSchema

from .images_vitpose import to_rgb_photo
from .people_vitpose import CONFIDENCE_THRESHOLD, People

Side = Literal["left", "right", "centre"]
Colour = tuple[int, int, int]

SIDE_COLOURS: dict[Side, Colour] = {"left": (56, 182, 255), "right": (255, 136, 40), "centre": (178, 240, 92)}
OUTLINE_COLOUR: Colour = (18, 20, 26)
CORE_COLOUR: Colour = (255, 255, 255)
BOX_COLOUR: Colour = (245, 245, 245)
SHEET_COLOUR: Colour = (250, 250, 248)
MAX_LAYER_PIXELS = 16_000_000  # bounds the memory of an enlarged layer to 64 MB
OPAQUE_SCORE = 0.7  # drawn without transparency from here on
HUB_EDGES = 5  # so many bones that leave one joint, as those of a palm, are drawn thinner: they would merge


def draw_poses(
    image: Image.Image,
    people: People | Sequence[Mapping[str, Any]],
    schema: KeypointSchema | None = None,
    *,
    min_score: float = CONFIDENCE_THRESHOLD,
    boxes: bool = False,
) -> Image.Image:
    """Draw the skeletons of people over a photo; the photo itself stays unchanged.

    Left limbs are blue, right limbs orange (the person's own left and right, read from the keypoint names), the rest
    green. Strokes grow with the person and fade with the score.

    Args:
        image: Photo in any mode; turned upright where its EXIF data says so, as the keypoints are.
        people: What was found in the photo: [`People`], what the pipeline `keypoint-detection` returns, or the dicts of
            `post_process_pose_estimation`.
        schema: Names and edges of the K keypoints, for dicts, which do not have them.
        min_score: Keypoints below it, and their edges, are not drawn; nor are those that score 0.
        boxes: Draw each person's box as well.

    Returns:
        A new RGB image of the same size, upright.

    Raises:
        ValueError: The people do not have the schema's keypoints, or something to be drawn is not finite.
    """
    if not isinstance(image, Image.Image):
        raise TypeError(f"image must be a PIL image, got {type(image).__name__}; use PIL.Image.fromarray for arrays.")
    canvas = to_rgb_photo(image)  # a copy
    diagonal = math.hypot(*canvas.size)
    drawn = people if isinstance(people, People) else _as_people(people, schema)
    keypoints, scores = drawn.keypoints_xy.double().numpy(), drawn.scores.double().numpy()
    for number, (points, values, corners) in enumerate(zip(keypoints, scores, drawn.boxes_xyxy.tolist(), strict=True)):
        shown = (values >= min_score) & (values > 0)  # (K,)
        if np.isnan(values).any() or not np.isfinite(points[shown]).all():
            raise ValueError(f"person {number}: scores and the keypoints to draw must be finite, got NaN or infinite.")
        if boxes:
            _draw(canvas, _box_strokes(np.array(corners), diagonal))
        if shown.any():
            strokes = _skeleton_strokes(points, values, shown, drawn.schema, min_score=min_score, diagonal=diagonal)
            _draw(canvas, strokes)
    return canvas


def _as_people(people: Sequence[Mapping[str, Any]], schema: KeypointSchema | None) -> People:
    """People from dicts of the pipeline or of post-processing."""
    if schema is None:
        raise TypeError("draw_poses needs the schema of people that are given as dicts: pass the pipeline's `schema`.")
    if not people or "box" in people[0]:
        return People.from_dicts(people, schema)
    return People.from_tensors(people, schema)


def contact_sheet(
    images: Sequence[Image.Image],
    *,
    columns: int,
    captions: Sequence[str] | None = None,
    tile: tuple[int, int] = (256, 192),
    gap: int = 8,
) -> Image.Image:
    """Images in rows of equal tiles, each fitted into its tile and centred, with a caption below.

    Args:
        images: one or more images of any size.
        columns: tiles in a row; a sheet of fewer images is narrower.
        captions: one line for each image; None leaves no room for them.
        tile: (height, width) of a tile in pixels, without its caption.
        gap: pixels between tiles and around the sheet.
    """
    if not images or columns < 1:
        raise ValueError(f"a sheet needs images and at least one column, got {len(images)} images, {columns} columns.")
    if captions is not None and len(captions) != len(images):
        raise ValueError(f"expected one caption an image, got {len(captions)} for {len(images)} images.")
    height, width = tile
    font_size = max(11, height // 18)
    font = ImageFont.load_default(font_size)
    caption_height = 0 if captions is None else round(1.6 * font_size)
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    row_height, column_width = height + caption_height + gap, width + gap
    sheet = Image.new("RGB", (columns * column_width + gap, rows * row_height + gap), SHEET_COLOUR)
    pen = ImageDraw.Draw(sheet)
    for number, image in enumerate(images):
        top, left = gap + number // columns * row_height, gap + number % columns * column_width
        fitted = _fitted(image, tile)
        sheet.paste(fitted, (left + (width - fitted.width) // 2, top + (height - fitted.height) // 2))
        if captions is not None:
            middle = (left + width / 2, top + height + caption_height / 2)
            pen.text(middle, captions[number], fill=OUTLINE_COLOUR, font=font, anchor="mm")
    return sheet


@dataclass(frozen=True, kw_only=True)
class _Stroke:
    """Line with round ends in image pixels; a disc where start and end are one point `(2,)`."""

    start: np.ndarray
    end: np.ndarray
    radius: float
    colour: Colour
    opacity: int = 255
    core: float = 0.0  # radius of the white disc at the start, none at 0

    @property
    def outline(self) -> float:
        """Radius of the dark stroke underneath."""
        return self.radius + max(0.5, 0.44 * self.radius)


@dataclass(frozen=True, kw_only=True)
class _Layer:
    """Transparent layer over a region of the photo, `zoom` times enlarged."""

    pixels: Image.Image
    origin: tuple[int, int]  # left, top of the region in image pixels
    zoom: int

    @classmethod
    def over(cls, canvas: Image.Image, corners: np.ndarray, margin: float) -> _Layer | None:
        """Layer over the part of the canvas that holds all corners `(n, 2)`; None when there is no such part."""
        low = np.clip(np.floor(corners.min(axis=0) - margin), 0, canvas.size).astype(int)
        high = np.clip(np.ceil(corners.max(axis=0) + margin) + 1, 0, canvas.size).astype(int)
        width, height = (high - low).tolist()
        if width <= 0 or height <= 0:
            return None
        zoom = max(1, min(4, math.isqrt(MAX_LAYER_PIXELS // (width * height))))
        pixels = Image.new("RGBA", (width * zoom, height * zoom))
        return cls(pixels=pixels, origin=(int(low[0]), int(low[1])), zoom=zoom)

    def line(self, start: np.ndarray, end: np.ndarray, radius: float, fill: tuple[int, ...]) -> None:
        pen, (a, b), r = ImageDraw.Draw(self.pixels), self._enlarged(np.stack([start, end])), radius * self.zoom
        length = float(np.linalg.norm(b - a))
        if length > 0:
            across = np.array([a[1] - b[1], b[0] - a[0]]) * (r / length)
            pen.polygon([tuple(corner) for corner in (a + across, b + across, b - across, a - across)], fill=fill)
        for x, y in (a, b):
            pen.ellipse((round(x - r), round(y - r), round(x + r), round(y + r)), fill=fill)  # floats would be cut off

    def merge_into(self, canvas: Image.Image) -> None:
        reduced = self.pixels.reduce(self.zoom) if self.zoom > 1 else self.pixels
        canvas.paste(reduced, self.origin, mask=reduced)

    def _enlarged(self, points: np.ndarray) -> np.ndarray:
        """Layer coordinates of the centres of image pixels."""
        return (points - self.origin + 0.5) * self.zoom - 0.5


def _draw(canvas: Image.Image, strokes: Sequence[_Stroke]) -> None:
    """All outlines first, so that limbs meet without a seam, then the colours, then the white cores of the joints."""
    corners = np.concatenate([[stroke.start, stroke.end] for stroke in strokes])
    layer = _Layer.over(canvas, corners, max(stroke.outline for stroke in strokes))
    if layer is None:
        return
    for stroke in strokes:
        layer.line(stroke.start, stroke.end, stroke.outline, (*OUTLINE_COLOUR, stroke.opacity))
    for stroke in strokes:
        layer.line(stroke.start, stroke.end, stroke.radius, (*stroke.colour, stroke.opacity))
    for stroke in strokes:
        if stroke.core:
            layer.line(stroke.start, stroke.start, stroke.core, (*CORE_COLOUR, stroke.opacity))
    layer.merge_into(canvas)


def _box_strokes(box_xyxy: np.ndarray, diagonal: float) -> list[_Stroke]:
    x1, y1, x2, y2 = box_xyxy
    corners = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])
    sides = zip(corners, np.roll(corners, -1, axis=0), strict=True)
    return [_Stroke(start=a, end=b, radius=max(0.5, 0.0012 * diagonal), colour=BOX_COLOUR) for a, b in sides]


def _skeleton_strokes(
    points: np.ndarray,
    scores: np.ndarray,
    shown: np.ndarray,
    schema: KeypointSchema,
    *,
    min_score: float,
    diagonal: float,
) -> list[_Stroke]:
    """Limbs, then joints: discs a little wider than their widest limb, small dots where there is none."""
    extent = float(np.linalg.norm(np.ptp(points[shown], axis=0)))
    thickness = float(np.clip(0.018 * extent, 1.2, 0.012 * diagonal + 1.2))
    sides = [keypoint_side(name) for name in schema.keypoints]
    opacity = _opacity(scores, min_score)  # (K,)
    joint_radii = np.full(len(points), max(0.6, 0.18 * thickness))  # (K,)
    degrees = np.bincount(np.array(schema.edges, dtype=int).ravel(), minlength=len(points))  # (K,)
    strokes = []
    for a, b in schema.edges:
        if shown[a] and shown[b]:
            crowding = max(degrees[a], degrees[b]) / 2
            radius = _limb_radius(points[a], points[b], thickness) / (crowding if 2 * crowding >= HUB_EDGES else 1)
            colour = SIDE_COLOURS[_limb_side(sides[a], sides[b])]
            alpha = int(min(opacity[a], opacity[b]))
            strokes.append(_Stroke(start=points[a], end=points[b], radius=radius, colour=colour, opacity=alpha))
            joint_radii[[a, b]] = np.maximum(joint_radii[[a, b]], 1.5 * radius)
    for index in np.flatnonzero(shown):
        point, radius, alpha = points[index], float(joint_radii[index]), int(opacity[index])
        colour = SIDE_COLOURS[sides[index]]
        disc = _Stroke(start=point, end=point, radius=radius, colour=colour, opacity=alpha, core=radius / 2)
        strokes.append(disc)
    return strokes


def keypoint_side(name: str) -> Side:
    """Side of the body that a keypoint's name tells: `left_knee`, `L_Knee`, ... or centre where it tells none."""
    match = re.match(r"(left|right|l_|r_)", name.lower())
    if match is None:
        return "centre"
    return "left" if match[0].startswith("l") else "right"


def _limb_side(a: Side, b: Side) -> Side:
    """A limb from the middle outwards belongs to its outer side; one across the body to neither."""
    if "centre" in (a, b):
        return b if a == "centre" else a
    return a if a == b else "centre"


def _limb_radius(start: np.ndarray, end: np.ndarray, thickness: float) -> float:
    """Half the stroke's width, less for short edges such as those of fingers and faces."""
    length = float(np.linalg.norm(end - start))
    return min(thickness / 2, max(0.5, 0.12 * length))


def _opacity(scores: np.ndarray, min_score: float) -> np.ndarray:
    """Alpha `(K,)` from a third at `min_score` to full at `OPAQUE_SCORE`."""
    share = np.clip((scores - min_score) / max(OPAQUE_SCORE - min_score, 1e-6), 0, 1)
    return np.round(85 + 170 * share)


def _fitted(image: Image.Image, tile: tuple[int, int]) -> Image.Image:
    scale = min(tile[0] / image.height, tile[1] / image.width)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return to_rgb_photo(image).resize(size, Image.Resampling.LANCZOS)
