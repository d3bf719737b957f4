"""Painting of one figure, far parts first: trunk and limbs here, the head in `head`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from .brush import Brush, Part
from .canvas import Canvas, Tube, rgb, step
from .head import HeadPainter
from .outfit import Cloth, Outfit
from .skeleton import SIDES, Skeleton

# Half-widths at four equal steps along a limb, in body heights.
_UPPER_ARM = np.array([0.034, 0.033, 0.028, 0.025])
_FOREARM = np.array([0.025, 0.026, 0.021, 0.0165])
_HAND = np.array([0.016, 0.021, 0.022, 0.013])
_THIGH = np.array([0.052, 0.05, 0.042, 0.034])
_SHIN = np.array([0.034, 0.036, 0.027, 0.02])
_FOOT = np.array([0.025, 0.027, 0.025, 0.019])
_NECK = np.array([0.034, 0.029, 0.028, 0.028])
_RAMP = np.linspace(0, 1, 4)


def paint_figure(*, canvas: Canvas, skeleton: Skeleton, outfit: Outfit, owner: int | None = None) -> None:
    """Paint a whole person; `owner` replaces the parts' own owner numbers."""
    brush = Brush(canvas=canvas, skeleton=skeleton, outfit=outfit, owner=owner)
    jobs = [*_trunk_jobs(brush), *_limb_jobs(brush), *HeadPainter(brush).jobs()]
    for _, job in sorted(jobs, key=lambda entry: -entry[0]):
        job()


def _trunk_jobs(brush: Brush) -> list[tuple[float, Callable[[], None]]]:
    """Torso, pelvis, neck, skirt and backpack, each with its depth."""
    middle = brush.depth("waist", "chest")
    chest_back = brush.skeleton.axes["chest"][2, 2]  # positive when the chest faces the camera
    jobs: list[tuple[float, Callable[[], None]]] = [
        (middle, partial(_paint_torso, brush)),
        (brush.depth("pelvis") + 0.012, partial(_paint_pelvis, brush)),
        (middle - 0.003 * float(np.sign(chest_back)), partial(_paint_neck, brush)),
    ]
    if brush.outfit.skirt:
        nearest = min(brush.depth("pelvis"), *(brush.depth(f"{name}_hip", f"{name}_knee") for name in SIDES))
        jobs.append((nearest + 0.005, partial(_paint_skirt, brush)))
    if brush.outfit.backpack is not None:
        jobs.append(
            (brush.depth("chest") + 0.1 * float(chest_back), partial(_paint_backpack, brush, brush.outfit.backpack))
        )
    return jobs


def _limb_jobs(brush: Brush) -> list[tuple[float, Callable[[], None]]]:
    """Both arms and legs with their depths; the top hangs over the trousers, hence the small offsets."""
    jobs: list[tuple[float, Callable[[], None]]] = []
    for side, name in enumerate(SIDES):
        jobs += [
            (brush.depth(f"{name}_shoulder", f"{name}_elbow"), partial(_paint_upper_arm, brush, side)),
            (brush.depth(f"{name}_elbow", f"{name}_wrist"), partial(_paint_forearm, brush, side)),
            (brush.depth(f"{name}_hip", f"{name}_knee") + 0.014, partial(_paint_thigh, brush, side)),
            (brush.depth(f"{name}_knee", f"{name}_ankle") + 0.013, partial(_paint_shin, brush, side)),
            (brush.depth(f"{name}_ankle", f"{name}_toe"), partial(_paint_foot, brush, side)),
        ]
    return jobs


def _tube(brush: Brush, start: str, end: str, widths: np.ndarray) -> Tube | None:
    """A tube between two joints, thinner at the one that is farther away; `widths` in body heights."""
    near, far = brush.scale(start), brush.scale(end)
    return brush.canvas.tube(brush.point(start), brush.point(end), widths * (near + (far - near) * _RAMP))


def _paint_limb(
    brush: Brush, start: str, end: str, widths: np.ndarray, *, cloth: Cloth, cover: float, part: int, shadow: float
) -> None:
    """A limb in cloth up to the share `cover` of its length and bare from there on."""
    is_bare = cover < 0.05
    patch = _tube(brush, start, end, widths * brush.skeleton.body.girth * (1.0 if is_bare else 1.14))
    if patch is None:
        return
    color = brush.outfit.skin
    if not is_bare:
        length = float(np.hypot(*(brush.point(end) - brush.point(start))[:2]))
        color = cloth.colors(patch, length=length, scale=brush.scale("pelvis"))
        if cover < 0.97:
            color = color + step((patch.along - cover) * length) * (brush.outfit.skin - color)
    brush.put(patch, color, part, shadow=shadow)


def _paint_upper_arm(brush: Brush, side: int) -> None:
    ends, outfit = (f"{SIDES[side]}_shoulder", f"{SIDES[side]}_elbow"), brush.outfit
    part = Part.UPPER_ARM.on(side)
    _paint_limb(brush, *ends, _UPPER_ARM, cloth=outfit.top, cover=outfit.sleeve, part=part, shadow=0.45)


def _paint_forearm(brush: Brush, side: int) -> None:
    name, outfit = SIDES[side], brush.outfit
    hand = _tube(brush, f"{name}_wrist", f"{name}_hand", _HAND)
    brush.put(hand, outfit.skin, Part.HAND.on(side))
    ends, part = (f"{name}_elbow", f"{name}_wrist"), Part.FOREARM.on(side)
    _paint_limb(brush, *ends, _FOREARM, cloth=outfit.top, cover=outfit.sleeve - 1, part=part, shadow=0.45)


def _paint_thigh(brush: Brush, side: int) -> None:
    ends, outfit = (f"{SIDES[side]}_hip", f"{SIDES[side]}_knee"), brush.outfit
    part = Part.THIGH.on(side)
    _paint_limb(brush, *ends, _THIGH, cloth=outfit.bottom, cover=outfit.leg_cover, part=part, shadow=0.45)


def _paint_shin(brush: Brush, side: int) -> None:
    ends, outfit = (f"{SIDES[side]}_knee", f"{SIDES[side]}_ankle"), brush.outfit
    part = Part.SHIN.on(side)
    _paint_limb(brush, *ends, _SHIN, cloth=outfit.bottom, cover=outfit.leg_cover - 1, part=part, shadow=0.4)


def _paint_foot(brush: Brush, side: int) -> None:
    foot = _tube(brush, f"{SIDES[side]}_heel", f"{SIDES[side]}_toe", _FOOT)
    brush.put(foot, brush.outfit.shoe, Part.FOOT.on(side))


def _half_extent(axes: np.ndarray, half_width: float, half_depth: float, direction: np.ndarray) -> float:
    """Reach of an elliptic slice of the trunk along a unit (x, y) direction of the picture."""
    return float(np.hypot(direction @ axes[:2, 0] * half_width, direction @ axes[:2, 2] * half_depth))


def _axis(start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Unit (x, y) direction from start to end, the direction across it, and the length in pixels."""
    along = (end - start)[:2]
    length = max(float(np.hypot(*along)), 1e-3)
    along = along / length
    return along, np.array([-along[1], along[0]]), length


def _paint_torso(brush: Brush) -> None:
    """A tube whose width and end caps follow from elliptic slices through hips, waist, chest and shoulders."""
    body, scale = brush.skeleton.body, brush.scale("chest")
    pelvis, chest = brush.skeleton.axes["pelvis"], brush.skeleton.axes["chest"]
    slices: tuple[tuple[np.ndarray, float, float], ...] = (
        (pelvis, 0.035 + 0.9 * body.hip, 0.058 * body.girth),
        (chest, 0.02 + body.shoulder * (0.31 + 0.21 * body.girth), 0.055 * body.girth**1.5),
        (chest, 0.98 * body.shoulder, 0.06 * body.girth),
        (chest, 0.74 * body.shoulder, 0.04 * body.girth),
    )
    start = brush.point("pelvis") * 0.85 + brush.point("waist") * 0.15
    end = brush.point("chest") * 0.6 + brush.point("neck") * 0.4
    along, across, length = _axis(start, end)
    radii = [_half_extent(*part, across) * scale for part in slices]
    caps = [(_half_extent(*slices[i], along) + 0.018) * scale / radii[i] for i in (0, 3)]
    patch = brush.canvas.tube(start, end, radii, caps=(caps[0], caps[1]))
    if patch is None:
        return
    color = brush.outfit.top.colors(patch, length=length, scale=brush.scale("pelvis"))
    brush.put(patch, color, Part.TORSO, shadow=0.3)
    if brush.outfit.open_jacket and chest[2, 2] > 0.15:
        _paint_open_jacket(brush, facing=float(chest[2, 2]))


def _paint_open_jacket(brush: Brush, *, facing: float) -> None:
    """A strip of the shirt below, on the front of the trunk and only there."""
    ends = []
    for name, axes_name in (("chest", "chest"), ("pelvis", "pelvis")):
        forward = -brush.skeleton.axes[axes_name][:, 2] * 0.05 * brush.skeleton.body.girth
        ends.append(brush.point(name) + forward * brush.scale(name))
    patch = brush.canvas.tube(ends[0], ends[1], np.array([0.02, 0.026, 0.03, 0.032]) * brush.scale("chest") * facing)
    if patch is None:
        return
    torso = Part.TORSO if brush.owner is None else brush.owner
    shirt = brush.outfit.top.second if brush.outfit.top.pattern == "plain" else rgb(235, 232, 226)
    brush.put(patch, shirt, Part.TORSO, mask=brush.canvas.owner[patch.window] == torso)


def _paint_pelvis(brush: Brush) -> None:
    lift = (brush.point("waist") - brush.point("pelvis")) * 0.15
    radius = 0.057 * brush.skeleton.body.girth * brush.scale("pelvis")
    patch = brush.canvas.tube(brush.point("left_hip") + lift, brush.point("right_hip") + lift, [radius] * 4)
    brush.put(patch, brush.outfit.bottom.color, Part.PELVIS)


def _paint_skirt(brush: Brush) -> None:
    """From the waist toward the knees, wide enough for both of them."""
    length_in_thighs, pelvis = brush.outfit.skirt, brush.point("pelvis")
    spread = brush.point("left_knee") - brush.point("right_knee")
    knees = (brush.point("left_knee") + brush.point("right_knee")) / 2
    start = pelvis * 0.6 + brush.point("waist") * 0.4
    end = pelvis + (knees - pelvis) * (0.9 * length_in_thighs)
    _, across, length = _axis(start, end)
    scale, body = brush.scale("pelvis"), brush.skeleton.body
    hem = abs(float(spread[:2] @ across)) * 0.5 * min(length_in_thighs, 1.0) + 0.065 * scale
    hips = _half_extent(brush.skeleton.axes["pelvis"], 0.045 + body.hip, 0.06, across) * scale * body.girth
    radii = [hips * 0.9, hips * 1.02, (hips + hem) * 0.52, max(hem, hips)]
    patch = brush.canvas.tube(start, end, radii, caps=(0.4, 0.12))
    if patch is not None:
        color = brush.outfit.bottom.colors(patch, length=length, scale=scale)
        brush.put(patch, color, Part.SKIRT, shadow=0.3)


def _paint_backpack(brush: Brush, color: np.ndarray) -> None:
    axes, scale = brush.skeleton.axes["chest"], brush.scale("chest")
    center = brush.point("chest") + axes @ (0.0, 0.09, 0.085) * scale
    patch = brush.canvas.ellipsoid(center, axes, np.array([0.082, 0.115, 0.05]) * scale)
    brush.put(patch, color, Part.BAG, shadow=0.3)


def _paint_neck(brush: Brush) -> None:
    base = brush.point("neck") * 0.92 + brush.point("chest") * 0.08
    top = brush.point("neck") * 0.4 + brush.point("head") * 0.6
    radii = _NECK * brush.scale("neck") * (0.5 + 0.5 * brush.skeleton.body.girth)
    patch = brush.canvas.tube(base, top, radii, caps=(0.8, 1.0))
    brush.put(patch, brush.outfit.skin * np.float32(0.93), Part.NECK)
