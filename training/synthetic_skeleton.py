"""Bodies, poses and views of the generated people: joint angles in, exact joint positions in the picture out.

Body axes: x to the person's own left, y down, z backwards. Camera axes: x right, y down, z away from the camera. A person
who faces the camera therefore has body axes equal to camera axes, and the own left side on the right of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SIDES = ("left", "right")

Range = tuple[float, float]
Limb = tuple[Range, Range, Range, Range]

# Ranges in degrees: forward swing, sideways swing, inward twist, elbow or knee bend.
_HANGING: Limb = ((-18, 22), (3, 20), (-20, 40), (0, 40))
_AKIMBO: Limb = ((-25, 0), (35, 55), (55, 85), (80, 115))
_FOLDED: Limb = ((20, 45), (0, 15), (45, 75), (85, 115))
_CARRYING: Limb = ((5, 45), (0, 25), (-10, 40), (60, 115))
_REACHING: Limb = ((55, 115), (-10, 40), (-30, 40), (0, 50))
_SIDEWAYS: Limb = ((-15, 30), (60, 105), (-60, 30), (0, 60))
_WAVING: Limb = ((-10, 35), (70, 115), (-110, -60), (50, 125))
_RAISED_SIDE: Limb = ((-10, 15), (115, 172), (-60, 20), (0, 60))
_RAISED_FRONT: Limb = ((125, 178), (-5, 30), (-40, 40), (0, 70))
_AT_FACE: Limb = ((30, 75), (5, 35), (15, 45), (110, 145))
_BEHIND: Limb = ((-50, -20), (5, 25), (20, 60), (10, 90))
_WALK_FRONT: Limb = ((12, 40), (3, 14), (0, 25), (8, 55))
_WALK_BACK: Limb = ((-40, -10), (3, 14), (0, 25), (0, 35))
_RUN_FRONT: Limb = ((20, 65), (5, 20), (10, 40), (75, 120))
_RUN_BACK: Limb = ((-70, -30), (5, 25), (0, 25), (70, 115))
_ANY_ARM: Limb = ((-50, 170), (0, 140), (-80, 70), (0, 140))

_STRAIGHT: Limb = ((-6, 8), (1, 9), (-25, 5), (0, 8))
_WIDE: Limb = ((-6, 12), (12, 32), (-35, 0), (0, 12))
_RELAXED: Limb = ((0, 22), (2, 14), (-35, 0), (5, 40))
_STEP_FRONT: Limb = ((14, 36), (0, 6), (-12, 5), (0, 25))
_STEP_BACK: Limb = ((-26, -5), (0, 6), (-12, 5), (5, 45))
_STRIDE_FRONT: Limb = ((45, 95), (0, 8), (-10, 5), (40, 115))
_STRIDE_BACK: Limb = ((-32, 0), (0, 8), (-10, 5), (15, 105))
_SEATED: Limb = ((72, 100), (2, 28), (-20, 12), (55, 110))
_SEATED_OUT: Limb = ((65, 95), (2, 22), (-20, 5), (0, 45))
_SQUATTING: Limb = ((75, 110), (8, 38), (-35, 0), (90, 140))
_KNEELING: Limb = ((-10, 12), (2, 12), (-10, 5), (85, 115))
_LIFTED: Limb = ((40, 100), (0, 40), (-40, 10), (50, 125))
_KICKING: Limb = ((35, 85), (0, 25), (-20, 5), (0, 35))
_TUCKED: Limb = ((15, 75), (3, 35), (-25, 5), (30, 125))
_ANY_LEG: Limb = ((-25, 100), (0, 40), (-35, 10), (0, 130))

_CALM = ((_HANGING, _HANGING), (_HANGING, _AKIMBO), (_AKIMBO, _AKIMBO), (_FOLDED, _FOLDED), (_CARRYING, _CARRYING))
_CALM += ((_CARRYING, _HANGING), (_AT_FACE, _HANGING), (_AT_FACE, _CARRYING), (_BEHIND, _BEHIND))
_LIVELY = ((_WAVING, _HANGING), (_REACHING, _HANGING), (_REACHING, _REACHING), (_SIDEWAYS, _SIDEWAYS))
_LIVELY += ((_RAISED_SIDE, _RAISED_SIDE), (_RAISED_FRONT, _HANGING), (_RAISED_FRONT, _RAISED_FRONT))
_LIVELY += ((_RAISED_SIDE, _AKIMBO), (_WAVING, _SIDEWAYS), (_ANY_ARM, _ANY_ARM), (_ANY_ARM, _HANGING))


@dataclass(frozen=True, kw_only=True)
class PoseFamily:
    """Ranges from which a pose is drawn; the first arm and leg of each pair are on the same, random side."""

    weight: float
    lean: Range  # forward bend of the whole body
    arms: tuple[tuple[Limb, Limb], ...]
    legs: tuple[tuple[Limb, Limb], ...]
    lift: float = 0.0  # highest jump, in body heights


POSE_FAMILIES: dict[str, PoseFamily] = {
    "standing": PoseFamily(
        weight=0.26,
        lean=(-4, 6),
        arms=_CALM + _LIVELY,
        legs=((_STRAIGHT, _STRAIGHT), (_STRAIGHT, _RELAXED), (_WIDE, _WIDE)),
    ),
    "walking": PoseFamily(
        weight=0.18, lean=(-2, 8), arms=((_WALK_BACK, _WALK_FRONT),) * 3 + _CALM[3:7], legs=((_STEP_FRONT, _STEP_BACK),)
    ),
    "running": PoseFamily(
        weight=0.12, lean=(4, 22), arms=((_RUN_BACK, _RUN_FRONT),), legs=((_STRIDE_FRONT, _STRIDE_BACK),), lift=0.06
    ),
    "sitting": PoseFamily(
        weight=0.14, lean=(-12, 14), arms=_CALM[3:] + _LIVELY, legs=((_SEATED, _SEATED), (_SEATED, _SEATED_OUT))
    ),
    "low": PoseFamily(
        weight=0.07,
        lean=(5, 30),
        arms=_CALM[4:] + _LIVELY[:3],
        legs=((_SQUATTING, _SQUATTING), (_SQUATTING, _KNEELING), (_KNEELING, _KNEELING)),
    ),
    "jumping": PoseFamily(
        weight=0.08, lean=(-10, 12), arms=_LIVELY, legs=((_TUCKED, _TUCKED), (_WIDE, _TUCKED), (_WIDE, _WIDE)), lift=0.2
    ),
    "balancing": PoseFamily(
        weight=0.07,
        lean=(-12, 18),
        arms=_LIVELY,
        legs=((_LIFTED, _STRAIGHT), (_KICKING, _STRAIGHT), (_LIFTED, _RELAXED)),
    ),
    "lying": PoseFamily(
        weight=0.03, lean=(-100, -75), arms=_CALM + _LIVELY, legs=((_STRAIGHT, _RELAXED), (_TUCKED, _STRAIGHT))
    ),
    "free": PoseFamily(weight=0.05, lean=(-10, 25), arms=((_ANY_ARM, _ANY_ARM),), legs=((_ANY_LEG, _ANY_LEG),)),
}


@dataclass(frozen=True, kw_only=True)
class Body:
    """Lengths in body heights; radii of the head along its own left, down and back axes."""

    spine: float
    neck: float
    head: tuple[float, float, float]
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
    head = 0.073 + 0.026 * childness + rng.uniform(-0.003, 0.004)
    leg = (0.46 - 0.06 * childness) * rng.uniform(0.95, 1.06)
    arm = (0.32 - 0.03 * childness) * rng.uniform(0.93, 1.06)
    spine = 0.285 * rng.uniform(0.94, 1.06)
    girth = 1.0 + 0.18 * childness + rng.choice([0.0, 0.12, 0.35]) * rng.random() + rng.uniform(-0.08, 0.08)
    return Body(
        spine=spine,
        neck=0.048 - 0.015 * childness,
        head=(head * rng.uniform(0.78, 0.86), head, head * rng.uniform(0.86, 0.95)),
        shoulder=(0.112 - 0.014 * childness) * rng.uniform(0.9, 1.1) * (0.8 + 0.2 * girth),
        hip=0.058 * rng.uniform(0.9, 1.15) * (0.8 + 0.2 * girth),
        upper_arm=0.53 * arm,
        forearm=0.47 * arm,
        hand=0.055 * rng.uniform(0.9, 1.1),
        thigh=0.5 * leg,
        shin=0.5 * leg,
        foot=0.105 * rng.uniform(0.9, 1.1),
        girth=girth,
    )


@dataclass(frozen=True, kw_only=True)
class Pose:
    """Joint angles in degrees; first axis of `arms` and `legs` is left, right."""

    family: str
    trunk: np.ndarray  # (2, 3) turns of pelvis and chest about the body's x, y, z
    head: np.ndarray  # (3,)
    arms: np.ndarray  # (2, 4) forward swing, sideways swing, inward twist, elbow bend
    legs: np.ndarray  # (2, 4) the same with the knee's bend
    lift: float  # height of the jump, in body heights


def _sample_limbs(rng: np.random.Generator, limbs: tuple[Limb, Limb], *, swap: bool) -> np.ndarray:
    """(2, 4) angles, each uniform in its range; `swap` puts the first limb on the right."""
    ranges = np.array(limbs[::-1] if swap else limbs)  # (2, 4, 2)
    return ranges[..., 0] + (ranges[..., 1] - ranges[..., 0]) * rng.random((2, 4))


def sample_pose(rng: np.random.Generator) -> Pose:
    """A pose from a random family, with every joint inside human limits."""
    names = list(POSE_FAMILIES)
    family_name = names[rng.choice(len(names), p=[family.weight for family in POSE_FAMILIES.values()])]
    family = POSE_FAMILIES[family_name]
    swap = rng.random() < 0.5
    arms_pair = family.arms[rng.integers(len(family.arms))]
    swap_arms = swap if family_name in ("walking", "running") else rng.random() < 0.5
    lean = rng.uniform(*family.lean)
    pelvis = (lean, 0.0, rng.normal(0, 3))
    if family_name == "lying":
        pelvis = (lean, 0.0, rng.uniform(-15, 15))
    chest = (rng.normal(4, 7), rng.normal(0, 10), rng.normal(0, 5))
    legs = _sample_limbs(rng, family.legs[rng.integers(len(family.legs))], swap=swap)
    if family_name != "lying":  # the table gives the thighs' angles to the ground's normal
        legs[:, 0] = np.minimum(legs[:, 0] + lean, 125)
    return Pose(
        family=family_name,
        trunk=np.clip(np.array([pelvis, chest]), -100, 100),
        head=np.array([np.clip(rng.normal(4, 10), -25, 35), np.clip(rng.normal(0, 22), -65, 65), rng.normal(0, 6)]),
        arms=_sample_limbs(rng, arms_pair, swap=swap_arms),
        legs=legs,
        lift=family.lift * rng.random(),
    )


@dataclass(frozen=True, kw_only=True)
class View:
    """Where the camera stands: turn of the person (0 faces the camera), tilt of the camera, distance in body heights."""

    yaw_degrees: float
    pitch_degrees: float
    distance: float


def sample_view(rng: np.random.Generator, pose: Pose) -> View:
    """Any direction, the front somewhat more often; lying people are seen from higher up."""
    yaw = rng.normal(0, 50) if rng.random() < 0.45 else rng.uniform(-180, 180)
    pitch = rng.uniform(20, 55) if pose.family == "lying" else rng.uniform(-4, 16)
    return View(yaw_degrees=float(yaw), pitch_degrees=float(pitch), distance=float(rng.uniform(3.5, 9)))


def rotations(angles_degrees: np.ndarray) -> np.ndarray:
    """(n, 3) turns about x, y, z to matrices (n, 3, 3), applied in the order y, z, x."""
    radians = np.deg2rad(np.asarray(angles_degrees, dtype=np.float64))
    (cx, cy, cz), (sx, sy, sz) = np.cos(radians).T, np.sin(radians).T
    # X @ Z @ Y written out: twist about the limb first, then the sideways swing, then the forward swing.
    rows = (
        (cz * cy, -sz, cz * sy),
        (cx * sz * cy + sx * sy, cx * cz, cx * sz * sy - sx * cy),
        (sx * sz * cy - cx * sy, sx * cz, sx * sz * sy + cx * cy),
    )
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


@dataclass(kw_only=True)
class Skeleton:
    """A posed body in the camera's frame.

    Attributes:
        points: name to (3,): x, y in pixels of the picture, z in pixels away from the camera.
        scales: name to pixels per body height there.
        axes: "pelvis", "chest", "head" to (3, 3), columns are the part's own left, down and back.
        pose, body: what it was made from.
    """

    points: dict[str, np.ndarray]
    scales: dict[str, float]
    axes: dict[str, np.ndarray]
    pose: Pose
    body: Body

    def place(self, *, pixels_per_height: float, offset_xy: np.ndarray) -> None:
        """Bring a skeleton from body heights into the picture."""
        for name, point in self.points.items():
            point *= pixels_per_height
            point[:2] += offset_xy
            self.scales[name] *= pixels_per_height


def _face(points: dict[str, np.ndarray], axes: np.ndarray, radii: tuple[float, float, float]) -> None:
    """Add nose, eyes and ears; their places are in head radii along the head's own left, down and back."""
    centre = points["head"]
    places = {"nose": (0.0, 0.16, -1.12), "crown": (0.0, -1.0, 0.0)}
    for side, sign in (("left", 1.0), ("right", -1.0)):
        places[f"{side}_eye"] = (0.38 * sign, -0.06, -np.sqrt(1 - 0.38**2 - 0.06**2))
        places[f"{side}_ear"] = (1.05 * sign, 0.08, 0.08)
    for name, place in places.items():
        points[name] = centre + axes @ (np.array(place) * radii)


def _limbs(points: dict[str, np.ndarray], body: Body, pose: Pose, axes: dict[str, np.ndarray]) -> None:
    """Add the joints of both arms and legs, down to fingertips and toes."""
    for side, (name, sign) in enumerate(zip(SIDES, (1.0, -1.0), strict=True)):
        swing, abduct, twist, elbow = pose.arms[side]
        hip_swing, hip_abduct, hip_twist, knee = pose.legs[side]
        # The ankle turns the sole back towards the ground as far as it can; bent legs point their toes.
        ankle = np.clip(hip_swing - knee - pose.trunk[0, 0], -20, 50)
        turns = rotations(
            [
                (-swing, sign * twist, -sign * abduct),
                (-elbow, 0, 0),
                (-hip_swing, sign * hip_twist, -sign * hip_abduct),
                (knee, 0, 0),
                (ankle, 0, 0),
            ]
        )
        arm = axes["chest"] @ turns[0]
        forearm = arm @ turns[1]
        leg = axes["pelvis"] @ turns[2]
        shin = leg @ turns[3]
        foot = shin @ turns[4]
        # Raising the arm lifts the shoulder as well.
        raised = 0.03 * max(0.0, 0.2 - float(turns[0][1, 1]))
        points[f"{name}_shoulder"] = points["chest"] + axes["chest"] @ (sign * body.shoulder, -raised, 0.0)
        points[f"{name}_elbow"] = points[f"{name}_shoulder"] + arm[:, 1] * body.upper_arm
        points[f"{name}_wrist"] = points[f"{name}_elbow"] + forearm[:, 1] * body.forearm
        points[f"{name}_hand"] = points[f"{name}_wrist"] + forearm[:, 1] * body.hand
        points[f"{name}_hip"] = points["pelvis"] + axes["pelvis"][:, 0] * (sign * body.hip)
        points[f"{name}_knee"] = points[f"{name}_hip"] + leg[:, 1] * body.thigh
        points[f"{name}_ankle"] = points[f"{name}_knee"] + shin[:, 1] * body.shin
        points[f"{name}_heel"] = points[f"{name}_ankle"] + foot @ (0.0, 0.022, 0.012)
        points[f"{name}_toe"] = points[f"{name}_ankle"] + foot @ (0.0, 0.026, -0.75 * body.foot)


def build_skeleton(body: Body, pose: Pose, view: View) -> Skeleton:
    """Forward kinematics and perspective; the result is in body heights around the pelvis, see `Skeleton.place`."""
    pelvis_turn, chest_turn, head_turn = rotations(np.vstack([pose.trunk, pose.head]))
    camera, yaw = rotations([(view.pitch_degrees, 0, 0), (0, view.yaw_degrees, 0)])
    axes = {"pelvis": camera @ yaw @ pelvis_turn}
    axes["chest"] = axes["pelvis"] @ chest_turn
    axes["head"] = axes["chest"] @ head_turn
    points = {"pelvis": np.zeros(3)}
    waist = points["pelvis"] - axes["pelvis"][:, 1] * 0.3 * body.spine
    points["waist"] = waist
    points["chest"] = waist - axes["chest"][:, 1] * 0.6 * body.spine  # the height of the shoulder joints
    points["neck"] = waist - axes["chest"][:, 1] * 0.72 * body.spine
    points["head"] = points["neck"] - axes["head"] @ (0.0, body.neck + 0.85 * body.head[1], 0.012)
    _limbs(points, body, pose, axes)
    _face(points, axes["head"], body.head)
    scales = {}
    for name, point in points.items():
        scales[name] = float(view.distance / (view.distance + point[2]))
        point[:2] *= scales[name]
    return Skeleton(points=points, scales=scales, axes=axes, pose=pose, body=body)
