"""The interface of the demo in Gradio: what a Space shows, and what `vitpose demo` opens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

try:
    import gradio as gr
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError('The demo needs Gradio: pip install "vitpose[demo]".') from missing

from ..processing.keypoint_detection_pipeline import DETECTOR_THRESHOLD
from .demo import Demo, Found, box_of_corners, read_photo

FIELDS = ("x", "y", "width", "height")
NO_BOXES: list[list[Any]] = [["", "", "", ""]]
KEYPOINT_THRESHOLD = 0.3
FORGET_SECONDS = 3600  # uploaded and written files go after this long
TITLE = "ViTPose: keypoints of people"
HINT = "Upload a photo, take one, or choose an example."


def build_interface(demo: Demo) -> Any:
    """The interface as `gradio.Blocks`, to be launched."""

    def heads(chosen: str) -> Any:
        names = demo.datasets(chosen)
        return gr.Dropdown(names, value=names[0], label="Keypoints as in the dataset", interactive=len(names) > 1)

    with gr.Blocks(title=TITLE, delete_cache=(FORGET_SECONDS, FORGET_SECONDS)) as blocks:
        gr.Markdown(f"# {TITLE}")
        with gr.Row():
            model = gr.Dropdown(demo.models, value=demo.models[0], label="Model", interactive=len(demo.models) > 1)
            head = heads(demo.models[0])
        with gr.Tab("Photo"):
            _PhotoTab(demo, model, head)
        with gr.Tab("Video"):
            _VideoTab(demo, model, head)
        model.input(heads, model, head, api_visibility="private")
    return blocks


# The functions get the raw values of components (`preprocess=False`): Gradio would open a photo itself, and answer one
# that cannot be read with an error of its insides. A file is one of its upload folder all the same.


class _PhotoTab:
    """Photo and where its people are at the left, what was found at the right."""

    def __init__(self, demo: Demo, model: Any, head: Any) -> None:
        self._demo, self._model, self._head = demo, model, head
        self._found, self._corner = gr.State(), gr.State()
        with gr.Row():
            with gr.Column():
                self._build_question()
            with gr.Column():
                self._build_answer()
        self._connect()

    def _build_question(self) -> None:
        sources = self._demo.sources
        self._photo = gr.Image(
            type="filepath", image_mode=None, sources=["upload", "webcam", "clipboard"], label="Photo", height=380
        )
        self._source = gr.Radio(sources, value=sources[0], label="People from")
        self._least = _score(DETECTOR_THRESHOLD, "Least score of a detected person", sources[0] == "detector")
        self._boxes = gr.Dataframe(
            headers=list(FIELDS),
            datatype="number",
            column_count=4,
            row_count=1,
            interactive=True,
            label="Boxes in pixels: click two opposite corners in the photo, or type",
            visible=sources[0] == "boxes",
        )
        self._run = gr.Button("Find keypoints", variant="primary")
        examples = [[str(path), "boxes", boxes] for path, boxes in self._demo.examples]
        gr.Examples(examples, [self._photo, self._source, self._boxes], label="Generated people")

    def _build_answer(self) -> None:
        self._picture = gr.Image(label="Skeletons", interactive=False, format="png", height=380)
        self._summary = gr.Markdown(HINT)
        self._threshold = _score(KEYPOINT_THRESHOLD, "Keypoints above this score")
        with gr.Row():
            self._json = gr.DownloadButton("Download JSON", interactive=False)
            self._csv = gr.DownloadButton("Download CSV", interactive=False)

    def _connect(self) -> None:
        private: dict[str, Any] = {"preprocess": False, "api_visibility": "private"}
        settings = [self._photo, self._model, self._head, self._source, self._boxes, self._least]
        shown = [self._picture, self._summary, self._json, self._csv]
        view = {"fn": self._show, "inputs": [self._found, self._threshold], "outputs": shown, **private}

        finding = gr.on([self._run.click, self._head.input], self._find, settings, self._found, **private)
        finding.success(**view)
        self._threshold.release(**view)
        self._photo.input(self._check, self._photo, [self._photo, self._boxes, self._corner], **private)
        marked = [self._boxes, self._corner, self._source]
        self._photo.select(self._click, [self._boxes, self._corner], marked, **private)
        self._source.change(self._fields, self._source, [self._boxes, self._least], **private)

    def _find(self, photo: Any, model: str, head: str, source: Any, boxes: Any, least: float) -> Found:
        with _told():
            return self._demo.find(
                _path(photo),
                model=model,
                dataset=head,
                source=source,
                boxes=boxes["data"],
                detector_threshold=least,
            )

    def _show(self, found: Found | None, threshold: float) -> list[Any]:
        if found is None:
            return [gr.skip()] * 4
        answer = self._demo.answer(found, threshold=threshold)
        files = [gr.DownloadButton(value=str(path), interactive=True) for path in (answer.json_file, answer.csv_file)]
        return [answer.picture, answer.summary, *files]

    def _check(self, photo: Any) -> list[Any]:
        """Clear away a file that is no photo, and the boxes of the one before."""
        kept = gr.skip()
        try:
            if photo is not None:
                read_photo(_path(photo))
        except ValueError as error:
            gr.Warning(str(error))
            kept = None
        return [kept, NO_BOXES, None]

    def _click(self, boxes: Any, corner: list[float] | None, event: gr.SelectData) -> list[Any]:
        """Keep the first corner of a box; the second one adds the box to the table."""
        if corner is None:
            gr.Info("Now click the opposite corner of the box.")
            return [gr.skip(), event.index, "boxes"]
        rows = [row for row in boxes["data"] if any(cell not in ("", None) for cell in row)]
        return [[*rows, box_of_corners(corner, event.index)], None, "boxes"]

    def _fields(self, source: Any) -> list[Any]:
        """Show what belongs to where people come from."""
        return [gr.Dataframe(visible=source == "boxes"), gr.Slider(visible=source == "detector")]


class _VideoTab:
    """A video at the left, the drawn one at the right."""

    def __init__(self, demo: Demo, model: Any, head: Any) -> None:
        sources = [source for source in demo.sources if source != "boxes"]
        with gr.Row():
            with gr.Column():
                clip = gr.Video(label="Video", sources=["upload", "webcam"], height=380)
                source = gr.Radio(sources, value=sources[0], label="People from")
                every = gr.Slider(
                    *(1, 10, 1),
                    step=1,
                    label="Detect in every so many frames, follow in between",
                    visible="detector" in sources,
                )
                smooth = gr.Checkbox(value=True, label="Calm the keypoints")
                run = gr.Button("Find keypoints", variant="primary")
            with gr.Column():
                drawn = gr.Video(label="Skeletons", interactive=False, height=380)
                lines = gr.DownloadButton("Download JSON lines, one a frame", interactive=False)
        progress = gr.Progress(track_tqdm=True)

        def predict(clip: Any, model: str, head: str, source: Any, every: int, smooth: bool, _: Any = progress) -> Any:
            with _told():
                settings = {"model": model, "dataset": head, "source": source, "detect_every": every, "smooth": smooth}
                video, frames = demo.video(_path(clip), **settings)
            return str(video), gr.DownloadButton(value=str(frames), interactive=True)

        settings = [clip, model, head, source, every, smooth]
        run.click(predict, settings, [drawn, lines], preprocess=False, api_visibility="private")


def _score(value: float, label: str, visible: bool = True) -> Any:
    return gr.Slider(0, 1, value, step=0.05, label=label, visible=visible)


def _path(file: dict[str, Any] | None) -> str | None:
    return None if file is None else file["path"]


@contextmanager
def _told() -> Iterator[None]:
    """Show what is wrong with a request to the one who made it."""
    try:
        yield
    except (ValueError, OSError, ImportError) as error:
        raise gr.Error(str(error), print_exception=False) from error
