"""Pictures of poses: skeletons over a photo, and sheets of several photos.

Strokes are drawn enlarged on a transparent layer over each person's own region and reduced, which gives them smooth
edges and sub-pixel positions with nothing but Pillow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vitpose.base.names import unknown_name
from vitpose.modeling.keypoint_schemas import KeypointSchema
from vitpose.modeling.keypoint_sides import Side, keypoint_sides

from .images_vitpose import to_rgb_photo
from .openpose_drawing import paint_openpose
from .people_forms_vitpose import CONFIDENCE_THRESHOLD
from .people_vitpose import People

DrawingStyle = Literal["overlay", "openpose"]
Color = tuple[int, int, int]

SIDE_COLORS: dict[Side, Color] = {"left": (56, 182, 255), "right": (255, 136, 40), "center": (178, 240, 92)}
OUTLINE_COLOR: Color = (18, 20, 26)
CORE_COLOR: Color = (255, 255, 255)
BOX_COLOR: Color = (245, 245, 245)
SHEET_COLOR: Color = (250, 250, 248)
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
    style: DrawingStyle = "overlay",
) -> Image.Image:
    """Draw the skeletons of people over a photo; the photo itself stays unchanged.

    Left limbs are blue, right limbs orange (the person's own left and right, read from the keypoint names), the rest
    green. Strokes grow with the person and fade with the score. The style `"openpose"` draws on black instead, in the
    colors, order and sizes that image generators steered by ControlNet were trained on.

    Args:
        image: Photo in any mode; turned upright where its EXIF data says so, as the keypoints are.
        people: What was found in the photo: [`People`], what the pipeline `keypoint-detection` returns, or the dicts of
            `post_process_pose_estimation`.
        schema: Names and edges of the K keypoints, for dicts, which do not have them.
        min_score: Keypoints below it, and their edges, are not drawn; nor are those that score 0.
        boxes: Draw each person's box as well; not in OpenPose's style.
        style: `"overlay"` draws over the photo, `"openpose"` on black of its size, where only people with arms and legs
            can be drawn; whole-body keypoints give hands and faces too.

    Returns:
        A new RGB image of the same size, upright.

    Raises:
        ValueError: The people do not have the schema's keypoints, something to be drawn is not finite, or the style
            does not exist or cannot draw them.
    """
    if not isinstance(image, Image.Image):
        raise TypeError(f"image must be a PIL image, got {type(image).__name__}; use PIL.Image.fromarray for arrays.")
    canvas = to_rgb_photo(image)  # a copy
    drawn = people if isinstance(people, People) else _as_people(people, schema)
    paint_people(canvas, drawn, min_score=min_score, boxes=boxes, style=style)
    return canvas


def paint_people(
    canvas: Image.Image,
    people: People,
    *,
    min_score: float = CONFIDENCE_THRESHOLD,
    boxes: bool = False,
    style: DrawingStyle = "overlay",
) -> None:
    """Draw as [`draw_poses`] does, into the picture itself, which is RGB; track ids stand above the boxes."""
    keypoints, scores = people.keypoints_xy.double().numpy(), people.scores.double().numpy()
    shown = (scores >= min_score) & (scores > 0)  # (N, K)
    invalid = np.isnan(scores).any(1) | (shown & ~np.isfinite(keypoints).all(2)).any(1)
    if invalid.any():
        raise ValueError(
            f"person {invalid.argmax()}: scores and the keypoints to draw must be finite, got NaN or infinite."
        )
    if style == "overlay":
        _paint_overlay(canvas, people, min_score=min_score, boxes=boxes)
    elif style != "openpose":
        raise ValueError(unknown_name("style", style, get_args(DrawingStyle)))
    elif boxes:
        raise ValueError("boxes are not drawn in OpenPose's style: leave boxes=True out.")
    else:
        paint_openpose(canvas, people, min_score=min_score)


def _paint_overlay(canvas: Image.Image, people: People, *, min_score: float, boxes: bool) -> None:
    """Draw over the picture in the house's own style."""
    keypoints, scores = people.keypoints_xy.double().numpy(), people.scores.double().numpy()
    shown = (scores >= min_score) & (scores > 0)  # (N, K)
    opacity = 85 + 170 * np.clip((scores - min_score) / max(OPAQUE_SCORE - min_score, 1e-6), 0, 1)  # (N, K)
    opacity = np.round(opacity).astype(int)
    for number, box in enumerate(people.boxes_xywh.tolist()):
        if boxes:
            _draw(canvas, _box_strokes(*box, diagonal=math.hypot(*canvas.size)))
        if shown[number].any():
            limit = 0.012 * math.hypot(*canvas.size) + 1.2
            _draw(canvas, _skeleton_strokes(keypoints[number], shown[number], opacity[number], people.schema, limit))
    pen, size = ImageDraw.Draw(canvas), max(12, round(0.03 * min(canvas.size)))
    track_ids = [] if people.track_ids is None else people.track_ids.tolist()
    for track_id, (left, top, width, _) in zip(track_ids, people.boxes_xywh.tolist(), strict=False):
        place = min(max(left + width / 2, size), canvas.width - size), max(top, 1.2 * size)  # inside the picture
        pen.text(
            *(place, str(track_id), CORE_COLOR, ImageFont.load_default(size)),
            anchor="mb",  # the middle of its lower edge
            stroke_width=max(1, size // 8),
            stroke_fill=OUTLINE_COLOR,
        )


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
    """Images in rows of equal tiles, each fitted into its tile and centered, with a caption below.

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
    sheet = Image.new("RGB", (columns * column_width + gap, rows * row_height + gap), SHEET_COLOR)
    pen = ImageDraw.Draw(sheet)
    for number, image in enumerate(images):
        top, left = gap + number // columns * row_height, gap + number % columns * column_width
        fitted = _fitted(image, tile)
        sheet.paste(fitted, (left + (width - fitted.width) // 2, top + (height - fitted.height) // 2))
        if captions is not None:
            middle = (left + width / 2, top + height + caption_height / 2)
            pen.text(middle, captions[number], fill=OUTLINE_COLOR, font=font, anchor="mm")
    return sheet


class _Stroke(NamedTuple):
    """Line with round ends in image pixels; a disc where start and end are one point `(2,)`."""

    start: np.ndarray
    end: np.ndarray
    radius: float
    color: Color
    opacity: int = 255
    core: float = 0.0  # radius of the white disc at the start, none at 0


def _draw(canvas: Image.Image, strokes: Sequence[_Stroke]) -> None:
    """All outlines first, so that limbs meet without a seam, then the colors, then the white cores of the joints.

    They go onto a transparent layer, enlarged `zoom` times, over the part of the picture that holds them all.
    """
    ends = np.array([(stroke.start, stroke.end) for stroke in strokes])  # (n, 2, 2)
    outlines = [stroke.radius + max(0.5, 0.44 * stroke.radius) for stroke in strokes]
    low = np.clip(np.floor(ends.min(axis=(0, 1)) - max(outlines)), 0, canvas.size).astype(int)
    high = np.clip(np.ceil(ends.max(axis=(0, 1)) + max(outlines)) + 1, 0, canvas.size).astype(int)
    width, height = (high - low).tolist()
    if width <= 0 or height <= 0:
        return
    zoom = max(1, min(4, math.isqrt(MAX_LAYER_PIXELS // (width * height))))
    layer = Image.new("RGBA", (width * zoom, height * zoom))
    pen, ends = ImageDraw.Draw(layer), (ends - low + 0.5) * zoom - 0.5
    lines = [(own, radius, OUTLINE_COLOR, stroke) for own, radius, stroke in zip(ends, outlines, strokes, strict=True)]
    lines += [(own, stroke.radius, stroke.color, stroke) for own, stroke in zip(ends, strokes, strict=True)]
    lines += [(own, stroke.core, CORE_COLOR, stroke) for own, stroke in zip(ends, strokes, strict=True) if stroke.core]
    for (a, b), radius, color, stroke in lines:
        fill, radius = (*color, stroke.opacity), radius * zoom
        length = float(np.linalg.norm(b - a))
        if length > 0:
            across = np.array([a[1] - b[1], b[0] - a[0]]) * (radius / length)
            pen.polygon([tuple(corner) for corner in (a + across, b + across, b - across, a - across)], fill=fill)
        for x, y in (a, b):  # floats would be cut off
            pen.ellipse((round(x - radius), round(y - radius), round(x + radius), round(y + radius)), fill=fill)
    reduced = layer.reduce(zoom) if zoom > 1 else layer
    canvas.paste(reduced, (int(low[0]), int(low[1])), mask=reduced)


def _box_strokes(x: float, y: float, width: float, height: float, *, diagonal: float) -> list[_Stroke]:
    corners = np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])
    sides = zip(corners, np.roll(corners, -1, axis=0), strict=True)
    return [_Stroke(start, end, max(0.5, 0.0012 * diagonal), BOX_COLOR) for start, end in sides]


def _skeleton_strokes(
    points: np.ndarray, shown: np.ndarray, opacity: np.ndarray, schema: KeypointSchema, max_thickness: float
) -> list[_Stroke]:
    """Limbs, then joints: discs a little wider than their widest limb, small dots where there is none.

    Args:
        points: `(K, 2)` in image pixels.
        shown: `(K,)` bool, the keypoints to draw.
        opacity: `(K,)` alpha of each, 0 to 255.
        schema: What they are.
        max_thickness: Of a limb, in image pixels.
    """
    extent = float(np.linalg.norm(np.ptp(points[shown], axis=0)))
    thickness = float(np.clip(0.018 * extent, 1.2, max_thickness))
    colors, limb_colors, degrees = _schema_colors(schema)
    joint_radii = np.full(len(points), max(0.6, 0.18 * thickness))  # (K,)
    strokes = []
    for (a, b), color in zip(schema.edges, limb_colors, strict=True):
        if shown[a] and shown[b]:
            # half the stroke's width, less for short edges such as those of fingers and faces
            radius = min(thickness / 2, max(0.5, 0.12 * float(np.linalg.norm(points[b] - points[a]))))
            crowding = max(degrees[a], degrees[b]) / 2
            radius = radius / (crowding if 2 * crowding >= HUB_EDGES else 1)
            strokes.append(_Stroke(points[a], points[b], radius, color, int(min(opacity[a], opacity[b]))))
            joint_radii[[a, b]] = np.maximum(joint_radii[[a, b]], 1.5 * radius)
    for index in np.flatnonzero(shown):
        point, radius = points[index], float(joint_radii[index])
        strokes.append(_Stroke(point, point, radius, colors[index], int(opacity[index]), core=radius / 2))
    return strokes


@lru_cache(maxsize=16)
def _schema_colors(schema: KeypointSchema) -> tuple[list[Color], list[Color], np.ndarray]:
    """Colors of a schema's keypoints and of its edges, and how many edges `(K,)` leave each keypoint.

    A limb from the middle outwards belongs to its outer side; one across the body to neither.
    """
    sides = keypoint_sides(schema.keypoints)
    degrees = np.bincount(np.array(schema.edges, dtype=int).ravel(), minlength=schema.num_keypoints)
    limb_sides: list[Side] = []
    for a, b in schema.edges:
        outer = {sides[a], sides[b]} - {"center"}
        limb_sides.append(outer.pop() if len(outer) == 1 else "center")
    return [SIDE_COLORS[side] for side in sides], [SIDE_COLORS[side] for side in limb_sides], degrees


def _fitted(image: Image.Image, tile: tuple[int, int]) -> Image.Image:
    scale = min(tile[0] / image.height, tile[1] / image.width)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return to_rgb_photo(image).resize(size, Image.Resampling.LANCZOS)
