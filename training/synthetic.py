"""Generated people with exact keypoints: any number of pictures from a seed, without a download.

Each picture shows one annotated person, a three-dimensional articulated figure seen by a camera, so that left and right,
front and back, foreshortening and what hides what all follow from one geometry.
"""

from __future__ import annotations

import zlib
from typing import Any, get_args

import numpy as np

from .synthetic_figure import FigurePainter, Outfit, Part, sample_outfit
from .synthetic_paint import OTHER_PERSON, Canvas
from .synthetic_scene import STYLES, Style, StyleSettings, paint_background, paint_occluder, sample_light
from .synthetic_skeleton import SIDES, Skeleton, build_skeleton, sample_body, sample_pose, sample_view

COCO_KEYPOINTS = ("nose", "left_eye", "right_eye", "left_ear", "right_ear") + tuple(
    f"{side}_{joint}" for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for side in SIDES
)

_SIDED_PARTS: dict[str, tuple[Part, ...]] = {
    "ear": (Part.EAR,),
    "shoulder": (Part.UPPER_ARM,),
    "elbow": (Part.UPPER_ARM, Part.FOREARM),
    "wrist": (Part.FOREARM, Part.HAND),
    "hip": (Part.THIGH,),
    "knee": (Part.THIGH, Part.SHIN),
    "ankle": (Part.SHIN, Part.FOOT),
}
_TRUNK = (Part.TORSO, Part.PELVIS, Part.SKIRT)


class SyntheticPeople:
    """A map-style data set of generated people.

    Item `i` is a pure function of (`seed`, `style`, `i`), whatever the order of access or the process that asks. It holds the
    columns that all readers give: `image` (here a PIL picture), `image_id`, `person_id`, `width`, `height`, `bbox` ([x, y,
    width, height] around the visible silhouette, image pixels), `area` (its pixels), `iscrowd`, and `keypoints` (17 x
    [x, y, v], image pixels, pixel centres at whole numbers; v: 0 outside the picture, 1 hidden, 2 visible).

    Args:
        num_people: length of the data set, at least 1.
        seed: any non-negative number.
        style: "studio" (rooms and paper backdrops, soft light, calm clothes) or "street" (houses and parks, hard light, strong
            colours and patterns, hats, passers-by, more things in the way).

    Raises:
        ValueError: for a length below 1, a negative seed or an unknown style.
    """

    def __init__(self, *, num_people: int, seed: int, style: Style = "studio") -> None:
        if num_people < 1:
            raise ValueError(f"num_people must be at least 1, got {num_people}.")
        if seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}.")
        if style not in STYLES:
            raise ValueError(f"style must be one of {', '.join(map(repr, get_args(Style)))}, got {style!r}.")
        self.num_people = num_people
        self.seed = seed
        self.style: Style = style

    def __len__(self) -> int:
        return self.num_people

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < self.num_people:
            raise IndexError(f"index must be in 0..{self.num_people - 1}, got {index}.")
        rng = np.random.default_rng([self.seed, zlib.crc32(self.style.encode()), index])
        return {"image_id": index, "person_id": index, **_generate(rng, self.style)}


def _generate(rng: np.random.Generator, style: Style) -> dict[str, Any]:
    """One picture with its annotation."""
    settings = STYLES[style]
    skeleton = _sample_skeleton(rng)
    (width, height), box = _place(rng, skeleton, settings)
    floor_y = box[3] + skeleton.pose.lift * skeleton.scales["pelvis"]
    canvas = Canvas(
        background=paint_background(rng, style, (width, height), floor_y), light=sample_light(rng, settings)
    )
    if rng.random() < settings.company:
        _paint_passer_by(canvas, rng, settings, box, near=False)
    _paint_shadow(canvas, skeleton, floor_y, settings.shadow)
    FigurePainter(canvas=canvas, skeleton=skeleton, outfit=_sample_outfit(rng, settings)).paint()
    if rng.random() < settings.occluded:
        paint_occluder(canvas, rng, box)
    elif rng.random() < 0.3 * settings.company:
        _paint_passer_by(canvas, rng, settings, box, near=True)
    image = canvas.picture(noise=rng.uniform(*settings.noise), rng=rng)
    return {"image": image, "width": width, "height": height, **_annotate(canvas.owner, skeleton)}


def _sample_outfit(rng: np.random.Generator, settings: StyleSettings) -> Outfit:
    return sample_outfit(rng, palette=settings.fabrics, patterned=settings.patterned, outdoor=settings.outdoor)


def _sample_skeleton(rng: np.random.Generator) -> Skeleton:
    body = sample_body(rng)
    pose = sample_pose(rng)
    return build_skeleton(body, pose, sample_view(rng, pose))


def _extent(skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest (x, y) of a figure with its flesh, in the units of its points."""
    points = np.array([point[:2] for point in skeleton.points.values()])
    margin = 0.04 * skeleton.scales["pelvis"]
    return points.min(axis=0) - margin, points.max(axis=0) + margin


def _place(
    rng: np.random.Generator, skeleton: Skeleton, settings: StyleSettings
) -> tuple[tuple[int, int], tuple[float, float, float, float]]:
    """Choose the picture's size and put the skeleton into it; returns (width, height) and the figure's box."""
    low, high = _extent(skeleton)
    figure = high - low
    pixels = rng.uniform(130, 235) / max(figure[1], 0.75 * figure[0], 0.65)
    figure = figure * pixels
    size = np.clip(figure * rng.uniform((1.15, 1.06), (1.9, 1.35)), (140, 180), (340, 320)).round()
    slack = size - figure
    corner = slack * rng.uniform((0.05, 0.25), (0.95, 0.85))
    if rng.random() < settings.cut_off:  # out at one side or below
        corner = corner + rng.choice([-1.0, 1.0]) * np.array([0.3, 0.0]) * figure if rng.random() < 0.4 else corner
        corner[1] = max(corner[1], size[1] - figure[1] * rng.uniform(0.6, 0.95))
    skeleton.place(pixels_per_height=pixels, offset_xy=corner - low * pixels)
    return (int(size[0]), int(size[1])), (*corner.tolist(), *(corner + figure).tolist())


def _paint_shadow(canvas: Canvas, skeleton: Skeleton, floor_y: float, strength: float) -> None:
    """A soft shadow below the body and a tight one under each foot that stands."""
    unit = skeleton.scales["pelvis"]
    lift = skeleton.pose.lift
    feet = [skeleton.points[f"{side}_toe"] for side in SIDES]
    low_y = floor_y - 0.03 * unit
    centre_x = float(np.mean([foot[0] for foot in feet] + [skeleton.points["pelvis"][0]]))
    spread = 0.5 * abs(float(feet[0][0] - feet[1][0])) + 0.16 * unit
    canvas.shadow((centre_x, low_y), (spread, 0.055 * unit), strength * (1 - 2 * lift))
    for foot in feet:
        if low_y - foot[1] < 0.06 * unit and lift < 0.02:
            canvas.shadow((float(foot[0]), float(foot[1]) + 0.02 * unit), (0.07 * unit, 0.025 * unit), strength)


def _paint_passer_by(
    canvas: Canvas, rng: np.random.Generator, settings: StyleSettings, box: tuple[float, ...], *, near: bool
) -> None:
    """Another person, smaller and behind, or larger and cut by the side of the picture in front."""
    skeleton = _sample_skeleton(rng)
    low, high = _extent(skeleton)
    figure = high - low
    height = box[3] - box[1]
    pixels = height * (rng.uniform(1.0, 1.25) if near else rng.uniform(0.5, 0.85)) / max(figure[1], 0.65)
    if near:
        side = box[0] if rng.random() < 0.5 else box[2]
        middle = side + np.sign(side - (box[0] + box[2]) / 2) * rng.uniform(0.25, 0.5) * figure[0] * pixels
    else:
        middle = rng.uniform(0, canvas.width)
    bottom = box[3] + (0.12 if near else -rng.uniform(0.02, 0.1)) * height
    offset = np.array([middle, bottom]) - np.array([(low[0] + high[0]) / 2, high[1]]) * pixels
    skeleton.place(pixels_per_height=pixels, offset_xy=offset)
    FigurePainter(canvas=canvas, skeleton=skeleton, outfit=_sample_outfit(rng, settings), owner=OTHER_PERSON).paint()


def _annotate(owner: np.ndarray, skeleton: Skeleton) -> dict[str, Any]:
    """Box, area and keypoints from the record of who owns each pixel."""
    mask = (owner > 0) & (owner < OTHER_PERSON)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    x, y = int(columns[0]), int(rows[0])
    return {
        "bbox": [float(x), float(y), float(columns[-1] + 1 - x), float(rows[-1] + 1 - y)],
        "area": float(np.count_nonzero(mask)),
        "iscrowd": 0,
        "keypoints": [_keypoint(owner, skeleton, name) for name in COCO_KEYPOINTS],
    }


def _keypoint(owner: np.ndarray, skeleton: Skeleton, name: str) -> list[float]:
    """[x, y, v] of one keypoint; zeros when it lies outside the picture."""
    x, y = (float(value) for value in skeleton.points[name][:2])
    height, width = owner.shape
    if not (0 <= x <= width - 1 and 0 <= y <= height - 1):
        return [0.0, 0.0, 0.0]
    shown_by = int(owner[round(y), round(x)])
    return [x, y, 2.0 if shown_by in _owners(skeleton, name) else 1.0]


def _owners(skeleton: Skeleton, name: str) -> set[int]:
    """The parts through which a keypoint counts as visible."""
    if name == "nose":
        return {int(Part.NOSE)}
    side_name, joint = name.split("_")
    side = SIDES.index(side_name)
    if joint == "eye":  # drawn on the head, on the side that has the face
        towards_camera = skeleton.points[name][2] < skeleton.points["head"][2]
        return {int(Part.HEAD)} if towards_camera else set()
    owners = {part.on(side) for part in _SIDED_PARTS[joint]}
    if joint in ("shoulder", "hip"):
        # The trunk covers its own joints too, unless they are on its far side.
        middle = skeleton.points["chest" if joint == "shoulder" else "pelvis"]
        offset = skeleton.points[name] - middle
        if offset[2] < 0.8 * np.linalg.norm(offset):
            owners |= set(map(int, _TRUNK))
    return owners
