"""Poses of the generated people: joint angles drawn from families of human postures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

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

_QUIET: tuple[tuple[Limb, Limb], ...] = (
    (_HANGING, _HANGING),
    (_HANGING, _AKIMBO),
    (_AKIMBO, _AKIMBO),
    (_FOLDED, _FOLDED),
    (_CARRYING, _CARRYING),
)
_QUIET += ((_CARRYING, _HANGING), (_AT_FACE, _HANGING), (_AT_FACE, _CARRYING), (_BEHIND, _BEHIND))
_LIVELY: tuple[tuple[Limb, Limb], ...] = (
    (_WAVING, _HANGING),
    (_REACHING, _HANGING),
    (_REACHING, _REACHING),
    (_SIDEWAYS, _SIDEWAYS),
)
_LIVELY += ((_RAISED_SIDE, _RAISED_SIDE), (_RAISED_FRONT, _HANGING), (_RAISED_FRONT, _RAISED_FRONT))
_LIVELY += ((_RAISED_SIDE, _AKIMBO), (_WAVING, _SIDEWAYS), (_ANY_ARM, _ANY_ARM), (_ANY_ARM, _HANGING))


@dataclass(frozen=True, kw_only=True)
class PoseFamily:
    """Ranges from which a pose is drawn; the first arm and leg of each pair are on the same, random side."""

    lean: Range  # forward bend of the whole body
    arms: tuple[tuple[Limb, Limb], ...]
    legs: tuple[tuple[Limb, Limb], ...]
    lift: float = 0.0  # highest jump, in body heights


POSE_FAMILIES: dict[str, PoseFamily] = {
    "standing": PoseFamily(
        lean=(-4, 6),
        arms=_QUIET + _LIVELY,
        legs=((_STRAIGHT, _STRAIGHT), (_STRAIGHT, _RELAXED), (_WIDE, _WIDE)),
    ),
    "walking": PoseFamily(
        lean=(-2, 8), arms=((_WALK_BACK, _WALK_FRONT),) * 3 + _QUIET[3:7], legs=((_STEP_FRONT, _STEP_BACK),)
    ),
    "running": PoseFamily(
        lean=(4, 22), arms=((_RUN_BACK, _RUN_FRONT),), legs=((_STRIDE_FRONT, _STRIDE_BACK),), lift=0.06
    ),
    "sitting": PoseFamily(lean=(-12, 14), arms=_QUIET[3:] + _LIVELY, legs=((_SEATED, _SEATED), (_SEATED, _SEATED_OUT))),
    "low": PoseFamily(
        lean=(5, 30),
        arms=_QUIET[4:] + _LIVELY[:3],
        legs=((_SQUATTING, _SQUATTING), (_SQUATTING, _KNEELING), (_KNEELING, _KNEELING)),
    ),
    "jumping": PoseFamily(
        lean=(-10, 12), arms=_LIVELY, legs=((_TUCKED, _TUCKED), (_WIDE, _TUCKED), (_WIDE, _WIDE)), lift=0.2
    ),
    "balancing": PoseFamily(
        lean=(-12, 18),
        arms=_LIVELY,
        legs=((_LIFTED, _STRAIGHT), (_KICKING, _STRAIGHT), (_LIFTED, _RELAXED)),
    ),
    "lying": PoseFamily(lean=(-100, -75), arms=_QUIET + _LIVELY, legs=((_STRAIGHT, _RELAXED), (_TUCKED, _STRAIGHT))),
    "free": PoseFamily(lean=(-10, 25), arms=((_ANY_ARM, _ANY_ARM),), legs=((_ANY_LEG, _ANY_LEG),)),
}


@dataclass(frozen=True, kw_only=True)
class Pose:
    """Joint angles in degrees; first axis of `arms` and `legs` is left, right."""

    family: str
    trunk: np.ndarray  # (2, 3) turns of pelvis and chest about the body's x, y, z
    head: np.ndarray  # (3,)
    arms: np.ndarray  # (2, 4) forward swing, sideways swing, inward twist, elbow bend
    legs: np.ndarray  # (2, 4) the same with the knee's bend
    lift: float  # height of the jump, in body heights


def _uniform(rng: np.random.Generator, limbs: tuple[Limb, Limb], *, swap: bool) -> np.ndarray:
    """(2, 4) angles, each uniform in its range; `swap` puts the first limb on the right."""
    ranges = np.array(limbs[::-1] if swap else limbs)  # (2, 4, 2)
    return ranges[..., 0] + (ranges[..., 1] - ranges[..., 0]) * rng.random((2, 4))


def sample_pose(rng: np.random.Generator, family_weights: Mapping[str, float]) -> Pose:
    """A pose from a random family, with every joint inside human limits.

    Args:
        rng: Source of all choices.
        family_weights: Name of each family to draw from, and how often relative to the others.
    """
    totals = np.cumsum(list(family_weights.values()))
    name = tuple(family_weights)[np.searchsorted(totals, rng.random() * totals[-1], side="right")]
    family = POSE_FAMILIES[name]
    swap_legs = rng.random() < 0.5
    # Walkers and runners swing the arm opposite to the leg; everybody else moves them independently.
    swap_arms = swap_legs if name in ("walking", "running") else rng.random() < 0.5
    lean = rng.uniform(*family.lean)
    legs = _uniform(rng, family.legs[rng.integers(len(family.legs))], swap=swap_legs)
    if name != "lying":  # the table gives the thighs' angles to the upright, not to the leaning trunk
        legs[:, 0] = np.minimum(legs[:, 0] + lean, 125)
    chest = (rng.normal(4, 7), rng.normal(0, 10), rng.normal(0, 5))
    nod, turn = rng.normal(2, 9), rng.normal(0, 22)
    return Pose(
        family=name,
        trunk=np.array([(lean, 0.0, rng.normal(0, 9 if name == "lying" else 3)), chest]),
        head=np.array([min(max(nod, -25), 32), min(max(turn, -65), 65), rng.normal(0, 6)]),
        arms=_uniform(rng, family.arms[rng.integers(len(family.arms))], swap=swap_arms),
        legs=legs,
        lift=family.lift * rng.random(),
    )
