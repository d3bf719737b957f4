"""Prediction of videos into JSON lines and drawn videos, behind `vitpose predict clip.mp4`.

However long a video is, no more frames are in memory than are looked at together.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from PIL import Image
from tqdm.auto import tqdm

from vitpose.modeling.keypoint_schemas import KeypointSchema
from vitpose.processing.drawing import DrawingStyle, paint_people
from vitpose.processing.people_forms_vitpose import CONFIDENCE_THRESHOLD
from vitpose.processing.people_vitpose import People

from ..base.files import whole_file
from ..forms import FORMS_OF_PHOTOS, FormName, open_forms
from ..forms.base import Photo, Source
from ..forms.lines import people_to_line
from ..photos.source_names import as_text
from ..photos.sources import JOURNAL
from .frames import Frame
from .live import newest_frames
from .opening import Source as VideoPlace
from .people import VideoPredictor
from .reader import VideoReader
from .writer import VideoWriter

logger = logging.getLogger(__name__)


Progress = Callable[[int, int | None], object]
"""Takes how many frames are done, and of how many where that is known; what it returns counts only if it is False."""

_Write = Callable[[Frame, People], None]


def predict_video(
    predictor: VideoPredictor,
    source: VideoPlace,
    out: Path,
    *,
    formats: Sequence[FormName] = (),
    style: DrawingStyle = "overlay",
    min_score: float = CONFIDENCE_THRESHOLD,
    draw: bool = True,
    progress: Progress | None = None,
) -> None:
    """Predict every frame, and write what was found into `out`: `predictions.jsonl`, a drawn video, and other forms.

    A line of `predictions.jsonl` is a frame: `frame` (its number, from 0), `time` (seconds since the first frame) and
    `people`, as the lines of photos have them, with `track_id`. All is in the frame's own pixels. Each line is written
    when its frame is done; a run that is killed leaves them in `predictions.partial.jsonl`. The drawn video is
    `NAME_pose.mp4`, with the sound of the video.

    Ctrl-C ends a camera or a stream. Another video that it interrupts leaves what was done until then, complete up to a
    frame; so does a mistake in a later frame, such as a box outside.

    Args:
        predictor: Finds the people; a new one for each video.
        source: Path of a video, number of a camera, or address of a video or a stream.
        out: Folder to write into.
        formats: Other forms, see docs/predictions.md; those whose files belong to photos are refused.
        style: How the video is drawn.
        min_score: Keypoints that score below are not drawn.
        draw: Whether there is to be a drawn video.
        progress: Called after each frame, in place of a bar on the terminal. Where it returns False the work ends, and
            the files are complete up to there; so they are where it raises `KeyboardInterrupt`, which goes on.

    Raises:
        FileNotFoundError: There is no such file or camera, or nothing answers at the address.
        KeyboardInterrupt: Ctrl-C interrupted a video; the message says how far it came.
        ValueError: Something about the video, a box in it or a form; the message says how far it came.
    """
    schema, done = predictor.predictor.schema, _Done()
    _check_forms(formats, style, schema)
    with ExitStack() as stack:
        video = stack.enter_context(VideoReader(source, keep_sound=draw))  # before anything is written
        outputs = [_open_lines(out), _open_others(video, out, formats, schema)]
        outputs += [_open_drawing(video, out, style, min_score)] if draw else []
        writes = [stack.enter_context(output) for output in outputs]
        interrupted = stack.enter_context(_interruption())
        frames = stack.enter_context(_frames_until(video, interrupted, has_bar=progress is None))
        try:
            for frame, people in predictor.stream(frames, live=video.is_live):
                for write in writes:
                    write(frame, people)
                done.add(frame, people)
                if progress is not None and progress(done.num_frames, video.num_frames) is False:
                    break
        except KeyboardInterrupt:
            interrupted.set()
        except ValueError as error:
            if not done.num_frames:
                raise
            done.mistake = error
    done.tell(video.name, out, is_interrupted=interrupted.is_set() and not video.is_live)


@contextmanager
def _frames_until(video: VideoReader, interrupted: threading.Event, *, has_bar: bool) -> Iterator[Iterator[Frame]]:
    """The frames of a video until it is interrupted; those that were read by then are still predicted."""
    with newest_frames(video, video.name) if video.sends_on else nullcontext(iter(video)) as frames:
        shown = tqdm(frames, total=video.num_frames, desc="predict", unit=" frames", disable=not has_bar)
        yield takewhile(lambda _: not interrupted.is_set(), shown)


@dataclass
class _Done:
    """How far a video came."""

    num_frames: int = 0
    seconds: float = 0.0
    track_ids: set[int] = field(default_factory=set)
    mistake: ValueError | None = None

    def add(self, frame: Frame, people: People) -> None:
        self.num_frames, self.seconds = self.num_frames + 1, frame.time
        self.track_ids.update([] if people.track_ids is None else people.track_ids.tolist())

    def tell(self, name: str, out: Path, *, is_interrupted: bool) -> None:
        """Log how far it came, or raise what ended it before its end."""
        done = f"{self.num_frames} frames (to {self.seconds:.1f} s) with {len(self.track_ids)} people"
        if self.mistake is not None:
            raise ValueError(f"{self.mistake} Before that came {done}, which are in {out}.") from self.mistake
        if is_interrupted:
            raise KeyboardInterrupt(f"{name}: interrupted after {done}, which are in {out}.")
        logger.info("%s: %s", done, out)


def _check_forms(formats: Sequence[FormName], style: DrawingStyle, schema: KeypointSchema) -> None:
    """Raise where a form has no place for a video, or a style cannot draw these keypoints."""
    if style == "openpose":
        People.nobody(schema).to_openpose()
    of_photos = [name for name in formats if name in FORMS_OF_PHOTOS]
    if of_photos:
        raise ValueError(
            f"format: {of_photos[0]!r} is one of photos: save the frames as pictures first, such as with ffmpeg -i "
            "VIDEO %06d.jpg."
        )


@contextmanager
def _open_lines(out: Path) -> Iterator[_Write]:
    """`predictions.jsonl`, a line a frame; see [`predict_video`]."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / JOURNAL
    partial = path.with_suffix(".partial.jsonl")
    with partial.open("w", encoding="utf-8", newline="\n", buffering=1) as file:

        def write(frame: Frame, people: People) -> None:
            line = {"frame": frame.index, "time": round(frame.time, 6), "people": people_to_line(people)}
            file.write(json.dumps(line) + "\n")

        try:
            yield write
        except BaseException:
            file.close()
            if not partial.stat().st_size:
                partial.unlink()
            raise
    os.replace(partial, path)


@contextmanager
def _open_others(
    video: VideoReader, out: Path, formats: Sequence[FormName], schema: KeypointSchema
) -> Iterator[_Write]:
    """The other forms, which take frames as photos with the names that OpenPose gives frames."""
    others = [name for name in formats if name != "json"]  # whose people the lines have
    with open_forms(others, out, Source(schema=schema)) as write_photo:

        def write(frame: Frame, people: People) -> None:
            (width, height), name = frame.size, f"{video.stem}_{frame.index:012d}"
            video_name = as_text(Path(video.name).name)
            photo = Photo(number=frame.index, name=name, stem=name, width=width, height=height, video=video_name)
            write_photo(photo, people)

        yield write


@contextmanager
def _open_drawing(video: VideoReader, out: Path, style: DrawingStyle, min_score: float) -> Iterator[_Write]:
    """The drawn video, with the sound of the video."""
    with (
        whole_file(out / f"{video.stem}_pose.mp4") as path,
        VideoWriter(path, frame_rate=video.frame_rate, time_base=video.time_base, sound=video.sound) as writer,
    ):

        def write(frame: Frame, people: People) -> None:
            image = Image.fromarray(frame.pixels.permute(1, 2, 0).numpy())
            paint_people(image, people, style=style, min_score=min_score)
            writer.add_sound(video.take_sound())
            writer.write(image, frame.time)

        yield write


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
