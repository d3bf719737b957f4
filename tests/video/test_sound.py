"""The drawn clip sounds as the clip does: the same sound at the same pictures, copied where players take it."""

import logging
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from vitpose import KeypointDetectionPipeline
from vitpose.base.files import TINY_CHECKPOINT
from vitpose.processing.people_vitpose import Detections
from vitpose.processing.prediction_vitpose import PosePredictor
from vitpose.video.files import predict_video
from vitpose.video.frames import Frame
from vitpose.video.people import VideoPredictor
from vitpose.video.reader import VideoReader

av = pytest.importorskip("av", reason="videos come with the video extra")
pytest.importorskip("trackers", reason="tracking comes with the video extra")


@cache
def tiny_predictor() -> PosePredictor:
    return KeypointDetectionPipeline.from_pretrained(TINY_CHECKPOINT).predictor()


RATE, SAMPLES = 25, 48_000
BEEP = 1.0  # seconds at which a picture is white and a tone begins


def nobody(frames: list[Frame]) -> list[Detections]:
    return [Detections.given(torch.zeros(0, 4, dtype=torch.float64), "person") for _ in frames]


def sound_of(seconds: float, *, channels: int = 2) -> np.ndarray:
    """Samples `(channels, n)`: silence, and a tone from `BEEP` on for a fifth of a second."""
    times = np.arange(round(seconds * SAMPLES)) / SAMPLES
    tone = 0.5 * np.sin(2 * np.pi * 1000 * times) * ((times >= BEEP) & (times < BEEP + 0.2))
    return np.tile(tone.astype(np.float32), (channels, 1))


def write(
    path: Path,
    codecs: tuple[str, ...] = ("aac",),
    *,
    seconds: float = 2.0,
    start: float = 0.0,
    late: float = 0.0,
    video: str = "libx264",
    **options: str,
) -> Path:
    """A clip whose picture is white, and whose sound beeps, one second after the first picture.

    Its clock starts at `start`; its sound begins `late` seconds after the first picture, or before it.
    """
    with av.open(str(path), "w", options=options) as container:
        pictures = container.add_stream(video, rate=RATE, width=64, height=48)
        pictures.pix_fmt = "yuv420p"
        pictures.codec_context.time_base = Fraction(1, RATE)
        tracks = []
        for codec in codecs:
            track = container.add_stream(codec, rate=SAMPLES, layout="stereo")
            formats = [own.name for own in track.codec_context.codec.audio_formats]
            tracks.append((track, av.AudioResampler(format=formats[0], layout="stereo", rate=SAMPLES)))
        for index in range(round(seconds * RATE)):
            level = 255 if abs(index / RATE - BEEP) < 0.5 / RATE else 20
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), level, np.uint8), format="rgb24")
            picture = picture.reformat(format="yuv420p")
            picture.pts, picture.time_base = round(start * RATE) + index, Fraction(1, RATE)
            container.mux(pictures.encode(picture))
        container.mux(pictures.encode(None))
        for track, resampler in tracks:
            samples = sound_of(seconds)
            first = round(late * SAMPLES)
            samples = samples[:, first:] if late > 0 else np.pad(samples, ((0, 0), (-first, 0)))
            for place in range(0, samples.shape[1], 960):
                part = np.ascontiguousarray(samples[:, place : place + 960])
                frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
                frame.sample_rate, frame.time_base = SAMPLES, Fraction(1, SAMPLES)
                frame.pts = round((start + late) * SAMPLES) + place
                for resampled in resampler.resample(frame):
                    container.mux(track.encode(resampled))
            container.mux(track.encode(None))
    return path


def predicted(path: Path, **settings: object) -> Path:
    out = path.parent / "out"
    predict_video(VideoPredictor(predictor=tiny_predictor(), find_people=nobody), path, out, **settings)
    return out / f"{path.stem}_pose.mp4"


def heard(path: Path, track: int = 0) -> tuple[float, float]:
    """When the tone begins, and when the sound ends, in seconds since the first picture."""
    with av.open(str(path)) as container:
        shown = next(container.decode(video=0)).time
    with av.open(str(path)) as container:
        stream = container.streams.audio[track]
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=SAMPLES)
        beep, end = np.nan, np.nan
        for frame in container.decode(stream):
            own = frame.time - shown
            for part in resampler.resample(frame):
                loud = np.flatnonzero(np.abs(part.to_ndarray()[0]) > 0.1)
                if np.isnan(beep) and len(loud):
                    beep = own + loud[0] / SAMPLES
            end = own + frame.samples / frame.sample_rate
    return beep, end


def flash(path: Path) -> float:
    """When the picture is white."""
    with VideoReader(path) as video:
        (time,) = [frame.time for frame in video if frame.pixels.float().mean() > 200]
    return time


def codecs_of(path: Path) -> list[str]:
    with av.open(str(path)) as container:
        return [stream.codec_context.name for stream in container.streams.audio]


KINDS = [
    (".mp4", "aac", "aac"),
    (".ts", "aac", "aac"),  # whose packets carry headers that MP4 does not have
    (".mp4", "libmp3lame", "mp3float"),
    (".mkv", "ac3", "ac3"),
    (".webm", "libopus", "opus"),
    (".mkv", "flac", "flac"),
    (".mp4", "alac", "alac"),
    (".mkv", "mp2", "aac"),
    (".avi", "pcm_s16le", "aac"),
    (".mov", "pcm_s16le", "aac"),
]


@pytest.mark.parametrize(("suffix", "codec", "expected"), KINDS, ids=[f"{row[1]} in {row[0]}" for row in KINDS])
def test_sound_stays_with_the_pictures(suffix, codec, expected, tmp_path, caplog):
    video = "libvpx" if suffix == ".webm" else "mpeg4" if suffix == ".avi" else "libx264"
    drawn = predicted(write(tmp_path / f"clip{suffix}", (codec,), video=video))
    assert [name.replace("libopus", "opus") for name in codecs_of(drawn)] == [expected]
    beep, end = heard(drawn)
    assert flash(drawn) == pytest.approx(BEEP, abs=0.001)
    assert beep == pytest.approx(BEEP, abs=0.03)
    assert end == pytest.approx(2.0, abs=0.08)
    assert not [record.message for record in caplog.records if record.levelno > logging.INFO]


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
@pytest.mark.parametrize(("start", "late"), [(5.0, 0.0), (0.0, 0.3), (5.0, 0.3), (5.0, -0.4)])
def test_sound_that_begins_elsewhere_than_the_pictures(codec, start, late, tmp_path):
    path = write(tmp_path / "clip.mkv", (codec,), start=start, late=late)
    drawn = predicted(path)
    assert heard(path)[0] == pytest.approx(BEEP, abs=0.03)  # the clip itself is as it should be
    assert heard(drawn)[0] == pytest.approx(BEEP, abs=0.03)
    assert flash(drawn) == pytest.approx(BEEP, abs=0.001)


def test_all_tracks_of_sound_are_kept(tmp_path):
    drawn = predicted(write(tmp_path / "film.mkv", ("aac", "pcm_s16le", "ac3")))
    assert codecs_of(drawn) == ["aac", "aac", "ac3"]
    assert [heard(drawn, track)[0] for track in range(3)] == pytest.approx([BEEP] * 3, abs=0.03)


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
def test_sound_ends_where_the_work_was_ended(codec, tmp_path):
    path = write(tmp_path / "clip.mkv", (codec,))
    drawn = predicted(path, progress=lambda done, total: done < 30)
    beep, end = heard(drawn)
    assert beep == pytest.approx(BEEP, abs=0.03)
    assert end == pytest.approx(30 / RATE, abs=0.05)


def test_a_clip_without_sound_has_none(tmp_path):
    assert codecs_of(predicted(write(tmp_path / "clip.mp4", ()))) == []


@pytest.mark.parametrize("codec", ["aac", "mp2"])
def test_damaged_sound_costs_no_picture(codec, tmp_path, caplog):
    path = write(tmp_path / "clip.mkv", (codec,))
    content = path.read_bytes()
    packets = []
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
    for packet in packets[20:40]:
        content = content.replace(packet, bytes(len(packet)))
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        drawn = predicted(path)
    with VideoReader(drawn) as video:
        assert len(list(video)) == 2 * RATE
    if codec == "mp2":
        assert "The sound is damaged: " in caplog.text
