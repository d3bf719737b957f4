"""Videos in, tracked people out: files of every kind of trouble, and memory that stays flat."""

import copy
import json
import logging
import os
import signal
import weakref
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from vitpose import KeypointDetectionPipeline, SyntheticPeople, get_keypoint_schema
from vitpose.base.files import TINY_CHECKPOINT
from vitpose.processing.drawing import draw_poses
from vitpose.processing.heatmaps_vitpose import encode_heatmaps
from vitpose.processing.people_vitpose import Detections
from vitpose.processing.prediction_vitpose import PosePredictor
from vitpose.processing.processor_settings_vitpose import ProcessorSettings
from vitpose.video.files import predict_video
from vitpose.video.finding import BoxesFile, find_whole_image
from vitpose.video.frames import FindPeople, Frame
from vitpose.video.interpolation import MAX_WAITING
from vitpose.video.people import VideoPredictor
from vitpose.video.reader import Clock, VideoReader
from vitpose.video.turning import turned
from vitpose.video.writer import VideoWriter
from vitpose_cli import main as cli

av = pytest.importorskip("av", reason="videos come with the video extra")
pytest.importorskip("trackers", reason="tracking comes with the video extra")

SIZE = (320, 240)  # width, height of the clip in pixels
RATE = 10
COUNT = 24  # frames
STEPS = ((6, 0), (-5, 0), (16, 0))  # pixels a frame of the three people; the third leaves at the right
STARTS = ((5, 10), (240, 130), (170, 5))


COCO = get_keypoint_schema("coco")
SETTINGS = ProcessorSettings(crop_size=(64, 48))


class FixedMaps(nn.Module):
    """A model of fixed proportions: the keypoints of a box are at the same places of it, whatever the picture."""

    def __init__(self, trembling: float = 0.0) -> None:
        super().__init__()
        self._places = torch.from_numpy(np.random.default_rng(0).uniform((10, 14), (38, 50), (17, 2)))  # crop pixels
        self._noise = torch.Generator().manual_seed(1)
        self._trembling = trembling

    def forward(self, pixel_values: Tensor) -> SimpleNamespace:
        points = self._places.expand(len(pixel_values), -1, -1)
        points = points + self._trembling * torch.randn(points.shape, generator=self._noise)
        sizes = {"crop_size": SETTINGS.crop_size, "heatmap_size": SETTINGS.heatmap_size}
        return SimpleNamespace(heatmaps=0.9 * encode_heatmaps(points, torch.ones(points.shape[:2]), **sizes)[0])


def layout(trembling: float = 0.0) -> PosePredictor:
    return PosePredictor(models=FixedMaps(trembling), settings=SETTINGS, schema=COCO)


def given(boxes: list[list[float]]) -> Detections:
    return Detections.given(torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4), "person")


def each(find: Callable[[Frame], Detections]) -> FindPeople:
    """Finds people in one frame after another."""
    return lambda frames: [find(frame) for frame in frames]


def to_pixels(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def picture(frame: Frame) -> Image.Image:
    return Image.fromarray(frame.pixels.permute(1, 2, 0).numpy())


@pytest.fixture(scope="module")
def figures() -> list[dict]:
    """Three generated people, at a third of their size."""
    people = SyntheticPeople(num_people=3, seed=11)
    rows = [people[index] for index in range(3)]
    return [
        {"image": row["image"].reduce(2), "bbox": [value / 2 for value in row["bbox"]]}  # pixels of the reduced picture
        for row in rows
    ]


def frame_of(figures: list[dict], index: int, size: tuple[int, int] = SIZE) -> tuple[Image.Image, list[list[float]]]:
    """A frame of the clip, and the boxes of the people who are in it."""
    image, boxes = Image.new("RGB", SIZE, (90, 110, 100)), []
    for figure, (left, top), (right, down) in zip(figures, STARTS, STEPS, strict=True):
        left, top = left + right * index, top + down * index
        image.paste(figure["image"], (left, top))
        x, y, width, height = figure["bbox"]
        if left + x + width < SIZE[0]:
            boxes.append([left + x, top + y, width, height])
    return image.resize(size), boxes


@pytest.fixture(scope="module")
def clip(figures, tmp_path_factory) -> Path:
    """The clip; beside it the boxes of its people."""
    path, entries = tmp_path_factory.mktemp("clip") / "street.mp4", []
    with VideoWriter(path, frame_rate=Fraction(RATE), time_base=Fraction(1, RATE)) as writer:
        for index in range(COUNT):
            image, boxes = frame_of(figures, index)
            writer.write(image, index / RATE)
            entries += [{"frame": index, "bbox": box} for box in boxes]
    path.with_suffix(".json").write_text(json.dumps(entries))
    return path


def read(path: Path) -> list[Frame]:
    with VideoReader(path) as video:
        return list(video)


def read_lines(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]


def run(path: Path | int, out: Path, **settings: object) -> list[dict]:
    settings = {"predictor": layout(), "find_people": find_whole_image, **settings}
    predict_video(VideoPredictor(**settings), path, out)
    return read_lines(out)


def test_people_keep_their_numbers_over_a_clip(clip, tmp_path):
    lines = run(clip, tmp_path / "out", find_people=BoxesFile(clip.with_suffix(".json")))
    expected = json.loads(clip.with_suffix(".json").read_text())
    assert [line["frame"] for line in lines] == list(range(COUNT))
    assert [line["time"] for line in lines] == pytest.approx(np.arange(COUNT) / RATE)
    found = [{"frame": line["frame"], "bbox": person["bbox"]} for line in lines for person in line["people"]]
    assert found == expected
    numbers = [[person["track_id"] for person in line["people"]] for line in lines]
    leaves_at = next(index for index, own in enumerate(numbers) if len(own) == 2)
    assert 0 < leaves_at < COUNT
    assert numbers == [[1, 2, 3]] * leaves_at + [[1, 2]] * (COUNT - leaves_at)


def predict(path: Path, out: Path, *arguments: object) -> int:
    return cli.main(["predict", *map(str, (path, "--model", "tiny", "--out", out, *arguments))])


def test_the_command_predicts_a_clip(clip, tmp_path, caplog):
    boxes = clip.with_suffix(".json")
    with caplog.at_level(logging.INFO):
        assert predict(clip, tmp_path / "out", "--boxes", boxes, "--smooth") == 0
    lines = read_lines(tmp_path / "out")
    assert [len(line["people"]) for line in lines] == [len(frame_boxes) for frame_boxes in boxes_by_frame(boxes)]
    assert {len(person["keypoints"]) for line in lines for person in line["people"]} == {51}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"predictions.jsonl", "street_pose.mp4"}
    assert "24 frames (to 2.3 s) with 3 people" in caplog.text


def boxes_by_frame(path: Path) -> list[list[list[float]]]:
    entries = json.loads(path.read_text())
    return [[entry["bbox"] for entry in entries if entry["frame"] == index] for index in range(COUNT)]


def test_boxes_beyond_the_end_are_told(clip, tmp_path, caplog):
    (tmp_path / "boxes.json").write_text(json.dumps([{"frame": 30, "bbox": [0, 0, 5, 5]}]))
    assert predict(clip, tmp_path / "out", "--boxes", tmp_path / "boxes.json") == 0
    assert "boxes of 1 frames, up to number 30, which the video does not have" in caplog.text


def test_the_command_finds_people_with_a_detector(clip, detector, tmp_path, capsys):
    everything = ("--detector", detector, "--detector-threshold", 0.0, "--detect-every", 5)
    assert predict(clip, tmp_path / "out", *everything) == 0
    lines = read_lines(tmp_path / "out")
    assert len(lines) == COUNT
    assert lines[0]["people"]
    for person in lines[0]["people"]:
        left, top, width, height = person["bbox"]
        assert width > 0 and height > 0
        assert left < SIZE[0] and top < SIZE[1]
    assert predict(clip, tmp_path / "cats", "--detector", detector, "--detector-labels", "cat") == 2
    assert "error: The detector has no class 'cat'" in capsys.readouterr().err


def test_a_line_has_what_results_of_coco_have(clip, tmp_path):
    (person,) = run(clip, tmp_path / "out")[0]["people"]
    assert set(person) == {"label", "track_id", "bbox", "box_score", "keypoints", "score"}
    assert person["bbox"] == [0, 0, *SIZE]
    rows = np.reshape(person["keypoints"], (17, 3))
    expected = layout()(to_pixels(Image.new("RGB", SIZE)), given([[0, 0, *SIZE]]))
    assert rows[:, :2] == pytest.approx(expected.keypoints_xy[0].numpy(), abs=1e-3)
    assert person["score"] == pytest.approx(rows[:, 2].mean(), abs=1e-3)


def test_the_drawn_video_has_the_frames_and_times_of_the_clip(clip, tmp_path):
    run(clip, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"predictions.jsonl", "street_pose.mp4"}
    drawn, original = read(tmp_path / "out" / "street_pose.mp4"), read(clip)
    assert [frame.time for frame in drawn] == pytest.approx([frame.time for frame in original])
    assert {picture(frame).size for frame in drawn} == {SIZE}
    with VideoReader(tmp_path / "out" / "street_pose.mp4") as video:
        assert (video.frame_rate, video.num_frames) == (RATE, COUNT)


def test_colours_come_through(tmp_path):
    colours = [(220, 30, 30), (30, 200, 40), (20, 40, 210), (128, 128, 128)]
    image = Image.new("RGB", (64, 64))
    for index, colour in enumerate(colours):
        image.paste(colour, (16 * index, 0, 16 * index + 16, 64))
    with VideoWriter(tmp_path / "c.mp4", frame_rate=Fraction(25), time_base=Fraction(1, 25)) as writer:
        writer.write(image, 0.0)
    (frame,) = read(tmp_path / "c.mp4")
    for index, colour in enumerate(colours):
        assert picture(frame).getpixel((16 * index + 8, 32)) == pytest.approx(colour, abs=6)


def test_uneven_times_are_kept(figures, tmp_path):
    times = [0.0, 0.04, 0.2, 0.21, 1.5]
    with VideoWriter(tmp_path / "phone.mp4", frame_rate=Fraction(30), time_base=Fraction(1, 1000)) as writer:
        for time in times:
            writer.write(frame_of(figures, 0)[0], time)
    assert [frame.time for frame in read(tmp_path / "phone.mp4")] == pytest.approx(times)
    lines = run(tmp_path / "phone.mp4", tmp_path / "out")
    assert [line["time"] for line in lines] == pytest.approx(times)
    assert [frame.time for frame in read(tmp_path / "out" / "phone_pose.mp4")] == pytest.approx(times)


def remux(source: Path, target: Path, *, degrees: int | None = None) -> Path:
    """The same pictures in another kind of file, to be shown turned."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        if degrees is not None:
            stream.set_display_rotation(degrees)
        for packet in old.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    return target


KINDS = [
    pytest.param(".webm", "libvpx-vp9", "yuv420p", {}, id="VP9"),
    pytest.param(".mp4", "libsvtav1", "yuv420p", {}, id="AV1"),
    pytest.param(".mp4", "libx265", "yuv420p10le", {"x265-params": "log-level=none"}, id="10 bits"),
    pytest.param(".mp4", "libx264", "yuv444p", {}, id="colors at full size"),
    pytest.param(".mkv", "libx264", "gray", {}, id="gray"),
    pytest.param(".mp4", "libx264", "yuv420p", {"flags": "+ildct+ilme"}, id="interlaced"),
    pytest.param(".mp4", "libx264", "yuv420p", {"bf": "3", "g": "12"}, id="frames out of order"),
]


@pytest.mark.parametrize(("suffix", "codec", "pixel_format", "options"), KINDS)
@pytest.mark.parametrize("size", [SIZE, (254, 190)])
def test_files_of_many_kinds(suffix, codec, pixel_format, options, size, figures, tmp_path):
    """Their frames come in order, at their own uneven times, from the first one's on; the drawn video has them too."""
    path, times = tmp_path / f"clip{suffix}", [0.0, 0.04, 0.08, 0.2, 0.24, 0.36, 0.4, 0.44, 0.48, 0.6]
    try:
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=25, width=size[0], height=size[1], options=options)
            stream.pix_fmt, stream.codec_context.time_base = pixel_format, Fraction(1, 1000)
            for index, time in enumerate(times):
                encoded = av.VideoFrame.from_image(frame_of(figures, index, size)[0]).reformat(format=pixel_format)
                encoded.pts, encoded.time_base = round(1000 * (3 + time)), Fraction(1, 1000)  # the clock begins at 3
                container.mux(stream.encode(encoded))
            container.mux(stream.encode(None))
    except (av.codec.codec.UnknownCodecError, av.FFmpegError) as error:
        pytest.skip(f"this build of PyAV cannot write the file: {error}")
    lines = run(path, tmp_path / "out")
    assert [line["time"] for line in lines] == pytest.approx(times, abs=2e-3)
    drawn = read(tmp_path / "out" / "clip_pose.mp4")
    assert [frame.time for frame in drawn] == pytest.approx(times, abs=2e-3)
    assert {frame.size for frame in drawn} == {size}
    for index, frame in enumerate(read(path)):
        expected = np.asarray(frame_of(figures, index, size)[0].convert("L"), dtype=float)
        assert np.abs(np.asarray(picture(frame).convert("L")) - expected).mean() < 8


@pytest.mark.parametrize("degrees", [90, -90, 180])
def test_a_phone_held_upright_is_turned(degrees, clip, tmp_path):
    if not hasattr(av.video.stream.VideoStream, "set_display_rotation"):
        pytest.skip("this release of PyAV cannot write the angle")
    turned = read(remux(clip, tmp_path / "turned.mp4", degrees=degrees))
    expected = picture(read(clip)[0]).rotate(degrees, expand=True)
    assert np.array_equal(np.array(picture(turned[0])), np.array(expected))
    lines = run(tmp_path / "turned.mp4", tmp_path / "out")
    assert lines[0]["people"][0]["bbox"] == [0, 0, *expected.size]
    assert picture(read(tmp_path / "out" / "turned_pose.mp4")[0]).size == expected.size


MATRICES = [  # rows of FFmpeg's display matrix, and what Pillow calls the change
    pytest.param([[1, 0], [0, 1]], None, id="as it is"),
    pytest.param([[0, -1], [1, 0]], Image.Transpose.ROTATE_90, id="a quarter to the left"),
    pytest.param([[-1, 0], [0, -1]], Image.Transpose.ROTATE_180, id="a half"),
    pytest.param([[0, 1], [-1, 0]], Image.Transpose.ROTATE_270, id="a quarter to the right"),
    pytest.param([[-1, 0], [0, 1]], Image.Transpose.FLIP_LEFT_RIGHT, id="mirrored"),
    pytest.param([[1, 0], [0, -1]], Image.Transpose.FLIP_TOP_BOTTOM, id="upside down"),
    pytest.param([[0, 1], [1, 0]], Image.Transpose.TRANSPOSE, id="turned and mirrored"),
    pytest.param([[0, -1], [-1, 0]], Image.Transpose.TRANSVERSE, id="turned and mirrored the other way"),
]


@pytest.mark.parametrize(("matrix", "change"), MATRICES)
def test_pictures_are_turned_and_mirrored_as_the_file_says(matrix, change):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8))
    expected = image if change is None else image.transpose(change)
    shown = turned(np.asarray(image), np.array(matrix) * 65536)
    assert np.array_equal(shown, np.asarray(expected))


def encode(clip: Path, target: Path, codec: str) -> Path:
    """The clip in another codec, each frame on its own, so that a file's bytes are spread evenly over its frames."""
    with av.open(str(clip)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream(codec, rate=25, width=SIZE[0], height=SIZE[1])
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.gop_size = 1
        for index, picture in enumerate(old.decode(video=0)):
            picture = picture.reformat(format=stream.pix_fmt)
            picture.pts, picture.time_base = index, Fraction(1, 25)
            new.mux(stream.encode(picture))
        new.mux(stream.encode(None))
    return target


@pytest.mark.parametrize(("suffix", "codec"), [(".avi", "mjpeg"), (".mkv", "mjpeg"), (".ts", "mpeg2video")])
def test_a_file_that_ends_early_gives_what_it_has(suffix, codec, clip, tmp_path, caplog):
    path = encode(clip, tmp_path / f"cut{suffix}", codec)
    content = path.read_bytes()
    path.write_bytes(content[: round(0.5 * len(content))])
    with caplog.at_level(logging.WARNING):
        lines = run(path, tmp_path / "out")
    assert 2 < len(lines) < COUNT - 2
    assert len(read(tmp_path / "out" / "cut_pose.mp4")) == len(lines)
    if suffix == ".avi":  # the others do not say how many frames they have
        assert f"{path} ends early: {len(lines)} of {COUNT} frames could be read." in caplog.text


def test_damaged_frames_are_left_out(clip, tmp_path, caplog):
    path = encode(clip, tmp_path / "damaged.avi", "mjpeg")
    content = bytearray(path.read_bytes())
    for index in range(15, 20):  # the frames are about as long as each other
        start = round((index + 0.2) / COUNT * len(content))
        content[start : start + len(content) // COUNT] = bytes(len(content) // COUNT)
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        lines = run(path, tmp_path / "out")
    assert COUNT // 2 < len(lines) < COUNT
    assert [line["frame"] for line in lines] == list(range(len(lines)))
    # decoders differ in whether they refuse a damaged frame or pass over it: one of both is said
    assert f"{path} is damaged: " in caplog.text or f"{path} ends early: {len(lines)} of {COUNT}" in caplog.text


def test_a_clip_without_people_gives_a_video_and_empty_lists(clip, tmp_path):
    lines = run(clip, tmp_path / "out", find_people=each(lambda frame: given([])))
    assert [line["people"] for line in lines] == [[]] * COUNT
    drawn, original = (picture(read(path)[0]) for path in (tmp_path / "out" / "street_pose.mp4", clip))
    assert np.abs(np.array(drawn, dtype=float) - np.array(original)).mean() < 3


def test_frames_of_other_sizes_keep_their_own_pixels(figures, tmp_path):
    """People keep their numbers, the keypoints are smoothed through the change, and the video stays one size."""
    sizes = [SIZE if index < 8 else (480, 360) for index in range(16)]

    def scaled(frame: Frame) -> Detections:
        return given(scaled_boxes(frame))

    def scaled_boxes(frame: Frame) -> list[list[float]]:
        scale = frame.pixels.shape[2] / SIZE[0]
        return [[scale * value for value in box] for box in ([10, 20, 40, 90], [200, 100, 50, 110])]

    people_of = VideoPredictor(predictor=layout(), find_people=each(scaled), smooth=True)
    frames = [
        Frame(index=index, time=index / 10, pixels=to_pixels(frame_of(figures, index, size)[0]))
        for index, size in enumerate(sizes)
    ]
    with VideoWriter(tmp_path / "mixed.mp4", frame_rate=Fraction(10), time_base=Fraction(1, 10)) as writer:
        for frame, people in people_of.stream(frames):
            writer.write(draw_poses(picture(frame), people), frame.time)
            assert people.track_ids.tolist() == [1, 2]
            expected = layout()(frame.pixels, given(scaled_boxes(frame)))
            torch.testing.assert_close(people.keypoints_xy, expected.keypoints_xy, rtol=0, atol=1e-3)
            torch.testing.assert_close(people.boxes_xywh, expected.boxes_xywh)
    assert {picture(frame).size for frame in read(tmp_path / "mixed.mp4")} == {SIZE}


def test_a_file_may_change_its_size(figures, tmp_path):
    parts = []
    for size in (SIZE, (160, 120)):
        part = tmp_path / f"{size[0]}.mp4"
        with VideoWriter(part, frame_rate=Fraction(10), time_base=Fraction(1, 10)) as writer:
            for index in range(6):
                writer.write(frame_of(figures, index, size)[0], index / 10)
        parts.append(remux(part, part.with_suffix(".ts")).read_bytes())
    (tmp_path / "joined.ts").write_bytes(b"".join(parts))
    lines = run(tmp_path / "joined.ts", tmp_path / "out")
    sizes = [line["people"][0]["bbox"][2:] for line in lines]
    assert sizes[0] == list(SIZE) and sizes[-1] == [160, 120]
    times = [line["time"] for line in lines]
    assert times == sorted(set(times))  # the second part's clock begins anew
    assert {picture(frame).size for frame in read(tmp_path / "out" / "joined_pose.mp4")} == {SIZE}


def test_odd_sizes_are_completed(tmp_path):
    with VideoWriter(tmp_path / "odd.mp4", frame_rate=Fraction(10), time_base=Fraction(1, 10)) as writer:
        writer.write(Image.new("RGB", (101, 75), "white"), 0.0)
    (frame,) = read(tmp_path / "odd.mp4")
    assert picture(frame).size == (102, 76)


@pytest.mark.parametrize(
    ("detect_every", "live", "expected"),
    [
        pytest.param(1, False, range(20), id="every frame"),
        pytest.param(4, False, [*range(0, 20, 4), 19], id="boxes go from detection to detection, the last frame's too"),
        pytest.param(4, True, range(0, 20, 4), id="a camera's people are followed"),
        pytest.param(100, False, [0], id="so are people over many frames"),
    ],
)
def test_people_are_located_between_detections(detect_every, live, expected):
    """A detector asked every so often; the keypoints move as the people do, and boxes and numbers with them."""
    asked = []

    def find(frame: Frame) -> Detections:
        asked.append(frame.index)
        return replace(given(truth(frame.index)), scores=torch.tensor([0.9, 0.8]))

    def truth(index: int) -> list[list[float]]:
        return [[10.0 + 3 * index, 20, 40, 90], [200.0 - 3 * index, 100, 50, 110]]

    class Scene(PosePredictor):
        """Finds the people where they are, also in a box that is a step behind."""

        def stream(self, photos, **settings):
            for item, _, found in photos:
                index, pixels, people = item.frame.index, item.frame.pixels, []
                for box in found.boxes_xywh:
                    own = min(truth(index), key=lambda own: (torch.tensor(own) - box).abs()[:2].sum())
                    assert abs(own[0] - box[0]) <= 3.001
                    people.append(own)
                yield item, replace(layout()(pixels, given(people)), boxes_xywh=found.boxes_xywh)

    scene = Scene(models=FixedMaps(), settings=SETTINGS, schema=COCO)
    people_of = VideoPredictor(predictor=scene, find_people=each(find), detect_every=detect_every)
    frames = (Frame(index=index, time=index / 30, pixels=to_pixels(Image.new("RGB", SIZE))) for index in range(20))
    for frame, people in people_of.stream(frames, live=live):
        assert people.track_ids.tolist() == [1, 2]
        is_followed = live or detect_every == 100
        error = 3.01 if is_followed else 1e-6  # pixels: a step, or nothing where people move straight on
        assert people.boxes_xywh.numpy() == pytest.approx(np.array(truth(frame.index)), abs=error)
    assert asked == list(expected)


def test_smoothing_takes_the_trembling_out_of_a_video():
    def spread(smooth: bool) -> float:
        people_of = VideoPredictor(predictor=layout(trembling=0.3), find_people=find_whole_image, smooth=smooth)
        pixels = to_pixels(Image.new("RGB", SIZE))
        frames = (Frame(index=index, time=index / 30, pixels=pixels) for index in range(60))
        return torch.stack([people.keypoints_xy[0] for _, people in people_of.stream(frames)])[20:].std(0).mean().item()

    assert spread(smooth=True) < spread(smooth=False) / 2


@pytest.mark.parametrize(("detect_every", "live", "calls"), [(1, False, 3), (4, False, 3), (4, True, 24)])
def test_frames_share_batches_where_none_depends_on_the_one_before(detect_every, live, calls):
    sizes = []

    class Counted(FixedMaps):
        def forward(self, pixel_values: Tensor) -> SimpleNamespace:
            sizes.append(len(pixel_values))
            return super().forward(pixel_values)

    predictor = PosePredictor(models=Counted(), settings=SETTINGS, schema=COCO)
    people_of = VideoPredictor(predictor=predictor, find_people=find_whole_image, detect_every=detect_every)
    frames = (Frame(index=index, time=index / 30, pixels=to_pixels(Image.new("RGB", SIZE))) for index in range(24))
    assert [frame.index for frame, _ in people_of.stream(frames, live=live)] == list(range(24))
    assert len(sizes) == calls and sum(sizes) == 24


@pytest.mark.parametrize(("detect_every", "limit"), [(3, 4), (2, 2 * MAX_WAITING + 3), (1, 2 * MAX_WAITING + 1)])
def test_frames_are_not_kept(detect_every, limit, clip, tmp_path, monkeypatch):
    """However long a video is, only those frames are alive that are looked at together or wait for a batch."""
    seen, most = [], 0
    timed = VideoReader.__iter__

    def counted(self):
        nonlocal most
        for frame in timed(self):
            seen.append(weakref.ref(frame.pixels))
            most = max(most, sum(pixels() is not None for pixels in seen))
            yield frame

    monkeypatch.setattr(VideoReader, "__iter__", counted)
    run(clip, tmp_path / "out", smooth=True, detect_every=detect_every)
    assert len(seen) == COUNT and most <= limit


@pytest.mark.parametrize("source", ["file", "camera"])
def test_ctrl_c_leaves_two_whole_files(source, clip, tmp_path, monkeypatch, caplog):
    def interrupt(frame: Frame) -> Detections:
        if frame.index == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return find_whole_image([frame])[0]

    before, out = signal.getsignal(signal.SIGINT), tmp_path / "out"
    if source == "file":
        message = r"street.mp4: interrupted after 9 frames \(to 0.8 s\) with 1 people"
        with pytest.raises(KeyboardInterrupt, match=message):
            run(clip, out, find_people=each(interrupt))
    else:  # which has no other end
        monkeypatch.setattr("vitpose.video.opening._open_webcam", lambda index: av.open(str(clip)))
        with caplog.at_level(logging.INFO):
            run(0, out, find_people=each(interrupt))
        assert "with 1 people" in caplog.text
    (drawn,) = out.glob("*_pose.mp4")
    assert drawn.name == {"file": "street_pose.mp4", "camera": "camera0_pose.mp4"}[source]
    assert 0 < len(read(drawn)) == len(read_lines(out)) < COUNT
    assert len(list(out.iterdir())) == 2
    assert signal.getsignal(signal.SIGINT) is before


def test_a_program_is_told_of_each_frame_and_may_end_the_work(clip, tmp_path):
    told = []

    def note(done: int, total: int | None) -> bool:
        told.append((done, total))
        return done < 5

    predictor = VideoPredictor(predictor=layout(), find_people=find_whole_image)
    predict_video(predictor, clip, tmp_path / "out", progress=note)
    assert told == [(done, COUNT) for done in range(1, 6)]
    assert len(read(tmp_path / "out" / "street_pose.mp4")) == len(read_lines(tmp_path / "out")) == 5


def test_a_program_may_interrupt(clip, tmp_path):
    def interrupt(done: int, total: int | None) -> None:
        if done == 3:
            raise KeyboardInterrupt

    predictor = VideoPredictor(predictor=layout(), find_people=find_whole_image)
    with pytest.raises(KeyboardInterrupt, match="interrupted after 3 frames"):
        predict_video(predictor, clip, tmp_path / "out", progress=interrupt)
    assert len(read(tmp_path / "out" / "street_pose.mp4")) == len(read_lines(tmp_path / "out")) == 3


def test_without_a_drawing_there_are_lines_alone(clip, tmp_path):
    predictor = VideoPredictor(predictor=layout(), find_people=find_whole_image)
    predict_video(predictor, clip, tmp_path / "out", draw=False)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["predictions.jsonl"]


def test_lines_are_there_as_they_come(clip, tmp_path):
    """A run that is killed leaves them."""
    partial, counts = tmp_path / "out" / "predictions.partial.jsonl", []
    predictor = VideoPredictor(predictor=layout(), find_people=find_whole_image)
    count = lambda done, total: counts.append(len(partial.read_text().splitlines()))  # noqa: E731
    predict_video(predictor, clip, tmp_path / "out", progress=count)
    assert counts == list(range(1, COUNT + 1)) and not partial.exists()


def test_a_mistake_on_the_way_leaves_nothing_and_names_the_frame(clip, tmp_path):
    with pytest.raises(ValueError, match=r"Frame 0: boxes\[0\]\[0\] = .* lies wholly outside the image"):
        run(clip, tmp_path / "out", find_people=each(lambda frame: given([[999, 0, 5, 5]])))
    assert list((tmp_path / "out").iterdir()) == []


def test_what_was_done_before_a_bad_box_is_kept(clip, tmp_path):
    def find(frame: Frame) -> Detections:
        return given([[0.0 if frame.index < 6 else 999.0, 0.0, 99.0, 99.0]])

    message = r"Frame 6: boxes\[0\]\[0\] = .* Before that came 6 frames \(to 0.5 s\) with 1 people"
    with pytest.raises(ValueError, match=message):
        run(clip, tmp_path / "out", find_people=each(find))
    assert len(read(tmp_path / "out" / "street_pose.mp4")) == len(read_lines(tmp_path / "out")) == 6


def test_half_precision_finds_the_same_keypoints(clip):
    """As on a GPU, where the model takes half the memory."""
    pipe = KeypointDetectionPipeline.from_pretrained(TINY_CHECKPOINT)
    whole = pipe.predictor()
    half = replace(whole, models=copy.deepcopy(whole.models).to(torch.bfloat16), dtype=torch.bfloat16)
    found = [
        list(VideoPredictor(predictor=own, find_people=BoxesFile(clip.with_suffix(".json"))).stream(read(clip)))
        for own in (whole, half)
    ]
    for (_, expected), (_, people) in zip(*found, strict=True):
        assert people.track_ids.tolist() == expected.track_ids.tolist()
        assert people.keypoints_xy.dtype == people.scores.dtype == torch.float32
        errors = (people.keypoints_xy - expected.keypoints_xy).norm(dim=-1)[expected.scores > 0.3]
        assert errors.median() < 0.5 and (errors < 3).float().mean() > 0.95  # pixels, of people about 70 high


def test_a_name_with_signs_of_addresses_is_a_file(clip, tmp_path):
    path = tmp_path / "http:%03d?.mp4"
    path.write_bytes(clip.read_bytes())
    assert len(read(path)) == COUNT


def test_a_clock_that_begins_anew_goes_on():
    clock = Clock(0.1)
    shown = [5.0, 5.1, 5.3, None, 5.35, 0.0, 0.2, 0.5]
    assert [clock(time) for time in shown] == pytest.approx([0.0, 0.1, 0.3, 0.4, 0.5, 0.6, 0.8, 1.1])


def test_who_vanishes_is_looked_for_where_they_went():
    """Boxes go on at their last speed; whom no keypoints show there is left out, as is who is out of the picture."""
    frames = [
        Frame(index=index, time=index / 30, pixels=torch.zeros(3, *SIZE[::-1], dtype=torch.uint8))
        for index in range(13)
    ]

    def find(frame: Frame) -> Detections:
        there = [[20.0 + 2 * frame.index, 30, 40, 90], [265.0 + 5 * frame.index, 100, 40, 110]]
        return given(there if frame.index < 8 else [])

    def boxes(predictor: PosePredictor) -> list[list[list[float]]]:
        people_of = VideoPredictor(predictor=predictor, find_people=each(find), detect_every=4)
        return [people.boxes_xywh.tolist() for _, people in people_of.stream(frames)]

    seen = boxes(layout())
    assert [len(own) for own in seen] == [2] * 8 + [0] * 5
    assert seen[6] == [pytest.approx([32.0, 30, 40, 90]), pytest.approx([295.0, 100, 40, 110])]
    blind = replace(layout(), models=Blind())
    assert [len(own) for own in boxes(blind)] == [2, 2, 2, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0]


class Blind(FixedMaps):
    """A model that is sure of nothing."""

    def forward(self, pixel_values: Tensor) -> SimpleNamespace:
        return SimpleNamespace(heatmaps=0.1 * super().forward(pixel_values).heatmaps)


def test_detect_every_is_checked():
    with pytest.raises(ValueError, match="detect_every: expected at least 1, which is every frame, got 0"):
        VideoPredictor(predictor=layout(), find_people=find_whole_image, detect_every=0)


def not_a_video(folder: Path, kind: str) -> Path:
    path = folder / "clip.mp4"
    if kind == "sound alone":
        path = folder / "song.mkv"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=44100, layout="mono")
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            silence.sample_rate = 44100
            container.mux([*stream.encode(silence), *stream.encode(None)])
    elif kind != "absent":
        path.write_bytes({"text": b"no video at all", "empty": b"", "zeros": bytes(5000)}[kind])
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("absent", "There is no video"),
        ("text", "cannot be read as a video"),
        ("empty", "cannot be read as a video"),
        ("zeros", "cannot be read as a video"),
        ("sound alone", "has no pictures: expected a video, got sound or data alone"),
    ],
)
def test_a_file_that_is_no_video_is_named(kind, message, tmp_path):
    path = not_a_video(tmp_path, kind)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as raised:
        run(path, tmp_path / "out")
    assert str(path) in str(raised.value)
    assert not (tmp_path / "out").exists()


BOXES = [
    ("[{", "is not valid JSON"),
    ({"frame": 0}, "expected a list of"),
    ([{"file_name": "a.jpg", "bbox": [0, 0, 5, 5]}], "expected a list of"),
    ([{"frame": "0", "bbox": [0, 0, 5, 5]}], "expected the number of a frame, counted from 0, got '0'"),
    ([{"frame": -1, "bbox": [0, 0, 5, 5]}], "expected the number of a frame, counted from 0, got -1"),
    ([{"frame": 3, "bbox": [0, 0, 5]}], r"frame 3: expected a bbox \[x, y, width, height\], got \[0, 0, 5\]"),
    ([{"frame": 3, "bbox": "all"}], r"frame 3: expected a bbox"),
]


@pytest.mark.parametrize(("content", "message"), BOXES, ids=[row[1] for row in BOXES])
def test_a_bad_boxes_file_is_named(content, message, tmp_path):
    path = tmp_path / "boxes.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ValueError, match=message) as raised:
        BoxesFile(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("platform", "file", "settings"),
    [
        ("linux", "/dev/video1", {"format": "v4l2"}),
        ("darwin", "1:none", {"format": "avfoundation", "options": {"framerate": "30"}}),
        ("win32", "video=Second camera", {"format": "dshow"}),
    ],
)
def test_a_webcam_goes_by_the_name_of_its_platform(platform, file, settings, clip, monkeypatch):
    devices = [("Microphone", ["audio"]), ("First camera", ["video"]), ("Second camera", ["video", "audio"])]
    listed = [av.device.DeviceInfo(name, name, False, kinds) for name, kinds in devices]
    opened, open_file = [], av.open

    def note(name: str, **given: object) -> object:
        opened.append((name, given))
        return open_file(str(clip))

    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setattr("av.device.enumerate_input_devices", lambda kind: listed)
    monkeypatch.setattr("av.open", note)
    with VideoReader(1) as video:
        assert video.name == "camera 1"
    assert opened == [(file, settings)]


def test_a_missing_webcam_is_named():
    with pytest.raises(FileNotFoundError, match="Camera 99 cannot be opened: .* The first one is 0"):
        VideoReader(99)


def test_without_the_extra_the_message_says_how_to_get_it(clip, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(ModuleNotFoundError, match=r'needs PyAV: pip install "vitpose\[video\]"'):
        VideoReader(clip)


def test_a_video_is_written_in_the_forms_that_are_asked_for(clip, tmp_path):
    out = tmp_path / "out"
    predictor = VideoPredictor(predictor=layout(), find_people=find_whole_image)
    predict_video(predictor, clip, out, formats=["csv", "openpose", "deeplabcut"], style="openpose")
    assert {path.name for path in out.iterdir()} == {
        *("predictions.jsonl", "predictions.csv", "openpose", "deeplabcut.csv", "street_pose.mp4")
    }
    rows = (out / "predictions.csv").read_text().splitlines()
    assert len(rows) == 1 + 17 * COUNT and rows[-1].startswith(f"{COUNT - 1},street.mp4,0,person,1,")
    names = sorted(path.name for path in (out / "openpose").iterdir())
    assert len(names) == COUNT and names[7] == "street_000000000007_keypoints.json"
    (person,) = json.loads((out / "openpose" / names[7]).read_text())["people"]
    assert person["person_id"] == [1]
    indices = [line.split(",")[0] for line in (out / "deeplabcut.csv").read_text().splitlines()]
    assert indices == ["scorer", "bodyparts", "coords", *map(str, range(COUNT))]
    first = np.asarray(picture(read(out / "street_pose.mp4")[0]))
    assert (first.max(-1) < 40).mean() > 0.5  # on black


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["--save", "csv", "yolo"], "'yolo' is one of photos: save the frames as pictures first"),
        (["--pick", "3"], "--pick is for photos"),
    ],
)
def test_what_is_for_photos_is_refused_for_a_video(asked, message, clip, tmp_path, capsys):
    assert cli.main(["predict", str(clip), "--whole-image", *asked, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
