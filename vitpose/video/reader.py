"""Pictures and sound out of a video."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager
from fractions import Fraction
from typing import TYPE_CHECKING

import torch

from .frames import Frame
from .opening import Source, import_av, open_source, sends_on, source_name, source_stem
from .sound import SoundPacket
from .turning import display_matrix, turned

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

logger = logging.getLogger(__name__)

DEFAULT_RATE = Fraction(30)  # frames per second of a source that does not say
CAMERA_PAUSE = 0.005  # seconds until a camera without a new frame is asked again
CLOCK_JUMP = 1.0  # seconds by which a clock that goes back has begun anew, rather than pictures being out of order


class Clock:
    """Turns times of a source into seconds since its first picture, which grow from picture to picture.

    Clocks of files start anywhere, and begin anew where recordings were joined. A picture without a time, or out of
    order, follows at the usual step.

    Args:
        step: Seconds from picture to picture, usually.

    Attributes:
        start: The source's time of the first picture; None before that is known.
    """

    def __init__(self, step: float) -> None:
        self.step = step
        self.start: float | None = None
        self._seconds = -step

    def __call__(self, shown: float | None) -> float:
        """Seconds of the next picture, which the source shows at this time."""
        usual = self._seconds + self.step
        if shown is not None and (self.start is None or shown - self.start < self._seconds - CLOCK_JUMP):
            self.start = shown - usual
        own = usual if shown is None or self.start is None else shown - self.start
        self._seconds = own if own > self._seconds else usual
        return self._seconds


class VideoReader(AbstractContextManager["VideoReader"]):
    """The frames of a video; use it in a `with` block and iterate over it once.

    A damaged part is left out, and a file or stream that breaks off gives the frames up to there; a warning says so.

    Args:
        source: A file, the number of a camera, or an address.
        keep_sound: Whether to keep the sound that lies between the pictures, for [`take_sound`].

    Attributes:
        name: What messages call the source.
        stem: What files made from it are called.
        is_live: Whether it has no end of its own: a camera, or an address that does not tell a duration.
        sends_on: Whether it goes on while nobody reads it.
        frame_rate: Frames per second, on average.
        time_base: Seconds per tick of the source's clock.
        num_frames: How many frames there should be; None where the source is live or does not say.
        sound: The streams of sound, where it is kept.

    Raises:
        FileNotFoundError: There is no such file or camera, or nothing answers at the address.
        ValueError: It cannot be read as a video, or has no picture at all.
        ModuleNotFoundError: The extra `video` is not installed.
    """

    def __init__(self, source: Source, *, keep_sound: bool = False) -> None:
        self._av = import_av()
        self.name, self.stem = source_name(source), source_stem(source)
        self._container = open_source(source)
        attached = self._av.stream.Disposition.attached_pic  # the cover of a piece of music
        streams = [stream for stream in self._container.streams.video if not stream.disposition & attached]
        if not streams:
            self._container.close()
            raise ValueError(f"{self.name} has no pictures: expected a video, got sound or data alone.")
        self._stream: VideoStream = streams[0]
        self.sound: tuple[AudioStream, ...] = self._container.streams.audio if keep_sound else ()
        self.frame_rate = self._stream.average_rate or self._stream.guessed_rate or DEFAULT_RATE
        self.time_base = self._stream.time_base or 1 / self.frame_rate
        microseconds = self._container.duration  # None for a camera
        by_duration = None if microseconds is None else round(microseconds / 1_000_000 * self.frame_rate)
        self.num_frames = self._stream.frames or by_duration
        self.sends_on = sends_on(source)
        self.is_live = isinstance(source, int) or (isinstance(source, str) and microseconds is None)
        if not self.is_live:
            self._stream.thread_type = "AUTO"  # several frames at once, some later than they came
        self._clock = Clock(float(1 / self.frame_rate))
        self._heard: deque[Packet] = deque()

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def __iter__(self) -> Iterator[Frame]:
        """Frames with their seconds since the first."""
        read = 0
        for picture in self._pictures():
            upright = turned(picture.to_ndarray(format="rgb24"), display_matrix(picture))
            pixels = torch.from_numpy(upright.copy()).permute(2, 0, 1)
            yield Frame(index=read, time=self._clock(picture.time), pixels=pixels)
            read += 1
        if read == 0:
            raise ValueError(f"{self.name} has no frame that can be read: it is damaged, or no video.")
        if self.is_live:
            logger.warning("%s stopped: nothing more came.", self.name)
        # a duration tells the number of frames only roughly, above all where sound goes on after the pictures
        slack = 0 if self._stream.frames else math.ceil(self.frame_rate)
        if self.num_frames is not None and read < self.num_frames - slack:
            logger.warning("%s ends early: %d of %d frames could be read.", self.name, read, self.num_frames)

    def take_sound(self) -> Iterator[SoundPacket]:
        """The sound that was read since the last call, which may be ahead of the pictures or behind them."""
        while self._heard and self._clock.start is not None:
            packet = self._heard.popleft()
            yield SoundPacket(packet=packet, track=self.sound.index(packet.stream), start=self._clock.start)

    def _pictures(self) -> Iterator[VideoFrame]:
        damaged = 0
        for packet in self._packets():
            if packet is not None and packet.stream is not self._stream:
                if packet.size:
                    self._heard.append(packet)
                continue
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
        """Packets of pictures and sound as far as they can be read; the last one is empty or None."""
        while True:
            try:
                yield from self._container.demux(self._stream, *self.sound)
                return
            except self._av.BlockingIOError:  # cameras on macOS say so while there is no new frame
                time.sleep(CAMERA_PAUSE)
            except self._av.FFmpegError as error:
                if not self.is_live:  # of which the end is told anyway
                    logger.warning("%s breaks off: %s.", self.name, error.strerror)
                yield None
                return
