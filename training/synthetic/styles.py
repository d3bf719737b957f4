"""The two styles of the generated pictures, different at a glance: studio and street."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .canvas import Light, rgb
from .outfit import Color

Style = Literal["studio", "street"]


@dataclass(frozen=True, kw_only=True)
class StyleSettings:
    """Settings of a style; shares are probabilities."""

    families: dict[str, float]  # pose families, and how often each is drawn
    facing: float  # share of people who are turned toward the camera
    fabrics: list[Color]
    patterned: float
    outdoor: float  # share of hats; jackets and backpacks follow it
    ambient: tuple[float, float, float]  # color of the shadows
    sun: tuple[float, float, float]  # color of the light
    occluded: float
    company: float  # share of pictures with another person
    cut_off: float  # share of people who are partly outside the picture
    noise: tuple[float, float]  # half-width of the sensor noise in gray levels
    shadow: float


STYLES: dict[Style, StyleSettings] = {
    "studio": StyleSettings(
        families={
            "standing": 0.4, "walking": 0.24, "sitting": 0.16, "balancing": 0.08, "low": 0.06, "jumping": 0.04,
            "free": 0.02,
        },
        facing=0.8,
        fabrics=[
            (226, 222, 214), (188, 204, 214), (222, 186, 172), (166, 186, 158), (120, 134, 158), (84, 92, 110),
            (206, 170, 118), (150, 116, 130), (70, 70, 78), (196, 96, 84), (104, 148, 152), (240, 214, 150),
        ],
        patterned=0.3,
        outdoor=0.08,
        ambient=(0.74, 0.72, 0.73),
        sun=(0.36, 0.36, 0.34),
        occluded=0.1,
        company=0.05,
        cut_off=0.05,
        noise=(1.0, 5.0),
        shadow=0.35,
    ),
    "street": StyleSettings(
        families={
            "standing": 0.35, "walking": 0.26, "running": 0.1, "sitting": 0.13, "low": 0.05, "jumping": 0.05,
            "balancing": 0.04, "lying": 0.01, "free": 0.01,
        },
        facing=0.75,
        fabrics=[
            (196, 44, 48), (34, 72, 130), (240, 190, 46), (32, 108, 84), (58, 60, 66), (236, 234, 228), (74, 112, 160),
            (212, 108, 40), (110, 58, 110), (122, 134, 92), (28, 32, 44), (160, 130, 96), (92, 160, 196),
        ],
        patterned=0.5,
        outdoor=0.4,
        ambient=(0.56, 0.6, 0.68),
        sun=(0.6, 0.56, 0.46),
        occluded=0.2,
        company=0.12,
        cut_off=0.08,
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
