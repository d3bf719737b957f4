"""Drawn videos."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageOps

from .opening import import_av
from .sound import Sound, SoundPacket

if TYPE_CHECKING:
    from av.audio.stream import AudioStream

BT709 = 1  # the colors of high definition, which players assume; FFmpeg's number for matrix, primaries and transfer


class VideoWriter(AbstractContextManager["VideoWriter"]):
    """An MP4 file in H.264, which browsers and players show; use it in a `with` block.

    The first frame's size is the video's. Frames of another size are fitted into it, between black bars. Odd sizes,
    which the format does not have, get a black line at the right or the bottom.

    Args:
        path: File to write; the ending must be `.mp4`.
        frame_rate: Frames per second, on average; each frame is shown at its own time.
        time_base: Seconds per tick of the file's clock, the least difference of two times.
        sound: Streams of sound of the video that the images are drawn over; what [`add_sound`] takes is of them.
    """

    def __init__(
        self, path: Path, *, frame_rate: Fraction, time_base: Fraction, sound: Sequence[AudioStream] = ()
    ) -> None:
        av = import_av()
        self._new_picture = av.VideoFrame.from_image
        self._container = av.open(str(path), "w", options={"movflags": "+faststart"})
        self._stream = self._container.add_stream("libx264", rate=frame_rate, options={"crf": "20"})
        codec = self._stream.codec_context
        codec.pix_fmt, codec.time_base = "yuv420p", time_base
        codec.colorspace = codec.color_primaries = codec.color_trc = BT709
        self._time_base = time_base
        self._size: tuple[int, int] | None = None
        self._tick = -1
        self._step = float(1 / frame_rate)
        self._sound = Sound(sound, self._container)

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        try:
            if error is None and self._size is not None:
                self._sound.write_until(float(self._tick * self._time_base) + self._step)
                self._sound.end()
                self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()

    def add_sound(self, packets: Iterable[SoundPacket]) -> None:
        """Take sound that is to be heard with the images; what goes on after the last image is left out."""
        self._sound.add(packets)

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
        self._sound.write_until(seconds)
