"""Random crops of the released training recipe, each a pure function of (seed, epoch, sample index).

Everything happens to the crop's geometry, before a pixel is read: one affine map samples shift, mirroring, half body,
scale and rotation at once. Frame: image pixels.
"""

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from vitpose.modeling.keypoint_schemas import KeypointSchema

_MIN_HALF_BODY_KEYPOINTS = 3  # a half with fewer labelled keypoints says too little about where the half is


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How far training crops stray from the box. The defaults are those of the released configs for COCO.

    Args:
        shift_probability: Chance of moving the box.
        shift: The move is uniform within plus or minus this fraction of the box's width and height.
        flip_probability: Chance of mirroring left and right.
        half_body_probability: Chance of cropping to the upper or lower body, for people with enough keypoints.
        half_body_above: Only people with more labelled keypoints than this are cropped to a half.
        half_body_padding: Factor on the box around the half's keypoints; it takes the place of the crop's padding.
        scale: Standard deviation of the factor on the crop's sides, whose mean is 1; clipped to `1 - scale` and
            `1 + scale`. 0 keeps the size.
        rotation_probability: Chance of turning the crop.
        rotation: Standard deviation of the angle in degrees, clipped to plus or minus twice as much.

    Raises:
        ValueError: A probability is outside 0..1, another figure is negative or not finite, or `scale` is not below 1.
    """

    shift_probability: float = 0.3
    shift: float = 0.2
    flip_probability: float = 0.5
    half_body_probability: float = 0.3
    half_body_above: int = 8
    half_body_padding: float = 1.5
    scale: float = 0.5
    rotation_probability: float = 0.6
    rotation: float = 40.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value < float("inf"):
                raise ValueError(f"Augmentation.{field.name}: expected a finite number of at least 0, got {value}.")
            if field.name.endswith("probability") and value > 1:
                raise ValueError(f"Augmentation.{field.name}: expected a probability from 0 to 1, got {value}.")
        if self.scale >= 1:
            raise ValueError(f"Augmentation.scale: expected less than 1, else a crop can vanish; got {self.scale}.")
        if self.half_body_padding == 0:
            raise ValueError("Augmentation.half_body_padding: expected more than 0, the factor on the box; got 0.")


class Crop(NamedTuple):
    """Where a crop lies in the image.

    Args:
        box_xywh: `(4,)`, left, top, width, height of what it shows in image pixels, not yet in its aspect ratio.
        padding: Factor on the sides of the box that has it.
        rotation: Degrees, from the image's x axis towards its y axis.
        flip: True mirrors the crop.
    """

    box_xywh: np.ndarray
    padding: float
    rotation: float = 0.0
    flip: bool = False


def rng_for(seed: int, epoch: int, index: int) -> np.random.Generator:
    """The random numbers of one sample in one epoch: they depend on these three figures and on nothing else.

    So a sample is the same in whatever order, worker or process it is made, and a resumed run repeats an unbroken one.
    """
    return np.random.default_rng((seed, epoch, index))


def sample_crop(
    augmentation: Augmentation,
    box_xywh: np.ndarray,
    keypoints: np.ndarray,
    *,
    schema: KeypointSchema,
    padding: float,
    rng: np.random.Generator,
) -> Crop:
    """Draw a training crop: shift, flip, half body, scale, rotation, in this order (released configs).

    Args:
        augmentation: What may happen, and how often.
        box_xywh: `(4,)`, left, top, width, height in image pixels, float64.
        keypoints: `(num_keypoints, 3)`, x, y in image pixels and visibility, 0 where not labelled, float64.
        schema: Says which keypoints make up the upper and the lower body.
        padding: Factor on the box's sides, except for half bodies.
        rng: Random numbers of this sample, see [`rng_for`].
    """
    if rng.random() < augmentation.shift_probability:
        shift = rng.uniform(-augmentation.shift, augmentation.shift, size=2)
        box_xywh = np.concatenate([box_xywh[:2] + shift * box_xywh[2:], box_xywh[2:]])
    flip = bool(rng.random() < augmentation.flip_probability)
    half = _sample_half_body(augmentation, keypoints, schema, rng)
    if half is not None:
        box_xywh, padding = half, augmentation.half_body_padding
    factor = min(max(rng.normal(1.0, augmentation.scale), 1 - augmentation.scale), 1 + augmentation.scale)
    return Crop(box_xywh, padding * factor, _sample_rotation(augmentation, rng), flip)


def _sample_rotation(augmentation: Augmentation, rng: np.random.Generator) -> float:
    if rng.random() >= augmentation.rotation_probability:
        return 0.0
    limit = 2 * augmentation.rotation
    return min(max(rng.normal(0.0, augmentation.rotation), -limit), limit)


def _sample_half_body(
    augmentation: Augmentation, keypoints: np.ndarray, schema: KeypointSchema, rng: np.random.Generator
) -> np.ndarray | None:
    """Box `(4,)` around the keypoints of one half of the body, or None for the whole person."""
    labelled = keypoints[:, 2] > 0
    if labelled.sum() <= augmentation.half_body_above or rng.random() >= augmentation.half_body_probability:
        return None
    halves = [keypoints[list(half)][labelled[list(half)], :2] for half in (schema.upper_body, schema.lower_body)]
    halves = [points for points in halves if len(points) >= _MIN_HALF_BODY_KEYPOINTS]  # (n, 2) each
    if not halves:
        return None
    points = halves[rng.integers(len(halves))]
    top_left, bottom_right = points.min(0), points.max(0)
    if not (bottom_right > top_left).any():  # all on one spot: a box without extent cannot be cropped
        return None
    return np.concatenate([top_left, bottom_right - top_left])
