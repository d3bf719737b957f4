"""Pictures of poses: skeletons over a photo, and sheets of several photos."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vitpose.base.names import unknown_name
from vitpose.modeling.keypoint_schemas import KeypointSchema

from .drawing_strokes import BOX_COLOR, CORE_COLOR, OUTLINE_COLOR, Color, box_strokes, draw_strokes, skeleton_strokes
from .images_vitpose import to_rgb_photo
from .openpose_drawing import paint_openpose
from .people_forms_vitpose import CONFIDENCE_THRESHOLD
from .people_vitpose import People

DrawingStyle = Literal["overlay", "openpose"]
ColorBy = Literal["side", "person"]
# Of people told apart by color: neighbors in the list differ most.
PERSON_COLORS: tuple[Color, ...] = (
    *((56, 182, 255), (255, 136, 40), (178, 240, 92), (255, 92, 168), (255, 221, 64)),
    *((148, 122, 255), (64, 224, 190), (255, 99, 84), (214, 164, 255), (190, 170, 120)),
)
SHEET_COLOR: Color = (250, 250, 248)
OPAQUE_SCORE = 0.7  # drawn without transparency from here on
FAINT = 150  # alpha of the least score that is drawn


def draw_poses(
    image: Image.Image,
    people: People | Sequence[Mapping[str, Any]],
    schema: KeypointSchema | None = None,
    *,
    min_score: float = CONFIDENCE_THRESHOLD,
    boxes: bool = False,
    ids: bool | None = None,
    scores: bool = False,
    color_by: ColorBy = "side",
    style: DrawingStyle = "overlay",
) -> Image.Image:
    """Draw the skeletons of people over a photo; the photo itself stays unchanged.

    Left limbs are blue, right limbs orange (the person's own left and right, read from the keypoint names), the rest
    green; [`draw_legend`] shows what the colors mean. Strokes grow with the person and fade with the score, and faces
    stay readable. The style `"openpose"` draws on black instead, in the
    colors, order and sizes that image generators steered by ControlNet were trained on.

    Args:
        image: Photo in any mode; turned upright where its EXIF data says so, as the keypoints are.
        people: What was found in the photo: [`People`], what the pipeline `keypoint-detection` returns, or the dicts of
            `post_process_pose_estimation`.
        schema: Names and edges of the K keypoints, for dicts, which do not have them.
        min_score: Keypoints below it, and their edges, are not drawn; nor are those that score 0.
        boxes: Draw each person's box as well.
        ids: Write each person's track id above them, or their number from 0 where people are not tracked; None writes
            track ids alone.
        scores: Write each person's score above them, as in COCO's results.
        color_by: `"side"`, or `"person"` for one color each, the same for a track id all through a video.
        style: `"overlay"` draws over the photo, `"openpose"` on black of its size, where only people with arms and legs
            can be drawn; whole-body keypoints give hands and faces too. It has no boxes, texts or other colors.

    Returns:
        A new RGB image of the same size, upright.

    Raises:
        ValueError: The people do not have the schema's keypoints, something to be drawn is not finite, or the style
            does not exist or cannot draw them.
    """
    if not isinstance(image, Image.Image):
        raise TypeError(f"image must be a PIL image, got {type(image).__name__}; use PIL.Image.fromarray for arrays.")
    canvas = to_rgb_photo(image)  # a copy
    drawn = people if isinstance(people, People) else _as_people(people, schema)
    paint_people(
        canvas, drawn, min_score=min_score, boxes=boxes, ids=ids, scores=scores, color_by=color_by, style=style
    )
    return canvas


def paint_people(
    canvas: Image.Image,
    people: People,
    *,
    min_score: float = CONFIDENCE_THRESHOLD,
    boxes: bool = False,
    ids: bool | None = None,
    scores: bool = False,
    color_by: ColorBy = "side",
    style: DrawingStyle = "overlay",
) -> None:
    """Draw as [`draw_poses`] does, into the picture itself, which is RGB."""
    if style not in get_args(DrawingStyle):
        raise ValueError(unknown_name("style", style, get_args(DrawingStyle)))
    if color_by not in get_args(ColorBy):
        raise ValueError(unknown_name("color_by", color_by, get_args(ColorBy)))
    keypoints, point_scores = people.keypoints_xy.double().numpy(), people.scores.double().numpy()
    shown = (point_scores >= min_score) & (point_scores > 0)  # (N, K)
    invalid = np.isnan(point_scores).any(1) | (shown & ~np.isfinite(keypoints).all(2)).any(1)
    if invalid.any():
        raise ValueError(
            f"person {invalid.argmax()}: scores and the keypoints to draw must be finite, got NaN or infinite."
        )
    if style == "overlay":
        colors = _person_colors(people) if color_by == "person" else [None] * len(people)
        sureness = np.clip((point_scores - min_score) / max(OPAQUE_SCORE - min_score, 1e-6), 0, 1)  # (N, K)
        opacity = np.round(FAINT + (255 - FAINT) * sureness).astype(int)
        _paint_skeletons(canvas, people, shown=shown, opacity=opacity, colors=colors, boxes=boxes)
        _write_labels(canvas, people, _labels(people, ids=ids, scores=scores))
    elif boxes or ids or scores or color_by != "side":
        raise ValueError(
            "OpenPose's style has no boxes, ids, scores or other colors: leave boxes, ids, scores and color_by out."
        )
    else:
        paint_openpose(canvas, people, min_score=min_score)


def _person_colors(people: People) -> list[Color | None]:
    numbers = range(len(people)) if people.track_ids is None else people.track_ids.tolist()
    return [PERSON_COLORS[number % len(PERSON_COLORS)] for number in numbers]


def _paint_skeletons(
    canvas: Image.Image,
    people: People,
    *,
    shown: np.ndarray,
    opacity: np.ndarray,
    colors: Sequence[Color | None],
    boxes: bool,
) -> None:
    """Draw the keypoints that are shown `(N, K)` with their alpha `(N, K)`, and the boxes."""
    keypoints, diagonal = people.keypoints_xy.double().numpy(), math.hypot(*canvas.size)
    for number, (box, color) in enumerate(zip(people.boxes_xywh.tolist(), colors, strict=True)):
        if boxes:
            draw_strokes(canvas, box_strokes(*box, diagonal=diagonal, color=color or BOX_COLOR))
        if shown[number].any():
            skeleton = skeleton_strokes(
                keypoints[number],
                shown[number],
                opacity[number],
                people.schema,
                max_thickness=0.012 * diagonal + 1.2,
                color=color,
            )
            draw_strokes(canvas, skeleton)


def _labels(people: People, *, ids: bool | None, scores: bool) -> list[str]:
    """The text above each person; empty where there is none."""
    parts: list[list[str]] = []
    if people.track_ids is not None and ids is not False:
        parts.append([str(track_id) for track_id in people.track_ids.tolist()])
    elif ids:
        parts.append([str(number) for number in range(len(people))])
    if scores:
        parts.append([f"{score:.2f}" for score in people.person_scores.tolist()])
    return ["  ".join(words) for words in zip(*parts, strict=True)] if parts else [""] * len(people)


def _write_labels(canvas: Image.Image, people: People, labels: Sequence[str]) -> None:
    """Write a text above each person's box, inside the picture."""
    pen, size = ImageDraw.Draw(canvas), max(12, round(0.03 * min(canvas.size)))
    font = ImageFont.load_default(size)
    for text, (left, top, width, _) in zip(labels, people.boxes_xywh.tolist(), strict=True):
        if not text:
            continue
        margin = max(size, font.getlength(text) / 2 + size / 4)
        place = min(max(left + width / 2, margin), max(canvas.width - margin, margin)), max(top - size / 4, 1.2 * size)
        pen.text(
            *(place, text, CORE_COLOR, font),
            anchor="mb",  # the middle of its lower edge
            stroke_width=max(1, size // 8),
            stroke_fill=OUTLINE_COLOR,
        )


def _as_people(people: Sequence[Mapping[str, Any]], schema: KeypointSchema | None) -> People:
    """People from dicts of the pipeline or of post-processing."""
    if schema is None:
        raise TypeError("draw_poses needs the schema of people that are given as dicts: pass the pipeline's `schema`.")
    if not people or "box" in people[0]:
        return People.from_dicts(people, schema)
    return People.from_tensors(people, schema)


def contact_sheet(
    images: Sequence[Image.Image],
    *,
    columns: int,
    captions: Sequence[str] | None = None,
    tile: tuple[int, int] = (256, 192),
    gap: int = 8,
) -> Image.Image:
    """Images in rows of equal tiles, each fitted into its tile and centered, with a caption below.

    Args:
        images: one or more images of any size.
        columns: tiles in a row; a sheet of fewer images is narrower.
        captions: one line for each image; None leaves no room for them.
        tile: (height, width) of a tile in pixels, without its caption.
        gap: pixels between tiles and around the sheet.
    """
    if not images or columns < 1:
        raise ValueError(f"a sheet needs images and at least one column, got {len(images)} images, {columns} columns.")
    if captions is not None and len(captions) != len(images):
        raise ValueError(f"expected one caption an image, got {len(captions)} for {len(images)} images.")
    height, width = tile
    font_size = max(11, height // 18)
    font = ImageFont.load_default(font_size)
    caption_height = 0 if captions is None else round(1.6 * font_size)
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    row_height, column_width = height + caption_height + gap, width + gap
    sheet = Image.new("RGB", (columns * column_width + gap, rows * row_height + gap), SHEET_COLOR)
    pen = ImageDraw.Draw(sheet)
    for number, image in enumerate(images):
        top, left = gap + number // columns * row_height, gap + number % columns * column_width
        fitted = _fitted(image, tile)
        sheet.paste(fitted, (left + (width - fitted.width) // 2, top + (height - fitted.height) // 2))
        if captions is not None:
            middle = (left + width / 2, top + height + caption_height / 2)
            pen.text(middle, captions[number], fill=OUTLINE_COLOR, font=font, anchor="mm")
    return sheet


def _fitted(image: Image.Image, tile: tuple[int, int]) -> Image.Image:
    scale = min(tile[0] / image.height, tile[1] / image.width)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return to_rgb_photo(image).resize(size, Image.Resampling.LANCZOS)
