"""Poses on black, as ControlNet and DWPose drew what image generators were trained on.

Colors, order and sizes are facts of those drawings: 17 limbs as ellipses, dimmed to 0.6, joints over them, then hands
and faces. Nothing is smoothed at its edges and no size follows the person's, as the generators expect.
"""

import colorsys
import math

import numpy as np
from PIL import Image, ImageDraw

from .openpose_vitpose import openpose_parts
from .people_vitpose import People

_COLORS = (
    *((255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0)),
    *((0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255)),
    *((170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85)),
)
# pairs of points of BODY_18, in the order in which they are drawn; limb i has color i
_LIMBS = (
    *((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13)),
    *((1, 0), (0, 14), (14, 16), (0, 15), (15, 17)),
)
_HAND_EDGES = tuple(
    (0 if joint == 0 else 4 * finger + joint, 4 * finger + joint + 1) for finger in range(5) for joint in range(4)
)
_LIMB_HALF_WIDTH = 4  # pixels, of the ellipse
_LIMB_BRIGHTNESS = 0.6
_JOINT_RADIUS, _FACE_RADIUS = 4, 3
_HAND_LINE_WIDTH = 3  # covers what OpenCV calls a thickness of 2
_NUM_FACE_POINTS = 68  # DWPose draws no pupils: the body's eyes are there
_HAND_POINT_COLOR, _FACE_COLOR = (0, 0, 255), (255, 255, 255)
_Point = tuple[int, int]


def paint_openpose(canvas: Image.Image, people: People, *, min_score: float) -> None:
    """Black the picture, which is RGB, and draw people into it in OpenPose's way.

    Args:
        canvas: The picture; keypoints are in its pixels.
        people: With the keypoints of people, body alone or with hands and faces.
        min_score: Points below it are not drawn, nor are those that score 0.

    Raises:
        ValueError: The keypoints are not those of people with arms and legs.
    """
    canvas.paste((0, 0, 0), (0, 0, *canvas.size))
    parts = {
        name: [_visible(points, min_score) for points in values.double().numpy()]
        for name, values in openpose_parts(people.keypoints_xy, people.scores, people.schema, body="BODY_18").items()
    }
    pen = ImageDraw.Draw(canvas)
    # limb after limb over all people, as later ones cover earlier ones
    for (a, b), color in zip(_LIMBS, _COLORS, strict=False):
        for points in parts["pose"]:
            if a in points and b in points:
                pen.polygon(_ellipse(points[a], points[b]), fill=_dimmed(color))
    for joint, color in enumerate(_COLORS):
        for points in parts["pose"]:
            if joint in points:
                _disc(pen, points[joint], _JOINT_RADIUS, color)
    for points in [*parts.get("hand_left", []), *parts.get("hand_right", [])]:
        _draw_hand(pen, points)
    for points in parts.get("face", []):
        for number, place in points.items():
            if number < _NUM_FACE_POINTS:
                _disc(pen, place, _FACE_RADIUS, _FACE_COLOR)


def _visible(points: np.ndarray, min_score: float) -> dict[int, tuple[float, float]]:
    """Number and place of the points `(P, 3)` to draw."""
    shown = (points[:, 2] >= min_score) & (points[:, 2] > 0)
    return {int(index): (float(points[index, 0]), float(points[index, 1])) for index in np.flatnonzero(shown)}


def _dimmed(color: tuple[int, int, int]) -> tuple[int, int, int]:
    red, green, blue = (int(_LIMB_BRIGHTNESS * value) for value in color)
    return red, green, blue


def _ellipse(a: tuple[float, float], b: tuple[float, float]) -> list[_Point]:
    """The outline of a limb: a point a degree, on whole pixels, turned by whole degrees."""
    center_x, center_y = int((a[0] + b[0]) / 2), int((a[1] + b[1]) / 2)
    half_length = int(math.dist(a, b) / 2)
    turn = math.radians(int(math.degrees(math.atan2(a[1] - b[1], a[0] - b[0]))))
    outline = []
    for degrees in range(361):
        along = half_length * math.cos(math.radians(degrees))
        across = _LIMB_HALF_WIDTH * math.sin(math.radians(degrees))
        x = center_x + along * math.cos(turn) - across * math.sin(turn)
        y = center_y + along * math.sin(turn) + across * math.cos(turn)
        outline.append((round(x), round(y)))
    return outline


def _disc(pen: ImageDraw.ImageDraw, point: tuple[float, float], radius: int, color: tuple[int, int, int]) -> None:
    """All pixels whose centers lie within the radius; Pillow's own ellipse is a fifth larger at this size."""
    x, y = int(point[0]), int(point[1])
    for down in range(-radius, radius + 1):
        across = math.isqrt(radius**2 - down**2)
        pen.line((x - across, y + down, x + across, y + down), fill=color)


def _draw_hand(pen: ImageDraw.ImageDraw, points: dict[int, tuple[float, float]]) -> None:
    """The 20 bones in as many hues, and blue joints over them."""
    for number, (a, b) in enumerate(_HAND_EDGES):
        if a in points and b in points:
            red, green, blue = (int(255 * value) for value in colorsys.hsv_to_rgb(number / len(_HAND_EDGES), 1, 1))
            ends = [(int(points[end][0]), int(points[end][1])) for end in (a, b)]
            pen.line(ends, fill=(red, green, blue), width=_HAND_LINE_WIDTH)
            for end in ends:
                _disc(pen, end, 1, (red, green, blue))
    for place in points.values():
        _disc(pen, place, _JOINT_RADIUS, _HAND_POINT_COLOR)
