"""Clothes, skin and hair of the generated people. Both sides of a body always wear the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .canvas import Tube, rgb, step

Color = tuple[int, int, int]
Pattern = Literal["plain", "stripes", "bands", "checks", "dots"]
Hair = Literal["bald", "short", "curly", "bob", "long", "ponytail", "bun"]
Hat = Literal["none", "cap", "beanie", "brim"]

_PATTERNS: tuple[Pattern, ...] = ("stripes", "bands", "checks", "dots")
_HAIRS: tuple[Hair, ...] = ("bald", "short", "short", "short", "curly", "bob", "long", "ponytail", "bun")
_HATS: tuple[Hat, ...] = ("cap", "beanie", "brim")
_SKIN_COLORS: tuple[Color, ...] = (
    (247, 214, 190), (238, 194, 160), (222, 171, 127), (196, 140, 98), (160, 106, 70), (122, 78, 52), (92, 58, 42),
)  # fmt: skip
_HAIR_COLORS: tuple[Color, ...] = (
    (38, 28, 24), (60, 40, 28), (92, 60, 36), (140, 92, 48), (186, 150, 98), (158, 78, 46), (150, 148, 146),
    (24, 24, 28),
)  # fmt: skip
_SHOE_COLORS: tuple[Color, ...] = ((40, 38, 40), (232, 230, 226), (120, 76, 48), (170, 60, 52), (70, 90, 130))


@dataclass(frozen=True, kw_only=True)
class Cloth:
    """A fabric: its colors (3, 1, 1), the kind of its pattern and the pattern's period in body heights."""

    color: np.ndarray
    second: np.ndarray
    pattern: Pattern
    period: float

    def colors(self, patch: Tube, *, length: float, scale: float) -> np.ndarray:
        """The cloth on a tube of `length` pixels, `scale` pixels per body height: (3, 1, 1) or (3, h, w)."""
        if self.pattern == "plain":
            return self.color
        turn = 2 * np.pi / max(self.period * scale, 4.0)  # finer patterns than 4 pixels would only flicker
        share = self._second_share(patch.along * (length * turn), patch.across * turn)
        return self.color + share * (self.second - self.color)

    def _second_share(self, along: np.ndarray, across: np.ndarray) -> np.ndarray:
        """Share of the second color, 0 to 1, at phases along and across the limb."""
        if self.pattern == "stripes":
            return step(2 * np.sin(along) - 0.6)
        if self.pattern == "bands":
            return step(2 * np.sin(across) - 0.8)
        if self.pattern == "checks":
            return 0.5 * step(2 * np.sin(along) - 0.2) + 0.5 * step(2 * np.sin(across) - 0.2)
        return step(3 * (np.sin(along) * np.sin(across) - 0.55))


@dataclass(frozen=True, kw_only=True)
class Outfit:
    """Everything that is worn or grown; colors are (3, 1, 1)."""

    skin: np.ndarray
    hair: Hair
    hair_color: np.ndarray
    beard: bool
    hat: Hat
    hat_color: np.ndarray
    top: Cloth
    open_jacket: bool
    sleeve: float  # 0 none, 1 to the elbow, 2 to the wrist
    bottom: Cloth
    leg_cover: float  # 0 none, 1 to the knee, 2 to the ankle
    skirt: float  # length in thighs, 0 for none
    shoe: np.ndarray
    backpack: np.ndarray | None


def _dye(rng: np.random.Generator, colors: Sequence[Color]) -> np.ndarray:
    """One of the colors, slightly changed."""
    return rgb(*colors[int(rng.integers(len(colors)))]) * np.float32(rng.uniform(0.92, 1.04))


def _sample_cloth(rng: np.random.Generator, fabrics: Sequence[Color], patterned: float) -> Cloth:
    return Cloth(
        color=_dye(rng, fabrics),
        second=_dye(rng, fabrics),
        pattern=_PATTERNS[rng.integers(len(_PATTERNS))] if rng.random() < patterned else "plain",
        period=rng.uniform(0.03, 0.075),
    )


def sample_outfit(rng: np.random.Generator, *, fabrics: Sequence[Color], patterned: float, outdoor: float) -> Outfit:
    """Sample an outfit.

    Args:
        rng: Draws it.
        fabrics: Colors to choose from.
        patterned: Share of patterned tops; trousers have patterns less often.
        outdoor: Share of people with a hat; open jackets and backpacks follow it.
    """
    hair = _HAIRS[rng.integers(len(_HAIRS))]
    top = _sample_cloth(rng, fabrics, patterned)
    skirted = hair in ("bob", "long", "ponytail", "bun") and rng.random() < 0.4
    is_dress = skirted and rng.random() < 0.5
    sleeves = (0.0, rng.uniform(0.3, 0.7), 0.5, 1.2, 2.0, 2.0)
    leg_covers = (2.0, 2.0, 2.0, 1.9, rng.uniform(0.35, 1.1))
    return Outfit(
        skin=_dye(rng, _SKIN_COLORS),
        hair=hair,
        hair_color=_dye(rng, _HAIR_COLORS),
        beard=hair in ("bald", "short") and rng.random() < 0.25,
        hat=_HATS[rng.integers(len(_HATS))] if rng.random() < outdoor else "none",
        hat_color=_dye(rng, fabrics),
        top=top,
        open_jacket=not is_dress and rng.random() < 0.12 + 0.4 * outdoor,
        sleeve=sleeves[rng.integers(len(sleeves))],
        bottom=top if is_dress else _sample_cloth(rng, fabrics, 0.15 * patterned),
        leg_cover=0.0 if skirted else leg_covers[rng.integers(len(leg_covers))],
        skirt=rng.uniform(0.6, 1.3) if skirted else 0.0,
        shoe=_dye(rng, _SHOE_COLORS),
        backpack=_dye(rng, fabrics) if rng.random() < 0.5 * outdoor else None,
    )
