"""Curves of a training run, read from its JSONL log."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from vitpose.base.files import whole_file

from ..metrics.primary import PRIMARY_METRICS

INK, LOSS_COLOR, LR_COLOR = "#2b2f38", "#1f6fd0", "#8a8f99"
METRIC_COLORS = ("#e06c00", "#1f6fd0", "#4f9d2f", "#8d4fc4")
PART_COLORS = ("#e06c00", "#4f9d2f", "#8d4fc4", "#c2385a", "#0f9aa7", "#9a7a1c")
LOG_SCALE_RATIO = 5.0  # loss curves that span more than this are drawn in log scale
LOG_SCALE_LINES = 50  # of shorter runs the fall itself is what there is to see
LABEL_GAP = 0.05  # least distance of two labels, in heights of the chart


def save_curves(log_path: str | os.PathLike[str], png_path: str | os.PathLike[str]) -> None:
    """Write the picture of [`draw_curves`] from the log of a run.

    Args:
        log_path: JSON lines, see [`read_log`].
        png_path: Picture to write.

    Raises:
        ValueError: A line of the log is no such object, with its number, or the log holds no training line.
    """
    training, evaluations = read_log(log_path)
    if not training:
        raise ValueError(f"{log_path} holds no training line (step, loss, lr): nothing to draw.")
    with whole_file(png_path) as path:
        draw_curves(training, evaluations).savefig(path)


def draw_curves(training: Sequence[Mapping[str, Any]], evaluations: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw loss and learning rate, and the metrics where there are any, over the steps of a run.

    Args:
        training: Training lines of [`read_log`], at least one.
        evaluations: Its evaluation lines.
    """
    figure = Figure(figsize=(10, 4.2) if evaluations else (6, 4.2), dpi=130, layout="constrained")
    grid = figure.add_gridspec(2, 2 if evaluations else 1, height_ratios=(4, 1))
    loss = figure.add_subplot(grid[0, 0])
    rate = figure.add_subplot(grid[1, 0], sharex=loss)
    _draw_loss(loss, training)
    _draw_rate(rate, training)
    steps = max(training[-1]["step"], evaluations[-1]["step"] if evaluations else 0)
    words = _step_words(training)
    _style_steps(rate, steps, words=words)
    if evaluations:
        metrics = figure.add_subplot(grid[:, 1])
        _draw_metrics(metrics, evaluations)
        _style_steps(metrics, steps, words=words, room=0.36)  # for the labels
    return figure


def _step_words(training: Sequence[Mapping[str, Any]]) -> str:
    """Title of the axis of steps, with the length of an epoch where the log tells it."""
    last = training[-1]
    if not last.get("epoch"):
        return "step"
    return f"step, {round(last['step'] / last['epoch']):,} an epoch"


def _style_steps(axes: Axes, steps: int, *, words: str, room: float = 0.0) -> None:
    """An axis of whole steps from the start of a run to its end, and a share of its length beyond."""
    axes.set_xlim(0, (1 + room) * steps)
    axes.set_xticks([tick for tick in MaxNLocator(6, integer=True).tick_values(0, steps) if 0 <= tick <= steps])
    axes.set_xlabel(words, color=INK)


def read_log(log_path: str | os.PathLike[str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Read the training and evaluation lines of a log, each in the order of the steps.

    A training line holds `step`, `loss` and `lr`, and for a mixture `loss/coco` and so on; an evaluation line holds
    `step` and `eval`, a dict of metrics. A resumed run repeats steps: from the first repeated one on, the later lines
    count. A last line that a killed run left unfinished is ignored.
    """
    text = Path(log_path).read_text(encoding="utf-8")
    training: list[dict[str, Any]] = []
    evaluations: list[dict[str, Any]] = []
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        try:
            entry = json.loads(line) if line.strip() else None
        except json.JSONDecodeError as error:
            if not line.endswith("\n"):
                break
            raise ValueError(f"{log_path}, line {number} is no JSON object: {error}. Remove or mend it.") from error
        if entry is not None:
            _check_entry(entry, f"{log_path}, line {number}")
            _append(evaluations if "eval" in entry else training, entry)
    return training, evaluations


def smooth(values: npt.ArrayLike) -> np.ndarray:
    """Smooth `(n,)` values by an exponential moving average over a twentieth of them, without bias at the start."""
    series = np.asarray(values, dtype=np.float64)
    keep = 1 - 2 / (max(5.0, len(series) / 20) + 1)
    smoothed, total, weight = np.empty_like(series), 0.0, 0.0
    for index, value in enumerate(series):
        if np.isfinite(value):
            total, weight = keep * total + value, keep * weight + 1
        smoothed[index] = total / weight if weight else np.nan
    return smoothed


def _draw_loss(axes: Axes, training: Sequence[Mapping[str, Any]]) -> None:
    """Draw the loss, raw and smoothed, and the smoothed loss of each dataset of a mixture."""
    steps, losses = _series(training, "step"), _series(training, "loss")
    smoothed = smooth(losses)
    axes.plot(steps, losses, color=LOSS_COLOR, alpha=0.25, linewidth=0.8)
    axes.plot(steps, smoothed, color=LOSS_COLOR, linewidth=1.8, label="all")
    parts = _loss_parts(training)
    for name, color in zip(parts, cycle(PART_COLORS), strict=False):
        own = [entry for entry in training if name in entry]  # a short window may have no sample of a dataset
        label, losses_of_part = name.removeprefix("loss/"), smooth(_series(own, name))
        axes.plot(_series(own, "step"), losses_of_part, color=color, linewidth=1.1, label=label)
    if parts:
        axes.legend(fontsize=8, frameon=False, labelcolor=INK)
    falls_far = np.nanmin(losses) > 0 and np.nanmax(smoothed) > LOG_SCALE_RATIO * np.nanmin(smoothed)
    if falls_far and len(losses) >= LOG_SCALE_LINES:
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(FuncFormatter(_plain))
    axes.yaxis.set_major_formatter(FuncFormatter(_plain))
    axes.tick_params(labelbottom=False)
    style_axes(axes, "training loss")


def _loss_parts(training: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the losses of single datasets, in the order of their first appearance."""
    return list(dict.fromkeys(name for entry in training for name in entry if name.startswith("loss/")))


def _draw_rate(axes: Axes, training: Sequence[Mapping[str, Any]]) -> None:
    axes.plot(_series(training, "step"), _series(training, "lr"), color=LR_COLOR, linewidth=1.2)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(2))
    axes.yaxis.set_major_formatter(FuncFormatter(_plain))
    style_axes(axes, "learning rate", size="small")


def _plain(value: float, place: object = None) -> str:
    """A number of an axis in full, without an offset or a factor elsewhere."""
    return f"{value:g}"


def _draw_metrics(axes: Axes, evaluations: Sequence[Mapping[str, Any]]) -> None:
    """Draw a line for each metric, with its last value at the end."""
    ends: list[tuple[float, float, str, str]] = []  # step, value, label, color
    for name, color in zip(_metric_names(evaluations), METRIC_COLORS, strict=False):
        rows = [(entry["step"], entry["eval"][name]) for entry in evaluations if name in entry["eval"]]
        steps, values = zip(*rows, strict=True)
        axes.plot(steps, values, color=color, linewidth=1.8, marker="o", markersize=4, label=name, clip_on=False)
        change = f"{values[0]:.3f} to {values[-1]:.3f}" if len(values) > 1 else f"{values[-1]:.3f}"
        ends.append((steps[-1], values[-1], f"{name} {change}", color))
    axes.margins(y=0.08)
    _label_ends(axes, ends)
    axes.yaxis.set_major_formatter(FuncFormatter(_plain))
    style_axes(axes, "evaluation")


def _label_ends(axes: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Write each line's label to the right of its end, from the lowest up, none over another."""
    low, high = axes.get_ylim()
    lowest = -np.inf
    for step, value, label, color in sorted(ends, key=lambda end: end[1]):
        height = max((value - low) / (high - low), lowest + LABEL_GAP)
        axes.annotate(
            label,
            (step, value),
            xytext=(6, (height - (value - low) / (high - low)) * axes.bbox.height * 72 / axes.figure.dpi),
            textcoords="offset points",
            color=color,
            va="center",
            fontsize=9,
        )
        lowest = height


def _metric_names(evaluations: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the metrics to draw, at most as many as there are colors."""
    measured: dict[str, None] = {}
    for entry in evaluations:
        measured |= {name: None for name, value in entry["eval"].items() if isinstance(value, int | float)}
    primary = [name for metric in PRIMARY_METRICS for name in measured if name.split("/")[-1] == metric]
    return (primary or list(measured))[: len(METRIC_COLORS)]


def style_axes(axes: Axes, title: str, size: str = "medium") -> None:
    """Give a chart its title, light grid and ink."""
    axes.set_title(title, loc="left", fontsize=size, color=INK)
    axes.grid(color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(which="both", colors=INK, labelsize=8)


def _series(entries: Sequence[Mapping[str, Any]], key: str) -> np.ndarray:
    return np.asarray([entry[key] for entry in entries], dtype=np.float64)


def _check_entry(entry: Any, place: str) -> None:
    expected = "an object with step and either loss and lr or eval"
    if not isinstance(entry, dict):
        raise ValueError(f"{place}: expected {expected}, got {type(entry).__name__}. Remove or mend it.")
    fields = {"step", "eval"} if "eval" in entry else {"step", "loss", "lr"}
    if not fields <= set(entry):
        raise ValueError(f"{place}: expected {expected}, got only {sorted(entry)}. Remove or mend it.")


def _append(entries: list[dict[str, Any]], entry: dict[str, Any]) -> None:
    """Append, first dropping what a resumed run repeats."""
    while entries and entries[-1]["step"] >= entry["step"]:
        entries.pop()
    entries.append(entry)
