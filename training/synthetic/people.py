"""Generated people with exact keypoints: any number of pictures from a seed, without a download.

Each picture shows one annotated person, a three-dimensional articulated figure seen by a camera, so that left and
right, front and back, foreshortening and what hides what all follow from one geometry.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from vitpose.base.names import unknown_name
from vitpose.modeling.keypoint_schemas import get_keypoint_schema

from .background import paint_background
from .brush import Part
from .canvas import OTHER_PERSON, Canvas
from .figure import paint_figure
from .outfit import Outfit, sample_outfit
from .poses import sample_pose
from .props import Box, paint_occluder, paint_seat
from .skeleton import SIDES, Skeleton, build_skeleton, sample_body, sample_view
from .styles import STYLES, Style, StyleSettings, sample_light

# The parts on which a joint is seen. Own clothes do not hide a joint, everything else does.
_SHOWN_ON: dict[str, tuple[Part, ...]] = {
    "ear": (Part.EAR,),
    "shoulder": (Part.UPPER_ARM,),
    "elbow": (Part.UPPER_ARM, Part.FOREARM),
    "wrist": (Part.FOREARM, Part.HAND),
    "hip": (Part.THIGH,),
    "knee": (Part.THIGH, Part.SHIN),
    "ankle": (Part.SHIN, Part.FOOT),
}
_FACE = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
_TRUNK = {int(Part.TORSO), int(Part.PELVIS), int(Part.SKIRT)}


class SyntheticPeople:
    """A map-style dataset of generated people.

    Item `i` is a pure function of (`seed`, `style`, `i`), whatever the order of access or the process that asks. It has
    the columns that all readers give: `image` (here a PIL picture), `image_id`, `person_id`, `width`, `height`, `bbox`
    ([x, y, width, height] around the visible silhouette, image pixels), `area` (the silhouette's pixels), `iscrowd`,
    and `keypoints`: 17 x [x, y, v] in COCO order, image pixels with pixel centers at whole numbers; v is 2 visible, 1
    hidden, and 0 where nothing is labeled (then x = y = 0): outside the picture and, as COCO's annotators did it, for
    the parts of a face that is turned away.

    Args:
        num_people: Length of the dataset, at least 1.
        seed: Any non-negative number.
        style: "studio" (rooms and backdrops, soft light, plain clothes) or "street" (houses and parks, hard light,
            strong colors and patterns, hats, passers-by, more things in the way).

    Raises:
        TypeError: `num_people` or `seed` is not a whole number.
        ValueError: `num_people` is below 1, `seed` is negative, or the style is unknown.
    """

    def __init__(self, *, num_people: int, seed: int, style: Style = "studio") -> None:
        _require_whole_number("num_people", num_people, least=1)
        _require_whole_number("seed", seed, least=0)
        if style not in STYLES:
            raise ValueError(unknown_name("style", style, STYLES))
        self.num_people = num_people
        self.seed = seed
        self.style: Style = style
        self.keypoint_names = get_keypoint_schema("coco").keypoints

    def __len__(self) -> int:
        return self.num_people

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < self.num_people:
            raise IndexError(f"index must be from 0 to {self.num_people - 1}, got {index}.")
        rng = np.random.default_rng([self.seed, zlib.crc32(self.style.encode()), index])
        canvas, skeleton, noise = _paint_scene(rng, self.style)
        return {
            "image": canvas.picture(noise=noise, rng=rng),
            "image_id": index,
            "person_id": index,
            "width": canvas.width,
            "height": canvas.height,
            **_silhouette(canvas.owner),
            "iscrowd": 0,
            "keypoints": [_keypoint(canvas.owner, skeleton, name) for name in self.keypoint_names],
        }


def _require_whole_number(name: str, value: Any, *, least: int) -> None:
    """Check a constructor's argument."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be a whole number, got {value!r}: pass an int of at least {least}.")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}: pass a larger number.")


def _paint_scene(rng: np.random.Generator, style: Style) -> tuple[Canvas, Skeleton, float]:
    """Paint everything; returns the canvas, the annotated person's skeleton and the half-width of the sensor noise."""
    settings = STYLES[style]
    skeleton = _sample_skeleton(rng, settings)
    size, box = _place(rng, skeleton, settings)
    floor_y = box[3] + skeleton.pose.lift * skeleton.scales["pelvis"]
    is_lying = skeleton.pose.family == "lying"
    background = paint_background(rng, style, size, (box[1] + box[3]) / 2 if is_lying else floor_y)
    canvas = Canvas(background=background, light=sample_light(rng, settings))
    if rng.random() < settings.company:
        _paint_passer_by(canvas, rng, settings, box, near=False)
    if is_lying:
        width, height = box[2] - box[0], box[3] - box[1]
        canvas.shadow(box[0] + 0.5 * width, box[1] + 0.6 * height, 0.45 * width, 0.35 * height, settings.shadow)
    else:
        _paint_shadows(canvas, skeleton, floor_y, settings.shadow)
    if skeleton.pose.family == "sitting":
        paint_seat(canvas, rng, skeleton, floor_y)
    paint_figure(canvas=canvas, skeleton=skeleton, outfit=_sample_outfit(rng, settings))
    if rng.random() < settings.occluded:
        paint_occluder(canvas, rng, box)
    elif rng.random() < 0.3 * settings.company:
        _paint_passer_by(canvas, rng, settings, box, near=True)
    return canvas, skeleton, rng.uniform(*settings.noise)


def _sample_outfit(rng: np.random.Generator, settings: StyleSettings) -> Outfit:
    return sample_outfit(rng, fabrics=settings.fabrics, patterned=settings.patterned, outdoor=settings.outdoor)


def _sample_skeleton(rng: np.random.Generator, settings: StyleSettings) -> Skeleton:
    body, pose = sample_body(rng), sample_pose(rng, settings.families)
    return build_skeleton(body, pose, sample_view(rng, pose, facing=settings.facing))


def _extent(skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest (x, y) of a figure with its flesh, in the units of its points."""
    points = np.array(list(skeleton.points.values()))[:, :2]
    margin = 0.04 * skeleton.scales["pelvis"]
    return points.min(axis=0) - margin, points.max(axis=0) + margin


def _place(rng: np.random.Generator, skeleton: Skeleton, settings: StyleSettings) -> tuple[tuple[int, int], Box]:
    """Choose the picture's (width, height) and put the skeleton into it; also returns the figure's box."""
    low, high = _extent(skeleton)
    figure = high - low
    pixels = rng.uniform(125, 215) / max(figure[1], 0.75 * figure[0], 0.65)
    figure = figure * pixels
    size = np.minimum(np.maximum(figure * rng.uniform((1.12, 1.06), (1.75, 1.32)), (130, 170)), (320, 300)).round()
    corner = (size - figure) * rng.uniform((0.05, 0.25), (0.95, 0.85))
    if rng.random() < settings.cut_off:  # the legs or one side are out of the picture
        kept = rng.uniform(0.6, 0.95) * figure
        side = rng.integers(4)
        if side < 2:
            corner[0] = kept[0] - figure[0] if side == 0 else size[0] - kept[0]
        else:
            corner[1] = max(corner[1], size[1] - kept[1])
    skeleton.place(pixels_per_height=pixels, offset_xy=corner - low * pixels)
    (left, top), (right, bottom) = corner.tolist(), (corner + figure).tolist()
    return (int(size[0]), int(size[1])), (left, top, right, bottom)


def _paint_shadows(canvas: Canvas, skeleton: Skeleton, floor_y: float, strength: float) -> None:
    """A wide soft shadow below the body and a tight one under each foot that stands on the floor."""
    unit, lift = skeleton.scales["pelvis"], skeleton.pose.lift
    ground_y = floor_y - 0.03 * unit
    feet = [skeleton.points[f"{side}_toe"].tolist() for side in SIDES]
    middle = (feet[0][0] + feet[1][0] + float(skeleton.points["pelvis"][0])) / 3
    spread = 0.5 * abs(feet[0][0] - feet[1][0]) + 0.16 * unit
    canvas.shadow(middle, ground_y, spread, 0.055 * unit, strength * (1 - 2 * lift))
    for x, y, _ in feet:
        if ground_y - y < 0.06 * unit and lift < 0.02:
            canvas.shadow(x, y + 0.02 * unit, 0.07 * unit, 0.025 * unit, strength)


def _paint_passer_by(
    canvas: Canvas, rng: np.random.Generator, settings: StyleSettings, box: Box, *, near: bool
) -> None:
    """Another person: smaller and behind, or larger and in front at one side."""
    skeleton = _sample_skeleton(rng, settings)
    low, high = _extent(skeleton)
    figure, height = high - low, box[3] - box[1]
    pixels = height * (rng.uniform(1.0, 1.25) if near else rng.uniform(0.5, 0.85)) / max(figure[1], 0.65)
    middle, bottom = rng.uniform(0, canvas.width), box[3] - rng.uniform(0.02, 0.1) * height
    if near:
        outwards = rng.uniform(0.25, 0.5) * figure[0] * pixels
        middle = box[0] - outwards if rng.random() < 0.5 else box[2] + outwards
        bottom = box[3] + 0.12 * height
    offset = np.array([middle, bottom]) - np.array([(low[0] + high[0]) / 2, high[1]]) * pixels
    skeleton.place(pixels_per_height=pixels, offset_xy=offset)
    paint_figure(canvas=canvas, skeleton=skeleton, outfit=_sample_outfit(rng, settings), owner=OTHER_PERSON)


def _silhouette(owner: np.ndarray) -> dict[str, Any]:
    """Tight box and area of the annotated person's visible pixels, in image pixels."""
    mask = (owner > 0) & (owner < OTHER_PERSON)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    x, y = int(columns[0]), int(rows[0])
    bbox = [float(x), float(y), float(columns[-1] + 1 - x), float(rows[-1] + 1 - y)]
    return {"bbox": bbox, "area": float(np.count_nonzero(mask))}


def _keypoint(owner: np.ndarray, skeleton: Skeleton, name: str) -> list[float]:
    """[x, y, v] of one keypoint; zeros when it is not labeled."""
    x, y, _ = skeleton.points[name].tolist()
    height, width = owner.shape
    is_inside = 0 <= x <= width - 1 and 0 <= y <= height - 1
    if not is_inside or _is_behind_own_head(skeleton, name):
        return [0.0, 0.0, 0.0]
    is_visible = int(owner[round(y), round(x)]) in _shown_on(skeleton, name)
    return [x, y, 2.0 if is_visible else 1.0]


def _is_behind_own_head(skeleton: Skeleton, name: str) -> bool:
    """Whether a point of the face is on the far side of the head, where COCO's annotators left it unlabeled.

    Points near the outline, up to a quarter of the head's radius behind it, still count: their place is plain to see.
    """
    if name not in _FACE:
        return False
    head = skeleton.points["head"]
    return float(skeleton.points[name][2] - head[2]) > 0.25 * float(np.linalg.norm(skeleton.points["crown"] - head))


def _shown_on(skeleton: Skeleton, name: str) -> set[int]:
    """Numbers of the parts that show a keypoint when they own its pixel."""
    if name == "nose":
        return {int(Part.NOSE)}
    side_name, joint = name.split("_")
    if joint == "eye":  # drawn on the skull, where it has a face
        faces_camera = skeleton.points[name][2] < skeleton.points["head"][2]
        return {int(Part.HEAD)} if faces_camera else set()
    parts = {part.on(SIDES.index(side_name)) for part in _SHOWN_ON[joint]}
    if joint in ("shoulder", "hip"):
        # The trunk shows its own joints too, except those on its far side.
        offset = skeleton.points[name] - skeleton.points["chest" if joint == "shoulder" else "pelvis"]
        if offset[2] < 0.8 * np.linalg.norm(offset):
            parts |= _TRUNK
    return parts
