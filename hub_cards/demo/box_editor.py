"""The photo of the page, on which people are marked with boxes: a component of a few lines of JavaScript of our own.

It answers a mouse, a finger and the keyboard alike. Annotation components that others publish bring no touch, no
keyboard or a build of their own for each release of Gradio; this one needs nothing but Gradio's `HTML`.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from .gradio_import import gr

FOLDER = Path(__file__).with_name("editor")
JPEG_QUALITY = 88
NOTHING: dict[str, Any] = {"src": "", "width": 4, "height": 3, "text": "", "editable": False, "key": ""}


def box_editor() -> Any:
    """A photo with boxes; its event `edit` comes when a user has changed them. See [`view_of`] for its picture.

    Its value is [`boxes_of`] a photo.
    """
    html, css, script = (FOLDER.joinpath(f"boxes.{kind}").read_text("utf-8") for kind in ("html", "css", "js"))
    return gr.HTML(
        value=boxes_of("", []),
        html_template=html,
        css_template=css,
        js_on_load=script,
        apply_default_css=False,
        elem_id="photo-view",
        view=NOTHING,
    )


def view_of(picture: Image.Image, *, size: tuple[int, int], text: str, editable: bool, key: str) -> dict[str, Any]:
    """What the editor shows: the value of its property `view`.

    Args:
        picture: The photo, drawn on or not, in the size of a screen.
        size: Width and height of the photo itself, in whose pixels boxes are.
        text: For those who do not see it.
        editable: Whether boxes are shown, and can be changed.
        key: Which photo it is; with another one the boxes begin anew.
    """
    content = io.BytesIO()
    picture.save(content, "jpeg", quality=JPEG_QUALITY)
    source = "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode()
    return {"src": source, "width": size[0], "height": size[1], "text": text, "editable": editable, "key": key}


def boxes_of(key: str, boxes: Sequence[Sequence[float]]) -> dict[str, Any]:
    """The value of the editor: boxes [x, y, width, height] in pixels of the photo with this key of [`view_of`]."""
    return {"photo": key, "boxes": [list(box) for box in boxes]}
