"""The sound of a video, copied beside its drawn pictures."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from .opening import import_av

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.packet import Packet

logger = logging.getLogger(__name__)

COPIED = frozenset({"aac", "mp3", "ac3", "eac3", "opus", "alac", "flac"})  # codecs that players take in an MP4 file
SOUND_SLACK = 0.1  # seconds by which sound that is encoded may be early or late
DEFAULT_TICK = Fraction(1, 90_000)  # seconds of a source that does not say


@dataclass(frozen=True, kw_only=True)
class SoundPacket:
    """A packet of sound, as it lies in its source.

    Args:
        packet: The packet.
        track: Which of the source's streams of sound it belongs to.
        start: The source's time, in seconds, of the first picture.
    """

    packet: Packet
    track: int
    start: float

    @property
    def tick(self) -> Fraction:
        """Seconds per tick of the packet's times."""
        return self.packet.time_base or DEFAULT_TICK

    @property
    def seconds(self) -> float:
        """When it begins, in seconds since the first picture; 0 where it does not tell."""
        ticks = self.packet.pts if self.packet.pts is not None else self.packet.dts
        return 0.0 if ticks is None else float(ticks * self.tick) - self.start

    @property
    def duration(self) -> float:
        """Seconds."""
        return float((self.packet.duration or 0) * self.tick)


class SoundTrack:
    """One stream of sound on its way into an MP4 file."""

    def __init__(self, stream: AudioStream, target: AudioStream, container: OutputContainer) -> None:
        self._source, self._target, self._container = stream, target, container
        if "language" in stream.metadata:
            target.metadata["language"] = stream.metadata["language"]

    def write(self, sound: SoundPacket) -> None:
        """Write what a packet holds.

        Raises:
            FFmpegError: It is damaged.
        """
        raise NotImplementedError

    def end(self) -> None:
        """Write what is held back."""


class CopiedTrack(SoundTrack):
    """Sound that stays as it is."""

    def __init__(self, stream: AudioStream, container: OutputContainer) -> None:
        super().__init__(stream, container.add_stream_from_template(stream), container)
        self._last_tick: int | None = None

    def write(self, sound: SoundPacket) -> None:
        """Copy a packet; one that would lie before the last one, as where recordings were joined, is left out."""
        packet, offset = sound.packet, round(sound.start / sound.tick)
        ticks = packet.dts if packet.dts is not None else packet.pts
        if ticks is None or (self._last_tick is not None and ticks - offset <= self._last_tick):
            return
        packet.pts = packet.dts = self._last_tick = ticks - offset
        packet.stream = self._target
        self._container.mux(packet)


class EncodedTrack(SoundTrack):
    """Sound that players would not take, as AAC; gaps become silence."""

    def __init__(self, stream: AudioStream, container: OutputContainer) -> None:
        av, source = import_av(), stream.codec_context
        known = av.Codec("aac", "w").audio_rates or [source.sample_rate]
        self._rate = source.sample_rate if source.sample_rate in known else 48_000
        target = container.add_stream("aac", rate=self._rate, layout="mono" if source.channels == 1 else "stereo")
        super().__init__(stream, target, container)
        self._resampler = av.AudioResampler(format="fltp", layout=target.layout, rate=self._rate)
        self._silence = av.AudioFrame
        self._count = 0  # samples so far

    def write(self, sound: SoundPacket) -> None:
        """Encode what a packet holds; what would lie before the sound so far is left out."""
        for frame in self._source.codec_context.decode(sound.packet):
            begin = None if frame.time is None else round((frame.time - sound.start) * self._rate)
            slack = round(SOUND_SLACK * self._rate)
            if begin is not None and begin < self._count - slack:
                continue
            while begin is not None and begin > self._count + slack:
                self._encode(self._quiet(min(begin - self._count, self._rate)))
            for resampled in self._resampler.resample(frame):
                self._encode(resampled)

    def end(self) -> None:
        """Write what the encoder holds back."""
        if self._count:
            self._container.mux(self._target.encode(None))

    def _quiet(self, count: int) -> AudioFrame:
        channels = self._target.layout.nb_channels
        frame = self._silence.from_ndarray(np.zeros((channels, count), np.float32), "fltp", self._target.layout.name)
        frame.sample_rate = self._rate
        return frame

    def _encode(self, frame: AudioFrame) -> None:
        frame.pts, frame.time_base = self._count, Fraction(1, self._rate)
        self._count += frame.samples
        self._container.mux(self._target.encode(frame))


class Sound:
    """The sound of a video on its way into an MP4 file, as it is where players take its codec there, else as AAC.

    What is damaged is left out with a warning.

    Args:
        streams: The source's; there may be none.
        container: The file.
    """

    def __init__(self, streams: Sequence[AudioStream], container: OutputContainer) -> None:
        self._error = import_av().FFmpegError
        self._tracks = [_track(stream, container) for stream in streams]
        self._waiting: deque[SoundPacket] = deque()
        self._num_damaged = 0

    def add(self, packets: Iterable[SoundPacket]) -> None:
        """Take what follows."""
        self._waiting.extend(packets)

    def write_until(self, seconds: float) -> None:
        """Write what begins before this time; no packet that is over before the first picture."""
        later: deque[SoundPacket] = deque()
        for sound in self._waiting:
            if sound.seconds >= seconds:
                later.append(sound)
            elif sound.seconds + 2 * sound.duration > 0:  # a decoder needs one to begin with
                self._write(sound)
        self._waiting = later

    def end(self) -> None:
        """Write what is held back, and tell of what was damaged."""
        for track in self._tracks:
            if track is not None:
                track.end()
        if self._num_damaged:
            logger.warning("The sound is damaged: %d parts of it were left out.", self._num_damaged)

    def _write(self, sound: SoundPacket) -> None:
        track = self._tracks[sound.track]
        try:
            if track is not None:
                track.write(sound)
        except (self._error, ValueError):
            self._num_damaged += 1


def _track(stream: AudioStream, container: OutputContainer) -> SoundTrack | None:
    """How a stream of sound gets into a file; None for one that cannot be read at all, with a warning."""
    if stream.codec_context is not None:
        for kind in (
            (CopiedTrack, EncodedTrack) if stream.codec_context.codec.canonical_name in COPIED else (EncodedTrack,)
        ):
            if _fits(kind, stream):
                return kind(stream, container)
    logger.warning("A stream of sound (number %d) is left out: its codec is not known.", stream.index)
    return None


def _fits(kind: type[CopiedTrack] | type[EncodedTrack], stream: AudioStream) -> bool:
    """Whether a file can begin with such a track: one that cannot would take the pictures with it."""
    av = import_av()
    try:
        with av.open(BytesIO(), "w", format="mp4") as trial:
            kind(stream, trial)
            trial.start_encoding()
    except (av.FFmpegError, ValueError, NotImplementedError):
        return False
    return True
