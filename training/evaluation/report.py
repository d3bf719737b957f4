"""The picture of an evaluation: precision by threshold, types of error by keypoint, and the worst people."""

import io
import os
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from vitpose.base.files import whole_file
from vitpose.processing.drawing import SHEET_COLOR

from ..metrics.error_types import ERROR_TYPES
from ..pictures.curves import INK, style_axes
from ..pictures.sheets import predictions_sheet
from ..samples.crops import read_image
from .analysis import Curve, EvaluationAnalysis
from .evaluator import Evaluator

ERROR_COLOURS = ("#b9d8ae", "#ffd479", "#c77fd6", "#5aa0e0", "#d9534f")  # good, jitter, inversion, swap, miss
CURVE_COLOUR = "#1f6fd0"
MOST_BARS = 34  # of a schema with more keypoints the worst are drawn
DPI = 120
GALLERY_COLUMNS = 4
WORST_PEOPLE = 8
UNSURE = 0.05  # the worst are often those that the model itself is unsure of: they are shown, faint


def save_report(
    png_path: str | os.PathLike[str], evaluator: Evaluator, analysis: EvaluationAnalysis, *, title: str
) -> None:
    """Draw the report.

    Args:
        png_path: Picture to write.
        evaluator: Has the photos.
        analysis: What is drawn.
        title: What was evaluated on what, in words.
    """
    gallery = _gallery(evaluator, analysis) if analysis.worst else None
    charts = _charts(analysis, title=title, width=1984 if gallery is None else max(gallery.width, 1400))
    parts = [charts] if gallery is None else [charts, gallery]
    size = max(part.width for part in parts), sum(part.height for part in parts)
    picture, top = Image.new("RGB", size, SHEET_COLOR), 0
    for part in parts:
        picture.paste(part, (0, top))
        top += part.height
    with whole_file(png_path) as path:
        picture.save(path)


def _charts(analysis: EvaluationAnalysis, *, title: str, width: int) -> Image.Image:
    """The charts as a picture of a width in pixels."""
    names = _shown_keypoints(analysis.by_keypoint)
    height = max(560, 150 + 22 * len(names))
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, layout="constrained", facecolor=_hex(SHEET_COLOR))
    figure.suptitle(title, x=0.01, ha="left", fontsize=13, color=INK)
    if analysis.errors is None:
        curve, by_keypoint = figure.subplots(1, 2)
    else:
        curve, by_keypoint, errors = figure.subplots(1, 3, width_ratios=(1, 0.8, 1.3))
        _draw_errors(errors, analysis, names)
    _draw_curve(curve, analysis.curve)
    _draw_by_keypoint(by_keypoint, analysis, names)
    if analysis.worst:
        figure.text(0.01, 0.005, "The worst, annotated and predicted", fontsize=11, color=INK)
        figure.set_layout_engine("constrained", rect=(0, 0.06, 1, 0.94))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return Image.open(buffer).convert("RGB")


def _draw_curve(axes: Axes, curve: Curve) -> None:
    known = [(x, y) for x, y in zip(curve.x, curve.y, strict=True) if y != -1]
    if known:
        xs, ys = zip(*known, strict=True)
        axes.plot(xs, ys, color=CURVE_COLOUR, linewidth=2, marker="o" if len(xs) < 15 else None, markersize=5)
        for x, y in known if len(known) < 15 else known[5::5]:
            axes.annotate(f"{y:.2f}", (x, y), xytext=(2, 6), textcoords="offset points", fontsize=8)
    axes.set_ylim(0, 1.1)
    axes.set_xlabel(curve.x_title, color=INK)
    style_axes(axes, curve.title)


def _draw_by_keypoint(axes: Axes, analysis: EvaluationAnalysis, names: Sequence[str]) -> None:
    values = [analysis.by_keypoint[name] for name in names]
    places = np.arange(len(names))
    axes.barh(places, [value or 0.0 for value in values], color=CURVE_COLOUR, height=0.7)
    for place, value in zip(places, values, strict=True):
        text = "nobody has it labelled" if value is None else f"{value:.3f}"
        axes.annotate(
            text, (value or 0.0, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8, color=INK
        )
    axes.margins(x=0.22)
    hidden = len(analysis.by_keypoint) - len(names)
    note = f", the worst {len(names)} of {len(analysis.by_keypoint)}" if hidden else ""
    _name_bars(axes, places, names)
    style_axes(axes, f"{analysis.primary[0]} by keypoint{note}")


def _draw_errors(axes: Axes, analysis: EvaluationAnalysis, names: Sequence[str]) -> None:
    """Shares of the error types, of all keypoints in the lowest bar and of each above it."""
    assert analysis.errors is not None
    order = list(analysis.by_keypoint)
    counts = np.concatenate(
        [analysis.errors[[order.index(name) for name in names]], analysis.errors.sum(axis=0, keepdims=True)]
    )
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)  # (keypoints + 1, 5)
    places = np.array([*range(len(names)), len(names) + 0.6])
    left = np.zeros(len(places))
    for number, (name, colour) in enumerate(zip(ERROR_TYPES, ERROR_COLOURS, strict=True)):
        label = f"{name} {shares[-1, number]:.1%}"
        axes.barh(places, shares[:, number], left=left, color=colour, height=0.7, label=label)
        left += shares[:, number]
    _name_bars(axes, places, [*names, "all keypoints"])
    axes.set_xlim(0, 1)
    axes.legend(ncols=5, loc="upper left", bbox_to_anchor=(-0.02, -0.04), frameon=False, fontsize=9, columnspacing=1)
    people = f"{analysis.found} of {(analysis.found or 0) + (analysis.missed or 0)} people found"
    style_axes(axes, f"what became of the keypoints; {people}")


def _name_bars(axes: Axes, places: np.ndarray, names: Sequence[str]) -> None:
    axes.set_yticks(places, [name.replace("_", " ") for name in names])
    axes.set_ylim(places[-1] + 0.7, -0.7)  # the first keypoint on top


def _shown_keypoints(by_keypoint: dict[str, float | None]) -> list[str]:
    """All keypoints, or of many the worst, in their order."""
    names = list(by_keypoint)
    known = [name for name in names if by_keypoint[name] is not None]
    if len(names) <= MOST_BARS:
        return names
    worst = sorted(known, key=lambda name: by_keypoint[name] or 0.0)[:MOST_BARS]
    return [name for name in names if name in worst]


def _gallery(evaluator: Evaluator, analysis: EvaluationAnalysis) -> Image.Image:
    """The worst people, each beside its annotation."""
    photos = []
    for person in analysis.worst:
        row = evaluator.source.people[person.row]
        pixels = read_image(row["image"], row=person.row, size=(row["width"], row["height"]))
        photos.append(Image.fromarray(pixels.permute(1, 2, 0).numpy().astype(np.uint8)))
    return predictions_sheet(
        photos,
        [person.found for person in analysis.worst],
        targets=[person.target for person in analysis.worst],
        captions=[f"predicted, {person.words}" for person in analysis.worst],
        columns=GALLERY_COLUMNS,
        min_score=UNSURE,
    )


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
