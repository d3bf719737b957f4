"""What both tabs are made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vitpose.modeling.keypoint_schemas import KeypointSchema
from vitpose.processing.drawing_legend import legend_entries
from vitpose.processing.people_forms_vitpose import CONFIDENCE_THRESHOLD

from .gradio_import import gr
from .model import Source

HALF_PHONE_WIDTH = 120  # pixels; two of these stand side by side on a telephone
# Raw values of components come to the functions: Gradio would open a photo itself, and answer one that cannot be read
# with an error of its insides. It gives no file but those of its upload folder all the same.
RAW: dict[str, Any] = {"preprocess": False, "api_visibility": "private"}
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
SOURCE_NAMES: dict[Source, str] = {
    "detector": "found by a detector",
    "whole image": "one fills the picture",
    "boxes": "in boxes that I draw",
}


def source_radio(sources: Sequence[Source]) -> Any:
    """Where people come from; the first one at first."""
    return gr.Radio([(SOURCE_NAMES[source], source) for source in sources], value=sources[0], label="People are")


def threshold_slider() -> Any:
    """The least score of a keypoint that is drawn."""
    return gr.Slider(0, 1, CONFIDENCE_THRESHOLD, step=0.05, label="Draw keypoints that score at least")


def file_path(file: dict[str, Any] | None) -> str | None:
    """The path of an uploaded file."""
    return None if file is None else file["path"]


def download(file: Path | None) -> Any:
    """A download button's new file; without one it is disabled."""
    return gr.DownloadButton(value=None if file is None else str(file), interactive=file is not None)


def legend(schema: KeypointSchema, color_by: str) -> str:
    """What the colors of the drawing mean, as HTML."""
    if color_by == "person":
        return '<div class="legend">A color for each person; faint where the score is low.</div>'
    entries = [
        f'<span><i style="background: rgb({red} {green} {blue} / {alpha / 255:.2f})"></i>{text}</span>'
        for text, (red, green, blue), alpha in legend_entries(schema)
    ]
    return f'<div class="legend">{"".join(entries)}</div>'
