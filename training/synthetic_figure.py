"""Clothes, hair and faces of the generated people, and the painting of one figure part by part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import numpy as np

from .synthetic_paint import Canvas, Patch
from .synthetic_skeleton import SIDES, Body, Skeleton

Pattern = Literal["plain", "stripes", "bands", "checks", "dots"]
Hair = Literal["bald", "short", "bob", "long", "ponytail", "bun", "curly"]
Hat = Literal["none", "cap", "beanie", "brim"]


class Part(IntEnum):
    """Owners of the annotated person's pixels; parts that exist twice are followed by the right one."""

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
        """This part's owner number on the left (0) or right (1)."""
        return int(self) + side


@dataclass(frozen=True, kw_only=True)
class Cloth:
    """A fabric: its colour, and the colour, kind and size (in body heights) of its pattern."""

    colour: np.ndarray  # (3, 1, 1)
    second: np.ndarray  # (3, 1, 1)
    pattern: Pattern = "plain"
    period: float = 0.05


@dataclass(frozen=True, kw_only=True)
class Outfit:
    """Everything that is worn or grown. Both sides of the body always wear the same."""

    skin: np.ndarray
    hair_colour: np.ndarray
    hair: Hair
    beard: bool
    hat: Hat
    hat_colour: np.ndarray
    top: Cloth
    jacket_open: bool
    sleeve: float  # 0 none, 1 to the elbow, 2 to the wrist
    bottom: Cloth
    leg_cover: float  # 0 none, 1 to the knee, 2 to the ankle
    skirt: float  # 0 none, else its length in thighs
    shoe: np.ndarray
    backpack: np.ndarray | None


def rgb(*values: float) -> np.ndarray:
    """A colour as (3, 1, 1) float32."""
    return np.array(values, dtype=np.float32).reshape(3, 1, 1)


_SKINS = [
    (247, 214, 190),
    (238, 194, 160),
    (222, 171, 127),
    (196, 140, 98),
    (160, 106, 70),
    (122, 78, 52),
    (92, 58, 42),
]
_HAIRS = [
    (38, 28, 24),
    (60, 40, 28),
    (92, 60, 36),
    (140, 92, 48),
    (196, 152, 92),
    (168, 78, 42),
    (150, 148, 146),
    (24, 24, 28),
]


def _jitter(rng: np.random.Generator, colour: tuple[float, ...], amount: float) -> np.ndarray:
    return np.clip(rgb(*colour) + rng.uniform(-amount, amount, (3, 1, 1)), 8, 250).astype(np.float32)


def _sample_cloth(rng: np.random.Generator, palette: list[tuple[int, int, int]], patterned: float) -> Cloth:
    first, second = rng.choice(len(palette), 2, replace=False)
    patterns: tuple[Pattern, ...] = ("stripes", "bands", "checks", "dots")
    return Cloth(
        colour=_jitter(rng, palette[first], 12),
        second=_jitter(rng, palette[second], 12),
        pattern=patterns[rng.integers(len(patterns))] if rng.random() < patterned else "plain",
        period=rng.uniform(0.03, 0.075),
    )


def sample_outfit(
    rng: np.random.Generator, *, palette: list[tuple[int, int, int]], patterned: float, outdoor: float
) -> Outfit:
    """A random outfit.

    Args:
        palette: colours of the fabrics.
        patterned: share of patterned tops.
        outdoor: share of people with a hat; half of it with a backpack or an open jacket.
    """
    hairs: tuple[Hair, ...] = ("bald", "short", "short", "short", "curly", "bob", "long", "ponytail", "bun")
    hats: tuple[Hat, ...] = ("cap", "beanie", "brim")
    hair = hairs[rng.integers(len(hairs))]
    top = _sample_cloth(rng, palette, patterned)
    bottom = _sample_cloth(rng, palette, 0.15 * patterned)
    dressed = hair in ("bob", "long", "ponytail", "bun") and rng.random() < 0.4
    if dressed and rng.random() < 0.5:
        bottom = top  # a dress
    leg_cover = 0.0 if dressed else float(rng.choice([2.0, 2.0, 2.0, 1.9, rng.uniform(0.35, 1.1)]))
    return Outfit(
        skin=_jitter(rng, _SKINS[rng.integers(len(_SKINS))], 8),
        hair_colour=_jitter(rng, _HAIRS[rng.integers(len(_HAIRS))], 10),
        hair=hair,
        beard=hair in ("bald", "short") and rng.random() < 0.25,
        hat=hats[rng.integers(len(hats))] if rng.random() < outdoor else "none",
        hat_colour=_jitter(rng, palette[rng.integers(len(palette))], 12),
        top=top,
        jacket_open=rng.random() < 0.15 + 0.5 * outdoor,
        sleeve=float(rng.choice([0.0, rng.uniform(0.3, 0.7), 0.5, 1.2, 2.0, 2.0])),
        bottom=bottom,
        leg_cover=leg_cover,
        skirt=rng.uniform(0.6, 1.3) if dressed else 0.0,
        shoe=_jitter(
            rng, [(40, 38, 40), (232, 230, 226), (120, 76, 48), (170, 60, 52), (70, 90, 130)][rng.integers(5)], 12
        ),
        backpack=_jitter(rng, palette[rng.integers(len(palette))], 12) if rng.random() < 0.5 * outdoor else None,
    )


def _smooth(value: np.ndarray) -> np.ndarray:
    """Clip to 0..1: the anti-aliased step of a value that grows by one a pixel."""
    return np.clip(value + 0.5, 0, 1)


def _pattern_mask(cloth: Cloth, along_px: np.ndarray, across_px: np.ndarray, scale: float) -> np.ndarray:
    """(h, w) share of the second colour; coordinates on the cloth in pixels, `scale` pixels per body height."""
    turn = np.float32(2 * np.pi / max(cloth.period * scale, 4.0))
    if cloth.pattern == "stripes":
        return _smooth(2 * np.sin(along_px * turn) - 0.6)
    if cloth.pattern == "bands":
        return _smooth(2 * np.sin(across_px * turn) - 0.8)
    waves = np.sin(along_px * turn), np.sin(across_px * turn)
    if cloth.pattern == "checks":
        return _smooth(2 * waves[0] - 0.2) * 0.5 + _smooth(2 * waves[1] - 0.2) * 0.5
    return _smooth(3 * (waves[0] * waves[1] - 0.55))


class FigurePainter:
    """Paints one figure on a canvas, far parts first.

    Args:
        canvas: what is painted on.
        skeleton: placed in the picture.
        outfit: what the figure wears.
        owner: written for every part of the figure, None writes the parts' own numbers.
    """

    def __init__(self, *, canvas: Canvas, skeleton: Skeleton, outfit: Outfit, owner: int | None = None) -> None:
        self.canvas = canvas
        self.skeleton = skeleton
        self.points = skeleton.points
        self.scales = skeleton.scales
        self.outfit = outfit
        self.body: Body = skeleton.body
        self.owner = owner

    def paint(self) -> None:
        """Paint all parts in order of depth."""
        jobs: list[tuple[float, Callable[[], None]]] = [(self._depth("waist", "chest"), self.paint_torso)]
        jobs.append((self._depth("pelvis") + self._px(0.012), self.paint_pelvis))
        for side, name in enumerate(SIDES):
            jobs.append((self._depth(f"{name}_shoulder", f"{name}_elbow"), lambda s=side: self.paint_upper_arm(s)))
            jobs.append((self._depth(f"{name}_elbow", f"{name}_wrist"), lambda s=side: self.paint_forearm(s)))
            jobs.append(
                (self._depth(f"{name}_hip", f"{name}_knee") + self._px(0.014), lambda s=side: self.paint_thigh(s))
            )
            jobs.append(
                (self._depth(f"{name}_knee", f"{name}_ankle") + self._px(0.013), lambda s=side: self.paint_shin(s))
            )
            jobs.append((self._depth(f"{name}_ankle", f"{name}_toe"), lambda s=side: self.paint_foot(s)))
        if self.outfit.skirt:
            nearest = min(self._depth(f"{name}_hip", f"{name}_knee") for name in SIDES)
            jobs.append((min(nearest, self._depth("pelvis")) + self._px(0.005), self.paint_skirt))
        if self.outfit.backpack is not None:
            back = self.skeleton.axes["chest"][:, 2]
            jobs.append((self._depth("chest") + self._px(0.1) * float(back[2]), self.paint_backpack))
        chest_front = float(self.skeleton.axes["chest"][2, 2])  # positive when the chest faces the camera
        jobs.append((self._depth("waist", "chest") - self._px(0.003) * np.sign(chest_front), self.paint_neck))
        jobs.append((self._depth("head") - self._px(0.01), self.paint_head))
        jobs += self._hair_jobs()
        for _, job in sorted(jobs, key=lambda entry: -entry[0]):
            job()

    # Helpers

    def _px(self, length: float) -> float:
        """Body heights to pixels at the pelvis."""
        return length * self.scales["pelvis"]

    def _depth(self, *names: str) -> float:
        return sum(float(self.points[name][2]) for name in names) / len(names)

    def _put(self, patch: Patch | None, colour: np.ndarray, part: int, *, coverage: np.ndarray | None = None) -> None:
        if patch is not None:
            self.canvas.blend(patch, colour, owner=self.owner or part, coverage=coverage)

    def _cloth(self, patch: Patch, cloth: Cloth, length_px: float) -> np.ndarray:
        """Colours of a piece of cloth, (3, 1, 1) or (3, h, w)."""
        if cloth.pattern == "plain" or patch.along is None or patch.across is None:
            return cloth.colour
        mask = _pattern_mask(cloth, patch.along * length_px, patch.across, self.scales["pelvis"])
        return cloth.colour + mask * (cloth.second - cloth.colour)

    def _limb(self, ends: tuple[str, str], widths: tuple[float, ...], cloth: Cloth, cover: float, part: int) -> None:
        """A limb bare from the share `cover` of its length on; cloth makes it a little thicker."""
        start, end = self.points[ends[0]], self.points[ends[1]]
        girth = self.body.girth * (1.0 if cover < 0.05 else 1.14)
        radii = np.array(widths) * girth * np.linspace(self.scales[ends[0]], self.scales[ends[1]], 4)
        patch = self.canvas.tube(start, end, radii)
        if patch is None:
            return
        self.canvas.darken(patch, 0.35)
        if cover < 0.05:
            colour = self.outfit.skin
        else:
            length = float(np.hypot(*(end - start)[:2]))
            colour = self._cloth(patch, cloth, length)
            if cover < 0.97:
                bare = _smooth((patch.along - cover) * length)
                colour = colour + bare * (self.outfit.skin - colour)
        self._put(patch, colour, part)

    # Limbs

    def paint_upper_arm(self, side: int) -> None:
        name = SIDES[side]
        ends = (f"{name}_shoulder", f"{name}_elbow")
        self._limb(ends, (0.034, 0.033, 0.028, 0.025), self.outfit.top, self.outfit.sleeve, Part.UPPER_ARM.on(side))

    def paint_forearm(self, side: int) -> None:
        name = SIDES[side]
        wrist, hand = self.points[f"{name}_wrist"], self.points[f"{name}_hand"]
        scale = self.scales[f"{name}_wrist"]
        patch = self.canvas.tube(wrist, hand, np.array([0.016, 0.021, 0.022, 0.013]) * scale)
        if patch is not None:
            self.canvas.darken(patch, 0.3)
        self._put(patch, self.outfit.skin, Part.HAND.on(side))
        ends = (f"{name}_elbow", f"{name}_wrist")
        self._limb(ends, (0.025, 0.026, 0.021, 0.0165), self.outfit.top, self.outfit.sleeve - 1, Part.FOREARM.on(side))

    def paint_thigh(self, side: int) -> None:
        name = SIDES[side]
        ends = (f"{name}_hip", f"{name}_knee")
        self._limb(ends, (0.052, 0.05, 0.042, 0.034), self.outfit.bottom, self.outfit.leg_cover, Part.THIGH.on(side))

    def paint_shin(self, side: int) -> None:
        name = SIDES[side]
        ends = (f"{name}_knee", f"{name}_ankle")
        self._limb(ends, (0.034, 0.036, 0.027, 0.02), self.outfit.bottom, self.outfit.leg_cover - 1, Part.SHIN.on(side))

    def paint_foot(self, side: int) -> None:
        name = SIDES[side]
        scale = self.scales[f"{name}_ankle"]
        heel, toe = self.points[f"{name}_heel"], self.points[f"{name}_toe"]
        patch = self.canvas.tube(heel, toe, np.array([0.025, 0.027, 0.025, 0.019]) * scale)
        if patch is not None:
            self.canvas.darken(patch, 0.3)
        self._put(patch, self.outfit.shoe, Part.FOOT.on(side))

    # Trunk

    def _section(self, axes: np.ndarray, half_width: float, half_depth: float, direction: np.ndarray) -> float:
        """Half-extent along a unit (x, y) direction of an elliptic slice of the trunk."""
        wide, deep = float(direction @ axes[:2, 0]) * half_width, float(direction @ axes[:2, 2]) * half_depth
        return float(np.hypot(wide, deep))

    def _trunk_tube(
        self, start: np.ndarray, end: np.ndarray, slices: list[tuple[np.ndarray, float, float]]
    ) -> Patch | None:
        """A tube whose half-widths are four slices (axes, half-width, half-depth in body heights)."""
        axis = (end - start)[:2]
        length = float(np.hypot(*axis))
        axis = axis / length if length > 1e-3 else np.array([0.0, 1.0])
        normal = np.array([-axis[1], axis[0]])
        scale = self.scales["chest"]
        radii = [self._section(axes, wide, deep, normal) * scale for axes, wide, deep in slices]
        caps = [
            (self._section(axes, wide, deep, axis) * scale + self._px(0.018)) / radius
            for (axes, wide, deep), radius in ((slices[0], radii[0]), (slices[3], radii[3]))
        ]
        return self.canvas.tube(start, end, radii, caps=(caps[0], caps[1]))

    def paint_torso(self) -> None:
        pelvis, chest = self.skeleton.axes["pelvis"], self.skeleton.axes["chest"]
        body, girth = self.body, self.body.girth
        slices = [
            (pelvis, 0.035 + body.hip * 0.9, 0.058 * girth),
            (chest, 0.02 + body.shoulder * 0.52 * (0.6 + 0.4 * girth), 0.055 * girth**1.5),
            (chest, body.shoulder * 0.98, 0.06 * girth),
            (chest, body.shoulder * 0.74, 0.04 * girth),
        ]
        start = self.points["pelvis"] * 0.85 + self.points["waist"] * 0.15
        end = self.points["chest"] * 0.6 + self.points["neck"] * 0.4
        patch = self._trunk_tube(start, end, slices)
        if patch is None:
            return
        self.canvas.darken(patch, 0.3)
        length = float(np.hypot(*(end - start)[:2]))
        self._put(patch, self._cloth(patch, self.outfit.top, length), Part.TORSO)
        if self.outfit.jacket_open and chest[2, 2] > 0.15:
            self._paint_open_jacket(float(chest[2, 2]))

    def _paint_open_jacket(self, facing: float) -> None:
        """A strip of the shirt below, on the front of the chest."""
        depth = 0.05 * self.body.girth
        ends = []
        for name, axes in (("neck", "chest"), ("pelvis", "pelvis")):
            offset = -self.skeleton.axes[axes][:, 2] * depth * self.scales[name]
            ends.append((self.points[name] + offset)[:2])
        radii = np.array([0.02, 0.026, 0.03, 0.032]) * self.scales["chest"] * facing
        patch = self.canvas.tube(ends[0], ends[1], radii, caps=(0.3, 0.1))
        inner = self.outfit.top.second if self.outfit.top.pattern == "plain" else rgb(235, 232, 226)
        if patch is not None:
            inside = self.canvas.owner[patch.window] == (self.owner or Part.TORSO)
            self._put(patch, inner, Part.TORSO, coverage=patch.coverage * inside)

    def paint_pelvis(self) -> None:
        left, right = self.points["left_hip"], self.points["right_hip"]
        radius = 0.057 * self.body.girth * self.scales["pelvis"]
        lift = (self.points["waist"] - self.points["pelvis"]) * 0.15
        patch = self.canvas.tube(left + lift, right + lift, [radius] * 4)
        if patch is not None:
            self._put(patch, self.outfit.bottom.colour, Part.PELVIS)

    def paint_skirt(self) -> None:
        start = self.points["pelvis"] * 0.6 + self.points["waist"] * 0.4
        knees = (self.points["left_knee"] + self.points["right_knee"]) / 2
        end = self.points["pelvis"] + (knees - self.points["pelvis"]) * self.outfit.skirt * 0.9
        axis = (end - start)[:2] / max(float(np.hypot(*(end - start)[:2])), 1e-3)
        spread = self.points["left_knee"] - self.points["right_knee"]
        hem = abs(float(spread[0] * -axis[1] + spread[1] * axis[0])) * 0.5 * min(self.outfit.skirt, 1.0) + self._px(
            0.065
        )
        hips = self._section(self.skeleton.axes["pelvis"], 0.045 + self.body.hip, 0.06, np.array([-axis[1], axis[0]]))
        hips *= self.scales["pelvis"] * self.body.girth
        radii = [hips * 0.9, hips * 1.02, (hips + hem) * 0.52, max(hem, hips)]
        patch = self.canvas.tube(start, end, radii, caps=(0.4, 0.12))
        if patch is None:
            return
        self.canvas.darken(patch, 0.3)
        length = float(np.hypot(*(end - start)[:2]))
        self._put(patch, self._cloth(patch, self.outfit.bottom, length), Part.SKIRT)

    def paint_backpack(self) -> None:
        """Behind the chest, hanging from the shoulders."""
        axes, scale = self.skeleton.axes["chest"], self.scales["chest"]
        centre = self.points["chest"] + axes @ (0.0, 0.09, 0.085) * scale
        patch = self.canvas.ellipsoid(centre, axes, np.array([0.082, 0.115, 0.05]) * scale)
        if patch is not None:
            self.canvas.darken(patch, 0.3)
        self._put(patch, self.outfit.backpack, Part.BAG)

    # Head

    def paint_neck(self) -> None:
        start, end = self.points["neck"], self.points["head"]
        base = start * 0.92 + self.points["chest"] * 0.08
        radii = np.array([0.034, 0.029, 0.028, 0.028]) * self.scales["neck"] * (0.5 + 0.5 * self.body.girth)
        patch = self.canvas.tube(base, start + (end - start) * 0.6, radii, caps=(0.8, 1.0))
        self._put(patch, self.outfit.skin * np.float32(0.93), Part.NECK)

    def paint_head(self) -> None:
        """Skull with the face on it, hair, and the ears and nose on the side of it where they belong."""
        head = self.skeleton.axes["head"]
        nose_depth = float(self.points["nose"][2])
        centre_depth = self._depth("head")
        ears = sorted(range(2), key=lambda side: -self._depth(f"{SIDES[side]}_ear"))
        far_first = [side for side in ears if self._depth(f"{SIDES[side]}_ear") > centre_depth + self._px(0.012)]
        for side in far_first:
            self._paint_ear(side)
        if nose_depth > centre_depth:
            self._paint_nose()
        near = [side for side in ears if side not in far_first]
        self._paint_skull(head)
        if self.outfit.hair in ("bob", "long"):
            for side in near:
                self._paint_ear(side)
        self._paint_hair_cap(head)
        if self.outfit.hair not in ("bob", "long"):
            for side in near:
                self._paint_ear(side)
        if nose_depth <= centre_depth:
            self._paint_nose()
        self._paint_hat(head)

    def _head_patch(self, grow: float, *, shift: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Patch | None:
        radii = np.array(self.body.head) * self.scales["head"]
        centre = self.points["head"] + self.skeleton.axes["head"] @ (radii * shift)
        return self.canvas.ellipsoid(centre, self.skeleton.axes["head"], radii * grow, surface=True)

    def _paint_skull(self, head: np.ndarray) -> None:
        patch = self._head_patch(1.0)
        if patch is None or patch.local is None:
            return
        self.canvas.darken(patch, 0.35)
        skin = self.outfit.skin
        if head[2, 2] < -0.75:  # seen from behind there is no face to draw
            self._put(patch, skin, Part.HEAD)
            return
        x, y, z = patch.local
        px = 0.9 * self.body.head[0] * self.scales["head"]
        side = np.abs(x)
        front = z < 0
        colour = skin + np.zeros_like(patch.local)
        if self.outfit.beard:
            jaw = _smooth((y - 0.34 + 0.25 * (side < 0.22) * (y > 0.62)) * px) * _smooth((0.15 - z) * px)
            colour += jaw * (self.outfit.hair_colour - colour)
        cheeks = np.maximum(1 - ((side - 0.45) ** 2 + (y - 0.3) ** 2) * 18, 0) * front * 0.35
        colour += cheeks * (skin * rgb(0.98, 0.72, 0.68) - colour)
        eye = 1 - np.sqrt(((side - 0.38) / 0.2) ** 2 + ((y + 0.06) / 0.145) ** 2)
        white = _smooth(eye * 0.16 * px) * front
        colour += white * (rgb(246, 244, 240) - colour)
        iris = _smooth((0.115 - np.sqrt((side - 0.37) ** 2 + (y + 0.05) ** 2)) * px) * front
        colour += iris * (rgb(44, 32, 28) - colour)
        brow = _smooth((0.05 - np.abs(y + 0.3 - 0.25 * (side - 0.4) ** 2)) * px) * (np.abs(side - 0.39) < 0.2) * front
        colour += brow * (self.outfit.hair_colour * 0.8 - colour)
        mouth = _smooth((0.05 - np.abs(y - 0.56 + 0.5 * x * x)) * px) * (side < 0.26) * front
        colour += mouth * (skin * rgb(0.72, 0.42, 0.42) - colour)
        self._put(patch, colour, Part.HEAD)

    def _paint_nose(self) -> None:
        head = self.skeleton.axes["head"]
        radii = np.array([0.13, 0.16, 0.22]) * self.body.head[1] * self.scales["head"]
        centre = self.points["nose"] + head[:, 2] * radii[2] * 0.5
        patch = self.canvas.ellipsoid(centre, head, radii)
        if patch is not None:
            self.canvas.darken(patch, 0.18)
        self._put(patch, self.outfit.skin * rgb(1.0, 0.94, 0.92), Part.NOSE)

    def _paint_ear(self, side: int) -> None:
        radii = np.array([0.1, 0.25, 0.16]) * self.body.head[1] * self.scales["head"]
        patch = self.canvas.ellipsoid(self.points[f"{SIDES[side]}_ear"], self.skeleton.axes["head"], radii)
        if patch is not None:
            self.canvas.darken(patch, 0.25)
        self._put(patch, self.outfit.skin * rgb(0.97, 0.86, 0.82), Part.EAR.on(side))

    def _paint_hair_cap(self, head: np.ndarray) -> None:
        """Hair on the skull: above the hairline, and all of the back."""
        if self.outfit.hair == "bald":
            return
        curly = self.outfit.hair == "curly"
        patch = self._head_patch(1.2 if curly else 1.08, shift=(0.0, -0.06, 0.06))
        if patch is None or patch.local is None:
            return
        x, y, z = patch.local
        px = self.body.head[0] * self.scales["head"]
        low = 0.62 if self.outfit.hair in ("bob", "long") else 0.42
        hairline = -0.5 + 0.35 * x * x
        # In front the hair ends at the hairline; towards the back its lower edge drops to the nape.
        edge = hairline + (low - hairline) * np.clip((z + (0.62 if low > 0.5 else 0.25)) * 2.2, 0, 1)
        mask = _smooth((edge - y) * px)
        shine = 1 + 0.07 * np.sin(x * 11 + 4 * y)
        self._put(patch, self.outfit.hair_colour * shine, Part.HAIR, coverage=patch.coverage * mask)

    def _hair_jobs(self) -> list[tuple[float, Callable[[], None]]]:
        """Hair that hangs or stands off the skull, with its depth."""
        places = {
            "long": (0.0, 0.75, 0.55),
            "bob": (0.0, 0.3, 0.35),
            "ponytail": (0.0, 0.35, 1.25),
            "bun": (0.0, -0.75, 0.75),
        }
        place = places.get(self.outfit.hair)
        if place is None:
            return []
        radii = {
            "long": (0.95, 1.25, 0.5),
            "bob": (1.06, 0.85, 0.7),
            "ponytail": (0.3, 0.75, 0.3),
            "bun": (0.42, 0.42, 0.42),
        }
        scale = np.array(self.body.head) * self.scales["head"]
        axes = self.skeleton.axes["head"]
        centre = self.points["head"] + axes @ (scale * place)

        def paint() -> None:
            patch = self.canvas.ellipsoid(centre, axes, scale * radii[self.outfit.hair])
            self._put(patch, self.outfit.hair_colour, Part.HAIR)

        return [(float(centre[2]), paint)]

    def _paint_hat(self, head: np.ndarray) -> None:
        if self.outfit.hat == "none":
            return
        patch = self._head_patch(1.16, shift=(0.0, -0.1, 0.04))
        if patch is None or patch.local is None:
            return
        _, y, z = patch.local
        px = self.body.head[0] * self.scales["head"]
        edge = -0.34 + (0.35 * z if self.outfit.hat == "beanie" else 0.1 * z)
        self._put(patch, self.outfit.hat_colour, Part.HAIR, coverage=patch.coverage * _smooth((edge - y) * px))
        scale = np.array(self.body.head) * self.scales["head"]
        if self.outfit.hat == "cap":
            place, radii = (0.0, -0.42, -0.95), (0.8, 0.07, 0.75)
        elif self.outfit.hat == "brim":
            place, radii = (0.0, -0.42, 0.0), (1.7, 0.09, 1.7)
        else:
            return
        brim = self.canvas.ellipsoid(self.points["head"] + head @ (scale * place), head, scale * radii)
        self._put(brim, self.outfit.hat_colour * np.float32(0.82), Part.HAIR)
