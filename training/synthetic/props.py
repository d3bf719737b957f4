"""Things around the generated people: seats behind them and posts, crates and leaves in front of them."""

from __future__ import annotations

import numpy as np

from .background import FACADES, GREENS, THINGS, pick
from .canvas import NOBODY, OCCLUDER, Canvas, rgb
from .skeleton import Skeleton

Box = tuple[float, float, float, float]  # left, top, right, bottom in image pixels


def _block(canvas: Canvas, left: float, top: float, right: float, bottom: float, color: np.ndarray, owner: int) -> None:
    """A box with a lighter upper edge, darker toward the ground."""
    rim = 2 + 0.02 * canvas.height
    for y0, y1, light, dark in ((top + rim, bottom, 0.95, 0.78), (top, top + rim, 1.12, 1.08)):
        window = canvas.window(left + 1, y0 + 1, right - 2, min(y1, canvas.height) - 2)
        if window is None:
            continue
        rows = np.linspace(light, dark, window[0].stop - window[0].start, dtype=np.float32)[:, None]
        canvas.rgb[:, window[0], window[1]] = color * (canvas.light.ambient * 1.2) * rows
        canvas.owner[window] = owner


def paint_seat(canvas: Canvas, rng: np.random.Generator, skeleton: Skeleton, floor_y: float) -> None:
    """A block or stool below a sitting person, painted before the person."""
    unit = skeleton.scales["pelvis"]
    x, y = skeleton.points["pelvis"][:2].tolist()
    half = rng.uniform(0.13, 0.2) * unit
    color = rgb(*pick(rng, THINGS + FACADES))
    top = y + 0.045 * unit
    if floor_y - 0.03 * unit - top > 0.05 * unit:
        _block(canvas, x - half, top, x + half, floor_y - 0.03 * unit, color, NOBODY)


def _paint_post(canvas: Canvas, rng: np.random.Generator, box: Box) -> None:
    """A pole or trunk from top to bottom."""
    half_width = rng.uniform(0.03, 0.065) * (box[3] - box[1])
    x, lean = rng.uniform(box[0], box[2]), rng.uniform(-0.04, 0.04) * canvas.height
    patch = canvas.tube((x, -20), (x + lean, canvas.height + 20), [half_width] * 4)
    if patch is not None:
        canvas.blend(patch, rgb(*pick(rng, THINGS + FACADES)), owner=OCCLUDER)


def _paint_crate(canvas: Canvas, rng: np.random.Generator, box: Box) -> None:
    """A crate, wall or table in front of the lower part."""
    top = box[3] - rng.uniform(0.12, 0.38) * (box[3] - box[1])
    width = box[2] - box[0]
    left = box[0] + rng.uniform(-0.4, 0.6) * width
    right = left + rng.uniform(0.5, 1.4) * width
    _block(canvas, left, top, right, canvas.height + 4.0, rgb(*pick(rng, THINGS + FACADES)), OCCLUDER)


def _paint_leaves(canvas: Canvas, rng: np.random.Generator, box: Box) -> None:
    """Leaves that grow or hang in from one side."""
    width, height = box[2] - box[0], box[3] - box[1]
    side = 1.0 if rng.random() < 0.5 else -1.0
    middle = (box[0] + box[2]) / 2 + side * rng.uniform(0.4, 0.62) * width
    low, high = (0.5, 1.05) if rng.random() < 0.7 else (0.0, 0.5)
    color = rgb(*pick(rng, GREENS))
    stem = canvas.tube(
        (middle, canvas.height + 4.0 if high > 1 else -4.0), (middle, box[1] + 0.5 * (low + high) * height), [1.6] * 4
    )
    if stem is not None:
        canvas.blend(stem, rgb(96, 74, 56), owner=OCCLUDER)
    for shade in np.linspace(0.75, 1.15, rng.integers(9, 15), dtype=np.float32):
        center = (middle + rng.normal(0, 0.14) * width, box[1] + rng.uniform(low, high) * height)
        angle, long = rng.uniform(0, np.pi), rng.uniform(0.05, 0.1) * height
        turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
        patch = canvas.ellipsoid(center, turn, (long, 0.5 * long, 0.4 * long))
        if patch is not None:
            canvas.blend(patch, color * shade, owner=OCCLUDER)


_OCCLUDERS = (_paint_post, _paint_crate, _paint_leaves)


def paint_occluder(canvas: Canvas, rng: np.random.Generator, box: Box) -> None:
    """A post, a crate or leaves in front of the figure in `box`; most of the figure stays free."""
    _OCCLUDERS[rng.integers(len(_OCCLUDERS))](canvas, rng, box)
