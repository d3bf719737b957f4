"""Videos in, tracked people out: what `vitpose predict clip.mp4` does."""

from __future__ import annotations

import json
import logging
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from tqdm.auto import tqdm

from vitpose.modeling.keypoint_schemas import KeypointSchema
from vitpose.processing.drawing import CORE_COLOUR, OUTLINE_COLOUR, draw_poses

from ..base.files import whole_file
from .files import Frame, VideoReader, VideoWriter
from .predictor import TrackedPerson, VideoPredictor

logger = logging.getLogger(__name__)


def predict_video(predictor: VideoPredictor, source: Path | int, out: Path) -> Path:
    """Predict every frame, write `predictions.jsonl` and a drawn video, `NAME_pose.mp4`, into `out`.

    The JSON has a line a frame: `frame` (its number, from 0), `time` (seconds since the first frame) and `people`, each
    with `track_id`, and `bbox` [x, y, width, height], `keypoints` x, y, score a keypoint and `score`, their mean, as in
    COCO's results. All is in the frame's own pixels.

    Ctrl-C ends a webcam. A video file that it interrupts leaves what was done until then, complete up to a frame; so
    does a mistake in a later frame, such as a box outside.

    Args:
        predictor: Finds the people; a new one for each video.
        source: Path of a video, or number of a webcam.
        out: Folder to write into.

    Returns:
        The path of the JSON file.

    Raises:
        KeyboardInterrupt: Ctrl-C interrupted a video file; the message says how far it came.
        ValueError: Something about the video or a box in it; the message says how far it came.
    """
    mistake: ValueError | None = None
    with (
        VideoReader(source) as video,
        _interruption() as interrupted,
        _results(video, out, predictor.schema) as results,
    ):
        try:
            for frame in tqdm(video, total=video.num_frames, desc="predict", unit=" frames"):
                results.write(frame, predictor(frame))
                if interrupted.is_set():
                    break
        except ValueError as error:
            if not results.num_frames:
                raise
            mistake = error
    if mistake is not None:
        raise ValueError(f"{mistake} Before that came {results}, which are in {out}.") from mistake
    if interrupted.is_set() and isinstance(source, Path):
        raise KeyboardInterrupt(f"{video.name}: interrupted after {results}, which are in {out}.")
    logger.info("%s: %s", results, out / "predictions.jsonl")
    return out / "predictions.jsonl"


@contextmanager
def _interruption() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets, so that the frame at hand can be finished; a second Ctrl-C interrupts as ever."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # only the main thread hears of signals
        yield event
        return

    def note(*_: object) -> None:
        event.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _results(video: VideoReader, out: Path, schema: KeypointSchema) -> Iterator[_Results]:
    """Both files to write into; they appear in `out` when the block ends well."""
    with (
        whole_file(out / "predictions.jsonl") as lines,
        whole_file(out / f"{video.stem}_pose.mp4") as clip,
        lines.open("w", encoding="utf-8") as file,
        VideoWriter(clip, frame_rate=video.frame_rate, time_base=video.time_base) as writer,
    ):
        yield _Results(file, writer, schema)


class _Results:
    """Writes each frame into the JSON lines and into the video, and counts."""

    def __init__(self, lines: TextIO, clip: VideoWriter, schema: KeypointSchema) -> None:
        self._lines = lines
        self._clip = clip
        self._schema = schema
        self._track_ids: set[int] = set()
        self.num_frames = 0
        self._time = 0.0

    def __str__(self) -> str:
        return f"{self.num_frames} frames (to {self._time:.1f} s) with {len(self._track_ids)} people"

    def write(self, frame: Frame, people: Sequence[TrackedPerson]) -> None:
        line = {"frame": frame.index, "time": round(frame.time, 6), "people": [_to_entry(person) for person in people]}
        self._lines.write(json.dumps(line) + "\n")
        self._clip.write(draw_people(frame.image, people, self._schema), frame.time)
        self._track_ids.update(person.track_id for person in people)
        self.num_frames, self._time = self.num_frames + 1, frame.time


def _to_entry(person: TrackedPerson) -> dict[str, Any]:
    rows = np.concatenate([person.keypoints, person.scores[:, None]], axis=1)  # (K, 3)
    return {
        "track_id": person.track_id,
        "bbox": person.bbox.round(2).tolist(),
        "keypoints": rows.round(4).flatten().tolist(),
        "score": round(float(person.scores.mean()), 4),
    }


def draw_people(image: Image.Image, people: Sequence[TrackedPerson], schema: KeypointSchema) -> Image.Image:
    """A frame with the skeleton of each person, and their number above the box they were found in."""
    poses = [{"keypoints": person.keypoints, "scores": person.scores} for person in people]
    drawn = draw_poses(image, poses, schema)
    pen, size = ImageDraw.Draw(drawn), max(12, round(0.03 * min(image.size)))
    font = ImageFont.load_default(size)
    for person in people:
        left, top, width, _ = person.bbox.tolist()
        place = min(max(left + width / 2, size), image.width - size), max(top, 1.2 * size)  # inside the picture
        pen.text(
            *(place, str(person.track_id), CORE_COLOUR, font, "mb"),  # anchored at the middle of its lower edge
            stroke_width=max(1, size // 8),
            stroke_fill=OUTLINE_COLOUR,
        )
    return drawn
