"""Heads of the generated people: skull and face, ears, nose, hair and hats, each where the head's turn puts it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .brush import Brush, Part
from .canvas import Ball, rgb, step
from .skeleton import SIDES

Place = tuple[float, float, float]  # in head radii along the head's own left, down and back axes

# Hair that hangs or stands off the skull: its middle and half-axes.
_HAIR_SHAPES: dict[str, tuple[Place, Place]] = {
    "bob": ((0.0, 0.3, 0.35), (1.06, 0.85, 0.7)),
    "long": ((0.0, 0.75, 0.55), (0.95, 1.25, 0.5)),
    "ponytail": ((0.0, 0.35, 1.25), (0.3, 0.75, 0.3)),
    "bun": ((0.0, -0.75, 0.75), (0.42, 0.42, 0.42)),
}
_BRIMS: dict[str, tuple[Place, Place]] = {
    "cap": ((0.0, -0.42, -0.95), (0.8, 0.07, 0.75)),
    "brim": ((0.0, -0.42, 0.0), (1.6, 0.09, 1.6)),
}


class HeadPainter:
    """Paints the head of a brush's figure."""

    def __init__(self, brush: Brush) -> None:
        self.brush = brush
        self.outfit = brush.outfit
        self.axes = brush.skeleton.axes["head"]
        self.radii = brush.skeleton.body.head * brush.scale("head")  # (3,) pixels

    def jobs(self) -> list[tuple[float, Callable[[], None]]]:
        """What to paint, with its depth."""
        jobs: list[tuple[float, Callable[[], None]]] = [(self.brush.depth("head") - 0.01, self.paint)]
        if self.outfit.hair in _HAIR_SHAPES:
            place, half_axes = _HAIR_SHAPES[self.outfit.hair]
            depth = self.brush.depth("head") + float(self.axes[2] @ (self.radii * place)) / self.brush.scale("pelvis")
            jobs.append((depth, lambda: self._put_ball(place, half_axes, self.outfit.hair_color, Part.HAIR)))
        return jobs

    def paint(self) -> None:
        """Far features, skull, hair, near features, hat."""
        behind = {name: self.brush.depth(name) - self.brush.depth("head") for name in ("nose", "left_ear", "right_ear")}
        covers_ears = self.outfit.hair in ("bob", "long")
        far_ears = [side for side in range(2) if behind[f"{SIDES[side]}_ear"] > 0.012]
        near_ears = [side for side in range(2) if side not in far_ears]
        brim_is_far = self.outfit.hat == "cap" and self.axes[2, 2] < 0
        for side in far_ears:
            self._paint_ear(side)
        if behind["nose"] > 0:
            self._paint_nose()
        if brim_is_far:
            self._paint_brim()
        self._paint_skull()
        if covers_ears:
            self._paint_ears(near_ears)
        self._paint_hair()
        if not covers_ears:
            self._paint_ears(near_ears)
        if behind["nose"] <= 0:
            self._paint_nose()
        self._paint_hat()
        if not brim_is_far:
            self._paint_brim()

    def _ball(self, place: Place, half_axes: Place) -> Ball | None:
        """An ellipsoid fixed to the head, in head radii."""
        center = self.brush.point("head") + self.axes @ (self.radii * place)
        return self.brush.canvas.ellipsoid(center, self.axes, self.radii * half_axes)

    def _put_ball(self, place: Place, half_axes: Place, color: np.ndarray, part: int, *, shadow: float = 0.0) -> None:
        self.brush.put(self._ball(place, half_axes), color, part, shadow=shadow)

    def _paint_skull(self) -> None:
        patch = self._ball((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        if patch is None:
            return
        faces_away = self.axes[2, 2] < -0.75
        color = self.outfit.skin if faces_away else self._face(patch)
        self.brush.put(patch, color, Part.HEAD, shadow=0.35)

    def _face(self, patch: Ball) -> np.ndarray:
        """(3, h, w) skin with beard, cheeks, eyes, brows and mouth, placed on the unit sphere of the head."""
        x, y, z = patch.surface()
        px = float(self.radii[0])
        side = np.abs(x)
        front = step(-z * px)
        skin, hair = self.outfit.skin, self.outfit.hair_color
        color = np.repeat(skin, x.size, axis=1).reshape(3, *x.shape)

        def mix(share: np.ndarray, other: np.ndarray) -> None:
            color_change = other - color
            color_change *= share
            np.add(color, color_change, out=color)

        if self.outfit.beard:
            mix(step((y - 0.36) * px) * step((0.15 - z) * px), hair)
        off_eye, off_brow = side - 0.38, y + 0.38 - 0.2 * (side - 0.4)
        cheek = np.maximum(1 - ((side - 0.48) ** 2 + (y - 0.32) ** 2) * 18, 0) * front
        mix(cheek * 0.35, skin * rgb(0.98, 0.7, 0.66))
        mix(step((0.155 - np.sqrt((off_eye * 0.8) ** 2 + (y + 0.06) ** 2)) * px) * front, rgb(247, 245, 241))
        mix(step((0.115 - np.sqrt(off_eye**2 + (y + 0.05) ** 2)) * px) * front, rgb(44, 32, 28))
        arch = np.abs(off_brow - 0.9 * (side - 0.42) ** 2) + np.maximum(np.abs(side - 0.4) - 0.17, 0)
        mix(step((0.045 - arch) * px) * front, hair * np.float32(0.75))
        smile = np.abs(y - 0.6 + 1.2 * x * x) + np.maximum(side - 0.26, 0)
        mix(step((0.05 - smile) * px) * front, skin * rgb(0.7, 0.4, 0.4))
        return color

    def _paint_nose(self) -> None:
        self._put_ball((0.0, 0.16, -1.0), (0.15, 0.16, 0.22), self.outfit.skin * rgb(1.0, 0.94, 0.92), Part.NOSE)

    def _paint_ears(self, sides: list[int]) -> None:
        for side in sides:
            self._paint_ear(side)

    def _paint_ear(self, side: int) -> None:
        place = (1.05 - 2.1 * side, 0.08, 0.08)
        color = self.outfit.skin * rgb(0.97, 0.86, 0.82)
        self._put_ball(place, (0.12, 0.25, 0.18), color, Part.EAR.on(side), shadow=0.25)

    def _paint_hair(self) -> None:
        """Hair on the skull: above the hairline in front, down to the nape behind."""
        if self.outfit.hair == "bald":
            return
        grow = 1.2 if self.outfit.hair == "curly" else 1.08
        patch = self._ball((0.0, -0.06, 0.06), (grow, grow, grow))
        if patch is None:
            return
        x, y, z = patch.surface()
        nape, forward = (0.62, 0.62) if self.outfit.hair in ("bob", "long") else (0.42, 0.25)
        hairline = 0.35 * x * x - 0.5
        toward_back = np.minimum(np.maximum((z + forward) * 2.2, 0), 1)
        lower_edge = hairline + (nape - hairline) * toward_back
        strands = 1 + 0.06 * np.sin(11 * x + 4 * y)
        mask = step((lower_edge - y) * float(self.radii[0]))
        self.brush.put(patch, self.outfit.hair_color * strands, Part.HAIR, mask=mask)

    def _paint_hat(self) -> None:
        if self.outfit.hat == "none":
            return
        patch = self._ball((0.0, -0.1, 0.04), (1.16, 1.16, 1.16))
        if patch is None:
            return
        _, y, z = patch.surface()
        lower_edge = (0.35 if self.outfit.hat == "beanie" else 0.1) * z - 0.34
        mask = step((lower_edge - y) * float(self.radii[0]))
        self.brush.put(patch, self.outfit.hat_color, Part.HAIR, mask=mask)

    def _paint_brim(self) -> None:
        if self.outfit.hat in _BRIMS:
            place, half_axes = _BRIMS[self.outfit.hat]
            self._put_ball(place, half_axes, self.outfit.hat_color * np.float32(0.82), Part.HAIR)
