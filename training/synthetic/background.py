"""Backgrounds for the generated people: paper backdrops, rooms, avenues and parks.

They are drawn with hard edges at a fraction of the size, softened and enlarged: cheap, and out of focus as in a photo.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .outfit import Color
from .styles import Style

WALLS: tuple[Color, ...] = (
    (226, 220, 208), (206, 214, 216), (214, 200, 188), (190, 200, 184), (222, 206, 196), (176, 186, 198),
    (240, 234, 222),
)  # fmt: skip
FLOORS: tuple[Color, ...] = (
    (168, 132, 98), (190, 166, 138), (134, 122, 112), (206, 198, 186), (116, 90, 70), (150, 150, 148),
)  # fmt: skip
THINGS: tuple[Color, ...] = (
    (150, 96, 70), (90, 110, 124), (180, 150, 96), (112, 124, 92), (196, 120, 96), (84, 74, 82), (210, 196, 170),
)  # fmt: skip
SKIES: tuple[Color, ...] = ((150, 192, 230), (198, 214, 226), (228, 208, 186), (120, 168, 216), (186, 190, 198))
FACADES: tuple[Color, ...] = (
    (176, 128, 104), (200, 184, 160), (140, 142, 148), (214, 196, 150), (120, 92, 84), (158, 170, 176),
)  # fmt: skip
GREENS: tuple[Color, ...] = ((74, 112, 58), (98, 132, 64), (54, 88, 56), (124, 148, 76), (140, 130, 60))
GROUNDS: tuple[Color, ...] = (
    (142, 140, 138), (118, 118, 122), (178, 168, 150), (106, 132, 72), (90, 92, 96), (196, 180, 150),
)  # fmt: skip
_GLASS: tuple[Color, ...] = ((70, 84, 100), (196, 208, 214), (90, 76, 66))
_TRUNK: Color = (96, 74, 56)


def tone(color: Color, factor: float) -> Color:
    """A lighter (factor above 1) or darker color."""
    red, green, blue = color
    return min(int(red * factor), 255), min(int(green * factor), 255), min(int(blue * factor), 255)


def pick(rng: np.random.Generator, colors: Sequence[Color]) -> Color:
    """One of the colors, a little lighter or darker."""
    return tone(colors[int(rng.integers(len(colors)))], rng.uniform(0.85, 1.12))


class _Stage:
    """A small picture under construction; the floor begins at row `floor`."""

    def __init__(self, rng: np.random.Generator, size: tuple[int, int], floor: int) -> None:
        self.rng = rng
        self.width, self.height = size
        self.floor = floor
        self.picture = Image.new("RGB", size)
        self.draw = ImageDraw.Draw(self.picture)

    def gradient(self, top: Color, bottom: Color) -> None:
        """Fill everything with a vertical gradient."""
        column = np.linspace(top, bottom, self.height).astype(np.uint8)[:, None]  # (h, 1, 3)
        self.picture.paste(Image.fromarray(column).resize(self.picture.size, Image.Resampling.NEAREST))

    def box(self, x: float, y: float, width: float, height: float, color: Color) -> None:
        """A filled rectangle; nothing if it has no extent."""
        if width >= 0 and height >= 0:
            self.draw.rectangle((x, y, x + width, y + height), fill=color)

    def furniture(self) -> None:
        """A chest or armchair against the wall."""
        x, width = self.rng.uniform(-0.1, 1.0) * self.width, self.rng.uniform(0.08, 0.35) * self.width
        height, color = self.rng.uniform(0.08, 0.4) * self.height, pick(self.rng, THINGS)
        bottom = self.floor + self.rng.uniform(0, 0.06) * self.height
        self.draw.rounded_rectangle((x, bottom - height, x + width, bottom), radius=3, fill=color)
        self.box(x + 2, bottom - 0.55 * height, width - 4, 0.05 * height, tone(color, 0.8))

    def frame(self) -> None:
        """A picture or a window on the wall."""
        x, y = self.rng.uniform(-0.1, 0.9) * self.width, self.rng.uniform(0, 0.5) * self.floor
        width, height = self.rng.uniform(0.1, 0.35) * self.width, self.rng.uniform(0.15, 0.45) * self.floor
        self.box(x, y, width, height, pick(self.rng, THINGS))
        self.box(x + 2, y + 2, width - 4, height - 4, pick(self.rng, WALLS + SKIES[:2]))

    def house(self, x: float, width: float) -> None:
        """A facade with rows of windows."""
        top = self.rng.uniform(-0.3, 0.6) * self.floor
        self.box(x, top, width, self.floor - top, pick(self.rng, FACADES))
        pitch = max(5.0, self.rng.uniform(0.08, 0.14) * self.height)
        glass = pick(self.rng, _GLASS)
        for y in np.arange(max(top, 0) + 0.5 * pitch, self.floor - pitch, 1.2 * pitch).tolist():
            for window_x in np.arange(x + 0.4 * pitch, x + width - 0.6 * pitch, pitch).tolist():
                self.box(window_x, y, 0.5 * pitch, 0.7 * pitch, glass)

    def leaves(self, x: float, y: float, width: float, height: float, count: int) -> None:
        """A bush or crown: overlapping discs, lighter toward the top."""
        color = pick(self.rng, GREENS)
        spots = self.rng.random((count, 3))
        for u, v, w in spots[np.argsort(-spots[:, 1])].tolist():
            radius = (0.1 + 0.14 * w) * min(width, height) + 1
            box = (x + u * width - radius, y + v * height - radius, x + u * width + radius, y + v * height + radius)
            self.draw.ellipse(box, fill=tone(color, 1.25 - 0.55 * v + 0.1 * w))

    def tree(self) -> None:
        """A trunk with a crown."""
        x, width = self.rng.uniform(-0.2, 1.0) * self.width, self.rng.uniform(0.25, 0.5) * self.width
        top = self.rng.uniform(-0.1, 0.5) * self.floor
        self.box(x + 0.46 * width, top, 0.08 * width, self.floor - top, tone(_TRUNK, self.rng.uniform(0.7, 1.2)))
        self.leaves(x, top, width, (self.floor - top) * self.rng.uniform(0.5, 1.0), 20)

    def ground(self) -> None:
        """Pavement, lawn or sand with a kerb, and joints or tufts."""
        color = pick(self.rng, GROUNDS)
        self.box(0, self.floor, self.width, self.height, color)
        self.box(0, self.floor, self.width, 1, tone(color, 0.75))
        for u, v, w in self.rng.random((self.rng.integers(5, 30), 3)).tolist():
            x, y = u * self.width, self.floor + v * v * (self.height - self.floor)
            self.draw.line((x, y, x + (w - 0.3) * 0.2 * self.width, y), fill=tone(color, 0.82 + 0.3 * w))

    def boards(self, color: Color) -> None:
        """Joints of a wooden floor that run toward the viewer."""
        middle = self.rng.uniform(0, self.width)
        for x in np.linspace(-self.width, 2 * self.width, 14).tolist():
            ends = (middle + (x - middle) * 0.7, self.floor, middle + (x - middle) * 1.6, self.height)
            self.draw.line(ends, fill=tone(color, 0.86))


def _backdrop(stage: _Stage) -> None:
    """Paper hung from the ceiling, lit unevenly."""
    wall = pick(stage.rng, WALLS + THINGS[:3])
    stage.gradient(tone(wall, stage.rng.uniform(0.75, 1.0)), tone(wall, stage.rng.uniform(0.95, 1.15)))
    stage.box(0, stage.floor, stage.width, stage.height, tone(wall, stage.rng.uniform(0.8, 1.0)))


def _room(stage: _Stage) -> None:
    """Wall with or without wallpaper, pictures, skirting board, floor, furniture."""
    wall, ground = pick(stage.rng, WALLS), pick(stage.rng, FLOORS)
    stage.gradient(tone(wall, 0.92), wall)
    if stage.rng.random() < 0.3:
        pitch = int(stage.rng.integers(3, 9))
        for x in range(0, stage.width, 2 * pitch):
            stage.box(x, 0, pitch - 1, stage.floor, tone(wall, 0.92))
    for _ in range(stage.rng.integers(0, 4)):
        stage.frame()
    stage.box(0, stage.floor, stage.width, stage.height, ground)
    if stage.rng.random() < 0.6:
        stage.boards(ground)
    stage.box(0, stage.floor - 3, stage.width, 3, tone(wall, 1.12))
    for _ in range(stage.rng.integers(0, 4)):
        stage.furniture()


def _avenue(stage: _Stage) -> None:
    """Sky, houses with windows, pavement, bushes."""
    sky = pick(stage.rng, SKIES)
    stage.gradient(sky, tone(sky, 1.15))
    x = -stage.rng.uniform(0, 0.3) * stage.width
    while x < stage.width:
        width = stage.rng.uniform(0.25, 0.6) * stage.width
        stage.house(x, width)
        x += width
    stage.ground()
    for _ in range(stage.rng.integers(0, 3)):
        height = stage.rng.uniform(0.1, 0.5) * stage.height
        left = stage.rng.uniform(-0.1, 1.0) * stage.width
        stage.leaves(left, stage.floor - height, 0.3 * stage.width, height, 14)


def _park(stage: _Stage) -> None:
    """Sky, trees, lawn or sand."""
    sky = pick(stage.rng, SKIES)
    stage.gradient(sky, tone(sky, 1.2))
    for _ in range(stage.rng.integers(2, 5)):
        stage.tree()
    stage.ground()


_PLACES: dict[Style, tuple[Callable[[_Stage], None], ...]] = {
    "studio": (_backdrop, _room, _room),
    "street": (_avenue, _park),
}


def _dapple(picture: Image.Image, rng: np.random.Generator, strength: float) -> Image.Image:
    """Slow random changes of brightness."""
    cells = rng.integers(0, 256, rng.integers(3, 12, 2), dtype=np.uint8)
    mask = Image.fromarray(cells).resize(picture.size, Image.Resampling.BILINEAR)
    black = Image.new("RGB", picture.size)
    return Image.composite(picture, Image.blend(picture, black, strength), mask)


def paint_background(rng: np.random.Generator, style: Style, size: tuple[int, int], floor_y: float) -> Image.Image:
    """A background of `size` (width, height) whose floor begins somewhat above row `floor_y`, where the feet are."""
    shrink = rng.uniform(1.8, 3.4)
    small = (max(8, round(size[0] / shrink)), max(8, round(size[1] / shrink)))
    horizon = min(max(floor_y / size[1] - rng.uniform(0.03, 0.3), 0.2), 0.97)
    stage = _Stage(rng, small, int(small[1] * horizon))
    places = _PLACES[style]
    places[rng.integers(len(places))](stage)
    picture = _dapple(stage.picture, rng, rng.uniform(0.05, 0.35))
    picture = picture.filter(ImageFilter.BoxBlur(rng.uniform(0.5, 1.2)))
    return picture.resize(size, Image.Resampling.BILINEAR)
