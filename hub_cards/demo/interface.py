"""Gradio interface of the demo, for Spaces and `vitpose demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .gradio_import import gr
from .model import Demo
from .photo_tab import PhotoTab
from .video_tab import VideoTab
from .widgets import HALF_PHONE_WIDTH, QUIET

MAX_FILE_SIZE = "200mb"
FORGET_SECONDS = 3600  # uploaded and written files go after this long
TITLE = "ViTPose"
SUBTITLE = "Keypoints of people in photos and videos."
CSS = (Path(__file__).with_name("editor") / "page.css").read_text("utf-8")


def build_interface(demo: Demo) -> Any:
    """Build the interface as `gradio.Blocks`."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(FORGET_SECONDS, FORGET_SECONDS)) as blocks:
        gr.Markdown(f"# {TITLE}\n{SUBTITLE}")
        first = demo.models[0]
        with gr.Row(visible=len(demo.models) > 1 or any(len(demo.datasets(name)) > 1 for name in demo.models)):
            model = gr.Dropdown(demo.models, value=first, label="Model", min_width=HALF_PHONE_WIDTH)
            names = demo.datasets(first)
            dataset = gr.Dropdown(
                names, value=names[0], label="Keypoints as in", interactive=len(names) > 1, min_width=HALF_PHONE_WIDTH
            )
        known = gr.HTML(demo.describe(first, names[0]), elem_id="knowledge", apply_default_css=False)

        def choose_model(chosen: str) -> list[Any]:
            names = demo.datasets(chosen)
            return [gr.Dropdown(names, value=names[0], interactive=len(names) > 1), demo.describe(chosen, names[0])]

        chosen = [
            model.input(choose_model, model, [dataset, known], **QUIET),
            dataset.input(demo.describe, [model, dataset], known, **QUIET),
        ]
        with gr.Tab("Photo"):
            photo_tab = PhotoTab(demo, model, dataset)
        with gr.Tab("Video"):
            VideoTab(demo, model, dataset)
        photo_tab.connect(blocks, chosen)
    return blocks


def launch(demo: Demo, *, port: int | None = None, wait: bool = True) -> Any:
    """Serve the interface, on `port` or on the first free one from 7860 on.

    Args:
        demo: What it shows.
        port: Where; the command and the Space name one.
        wait: Serve until it is interrupted; else return, and serve in the background.

    Returns:
        The `gradio.Blocks`, whose `local_url` is its address.
    """
    interface = build_interface(demo)
    interface.launch(
        server_port=port,
        max_file_size=MAX_FILE_SIZE,
        footer_links=["gradio", "settings"],
        css=CSS,
        prevent_thread_lock=not wait,
        quiet=not wait,
    )
    return interface
