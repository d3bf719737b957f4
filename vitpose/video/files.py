"""Prediction of videos into JSON lines and drawn videos, behind `vitpose predict clip.mp4`.

However long a video is, no more frames are in memory than share a batch. Sound is left out.
"""

from __future__ import annotations

import json
import logging
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from fractions import Fraction
from itertools import takewhile
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageOps
from tqdm.auto import tqdm

from vitpose.processing.drawing import DrawingStyle, paint_people
from vitpose.processing.people_vitpose import People

from ..base.files import whole_file
from ..forms import FORMS_OF_PHOTOS, FormName, open_forms
from ..forms.base import Photo, Source, text_file
from .people import MAX_WAITING, Frame, VideoPredictor

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

logger = logging.getLogger(__name__)

DEFAULT_RATE = Fraction(30)  # frames per second of a source that does not say
BT709 = 1  # the colors of high definition, which players assume; FFmpeg's number for matrix, primaries and transfer
CAMERA_PAUSE = 0.005  # seconds until a camera without a new frame is asked again
_FIELDS = ("track_id", "bbox", "keypoints", "score")  # of a result of COCO, that a person has in a line


def _import_av() -> ModuleType:
    try:
        import av
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError('Reading videos needs PyAV: pip install "vitpose[video]".') from error
    return av


class VideoReader(AbstractContextManager["VideoReader"]):
    """The frames of a video file or webcam; use it in a `with` block and iterate over it once.

    A damaged part of a file is left out, and a file that breaks off gives the frames up to there; a warning says so.

    Args:
        source: Path of a file, or number of a webcam.

    Attributes:
        name: What messages call the source.
        stem: What files made from it are called.
        frame_rate: Frames per second, on average.
        time_base: Seconds per tick of the source's clock.
        num_frames: How many frames there should be; None for a webcam, or where the file does not say.

    Raises:
        FileNotFoundError: There is no such file or webcam.
        ValueError: It cannot be read as a video, or has no picture at all.
        ModuleNotFoundError: The extra `video` is not installed.
    """

    def __init__(self, source: Path | int) -> None:
        self._av = _import_av()
        if isinstance(source, int):
            self.name, self.stem, self._container = f"webcam {source}", f"webcam{source}", _open_webcam(source)
        else:
            self.name, self.stem = str(source), source.stem
            if not source.is_file():
                raise FileNotFoundError(f"There is no video {source}.")
            try:
                self._container = self._av.open(self.name)
            except self._av.FFmpegError as error:
                raise ValueError(f"{source} cannot be read as a video: {error}.") from error
        attached = self._av.stream.Disposition.attached_pic  # the cover of a piece of music
        streams = [stream for stream in self._container.streams.video if not stream.disposition & attached]
        if not streams:
            self._container.close()
            raise ValueError(f"{self.name} has no pictures: expected a video, got sound or data alone.")
        self._stream: VideoStream = streams[0]
        self.frame_rate = self._stream.average_rate or self._stream.guessed_rate or DEFAULT_RATE
        self.time_base = self._stream.time_base or 1 / self.frame_rate
        microseconds = self._container.duration  # None for a webcam
        by_duration = None if microseconds is None else round(microseconds / 1_000_000 * self.frame_rate)
        self.num_frames = self._stream.frames or by_duration

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def __iter__(self) -> Iterator[Frame]:
        """Frames with their seconds since the first; one without a time, or out of order, follows at the usual step.

        Clocks of files start anywhere, and jump where recordings were joined.
        """
        step, read, start = float(1 / self.frame_rate), 0, None
        seconds = -step
        for picture in self._pictures():
            usual = seconds + step
            if start is None and picture.time is not None:
                start = picture.time - usual
            shown = usual if picture.time is None or start is None else picture.time - start
            seconds = shown if shown > seconds else usual
            # degrees, counter-clockwise for both
            pixels = np.rot90(picture.to_ndarray(format="rgb24"), round(picture.rotation / 90))
            yield Frame(index=read, time=seconds, pixels=torch.from_numpy(pixels.copy()).permute(2, 0, 1))
            read += 1
        if read == 0:
            raise ValueError(f"{self.name} has no frame that can be read: it is damaged, or no video.")
        # a duration tells the number of frames only roughly, above all where sound goes on after the pictures
        slack = 0 if self._stream.frames else math.ceil(self.frame_rate)
        if self.num_frames is not None and read < self.num_frames - slack:
            logger.warning("%s ends early: %d of %d frames could be read.", self.name, read, self.num_frames)

    def _pictures(self) -> Iterator[VideoFrame]:
        damaged = 0
        for packet in self._packets():
            try:
                # no packet: the decoder gives out what it still holds
                pictures = self._stream.decode(packet)
            except self._av.FFmpegError:
                damaged += 1
                continue
            yield from pictures
        if damaged:
            logger.warning("%s is damaged: %d parts of it could not be read and were left out.", self.name, damaged)

    def _packets(self) -> Iterator[Packet | None]:
        """Packets of pictures as far as they can be read; the last one is empty or None."""
        while True:
            try:
                yield from self._container.demux(self._stream)
                return
            except self._av.BlockingIOError:  # cameras on macOS say so while there is no new frame
                time.sleep(CAMERA_PAUSE)
            except self._av.FFmpegError as error:
                logger.warning("%s breaks off: %s.", self.name, error)
                yield None
                return


def _open_webcam(index: int) -> InputContainer:
    av = _import_av()
    try:
        if sys.platform == "darwin":  # Apple's cameras refuse the rate of 29.97 that is asked for otherwise
            return av.open(f"{index}:none", format="avfoundation", options={"framerate": "30"})
        if sys.platform == "win32":  # there cameras go by name
            from av.device import enumerate_input_devices

            cameras = [device for device in enumerate_input_devices("dshow") if "video" in device.media_types]
            return av.open(f"video={cameras[index].name}", format="dshow")
        return av.open(f"/dev/video{index}", format="v4l2")
    except (av.FFmpegError, IndexError) as error:
        raise FileNotFoundError(
            f"Webcam {index} cannot be opened: {error}. The first one is 0; is it plugged in, free and permitted?"
        ) from error


class VideoWriter(AbstractContextManager["VideoWriter"]):
    """An MP4 file in H.264, which browsers and players show; use it in a `with` block.

    The first frame's size is the video's. Frames of another size are fitted into it, between black bars. Odd sizes,
    which the format does not have, get a black line at the right or the bottom.

    Args:
        path: File to write; the ending must be `.mp4`.
        frame_rate: Frames per second, on average; each frame is shown at its own time.
        time_base: Seconds per tick of the file's clock, the least difference of two times.
    """

    def __init__(self, path: Path, *, frame_rate: Fraction, time_base: Fraction) -> None:
        av = _import_av()
        self._new_picture = av.VideoFrame.from_image
        self._container = av.open(str(path), "w", options={"movflags": "+faststart"})
        self._stream = self._container.add_stream("libx264", rate=frame_rate, options={"crf": "20"})
        codec = self._stream.codec_context
        codec.pix_fmt, codec.time_base = "yuv420p", time_base
        codec.colorspace = codec.color_primaries = codec.color_trc = BT709
        self._time_base = time_base
        self._size: tuple[int, int] | None = None
        self._tick = -1

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        try:
            if error is None and self._size is not None:
                self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()

    def write(self, image: Image.Image, seconds: float) -> None:
        """Show an image from `seconds` on; times must grow."""
        if self._size is None:
            self._size = image.size
            self._stream.width, self._stream.height = (size + size % 2 for size in image.size)
        if image.size != self._size:
            image = ImageOps.pad(image, self._size)
        canvas = Image.new("RGB", (self._stream.width, self._stream.height))
        canvas.paste(image)
        picture = self._new_picture(canvas).reformat(format="yuv420p", dst_colorspace="itu709")
        self._tick = max(round(seconds / self._time_base), self._tick + 1)
        picture.pts, picture.time_base = self._tick, self._time_base
        self._container.mux(self._stream.encode(picture))


def predict_video(
    predictor: VideoPredictor,
    source: Path | int,
    out: Path,
    *,
    formats: Sequence[FormName] = ("coco",),
    style: DrawingStyle = "overlay",
) -> None:
    """Predict every frame, write what was found in each of the forms and a drawn video, `NAME_pose.mp4`, into `out`.

    Of a video the form "coco" is `predictions.jsonl`, with a line a frame: `frame` (its number, from 0), `time`
    (seconds since the first frame) and `people`, each with `track_id`, and `bbox` [x, y, width, height], `keypoints` x,
    y, score a keypoint and `score` as in COCO's results. All is in the frame's own pixels.

    Ctrl-C ends a webcam. A video file that it interrupts leaves what was done until then, complete up to a frame; so
    does a mistake in a later frame, such as a box outside.

    Args:
        predictor: Finds the people; a new one for each video.
        source: Path of a video, or number of a webcam.
        out: Folder to write into.
        formats: The forms; those whose files belong to photos are refused.
        style: How the video is drawn.

    Raises:
        KeyboardInterrupt: Ctrl-C interrupted a video file; the message says how far it came.
        ValueError: Something about the video, a box in it or a form; the message says how far it came.
    """
    forms, schema = _forms_of_video(formats), predictor.predictor.schema
    if style == "openpose":  # whether it can draw these keypoints
        People.nobody(schema).to_openpose()
    mistake: ValueError | None = None
    num_frames, seconds, track_ids = 0, 0.0, set[int]()
    video = VideoReader(source)  # before anything is written
    with (
        _json_lines(out) if "coco" in formats else nullcontext() as write_line,
        open_forms(forms, out, Source(schema=schema)) as write,
        whole_file(out / f"{video.stem}_pose.mp4") as clip,
        VideoWriter(clip, frame_rate=video.frame_rate, time_base=video.time_base) as writer,
        video,
        _interruption() as interrupted,
    ):
        progress = tqdm(iter(video), total=video.num_frames, desc="predict", unit=" frames")
        frames = takewhile(lambda _: not interrupted.is_set(), progress)  # those that were read are still predicted
        lookahead = MAX_WAITING if isinstance(source, Path) else 1  # what a webcam sees is shown at once
        try:
            for frame, people in predictor.stream(frames, max_waiting=lookahead):
                image = Image.fromarray(frame.pixels.permute(1, 2, 0).numpy())
                write(_photo(frame, video), people)
                if write_line is not None:
                    write_line(frame, people)
                paint_people(image, people, style=style)
                writer.write(image, frame.time)
                track_ids.update([] if people.track_ids is None else people.track_ids.tolist())
                num_frames, seconds = num_frames + 1, frame.time
        except ValueError as error:
            if not num_frames:
                raise
            mistake = error
    done = f"{num_frames} frames (to {seconds:.1f} s) with {len(track_ids)} people"
    cut_short = interrupted.is_set() and isinstance(source, Path)
    _tell_end(done, out, mistake, interrupted_video=video.name if cut_short else None)


def _tell_end(done: str, out: Path, mistake: ValueError | None, *, interrupted_video: str | None) -> None:
    """Log how far a video came, or raise what ended it before its end."""
    if mistake is not None:
        raise ValueError(f"{mistake} Before that came {done}, which are in {out}.") from mistake
    if interrupted_video is not None:
        raise KeyboardInterrupt(f"{interrupted_video}: interrupted after {done}, which are in {out}.")
    logger.info("%s: %s", done, out)


def _forms_of_video(formats: Sequence[FormName]) -> list[FormName]:
    """The forms beside the JSON lines, which stand for COCO's results; raises where one has no place for a video."""
    of_photos = [name for name in formats if name in FORMS_OF_PHOTOS]
    if of_photos:
        raise ValueError(
            f"format: {of_photos[0]!r} is one of photos: save the frames as pictures first, such as with ffmpeg -i "
            "VIDEO %06d.jpg."
        )
    return [name for name in formats if name != "coco"]


@contextmanager
def _json_lines(out: Path) -> Iterator[Callable[[Frame, People], None]]:
    """`predictions.jsonl`, a line a frame; see [`predict_video`]."""
    with text_file(out / "predictions.jsonl") as file:

        def write(frame: Frame, people: People) -> None:
            persons = [{name: result[name] for name in _FIELDS} for result in people.to_coco(frame.index)]
            line = {"frame": frame.index, "time": round(frame.time, 6), "people": persons}
            file.write(json.dumps(line) + "\n")

        yield write


def _photo(frame: Frame, video: VideoReader) -> Photo:
    """A frame as forms take it, with the name that OpenPose gives frames."""
    height, width = frame.pixels.shape[1:]
    name = Path(f"{video.stem}_{frame.index:012d}")
    return Photo(number=frame.index, path=name, width=width, height=height, video=Path(video.name).name)


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
