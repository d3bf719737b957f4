"""What the painters of trunk, limbs and head share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from .canvas import Canvas, Patch
from .outfit import Outfit
from .skeleton import Skeleton


class Part(IntEnum):
    """Owners of the annotated person's pixels; the right one of two equal parts has the next number."""

    TORSO = 1
    PELVIS = 2
    SKIRT = 3
    NECK = 4
    HEAD = 5
    HAIR = 6
    NOSE = 7
    BAG = 8
    EAR = 10
    UPPER_ARM = 12
    FOREARM = 14
    HAND = 16
    THIGH = 18
    SHIN = 20
    FOOT = 22

    def on(self, side: int) -> int:
        """This part's number on the left (0) or right (1)."""
        return int(self) + side


@dataclass(frozen=True, kw_only=True)
class Brush:
    """Paints parts of one figure.

    Attributes:
        canvas: The picture.
        skeleton: The figure's, in image pixels.
        outfit: The figure's clothes.
        owner: Written for every part of the figure; None writes the parts' own numbers.
    """

    canvas: Canvas
    skeleton: Skeleton
    outfit: Outfit
    owner: int | None = None

    def point(self, name: str) -> np.ndarray:
        """(3,) x, y, z of a joint in pixels."""
        return self.skeleton.points[name]

    def scale(self, name: str) -> float:
        """Pixels per body height at a joint."""
        return self.skeleton.scales[name]

    def depth(self, *names: str) -> float:
        """Mean distance of some joints behind the pelvis, in body heights; negative in front of it."""
        return sum(float(self.point(name)[2]) for name in names) / (len(names) * self.scale("pelvis"))

    def put(
        self,
        patch: Patch | None,
        color: np.ndarray,
        part: int,
        *,
        mask: np.ndarray | None = None,
        shadow: float = 0.0,
    ) -> None:
        """Paint a part where it is in the picture at all, with a soft shadow of the given strength around it."""
        if patch is None:
            return
        if shadow:
            self.canvas.darken(patch, shadow)
        self.canvas.blend(patch, color, owner=part if self.owner is None else self.owner, mask=mask)
