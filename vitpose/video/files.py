"""Videos and webcams as upright frames with their times, one after another, and frames as a video file.

Only the frame at hand is in memory, however long the video is. Sound is left out.
"""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from PIL import Image, ImageOps

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

logger = logging.getLogger(__name__)

VIDEO_SUFFIXES = frozenset(
    [".3gp", ".avi", ".flv", ".h264", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"]
    + [".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"]
)
DEFAULT_RATE = Fraction(30)  # frames a second of a source that does not say
BT709 = 1  # the colours of high definition, which players assume; FFmpeg's number for matrix, primaries and transfer
CAMERA_PAUSE = 0.005  # seconds until a camera without a new frame is asked again


def _import_av() -> ModuleType:
    try:
        import av
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError('Reading videos needs PyAV: pip install "vitpose[video]".') from error
    return av


def video_source(names: Sequence[str | Path]) -> Path | int | None:
    """The video or webcam among the inputs of a command: a path, a webcam's number, or None where all are photos.

    A whole number is a webcam, a name with the ending of a video (`VIDEO_SUFFIXES`) a video, everything else a photo.

    Raises:
        ValueError: There is more than a single video or webcam.
    """
    videos = [str(name) for name in names if str(name).isdecimal() or Path(name).suffix.lower() in VIDEO_SUFFIXES]
    if not videos:
        return None
    if len(names) > 1:
        raise ValueError(
            f"Expected photos, or a single video or webcam, got {', '.join(map(str, names))}: "
            f"give {videos[0]} a call and a folder of its own."
        )
    return int(videos[0]) if videos[0].isdecimal() else Path(videos[0])


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One picture of a video.

    Args:
        index: Its number, from 0.
        time: Seconds since the first frame; always more than the frame before.
        image: RGB, upright; frames of one video may differ in size.
    """

    index: int
    time: float
    image: Image.Image


class VideoReader:
    """The frames of a video file or webcam; use it in a `with` block and iterate over it once.

    A damaged part of a file is left out, and a file that breaks off gives the frames up to there; a warning says so.

    Args:
        source: Path of a file, or number of a webcam.

    Attributes:
        name: What messages call the source.
        stem: What files made from it are called.
        frame_rate: Frames a second, on average.
        time_base: Seconds of a tick of the source's clock.
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
            self.name, self.stem, self._container = str(source), source.stem, _open_file(source)
        self._stream = self._first_stream()
        self.frame_rate = self._stream.average_rate or self._stream.guessed_rate or DEFAULT_RATE
        self.time_base = self._stream.time_base or 1 / self.frame_rate
        self.num_frames = self._stream.frames or self._frames_by_duration()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def __iter__(self) -> Iterator[Frame]:
        read = 0
        for read, (seconds, picture) in enumerate(self._timed(self._pictures()), start=1):
            yield Frame(index=read - 1, time=seconds, image=_upright(picture))
        if read == 0:
            raise ValueError(f"{self.name} has no frame that can be read: it is damaged, or no video.")
        # a duration tells the number of frames only roughly, above all where sound goes on after the pictures
        slack = 0 if self._stream.frames else math.ceil(self.frame_rate)
        if self.num_frames is not None and read < self.num_frames - slack:
            logger.warning("%s ends early: %d of %d frames could be read.", self.name, read, self.num_frames)

    def _first_stream(self) -> VideoStream:
        attached = self._av.stream.Disposition.attached_pic  # the cover of a piece of music
        for stream in self._container.streams.video:
            if not stream.disposition & attached:
                return stream
        self._container.close()
        raise ValueError(f"{self.name} has no pictures: expected a video, got sound or data alone.")

    def _frames_by_duration(self) -> int | None:
        microseconds = self._container.duration  # none for a webcam
        return None if microseconds is None else round(microseconds / 1_000_000 * self.frame_rate)

    def _timed(self, pictures: Iterable[VideoFrame]) -> Iterator[tuple[float, VideoFrame]]:
        """Pictures with their seconds since the first; one without a time, or out of order, follows at the usual step.

        Clocks of files start anywhere, and jump where recordings were joined.
        """
        step = float(1 / self.frame_rate)
        seconds, start = -step, None
        for picture in pictures:
            usual = seconds + step
            if start is None and picture.time is not None:
                start = picture.time - usual
            shown = usual if picture.time is None or start is None else picture.time - start
            seconds = shown if shown > seconds else usual
            yield seconds, picture

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


def _open_file(path: Path) -> InputContainer:
    av = _import_av()
    if not path.is_file():
        raise FileNotFoundError(f"There is no video {path}.")
    try:
        return av.open(str(path))
    except av.FFmpegError as error:
        raise ValueError(f"{path} cannot be read as a video: {error}.") from error


def _open_webcam(index: int) -> InputContainer:
    av = _import_av()
    try:
        if sys.platform == "darwin":  # Apple's cameras refuse the rate of 29.97 that is asked for otherwise
            return av.open(f"{index}:none", format="avfoundation", options={"framerate": "30"})
        if sys.platform == "win32":  # there cameras go by name
            cameras = [device for device in _windows_devices() if "video" in device.media_types]
            return av.open(f"video={cameras[index].name}", format="dshow")
        return av.open(f"/dev/video{index}", format="v4l2")
    except (av.FFmpegError, IndexError) as error:
        raise FileNotFoundError(
            f"Webcam {index} cannot be opened: {error}. The first one is 0; is it plugged in, free and permitted?"
        ) from error


def _windows_devices() -> list:
    from av.device import enumerate_input_devices

    return enumerate_input_devices("dshow")


def _upright(picture: VideoFrame) -> Image.Image:
    """RGB picture, turned as the file says it is to be shown."""
    return picture.to_image().rotate(picture.rotation, expand=True)  # degrees, counter-clockwise for both


class VideoWriter:
    """An MP4 file in H.264, which browsers and players show; use it in a `with` block.

    The first frame's size is the video's. Frames of another size are fitted into it, between black bars. Odd sizes,
    which the format does not have, get a black line at the right or the bottom.

    Args:
        path: File to write; the ending must be `.mp4`.
        frame_rate: Frames a second, on average; each frame is shown at its own time.
        time_base: Seconds of a tick of the file's clock, the least difference of two times.
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

    def __enter__(self) -> VideoWriter:
        return self

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
