"""Backgrounds, light and things in the way for the generated people, in two styles that look different at a glance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

from .synthetic_figure import rgb
from .synthetic_paint import OCCLUDER, Canvas, Light

Style = Literal["studio", "street"]
Colour = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class StyleSettings:
    """What distinguishes one style from the other; shares are probabilities."""

    fabrics: list[Colour]
    patterned: float
    outdoor: float  # share of hats; jackets and backpacks follow it
    ambient: tuple[float, float, float]  # colour of the shadows
    sun: tuple[float, float, float]  # colour of the light
    occluded: float
    company: float  # share of pictures with another person
    cut_off: float  # share of people who are partly outside the picture
    noise: tuple[float, float]  # half-width of the sensor noise in grey levels
    shadow: float


STYLES: dict[Style, StyleSettings] = {
    "studio": StyleSettings(
        fabrics=[
            (226, 222, 214), (188, 204, 214), (222, 186, 172), (166, 186, 158), (120, 134, 158), (84, 92, 110),
            (206, 170, 118), (150, 116, 130), (70, 70, 78), (196, 96, 84), (104, 148, 152), (240, 214, 150),
        ],
        patterned=0.3,
        outdoor=0.08,
        ambient=(0.74, 0.72, 0.73),
        sun=(0.36, 0.36, 0.34),
        occluded=0.2,
        company=0.05,
        cut_off=0.08,
        noise=(1.0, 5.0),
        shadow=0.35,
    ),
    "street": StyleSettings(
        fabrics=[
            (196, 44, 48), (34, 72, 130), (240, 190, 46), (32, 108, 84), (58, 60, 66), (236, 234, 228), (74, 112, 160),
            (212, 108, 40), (110, 58, 110), (122, 134, 92), (28, 32, 44), (160, 130, 96), (92, 160, 196),
        ],
        patterned=0.5,
        outdoor=0.4,
        ambient=(0.56, 0.6, 0.68),
        sun=(0.6, 0.56, 0.46),
        occluded=0.4,
        company=0.25,
        cut_off=0.18,
        noise=(2.0, 12.0),
        shadow=0.55,
    ),
}  # fmt: skip


def sample_light(rng: np.random.Generator, settings: StyleSettings) -> Light:
    """A light from above, left or right, on the camera's side."""
    direction = np.array([rng.uniform(-0.9, 0.9), -rng.uniform(0.4, 1.0), -rng.uniform(0.4, 0.9)])
    strength = rng.uniform(0.85, 1.1)
    warmth = rng.uniform(0.96, 1.04)
    tint = rgb(warmth, 1.0, 2 - warmth) * np.float32(strength)
    return Light(
        direction=(direction / np.linalg.norm(direction)).astype(np.float32),
        ambient=rgb(*settings.ambient) * tint,
        diffuse=rgb(*settings.sun) * tint,
    )


# Backgrounds are drawn with hard edges at a fraction of the size and enlarged: cheap, and out of focus as in a photo.


def _shade(colour: Colour, factor: float) -> Colour:
    red, green, blue = colour
    return min(int(red * factor), 255), min(int(green * factor), 255), min(int(blue * factor), 255)


def _gradient(size: tuple[int, int], top: Colour, bottom: Colour) -> Image.Image:
    column = np.linspace(top, bottom, max(size[1], 2)).astype(np.uint8)[:, None]  # (h, 1, 3)
    return Image.fromarray(column).resize(size)


def _cloudy(picture: Image.Image, rng: np.random.Generator, strength: float) -> Image.Image:
    """Slow random changes of brightness."""
    cells = rng.integers(0, 256, (rng.integers(3, 12), rng.integers(3, 12)), dtype=np.uint8)
    mask = Image.fromarray(cells).resize(picture.size, Image.Resampling.BICUBIC)
    dark = picture.point(lambda value: int(value * (1 - strength)))
    return Image.composite(picture, dark, mask)


def _pick(rng: np.random.Generator, colours: list[Colour]) -> Colour:
    return _shade(colours[rng.integers(len(colours))], rng.uniform(0.85, 1.12))


_WALLS = [
    (226, 220, 208),
    (206, 214, 216),
    (214, 200, 188),
    (190, 200, 184),
    (222, 206, 196),
    (176, 186, 198),
    (240, 234, 222),
]
_FLOORS = [(168, 132, 98), (190, 166, 138), (134, 122, 112), (206, 198, 186), (116, 90, 70), (150, 150, 148)]
_THINGS = [(150, 96, 70), (90, 110, 124), (180, 150, 96), (112, 124, 92), (196, 120, 96), (84, 74, 82), (210, 196, 170)]


def _backdrop(rng: np.random.Generator, size: tuple[int, int], floor: int) -> Image.Image:
    """Seamless paper with a soft turn to the floor."""
    wall = _pick(rng, _WALLS + _THINGS[:3])
    picture = _gradient(size, _shade(wall, rng.uniform(0.75, 1.0)), _shade(wall, rng.uniform(0.95, 1.15)))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, floor, *size), fill=_shade(wall, rng.uniform(0.8, 1.0)))
    return picture


def _room(rng: np.random.Generator, size: tuple[int, int], floor: int) -> Image.Image:
    """Wall, skirting board, floor, pictures, furniture."""
    width, height = size
    wall = _pick(rng, _WALLS)
    picture = _gradient(size, _shade(wall, 0.92), wall)
    draw = ImageDraw.Draw(picture)
    if rng.random() < 0.3:  # wallpaper
        step = int(rng.integers(3, 9))
        for x in range(0, width, 2 * step):
            draw.rectangle((x, 0, x + step - 1, floor), fill=_shade(wall, 0.9))
    for _ in range(rng.integers(0, 4)):  # frames and windows
        x, y = rng.uniform(-0.1, 0.9) * width, rng.uniform(0.0, 0.5) * floor
        w, h = rng.uniform(0.1, 0.35) * width, rng.uniform(0.15, 0.45) * floor
        draw.rectangle((x, y, x + w, y + h), fill=_pick(rng, _THINGS))
        draw.rectangle((x + 2, y + 2, x + w - 2, y + h - 2), fill=_pick(rng, [(200, 220, 232), *_WALLS]))
    ground = _pick(rng, _FLOORS)
    draw.rectangle((0, floor, width, height), fill=ground)
    centre = rng.uniform(0, width)
    for x in np.linspace(-width, 2 * width, 14) if rng.random() < 0.6 else ():  # boards
        draw.line((centre + (x - centre) * 0.7, floor, centre + (x - centre) * 1.6, height), fill=_shade(ground, 0.86))
    draw.rectangle((0, floor - 3, width, floor), fill=_shade(wall, 1.12))
    for _ in range(rng.integers(0, 4)):  # furniture
        x, w, h = rng.uniform(-0.1, 1.0) * width, rng.uniform(0.08, 0.35) * width, rng.uniform(0.08, 0.4) * height
        bottom = floor + rng.uniform(0, 0.06) * height
        colour = _pick(rng, _THINGS)
        draw.rounded_rectangle((x, bottom - h, x + w, bottom), radius=3, fill=colour)
        draw.rectangle((x + 2, bottom - h * 0.55, x + w - 2, bottom - h * 0.5), fill=_shade(colour, 0.8))
    return picture


_SKIES = [(150, 192, 230), (198, 214, 226), (228, 208, 186), (120, 168, 216), (186, 190, 198)]
_FACADES = [(176, 128, 104), (200, 184, 160), (140, 142, 148), (214, 196, 150), (120, 92, 84), (158, 170, 176)]
_GREENS = [(74, 112, 58), (98, 132, 64), (54, 88, 56), (124, 148, 76), (140, 130, 60)]
_GROUNDS = [(142, 140, 138), (118, 118, 122), (178, 168, 150), (106, 132, 72), (90, 92, 96), (196, 180, 150)]


def _leaves(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, box: tuple[float, float, float, float], count: int
) -> None:
    """A bush or crown: overlapping discs that get lighter towards the top."""
    colour = _pick(rng, _GREENS)
    x0, y0, x1, y1 = box
    spots = rng.random((count, 3))
    for u, v, w in spots[np.argsort(-spots[:, 1])].tolist():
        x, y, r = x0 + u * (x1 - x0), y0 + v * (y1 - y0), (0.1 + 0.14 * w) * min(x1 - x0, y1 - y0) + 1
        draw.ellipse((x - r, y - r, x + r, y + r), fill=_shade(colour, 1.25 - 0.55 * v + 0.1 * w))


def _avenue(rng: np.random.Generator, size: tuple[int, int], floor: int) -> Image.Image:
    """Sky, houses with windows, pavement."""
    width, height = size
    sky = _pick(rng, _SKIES)
    picture = _gradient(size, sky, _shade(sky, 1.15))
    draw = ImageDraw.Draw(picture)
    x = -rng.uniform(0, 0.3) * width
    while x < width:
        w, top = rng.uniform(0.25, 0.6) * width, rng.uniform(-0.3, 0.6) * floor
        facade = _pick(rng, _FACADES)
        draw.rectangle((x, top, x + w, floor), fill=facade)
        step = max(5, int(rng.uniform(0.08, 0.14) * height))
        glass = _shade(_pick(rng, [(70, 84, 100), (196, 208, 214), (90, 76, 66)]), 1.0)
        for wy in np.arange(top + step * 0.5, floor - step, step * 1.2):
            for wx in np.arange(x + step * 0.4, x + w - step * 0.6, step):
                draw.rectangle((wx, wy, wx + step * 0.5, wy + step * 0.7), fill=glass)
        x += w
    _ground(draw, rng, size, floor)
    for _ in range(rng.integers(0, 3)):
        x = rng.uniform(-0.1, 1.0) * width
        _leaves(draw, rng, (x, floor - rng.uniform(0.1, 0.5) * height, x + 0.3 * width, floor + 2), 14)
    return picture


def _park(rng: np.random.Generator, size: tuple[int, int], floor: int) -> Image.Image:
    """Sky, trees, lawn."""
    width, height = size
    sky = _pick(rng, _SKIES)
    picture = _gradient(size, sky, _shade(sky, 1.2))
    draw = ImageDraw.Draw(picture)
    for _ in range(rng.integers(2, 6)):
        x, top = rng.uniform(-0.2, 1.0) * width, rng.uniform(-0.1, 0.5) * floor
        w = rng.uniform(0.25, 0.5) * width
        draw.rectangle((x + 0.46 * w, top, x + 0.54 * w, floor), fill=_shade((96, 74, 56), rng.uniform(0.7, 1.2)))
        _leaves(draw, rng, (x, top, x + w, top + (floor - top) * rng.uniform(0.5, 1.0)), 22)
    _ground(draw, rng, size, floor)
    return picture


def _ground(draw: ImageDraw.ImageDraw, rng: np.random.Generator, size: tuple[int, int], floor: int) -> None:
    """Pavement, lawn or sand with a kerb, joints or tufts."""
    width, height = size
    ground = _pick(rng, _GROUNDS)
    draw.rectangle((0, floor, width, height), fill=ground)
    draw.rectangle((0, floor, width, floor + 1), fill=_shade(ground, 0.75))
    marks = rng.random((rng.integers(5, 40), 3))
    for u, v, w in marks.tolist():
        x, y = u * width, floor + v * v * (height - floor)
        draw.line((x, y, x + (w - 0.3) * 0.2 * width, y), fill=_shade(ground, 0.82 + 0.3 * w))


_BACKGROUNDS = {"studio": (_backdrop, _room, _room), "street": (_avenue, _park)}


def paint_background(rng: np.random.Generator, style: Style, size: tuple[int, int], floor_y: float) -> Image.Image:
    """A background of `size` (width, height) whose floor begins a little above `floor_y`, where the feet are."""
    blur = rng.uniform(1.8, 4.0)
    small = (max(8, round(size[0] / blur)), max(8, round(size[1] / blur)))
    floor = int(small[1] * np.clip(floor_y / size[1] - rng.uniform(0.03, 0.3), 0.2, 0.97))
    kinds = _BACKGROUNDS[style]
    picture = kinds[rng.integers(len(kinds))](rng, small, floor)
    picture = _cloudy(picture, rng, rng.uniform(0.05, 0.35))
    return picture.resize(size, Image.Resampling.BICUBIC)


# Things in front of the person. Boxes are (left, top, right, bottom) of the figure in pixels; each leaves most of it free.

Box = tuple[float, float, float, float]


def _post(canvas: Canvas, rng: np.random.Generator, box: Box) -> None:
    width = rng.uniform(0.06, 0.13) * (box[3] - box[1]) * 0.5
    x = rng.uniform(box[0], box[2])
    lean = rng.uniform(-0.04, 0.04) * canvas.height
    patch = canvas.tube((x, -20), (x + lean, canvas.height + 20), [width] * 4)
    if patch is not None:
        canvas.blend(patch, rgb(*_pick(rng, _THINGS + _FACADES)), owner=OCCLUDER)


def _crate(canvas: Canvas, rng: np.random.Generator, box: Box) -> None:
    """A box, wall or table in front of the legs."""
    top = box[3] - rng.uniform(0.12, 0.38) * (box[3] - box[1])
    left = rng.uniform(box[0] - 0.4 * (box[2] - box[0]), box[0] + 0.6 * (box[2] - box[0]))
    right = left + rng.uniform(0.5, 1.4) * (box[2] - box[0])
    colour = rgb(*_pick(rng, _THINGS + _FACADES))
    rim = max(2.0, 0.03 * (box[3] - box[1]))
    for y0, y1, shade in ((top + rim, canvas.height, 0.86), (top, top + rim, 1.06)):
        window = canvas.window((left + 1, y0 + 1), (right - 2, y1 - 2))
        if window is None:
            continue
        rows = np.linspace(1.04, 0.84, window[0].stop - window[0].start, dtype=np.float32)[:, None]
        canvas.rgb[(slice(None), *window)] = colour * canvas.light.ambient * 1.2 * np.float32(shade) * rows
        canvas.owner[window] = OCCLUDER


def _bush(canvas: Canvas, rng: np.random.Generator, box: Box) -> None:
    """Leaves that hang or grow in from one side."""
    span_x, span_y = box[2] - box[0], box[3] - box[1]
    side = rng.choice([-1.0, 1.0])
    middle = (box[0] + box[2]) / 2 + side * rng.uniform(0.4, 0.62) * span_x
    low, high = (0.5, 1.05) if rng.random() < 0.7 else (0.0, 0.5)
    colour = rgb(*_pick(rng, _GREENS))
    for shade in np.linspace(0.75, 1.15, rng.integers(8, 16)):
        centre = (middle + rng.normal(0, 0.14) * span_x, box[1] + rng.uniform(low, high) * span_y)
        angle, long = rng.uniform(0, np.pi), rng.uniform(0.05, 0.1) * span_y
        turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
        patch = canvas.ellipsoid(centre, turn, (long, 0.5 * long, 0.4 * long))
        if patch is not None:
            canvas.blend(patch, colour * np.float32(shade), owner=OCCLUDER)


def paint_occluder(canvas: Canvas, rng: np.random.Generator, box: Box) -> None:
    """A post, a crate or leaves in front of the figure."""
    (_post, _crate, _bush)[rng.integers(3)](canvas, rng, box)
