"""What the colors of drawn poses mean."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vitpose.modeling.keypoint_schemas import KeypointSchema
from vitpose.modeling.keypoint_sides import Side, keypoint_sides

from .drawing import FAINT, SHEET_COLOR
from .drawing_strokes import OUTLINE_COLOR, SIDE_COLORS, Color, Stroke, draw_strokes

SIDE_NAMES: dict[Side, str] = {"left": "the person's left", "right": "the person's right", "center": "middle"}


def legend_entries(schema: KeypointSchema) -> list[tuple[str, Color, int]]:
    """Each color that people of a schema are drawn in: what it means, red, green and blue, and its alpha.

    The last one is a keypoint of low score.
    """
    present = set(keypoint_sides(schema.keypoints))
    entries = [(text, SIDE_COLORS[side], 255) for side, text in SIDE_NAMES.items() if side in present]
    return [*entries, ("low score", entries[0][1], FAINT)]


def draw_legend(schema: KeypointSchema, *, font_size: int = 16) -> Image.Image:
    """Draw what the colors of [`draw_poses`] mean, in one line: the sides of the keypoints, and how low scores fade.

    Args:
        schema: The keypoints of the people who are drawn.
        font_size: In pixels.

    Returns:
        An RGB image, twice as high as the font.
    """
    font, line, gap = ImageFont.load_default(font_size), 2 * font_size, round(0.7 * font_size)
    entries = legend_entries(schema)
    widths = [line + gap + math.ceil(font.getlength(text)) for text, *_ in entries]
    canvas = Image.new("RGB", (sum(widths) + 3 * gap * (len(entries) - 1) + 4 * gap, 2 * font_size), SHEET_COLOR)
    pen, left, middle = ImageDraw.Draw(canvas), 2 * gap, font_size - 0.5
    for (text, color, opacity), width in zip(entries, widths, strict=True):
        start, stop = np.array([[left, middle], [left + line, middle]])
        joints = [Stroke(end, end, 0.3 * font_size, color, opacity, core=0.15 * font_size) for end in (start, stop)]
        draw_strokes(canvas, [Stroke(start, stop, 0.2 * font_size, color, opacity), *joints])
        pen.text((left + line + gap, middle), text, fill=OUTLINE_COLOR, font=font, anchor="lm")
        left += width + 3 * gap
    return canvas
