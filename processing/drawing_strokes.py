"""Skeletons and boxes as strokes over a picture.

Strokes are drawn enlarged on a transparent layer over each person's own region and reduced, which gives them smooth
edges and sub-pixel positions with nothing but Pillow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from vitpose.modeling.keypoint_schemas import KeypointSchema
from vitpose.modeling.keypoint_sides import Side, keypoint_sides, unify_names

Color = tuple[int, int, int]

SIDE_COLORS: dict[Side, Color] = {"left": (56, 182, 255), "right": (255, 136, 40), "center": (178, 240, 92)}
OUTLINE_COLOR: Color = (18, 20, 26)
CORE_COLOR: Color = (255, 255, 255)
BOX_COLOR: Color = (245, 245, 245)
MAX_LAYER_PIXELS = 16_000_000  # bounds the memory of an enlarged layer to 64 MB
FACE_WORDS = frozenset(
    [
        "nose",
        "eye",
        "eyes",
        "ear",
        "ears",
        "mouth",
        "lip",
        "face",
        "jaw",
        "chin",
        "brow",
        "eyebrow",
        "pupil",
        "forehead",
    ]
)
FACE_DOT = 0.035  # radius of a dot in a face, of the extent of the face
HUB_EDGES = 5  # so many bones that leave one joint, as those of a palm, are drawn thinner: they would merge


class Stroke(NamedTuple):
    """Line with round ends in image pixels; a disc where start and end are one point `(2,)`."""

    start: np.ndarray
    end: np.ndarray
    radius: float
    color: Color
    opacity: int = 255
    core: float = 0.0  # radius of the white disc at the start, none at 0


def draw_strokes(canvas: Image.Image, strokes: Sequence[Stroke]) -> None:
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


def box_strokes(
    x: float, y: float, width: float, height: float, *, diagonal: float, color: Color = BOX_COLOR
) -> list[Stroke]:
    """The four sides of a box in image pixels, in a picture of this diagonal."""
    corners = np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])
    sides = zip(corners, np.roll(corners, -1, axis=0), strict=True)
    return [Stroke(start, end, max(0.5, 0.0012 * diagonal), color) for start, end in sides]


def skeleton_strokes(
    points: np.ndarray,
    shown: np.ndarray,
    opacity: np.ndarray,
    schema: KeypointSchema,
    *,
    max_thickness: float,
    color: Color | None = None,
) -> list[Stroke]:
    """Limbs, then joints: discs a little wider than their widest limb, small dots where there is none.

    A face stays readable: its lines are thin and its joints small dots without a core.

    Args:
        points: `(K, 2)` in image pixels.
        shown: `(K,)` bool, the keypoints to draw.
        opacity: `(K,)` alpha of each, 0 to 255.
        schema: What they are.
        max_thickness: Of a limb, in image pixels.
        color: Of all of them; by their sides where it is None.
    """
    look = _look(schema)
    extent = float(np.linalg.norm(np.ptp(points[shown], axis=0)))
    thickness = float(np.clip(0.018 * extent, 1.2, max_thickness))
    joint_radii = np.full(len(points), max(0.6, 0.18 * thickness))  # (K,)
    face = shown & look.is_face
    if face.any():
        face_extent = float(np.linalg.norm(np.ptp(points[face], axis=0)))
        joint_radii[face] = np.clip(FACE_DOT * face_extent, 0.6, 0.45 * thickness)
    strokes = []
    for (a, b), limb_color in zip(schema.edges, look.limb_colors, strict=True):
        if not (shown[a] and shown[b]):
            continue
        if look.is_face[a] or look.is_face[b]:
            radius = 0.5 * float(joint_radii[a] if look.is_face[a] else joint_radii[b])
        else:
            radius = _limb_radius(float(np.linalg.norm(points[b] - points[a])), thickness, max(look.degrees[[a, b]]))
            joint_radii[[a, b]] = np.maximum(joint_radii[[a, b]], 1.5 * radius)
        strokes.append(Stroke(points[a], points[b], radius, color or limb_color, int(min(opacity[a], opacity[b]))))
    for index in np.flatnonzero(shown):
        point, radius = points[index], float(joint_radii[index])
        core = 0 if look.is_face[index] else radius / 2
        strokes.append(Stroke(point, point, radius, color or look.colors[index], int(opacity[index]), core=core))
    return strokes


def _limb_radius(length: float, thickness: float, degree: int) -> float:
    """Half a limb's width: less for short ones, such as those of fingers, and where many meet."""
    radius = min(thickness / 2, max(0.5, 0.12 * length))
    return radius * 2 / degree if degree >= HUB_EDGES else radius


class _Look(NamedTuple):
    """How a schema's skeleton is drawn: colors of keypoints and edges, edges a keypoint `(K,)`, who is in the face."""

    colors: list[Color]
    limb_colors: list[Color]
    degrees: np.ndarray
    is_face: np.ndarray


@lru_cache(maxsize=16)
def _look(schema: KeypointSchema) -> _Look:
    """A limb from the middle outwards belongs to its outer side; one across the body to neither."""
    sides = keypoint_sides(schema.keypoints)
    degrees = np.bincount(np.array(schema.edges, dtype=int).ravel(), minlength=schema.num_keypoints)
    limb_sides: list[Side] = []
    for a, b in schema.edges:
        outer = {sides[a], sides[b]} - {"center"}
        limb_sides.append(outer.pop() if len(outer) == 1 else "center")
    is_face = np.array([not FACE_WORDS.isdisjoint(name.split("_")) for name in unify_names(schema.keypoints)])
    return _Look([SIDE_COLORS[side] for side in sides], [SIDE_COLORS[side] for side in limb_sides], degrees, is_face)
