"""Bodies and views of the generated people: joint angles in, exact joint positions in the picture out.

Body axes: x to the person's own left, y down, z backwards. Camera axes: x right, y down, z away from the camera. For a
person who faces the camera the two agree, and the own left side is on the right of the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .poses import Pose

SIDES = ("left", "right")


@dataclass(frozen=True, kw_only=True)
class Body:
    """Lengths in body heights."""

    spine: float
    neck: float
    head: np.ndarray  # (3,) radii along the head's own left, down and back axes
    shoulder: float  # half the distance between the shoulder joints
    hip: float  # half the distance between the hip joints
    upper_arm: float
    forearm: float
    hand: float
    thigh: float
    shin: float
    foot: float
    girth: float  # thickness of limbs and trunk, 1 for a slim adult


def sample_body(rng: np.random.Generator) -> Body:
    """A child (one in four) or an adult of any build."""
    childness = rng.uniform(0.5, 1.0) if rng.random() < 0.25 else rng.uniform(0.0, 0.3)
    head = 0.074 + 0.026 * childness + rng.uniform(-0.003, 0.004)
    leg = (0.46 - 0.06 * childness) * rng.uniform(0.95, 1.06)
    arm = (0.32 - 0.03 * childness) * rng.uniform(0.93, 1.06)
    girth = 0.92 + 0.18 * childness + 0.4 * rng.random() ** 2
    breadth = 0.8 + 0.2 * girth
    return Body(
        spine=0.285 * rng.uniform(0.94, 1.06),
        neck=0.048 - 0.015 * childness,
        head=head * np.array([rng.uniform(0.78, 0.86), 1.0, rng.uniform(0.86, 0.95)]),
        shoulder=(0.112 - 0.014 * childness) * rng.uniform(0.9, 1.1) * breadth,
        hip=0.058 * rng.uniform(0.9, 1.15) * breadth,
        upper_arm=0.53 * arm,
        forearm=0.47 * arm,
        hand=0.055 * rng.uniform(0.9, 1.1),
        thigh=0.5 * leg,
        shin=0.5 * leg,
        foot=0.105 * rng.uniform(0.9, 1.1),
        girth=girth,
    )


@dataclass(frozen=True, kw_only=True)
class View:
    """Turn of the person (0 faces the camera), downward tilt of the camera, its distance in body heights."""

    yaw_degrees: float
    pitch_degrees: float
    distance: float


def sample_view(rng: np.random.Generator, pose: Pose, *, facing: float) -> View:
    """Toward the camera, give or take a quarter turn, with probability `facing`, else any direction.

    Lying people are seen from higher up.
    """
    yaw = rng.normal(0, 45) if rng.random() < facing else rng.uniform(-180, 180)
    pitch = rng.uniform(20, 55) if pose.family == "lying" else rng.uniform(-4, 16)
    return View(yaw_degrees=yaw, pitch_degrees=pitch, distance=rng.uniform(3.5, 9))


def rotations(angles_degrees: Sequence[np.ndarray | tuple[float, float, float]]) -> np.ndarray:
    """Turns about x, y, z as matrices (n, 3, 3): the twist about y comes first, then z, then x."""
    radians = np.deg2rad(np.array(angles_degrees, dtype=np.float64))
    (cx, cy, cz), (sx, sy, sz) = np.cos(radians).T, np.sin(radians).T
    entries: tuple[np.ndarray, ...] = (cz * cy, -sz, cz * sy)
    entries += (cx * sz * cy + sx * sy, cx * cz, cx * sz * sy - sx * cy)
    entries += (sx * sz * cy - cx * sy, sx * cz, sx * sz * sy + cx * cy)
    return np.array(entries).T.reshape(-1, 3, 3)


@dataclass(kw_only=True)
class Skeleton:
    """A posed body in the camera's frame.

    Attributes:
        points: Name to (3,): x, y in image pixels, z in pixels away from the camera.
        scales: Name to pixels per body height at that point.
        axes: "pelvis", "chest", "head" to (3, 3); columns are the part's own left, down and back.
        body, pose: Its body and pose.
    """

    points: dict[str, np.ndarray]
    scales: dict[str, float]
    axes: dict[str, np.ndarray]
    body: Body
    pose: Pose

    def place(self, *, pixels_per_height: float, offset_xy: np.ndarray) -> None:
        """Bring a skeleton from body heights into the picture."""
        for name, point in self.points.items():
            point *= pixels_per_height
            point[:2] += offset_xy
            self.scales[name] *= pixels_per_height


def build_skeleton(body: Body, pose: Pose, view: View) -> Skeleton:
    """Forward kinematics and perspective; the result is in body heights around the pelvis, see `Skeleton.place`."""
    turns = rotations(
        [*pose.trunk, pose.head, (view.pitch_degrees, 0, 0), (0, view.yaw_degrees, 0), *_limb_turns(pose)]
    )
    pelvis_turn, chest_turn, head_turn, camera, yaw = turns[:5]
    pelvis = camera @ yaw @ pelvis_turn
    chest = pelvis @ chest_turn
    head = chest @ head_turn
    points = {"pelvis": np.zeros(3), "waist": -pelvis[:, 1] * 0.3 * body.spine}
    points["chest"] = points["waist"] - chest[:, 1] * 0.6 * body.spine  # at the height of the shoulder joints
    points["neck"] = points["waist"] - chest[:, 1] * 0.72 * body.spine
    points["head"] = points["neck"] - head @ (0.0, body.neck + 0.85 * body.head[1], 0.012)
    for side in range(2):
        _add_arm(points, body, side, chest, turns[5 + 5 * side : 7 + 5 * side])
        _add_leg(points, body, side, pelvis, turns[7 + 5 * side : 10 + 5 * side])
    _add_face(points, head * body.head)
    scales = {name: view.distance / (view.distance + float(point[2])) for name, point in points.items()}
    for name, point in points.items():
        point[:2] *= scales[name]
    return Skeleton(
        points=points, scales=scales, axes={"pelvis": pelvis, "chest": chest, "head": head}, body=body, pose=pose
    )


def _limb_turns(pose: Pose) -> list[tuple[float, float, float]]:
    """Turns of shoulder, elbow, hip, knee and ankle, left then right; sideways and twist are mirrored on the right."""
    turns = []
    for sign, arm, leg in zip((1.0, -1.0), pose.arms.tolist(), pose.legs.tolist(), strict=True):
        # The ankle turns the sole back toward the ground as far as it can.
        ankle = min(max(leg[0] - leg[3] - float(pose.trunk[0, 0]), -20.0), 50.0)
        turns.append((-arm[0], sign * arm[2], -sign * arm[1]))
        turns.append((-arm[3], 0.0, 0.0))
        turns.append((-leg[0], sign * leg[2], -sign * leg[1]))
        turns.append((leg[3], 0.0, 0.0))
        turns.append((ankle, 0.0, 0.0))
    return turns


def _add_arm(points: dict[str, np.ndarray], body: Body, side: int, chest: np.ndarray, turns: np.ndarray) -> None:
    """Add shoulder, elbow, wrist and fingertips; raising the arm lifts the shoulder as well."""
    name, sign = SIDES[side], 1.0 - 2.0 * side
    upper = chest @ turns[0]
    lower = upper @ turns[1]
    raised = 0.03 * max(0.0, 0.2 - float(turns[0][1, 1]))
    shoulder = points["chest"] + chest @ (sign * body.shoulder, -raised, 0.0)
    elbow = shoulder + upper[:, 1] * body.upper_arm
    wrist = elbow + lower[:, 1] * body.forearm
    points[f"{name}_shoulder"], points[f"{name}_elbow"], points[f"{name}_wrist"] = shoulder, elbow, wrist
    points[f"{name}_hand"] = wrist + lower[:, 1] * body.hand


def _add_leg(points: dict[str, np.ndarray], body: Body, side: int, pelvis: np.ndarray, turns: np.ndarray) -> None:
    """Add hip, knee, ankle, heel and toe."""
    name, sign = SIDES[side], 1.0 - 2.0 * side
    thigh = pelvis @ turns[0]
    shin = thigh @ turns[1]
    foot = shin @ turns[2]
    hip = points["pelvis"] + pelvis[:, 0] * (sign * body.hip)
    knee = hip + thigh[:, 1] * body.thigh
    ankle = knee + shin[:, 1] * body.shin
    points[f"{name}_hip"], points[f"{name}_knee"], points[f"{name}_ankle"] = hip, knee, ankle
    points[f"{name}_heel"] = ankle + foot @ (0.0, 0.022, 0.012)
    points[f"{name}_toe"] = ankle + foot @ (0.0, 0.026, -0.75 * body.foot)


# On the unit sphere of the head: own left, down, back. Ears and nose stand out a little.
_FACE = {
    "nose": (0.0, 0.16, -1.12),
    "left_eye": (0.38, -0.06, -0.923),
    "right_eye": (-0.38, -0.06, -0.923),
    "left_ear": (1.05, 0.08, 0.08),
    "right_ear": (-1.05, 0.08, 0.08),
    "crown": (0.0, -1.0, 0.0),
}


def _add_face(points: dict[str, np.ndarray], half_axes: np.ndarray) -> None:
    """Add nose, eyes, ears and the top of the head, whose half-axes are the columns of a (3, 3)."""
    for name, place in _FACE.items():
        points[name] = points["head"] + half_axes @ place
