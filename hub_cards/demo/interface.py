"""Gradio interface of the demo, for Spaces and `vitpose demo`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

try:
    import gradio as gr
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError('The demo needs Gradio: pip install "vitpose[demo]".') from missing

from vitpose.processing.keypoint_detection_pipeline import DETECTOR_THRESHOLD

from .model import Demo, Found, Source, box_of_corners, read_photo

NO_BOXES: list[list[Any]] = [["", "", "", ""]]
KEYPOINT_THRESHOLD = 0.3
HEIGHT = 380  # of pictures, in pixels of the page
PHONE_WIDTH = 300  # what is at least so wide stands alone in a row of a telephone
HALF_PHONE_WIDTH = 120  # and two of these stand side by side
MAX_FILE_SIZE = "200mb"
FORGET_SECONDS = 3600  # uploaded and written files go after this long
# Raw values of components come to the functions: Gradio would open a photo itself, and answer one that cannot be read
# with an error of its insides. It gives no file but those of its upload folder all the same.
RAW: dict[str, Any] = {"preprocess": False, "api_visibility": "private"}
TITLE = "ViTPose"
SUBTITLE = "Keypoints of people in photos and videos."
HINT = "Upload a photo, take one, or choose an example."
SOURCE_NAMES: dict[Source, str] = {
    "detector": "found by a detector",
    "whole image": "one fills the picture",
    "boxes": "in boxes",
}


def build_interface(demo: Demo) -> Any:
    """Build the interface as `gradio.Blocks`."""

    def heads(chosen: str) -> Any:
        names = demo.datasets(chosen)
        return gr.Dropdown(
            names, value=names[0], label="Keypoints as in", interactive=len(names) > 1, min_width=PHONE_WIDTH
        )

    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(FORGET_SECONDS, FORGET_SECONDS)) as blocks:
        gr.Markdown(f"# {TITLE}\n{SUBTITLE}")
        with gr.Row():
            names = [(_short(name), name) for name in demo.models]
            model = gr.Dropdown(
                names, value=demo.models[0], label="Model", interactive=len(names) > 1, min_width=PHONE_WIDTH
            )
            head = heads(demo.models[0])
        model_chosen = model.input(heads, model, head, api_visibility="private")
        with gr.Tab("Photo"):
            _PhotoTab(demo, model, head, model_chosen)
        with gr.Tab("Video"):
            _VideoTab(demo, model, head)
    return blocks


def launch(demo: Demo, *, port: int | None = None) -> None:
    """Serve the interface until it is interrupted, on `port` or on the first free one from 7860 on."""
    build_interface(demo).launch(server_port=port, max_file_size=MAX_FILE_SIZE, footer_links=["gradio", "settings"])


class _PhotoTab:
    """Photo and the source of its people on the left, results on the right."""

    def __init__(self, demo: Demo, model: Any, head: Any, model_chosen: Any) -> None:
        self._demo, self._model, self._head = demo, model, head
        self._found, self._corner = gr.State(), gr.State()
        with gr.Row():
            with gr.Column():
                self._build_question()
            with gr.Column():
                self._build_answer()
        self._connect(model_chosen)

    def _build_question(self) -> None:
        sources, first = self._demo.sources, self._demo.sources[0]
        ways = ["upload", "webcam", "clipboard"]
        self._photo = gr.Image(type="filepath", image_mode=None, sources=ways, label="Photo", height=HEIGHT)
        self._source = gr.Radio(_choices(sources), value=first, label="Where the people are")
        self._least = _score(DETECTOR_THRESHOLD, "Least score of a detected person", visible=first == "detector")
        self._boxes = gr.Dataframe(
            headers=["x", "y", "width", "height"],
            datatype="number",
            column_count=4,
            column_widths=["25%"] * 4,
            row_count=1,
            interactive=True,
            buttons=[],
            label="Boxes in pixels: click two opposite corners in the photo, or type them",
            visible=first == "boxes",
        )
        self._run = gr.Button("Find keypoints", variant="primary")

    def _build_answer(self) -> None:
        self._picture = gr.Image(
            label="Skeletons", interactive=False, format="png", height=HEIGHT, buttons=["download", "fullscreen"]
        )
        self._summary = gr.Markdown(HINT)
        self._threshold = _score(KEYPOINT_THRESHOLD, "Keypoints above this score")
        with gr.Row():
            look: dict[str, Any] = {"interactive": False, "size": "md", "min_width": HALF_PHONE_WIDTH}
            self._json = gr.DownloadButton("Download JSON", **look)
            self._csv = gr.DownloadButton("Download CSV", **look)
        examples = [[str(path), "boxes", boxes] for path, boxes in self._demo.examples]
        filled = [self._photo, self._source, self._boxes]
        # beside the answer: on a telephone, where it is far below the photo, what they show is in sight
        self._examples = gr.Examples(examples, filled, label="Examples", visible_columns=[0])

    def _connect(self, model_chosen: Any) -> None:
        settings = [self._photo, self._model, self._head, self._source, self._boxes, self._least]
        shown = [self._picture, self._summary, self._json, self._csv]
        cleared = [self._photo, self._boxes, self._corner, self._found, *shown]

        slow: dict[str, Any] = {**RAW, "show_progress_on": self._picture}  # and not over the text below it
        show: dict[str, Any] = {"fn": self._show, "inputs": [self._found, self._threshold], "outputs": shown, **slow}
        for start in (self._run.click, self._examples.load_input_event.success):
            start(self._find, settings, self._found, **slow).success(**show)
        for start in (self._head.input, model_chosen.success):
            start(self._find_again, settings, self._found, **slow).success(**show)
        self._threshold.release(**show)
        self._photo.input(self._check, self._photo, cleared, **RAW)
        marked = [self._boxes, self._corner]
        self._photo.select(self._click, [self._source, *marked], marked, **RAW)
        self._source.change(self._fields, self._source, [self._boxes, self._least], **RAW)

    def _find(self, photo: Any, model: str, head: str, source: Any, boxes: Any, least: float) -> Found:
        with _translate_errors():
            return self._demo.find(
                _path(photo), model=model, dataset=head, source=source, boxes=boxes["data"], detector_threshold=least
            )

    def _find_again(self, photo: Any, *settings: Any) -> Found | None:
        """Predict again for another model or head; does nothing without a photo."""
        return None if photo is None else self._find(photo, *settings)

    def _show(self, found: Found | None, threshold: float) -> list[Any]:
        if found is None:
            return [None, HINT, *_downloads(None, None)]
        answer = self._demo.answer(found, threshold=threshold)
        return [answer.picture, answer.summary, *_downloads(answer.json_file, answer.csv_file)]

    def _check(self, photo: Any) -> list[Any]:
        """Clear the results of the previous photo, and refuse a file that is not a photo."""
        kept = gr.skip()
        try:
            if photo is not None:
                read_photo(_path(photo))
        except ValueError as error:
            gr.Warning(str(error))
            kept = None
        return [kept, NO_BOXES, None, None, *self._show(None, 0.0)]

    def _click(self, source: Any, boxes: Any, corner: list[float] | None, event: gr.SelectData) -> list[Any]:
        """Keep the first corner of a box; the second one adds the box to the table."""
        if source != "boxes":
            return [gr.skip(), None]
        if corner is None:
            gr.Info("Now click the opposite corner of the box.")
            return [gr.skip(), event.index]
        rows = [row for row in boxes["data"] if any(cell not in ("", None) for cell in row)]
        return [[*rows, box_of_corners(corner, event.index)], None]

    def _fields(self, source: Any) -> list[Any]:
        """Show the fields of the selected source of people."""
        return [gr.Dataframe(visible=source == "boxes"), gr.Slider(visible=source == "detector")]


class _VideoTab:
    """Video on the left, drawn video on the right."""

    def __init__(self, demo: Demo, model: Any, head: Any) -> None:
        sources = [source for source in demo.sources if source != "boxes"]
        with gr.Row():
            with gr.Column():
                clip = gr.Video(label="Video", sources=["upload"], height=HEIGHT)
                source = gr.Radio(_choices(sources), value=sources[0], label="Where the people are")
                every = gr.Slider(
                    *(1, 10, 1),
                    step=1,
                    label="Detect in every so many frames, follow in between",
                    visible="detector" in sources,
                )
                smooth = gr.Checkbox(value=True, label="Smooth the keypoints over time")
                run = gr.Button("Find keypoints", variant="primary")
            with gr.Column():
                drawn = gr.Video(label="Skeletons", interactive=False, height=HEIGHT)
                lines = gr.DownloadButton("Download JSON lines", interactive=False, size="md")
        progress = gr.Progress(track_tqdm=True)

        def predict(clip: Any, model: str, head: str, source: Any, every: int, smooth: bool, _: Any = progress) -> Any:
            with _translate_errors():
                settings = {"model": model, "dataset": head, "source": source, "detect_every": every, "smooth": smooth}
                video, frames = demo.video(_path(clip), **settings)
            return str(video), *_downloads(frames)

        settings = [clip, model, head, source, every, smooth]
        run.click(predict, settings, [drawn, lines], **RAW)


def _choices(sources: Sequence[Source]) -> list[tuple[str, Source]]:
    return [(SOURCE_NAMES[source], source) for source in sources]


def _score(value: float, label: str, visible: bool = True) -> Any:
    return gr.Slider(0, 1, value, step=0.05, label=label, visible=visible)


def _short(model: str) -> str:
    """Shorten a folder to its last two names; a Hub id stays as it is."""
    return "tiny (knows generated people only)" if model == "tiny" else "/".join(Path(model).parts[-2:])


def _path(file: dict[str, Any] | None) -> str | None:
    return None if file is None else file["path"]


def _downloads(*files: Path | None) -> list[Any]:
    """Download buttons; those without a file are disabled."""
    return [
        gr.DownloadButton(value=None if file is None else str(file), interactive=file is not None) for file in files
    ]


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Show mistakes in a request to its sender."""
    try:
        yield
    except (ValueError, OSError, ImportError) as error:
        raise gr.Error(str(error), print_exception=False) from error
