"""Anti-aliased, shaded shapes on a small float canvas, with a record of who owns each pixel.

Every shape is a distance field evaluated in its own window of the picture only, in few array operations, so that a
figure of thirty parts costs a few milliseconds. Frame: image pixels, x right, y down, pixel centers at whole numbers;
z grows away from the camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

NOBODY = 0  # owner of the background's pixels; numbers below OTHER_PERSON are parts of the annotated person
OTHER_PERSON = 100
OCCLUDER = 200

Window = tuple[slice, slice]
Point = Sequence[float] | np.ndarray

# A tube's half-widths are given at four equal steps; this maps them to the coefficients of the cubic through them.
_CUBIC = np.linalg.inv(np.vander([0.0, 1 / 3, 2 / 3, 1.0], increasing=True)).astype(np.float32)


def rgb(*values: float) -> np.ndarray:
    """A color as (3, 1, 1) float32."""
    return np.array(values, dtype=np.float32).reshape(3, 1, 1)


def step(pixels: np.ndarray) -> np.ndarray:
    """Anti-aliased step: 0 for `pixels` <= -0.5, 1 for >= 0.5; `pixels` is a signed distance to an edge."""
    return _clip01(pixels + 0.5)


def _clip01(values: np.ndarray) -> np.ndarray:
    """Clip a temporary array in place; several times cheaper than numpy.clip on small windows."""
    np.maximum(values, 0, out=values)
    return np.minimum(values, 1, out=values)


def _grid(window: Window, x: float, y: float) -> tuple[np.ndarray, np.ndarray]:
    """Offsets from (x, y) of a window's columns, (w,), and rows, (h, 1)."""
    dx = np.arange(window[1].start, window[1].stop, dtype=np.float32) - np.float32(x)
    dy = np.arange(window[0].start, window[0].stop, dtype=np.float32) - np.float32(y)
    return dx, dy[:, None]


@dataclass(frozen=True, kw_only=True)
class Light:
    """One distant light and a flat glow from all around."""

    direction: np.ndarray  # (3,) unit vector from a surface toward the light
    ambient: np.ndarray  # (3, 1, 1) share of a surface's color that is seen without the light
    diffuse: np.ndarray  # (3, 1, 1) share added where the surface faces the light


@dataclass(kw_only=True)
class Patch:
    """A shape inside its window of the picture; arrays are (h, w)."""

    window: Window  # rows and columns of the picture
    edge: np.ndarray  # signed distance to the outline in pixels, positive inside
    facing: np.ndarray  # cosine between the surface's normal and the light
    thickness: float  # largest half-width in pixels


@dataclass(kw_only=True)
class Tube(Patch):
    """A round limb."""

    along: np.ndarray  # from the start (0) to the end (1)
    across: np.ndarray  # signed distance from the axis in pixels


@dataclass(kw_only=True)
class Ball(Patch):
    """An ellipsoid."""

    offsets: tuple[np.ndarray, np.ndarray, np.ndarray]  # x (w,), y (h, 1), z (h, w) of the surface from the center
    to_local: np.ndarray  # (3, 3) from offsets to the unit sphere in the body's own axes

    def surface(self) -> np.ndarray:
        """Where on the body each pixel lies: (3, h, w) points of the unit sphere in the body's own axes."""
        dx, dy, z = self.offsets
        points = np.empty((3, *z.shape), dtype=np.float32)
        for row, (kx, ky, kz) in zip(points, self.to_local.tolist(), strict=True):
            np.multiply(z, kz, out=row)
            row += kx * dx + ky * dy
        return points


class Canvas:
    """A picture being painted: `rgb` (3, height, width) float32 in 0..255 and `owner` (height, width) uint8."""

    def __init__(self, *, background: Image.Image, light: Light) -> None:
        self.light = light
        self.rgb = np.array([np.asarray(band) for band in background.split()], dtype=np.float32)
        self.height, self.width = self.rgb.shape[1:]
        self.owner = np.full((self.height, self.width), NOBODY, dtype=np.uint8)

    def window(self, x0: float, y0: float, x1: float, y1: float) -> Window | None:
        """Rows and columns that hold a box, cut to the picture; None if nothing is left."""
        left, top = max(int(x0) - 1, 0), max(int(y0) - 1, 0)
        right, bottom = min(int(x1) + 2, self.width), min(int(y1) + 2, self.height)
        return (slice(top, bottom), slice(left, right)) if left < right and top < bottom else None

    def blend(self, patch: Patch, color: np.ndarray, *, owner: int, mask: np.ndarray | None = None) -> None:
        """Paint `color`, (3, 1, 1) or (3, h, w), lit by the canvas's light, on the shape times `mask` (h, w)."""
        coverage = step(patch.edge)
        if mask is not None:
            coverage *= mask
        lit = (color * self.light.diffuse) * patch.facing  # (3, h, w)
        lit += color * self.light.ambient
        under = self.rgb[:, patch.window[0], patch.window[1]]
        lit -= under
        lit *= coverage
        under += lit
        np.copyto(self.owner[patch.window], np.uint8(owner), where=coverage > 0.5)

    def darken(self, patch: Patch, amount: float) -> None:
        """Soft shadow of a shape on the figures behind it, none at the joints of a tube; the background stays."""
        behind = self.owner[patch.window] > 0
        if not behind.any():
            return
        shade = patch.edge * (3 * amount / (patch.thickness + 1))
        shade += amount
        np.maximum(shade, 0, out=shade)
        np.minimum(shade, amount, out=shade)
        if isinstance(patch, Tube):
            shade *= patch.along * (4 - 4 * patch.along)
        shade *= behind
        np.subtract(1, shade, out=shade)
        self.rgb[:, patch.window[0], patch.window[1]] *= shade

    def tube(self, start: Point, end: Point, radii: Point, *, caps: tuple[float, float] = (1.0, 1.0)) -> Tube | None:
        """A round limb; None outside the picture.

        Args:
            start: (x, y, ...) in pixels of its first end.
            end: (x, y, ...) of its other end.
            radii: Four half-widths in pixels at equal steps from start to end.
            caps: Height of the rounded ends relative to their half-width.
        """
        (ax, ay), (bx, by) = (float(start[0]), float(start[1])), (float(end[0]), float(end[1]))
        thickness = float(max(radii))
        reach = thickness * 1.3 + 1
        window = self.window(min(ax, bx) - reach, min(ay, by) - reach, max(ax, bx) + reach, max(ay, by) + reach)
        if window is None:
            return None
        length = max(float(np.hypot(bx - ax, by - ay)), 1e-3)
        ux, uy = (bx - ax) / length, (by - ay) / length
        dx, dy = _grid(window, ax, ay)
        across = dy * ux - dx * uy  # (h, w)
        over = dx * ux + dy * uy  # becomes the distance beyond either end
        along = np.minimum(np.maximum(over, 0), length)
        over -= along
        along *= 1 / length
        if caps != (1.0, 1.0):
            over *= np.where(over < 0, np.float32(1 / caps[0]), np.float32(1 / caps[1]))
        radius = _half_width(along, _CUBIC @ np.asarray(radii, dtype=np.float32))
        u, v = across / radius, over / radius
        squared = u * u + v * v
        edge = radius - radius * np.sqrt(squared)
        facing = self._tube_facing(u, v, squared, ux, uy)
        return Tube(window=window, edge=edge, facing=facing, thickness=thickness, along=along, across=across)

    def _tube_facing(self, u: np.ndarray, v: np.ndarray, squared: np.ndarray, ux: float, uy: float) -> np.ndarray:
        """Shading of a tube; its start is lit as if it went on, so that joints do not look like balls."""
        lx, ly, lz = self.light.direction.tolist()
        facing = u * (ly * ux - lx * uy)
        facing += np.maximum(v, 0) * (lx * ux + ly * uy)
        facing += squared * lz  # a parabola in place of the circle's root: as round to the eye, and cheaper
        facing -= lz
        return facing

    def ellipsoid(self, center: Point, axes: np.ndarray, radii: Point) -> Ball | None:
        """An ellipsoid seen from the front; None outside the picture.

        Args:
            center: (x, y, ...) in pixels.
            axes: (3, 3) rotation whose columns are the body's own axes in the camera's frame.
            radii: Three half-axes in pixels.
        """
        scaled = np.asarray(axes) * radii  # columns: half-axes in the camera's frame
        half_x, half_y, _ = np.sqrt((scaled * scaled) @ np.ones(3)).tolist()
        x, y = float(center[0]), float(center[1])
        reach_x, reach_y = half_x * 1.15 + 1, half_y * 1.15 + 1
        window = self.window(x - reach_x, y - reach_y, x + reach_x, y + reach_y)
        if window is None:
            return None
        to_local = (np.asarray(axes) / radii).T  # camera offset to the unit sphere
        # Points p of the surface satisfy p' F p = 1: at each pixel solve for the z nearer to the camera.
        (a, b, d), (_, e, f), (_, _, g) = (to_local.T @ to_local).tolist()
        dx, dy = _grid(window, x, y)
        slope = d * dx + f * dy  # (h, w)
        root = slope * slope
        root -= (2 * b * g) * dx * dy + ((a * g) * dx * dx + ((e * g) * dy * dy - g))
        thickness = min(half_x, half_y)
        edge = np.sqrt(np.maximum(1 - root / g, 0))  # 0 at the center, 1 on the outline
        edge = thickness - thickness * edge
        z = np.sqrt(np.maximum(root, 0))
        z += slope
        z *= -1 / g
        lx, ly, lz = (self.light.direction @ axes @ to_local).tolist()  # light on the unit sphere's normals
        facing = z * lz
        facing += lx * dx + ly * dy
        return Ball(
            window=window, edge=edge, facing=facing, thickness=thickness, offsets=(dx, dy, z), to_local=to_local
        )

    def shadow(self, center_x: float, center_y: float, half_x: float, half_y: float, strength: float) -> None:
        """A soft dark ellipse on the ground."""
        window = self.window(
            center_x - 1.8 * half_x, center_y - 1.8 * half_y, center_x + 1.8 * half_x, center_y + 1.8 * half_y
        )
        if window is None:
            return
        dx, dy = _grid(window, center_x, center_y)
        fall = np.maximum(1 - ((dx / (1.8 * half_x)) ** 2 + (dy / (1.8 * half_y)) ** 2), 0)
        self.rgb[:, window[0], window[1]] *= 1 - strength * fall * fall

    def picture(self, *, noise: float, rng: np.random.Generator) -> Image.Image:
        """The finished picture with sensor noise of the given half-width in gray levels."""
        grain = np.frombuffer(rng.bytes(self.owner.size), dtype=np.uint8).reshape(self.owner.shape)
        self.rgb += grain * np.float32(2 * noise / 255) + np.float32(0.5 - noise)
        np.maximum(self.rgb, 0, out=self.rgb)
        np.minimum(self.rgb, 255, out=self.rgb)
        return Image.merge("RGB", [Image.fromarray(plane) for plane in self.rgb.astype(np.uint8)])


def _half_width(along: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Cubic profile of a tube, never thinner than a tenth of a pixel."""
    c0, c1, c2, c3 = coefficients
    radius = along * c3
    radius += c2
    radius *= along
    radius += c1
    radius *= along
    radius += c0
    return np.maximum(radius, np.float32(0.1), out=radius)
