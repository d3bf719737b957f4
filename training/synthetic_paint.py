"""Anti-aliased, shaded primitives on a small float canvas, with a record of who owns each pixel.

Every shape is a distance field evaluated in its own window of the picture only, so a figure of thirty parts costs a few
milliseconds. Frame: image pixels, x right, y down, pixel centres at whole numbers; z grows away from the camera.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

# Radii of a tube are given at four equally spaced stations; this maps them to the coefficients of the cubic through them.
_CUBIC = np.linalg.inv(np.vander([0.0, 1 / 3, 2 / 3, 1.0], increasing=True)).astype(np.float32)

NOBODY = 0  # owner of the background's pixels
OTHER_PERSON = 100
OCCLUDER = 200


@dataclass(frozen=True, kw_only=True)
class Light:
    """One distant light and a flat surrounding glow."""

    direction: np.ndarray  # (3,) unit vector from the surface towards the light
    ambient: np.ndarray  # (3, 1, 1) share of a surface's colour that is seen without the light
    diffuse: np.ndarray  # (3, 1, 1) share added where the surface faces the light


@dataclass(kw_only=True)
class Patch:
    """A shape inside its window of the picture; all arrays are (h, w) or broadcast to it."""

    window: tuple[slice, slice]  # rows and columns of the picture
    coverage: np.ndarray  # 0 outside the shape, 1 inside, in between on the edge
    facing: np.ndarray  # cosine between the surface's normal and the light
    halo: np.ndarray  # 1 at the edge, falling to 0 a little outside it: the soft shadow on what lies behind
    along: np.ndarray | None = None  # tubes: position from the start (0) to the end (1)
    across: np.ndarray | None = None  # tubes: signed distance from the axis in pixels
    local: np.ndarray | None = None  # ellipsoids: (3, h, w) point on the unit sphere in the body's own axes


class Canvas:
    """A picture being painted: `rgb` (3, height, width) float32 in 0..255 and `owner` (height, width) uint8."""

    def __init__(self, *, background: Image.Image, light: Light) -> None:
        self.light = light
        self.rgb = np.ascontiguousarray(np.asarray(background, dtype=np.float32).transpose(2, 0, 1))  # (3, h, w)
        self.height, self.width = self.rgb.shape[1:]
        self.owner = np.zeros((self.height, self.width), dtype=np.uint8)

    def window(self, low: np.ndarray, high: np.ndarray) -> tuple[slice, slice] | None:
        """Rows and columns between two corners (x, y), cut to the picture; None if nothing is left."""
        x0, y0 = max(int(low[0]) - 1, 0), max(int(low[1]) - 1, 0)
        x1, y1 = min(int(high[0]) + 2, self.width), min(int(high[1]) + 2, self.height)
        return (slice(y0, y1), slice(x0, x1)) if x0 < x1 and y0 < y1 else None

    def blend(self, patch: Patch, colour: np.ndarray, *, owner: int, coverage: np.ndarray | None = None) -> None:
        """Paint `colour` (3, 1, 1) or (3, h, w), lit by the canvas's light, where `coverage` (default: the patch's) says."""
        coverage = patch.coverage if coverage is None else coverage
        lit = colour * (self.light.ambient + self.light.diffuse * patch.facing)  # (3, h, w)
        under = self.rgb[(slice(None), *patch.window)]
        lit -= under
        lit *= coverage
        under += lit
        self.owner[patch.window][coverage > 0.5] = owner

    def darken(self, patch: Patch, amount: float) -> None:
        """Soft shadow of a part on the parts behind it; the background is left alone."""
        shade = patch.halo * (self.owner[patch.window] > 0)
        self.rgb[(slice(None), *patch.window)] *= 1 - amount * shade

    def tube(self, start, end, radii, *, caps: tuple[float, float] = (1.0, 1.0)) -> Patch | None:
        """A round limb from `start` to `end` (x, y).

        Args:
            radii: four half-widths in pixels at equal steps from start to end.
            caps: height of the rounded ends relative to their half-width.
        """
        (ax, ay), (bx, by) = (float(start[0]), float(start[1])), (float(end[0]), float(end[1]))
        radii = np.asarray(radii, dtype=np.float32)
        reach = float(radii.max()) * 1.3 + 1
        window = self.window((min(ax, bx) - reach, min(ay, by) - reach), (max(ax, bx) + reach, max(ay, by) + reach))
        if window is None:
            return None
        length = float(np.hypot(bx - ax, by - ay))
        ux, uy = ((bx - ax) / length, (by - ay) / length) if length > 1e-3 else (0.0, 1.0)
        length = max(length, 1e-3)
        dx = np.arange(window[1].start, window[1].stop, dtype=np.float32) - np.float32(ax)
        dy = (np.arange(window[0].start, window[0].stop, dtype=np.float32) - np.float32(ay))[:, None]
        across = dy * ux - dx * uy  # (h, w)
        distance_along = dx * ux + dy * uy
        inside = np.clip(distance_along, 0, length)
        over = distance_along - inside
        if caps != (1.0, 1.0):
            over *= np.where(over < 0, np.float32(1 / caps[0]), np.float32(1 / caps[1]))
        along = inside * np.float32(1 / length)
        c = _CUBIC @ radii
        radius = ((c[3] * along + c[2]) * along + c[1]) * along + c[0]
        inverse = 1 / np.maximum(radius, 0.1)
        u = across * inverse
        v = over * inverse
        squared = u * u
        squared += v * v
        edge = radius - np.sqrt(squared) * radius  # signed distance, positive inside
        lx, ly, lz = self.light.direction.tolist()
        # The start is shaded as if the limb went on, so that joints do not look like balls.
        facing = u * (lx * -uy + ly * ux) + np.maximum(v, 0) * (lx * ux + ly * uy)
        facing -= np.sqrt(np.maximum(1 - squared, 0)) * lz
        coverage = (edge + 0.5).clip(0, 1)
        halo = np.clip(1 + edge * np.float32(3 / (radii.max() + 1)), 0, 1) * np.minimum(2 * along, 1)
        return Patch(window=window, coverage=coverage, facing=facing, halo=halo, along=along, across=across)

    def ellipsoid(self, centre, axes: np.ndarray, radii, *, surface: bool = False) -> Patch | None:
        """An ellipsoid seen from the front.

        Args:
            centre: (x, y) in pixels.
            axes: (3, 3) rotation whose columns are the body's own axes.
            radii: three half-axes in pixels.
            surface: also compute `local`, where on the body each pixel lies.
        """
        radii = np.asarray(radii, dtype=np.float32)
        axes = np.asarray(axes, dtype=np.float32)
        half = np.sqrt(((axes[:2] * radii) ** 2).sum(axis=1)) * 1.2 + 1
        window = self.window((centre[0] - half[0], centre[1] - half[1]), (centre[0] + half[0], centre[1] + half[1]))
        if window is None:
            return None
        # Points of the surface satisfy p' A p = 1. Solve for the z nearer to the camera at each pixel.
        form = (axes / radii**2) @ axes.T
        (a, b, d), (_, e, f), (_, _, g) = form.tolist()
        dx = np.arange(window[1].start, window[1].stop, dtype=np.float32) - np.float32(centre[0])
        dy = (np.arange(window[0].start, window[0].stop, dtype=np.float32) - np.float32(centre[1]))[:, None]
        slope = d * dx + f * dy  # (h, w)
        root = slope * slope - g * ((a * dx + 2 * b * dy) * dx + (e * dy * dy - 1))
        level = np.sqrt(np.maximum(1 - root * (1 / g), 0))  # 0 at the centre, 1 on the outline
        scale = float(min(half) - 1) / 1.2
        edge = (1 - level) * scale
        z = (-slope - np.sqrt(np.maximum(root, 0))) * (1 / g)
        normal_x, normal_y, normal_z = a * dx + b * dy + d * z, b * dx + e * dy + f * z, slope + g * z
        lx, ly, lz = self.light.direction.tolist()
        facing = (normal_x * lx + normal_y * ly + normal_z * lz) / np.sqrt(
            normal_x * normal_x + normal_y * normal_y + normal_z * normal_z + 1e-9
        )
        local = None
        if surface:
            to_local = (axes / radii).T
            local = to_local[:, 0, None, None] * dx + to_local[:, 1, None, None] * dy + to_local[:, 2, None, None] * z
        coverage = (edge + 0.5).clip(0, 1)
        halo = np.clip(1 + edge * np.float32(3 / scale), 0, 1)
        return Patch(window=window, coverage=coverage, facing=facing, halo=halo, local=local)

    def shadow(self, centre, half_axes, strength: float) -> None:
        """A soft dark ellipse on the ground."""
        reach = (1.8 * half_axes[0], 1.8 * half_axes[1])
        window = self.window((centre[0] - reach[0], centre[1] - reach[1]), (centre[0] + reach[0], centre[1] + reach[1]))
        if window is None:
            return
        dx = (np.arange(window[1].start, window[1].stop, dtype=np.float32) - centre[0]) / half_axes[0]
        dy = ((np.arange(window[0].start, window[0].stop, dtype=np.float32) - centre[1]) / half_axes[1])[:, None]
        fall = np.maximum(1 - (dx * dx + dy * dy) / 3.2, 0)
        self.rgb[(slice(None), *window)] *= 1 - strength * fall * fall

    def picture(self, *, noise: float, rng: np.random.Generator) -> Image.Image:
        """The finished picture with sensor noise of the given half-width in grey levels."""
        pixels = np.frombuffer(rng.bytes(self.rgb.size), dtype=np.uint8).reshape(self.rgb.shape).astype(np.float32)
        pixels *= 2 * noise / 255
        pixels += self.rgb
        pixels += 0.5 - noise
        np.clip(pixels, 0, 255, out=pixels)
        return Image.fromarray(np.ascontiguousarray(pixels.astype(np.uint8).transpose(1, 2, 0)))
