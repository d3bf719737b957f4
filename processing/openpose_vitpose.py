"""OpenPose's keypoints, made from those of a schema of people: bodies of 18 or 25, faces of 70 and hands of 21.

The orders are those of OpenPose's documentation of its output. Its neck and middle of the hips lie halfway between
shoulders and between hips, as in the data that it was trained on.
"""

from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from vitpose.modeling.keypoint_schemas import KeypointSchema
from vitpose.modeling.keypoint_sides import unify_names

OpenPoseBody = Literal["BODY_18", "BODY_25"]

_MIDDLES = {"neck": ("left_shoulder", "right_shoulder"), "mid_hip": ("left_hip", "right_hip")}
_ARMS = ("right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist")
_LEGS = ("right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle")
_HEAD = ("right_eye", "left_eye", "right_ear", "left_ear")
_FEET = ("left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel")
BODIES: dict[OpenPoseBody, tuple[str, ...]] = {
    "BODY_18": ("nose", "neck", *_ARMS, *_LEGS, *_HEAD),
    "BODY_25": ("nose", "neck", *_ARMS, "mid_hip", *_LEGS, *_HEAD, *_FEET),
}
_FINGERS = [f"{finger}{joint}" for finger in ("thumb", "forefinger", "middle_finger") for joint in (1, 2, 3, 4)]
_FINGERS += [f"{finger}{joint}" for finger in ("ring_finger", "pinky_finger") for joint in (1, 2, 3, 4)]
# of a face the 68 points of iBUG, then the pupils, which whole-body schemas have as the eyes
_FACE = (*(f"face-{index}" for index in range(68)), "right_eye", "left_eye")


def openpose_parts(
    keypoints_xy: Tensor, scores: Tensor, schema: KeypointSchema, *, body: OpenPoseBody = "BODY_25"
) -> dict[str, Tensor]:
    """The keypoints of N people in OpenPose's order, in the frame in which they are given.

    Args:
        keypoints_xy: `(N, K, 2)`, x and y.
        scores: `(N, K)`.
        schema: What the K keypoints are.
        body: 18 points, as ControlNet and DWPose have them, or 25, which OpenPose itself writes.

    Returns:
        `(N, P, 3)`, x, y and score, by the part's name: `pose` of 18 or 25 points, and where the schema has them
        `face` of 70, `hand_left` and `hand_right` of 21. A point between two has the smaller score of both; one that
        the schema lacks is zero.

    Raises:
        ValueError: The schema's keypoints are not those of a person with arms and legs.
    """
    parts = {}
    for name, sources in _sources(schema, body).items():
        columns = []
        for own in sources:  # numbers of no, one or two keypoints of the schema
            place = keypoints_xy[:, list(own)].mean(1) if own else keypoints_xy.new_zeros(len(keypoints_xy), 2)
            score = scores[:, list(own)].amin(1) if own else scores.new_zeros(len(scores))
            columns.append(torch.cat([place, score[:, None]], dim=1))
        parts[name] = torch.stack(columns, dim=1)
    return parts


@lru_cache(maxsize=16)
def _sources(schema: KeypointSchema, body: OpenPoseBody) -> dict[str, list[tuple[int, ...]]]:
    """For each part, the numbers of the schema's keypoints that each of its points is the mean of."""
    if body not in BODIES:
        raise ValueError(f"body: expected one of {', '.join(BODIES)}, got {body!r}.")
    places = {
        name: place for names in (unify_names(schema.keypoints), schema.keypoints) for place, name in enumerate(names)
    }
    missing = [name for name in (*_ARMS, *_LEGS) if name not in places]
    if schema.category != "person" or missing:
        why = f"are of the category {schema.category!r}" if schema.category != "person" else f"lack {missing[0]}"
        raise ValueError(
            f"OpenPose's form is one of people with arms and legs: the keypoints of {schema.name!r} {why}. Choose "
            "another form, or a model of people."
        )

    def of(names: tuple[str, ...]) -> list[tuple[int, ...]]:
        wanted = [_MIDDLES.get(name, (name,)) for name in names]
        return [tuple(places[name] for name in own if name in places) for own in wanted]

    parts = {"pose": of(BODIES[body])}
    if "face-0" in places:
        parts["face"] = of(_FACE)
    for side in ("left", "right"):
        if f"{side}_hand_root" in places:
            parts[f"hand_{side}"] = of((f"{side}_hand_root", *(f"{side}_{finger}" for finger in _FINGERS)))
    return parts
