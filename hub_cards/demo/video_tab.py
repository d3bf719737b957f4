"""Videos: a clip and its settings on the left, the drawn video on the right."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

from .gradio_import import gr
from .messages import MISTAKES, say, say_mistake
from .model import Choice, Demo
from .videos import DrawnVideo
from .widgets import HALF_PHONE_WIDTH, QUIET, RAW, download, file_path, source_radio, threshold_slider

HEIGHT = 380  # of the drawn video, pixels
UPLOAD_HEIGHT = 140
PAUSE = 0.3  # seconds between two messages about progress
HINT = "Upload a video, or take the example."
NO_VIDEO = 'Videos need PyAV and trackers on the server: pip install "vitpose[video]".'

Update = dict[Any, Any]


class VideoTab:
    """The components of the tab, and what happens when they are used."""

    def __init__(self, demo: Demo, model: Any, dataset: Any) -> None:
        self._demo = demo
        self._stops: dict[str, threading.Event] = {}  # of visitors whose video is being made
        example = demo.example_clip()
        if example is None:
            gr.Markdown(NO_VIDEO)
            return
        with gr.Row():
            with gr.Column():
                self._build_question(str(example))
            with gr.Column():
                self._build_answer()
        self._connect(str(example), model, dataset)

    def _build_question(self, example: str) -> None:
        # not a player, which would call kinds of files broken that are read all the same
        self._clip = gr.File(label="Your video", file_types=["video"], height=UPLOAD_HEIGHT, elem_id="clip")
        self._example = gr.Button("Take the example", size="sm")
        self._source = source_radio([source for source in self._demo.sources if source != "boxes"])
        self._every = gr.Slider(
            *(1, 10, 1),
            step=1,
            label="Detect in every so many frames, follow in between",
            visible="detector" in self._demo.sources,
        )
        self._threshold = threshold_slider()
        self._smooth = gr.Checkbox(value=True, label="Smooth the keypoints over time")
        with gr.Row():
            self._run = gr.Button("Find keypoints", variant="primary", min_width=HALF_PHONE_WIDTH)
            self._stop = gr.Button("Stop", variant="stop", interactive=False, min_width=HALF_PHONE_WIDTH)

    def _build_answer(self) -> None:
        self._drawn = gr.Video(label="Skeletons", interactive=False, height=HEIGHT, elem_id="drawn-video")
        self._told = gr.HTML(say(HINT), elem_id="video-summary")
        self._lines = gr.DownloadButton("JSON lines", interactive=False, size="md")

    def _connect(self, example: str, model: Any, dataset: Any) -> None:
        def take_example() -> Update:
            return {self._clip: example, self._source: "whole image"}

        self._example.click(take_example, None, [self._clip, self._source], **QUIET)
        settings = [self._clip, model, dataset, self._source, self._every, self._smooth, self._threshold]
        outputs = [self._drawn, self._told, self._lines, self._run, self._stop]
        self._run.click(self._predict, settings, outputs, **RAW, show_progress="hidden")
        self._stop.click(self._end, None, [self._told, self._stop], **QUIET, queue=False)

    def _predict(
        self,
        clip: Any,
        model: str,
        dataset: str,
        source: Any,
        every: int,
        smooth: bool,
        threshold: float,
        request: gr.Request,
    ) -> Iterator[Update]:
        """Tell how far the video is, and show it at the end."""
        stop = self._stops[str(request.session_hash)] = threading.Event()
        running = {self._run: gr.Button(interactive=False), self._stop: gr.Button(interactive=True)}
        idle = {self._run: gr.Button(interactive=True), self._stop: gr.Button(interactive=False)}
        choice = Choice(model=model, dataset=dataset, source=source)
        settings: dict[str, Any] = {"detect_every": int(every), "smooth": smooth, "threshold": float(threshold)}
        told = 0.0
        try:
            yield {**running, self._drawn: None, self._lines: download(None), self._told: say("Opening the video …")}
            for step in self._demo.video(file_path(clip), choice, stop=stop, **settings):
                if isinstance(step, tuple):
                    if time.monotonic() - told > PAUSE:
                        told = time.monotonic()
                        yield {self._told: _bar(*step)}
                else:
                    yield {**idle, **self._answer(step, is_stopped=stop.is_set())}
        except MISTAKES as error:
            yield {**idle, self._told: say_mistake(error)}
        finally:
            self._stops.pop(str(request.session_hash), None)

    def _answer(self, drawn: DrawnVideo | None, *, is_stopped: bool) -> Update:
        if drawn is None:
            return {self._told: say("Stopped before the first frame.")}
        told = say(f"Stopped after {drawn.num_frames} frames." if is_stopped else f"{drawn.num_frames} frames.")
        told += say_mistake(drawn.mistake) if drawn.mistake else ""
        return {self._drawn: str(drawn.video), self._lines: download(drawn.lines), self._told: told}

    def _end(self, request: gr.Request) -> Update:
        """End the video of this visitor after the frame at hand."""
        stop = self._stops.get(str(request.session_hash))
        if stop is None:
            return {self._told: gr.skip()}
        stop.set()
        return {self._told: say("Stopping …"), self._stop: gr.Button(interactive=False)}


def _bar(done: int, total: int | None) -> str:
    """How far a video is, as HTML."""
    if not total:
        return say(f"Frame {done} …")
    return f'{say(f"Frame {done} of {total} …")}<progress value="{done}" max="{total}"></progress>'
