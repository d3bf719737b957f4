"""Videos among the sources of `vitpose predict`: their options, and the places of their files."""

import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from predict_help import RECORD, files_in, predict, read_results

from vitpose.video.tracking import TrackerName
from vitpose_cli.predict import TRACKERS

av = pytest.importorskip("av")
pytest.importorskip("trackers")

WHOLE = ("--model", "tiny", "--whole-image")


@pytest.fixture
def clips(tmp_path) -> list[Path]:
    """Two clips of five frames that are called alike."""
    paths = [tmp_path / "clips" / day / "walk.mp4" for day in ("monday", "tuesday")]
    frames = np.random.default_rng(0).integers(0, 256, (5, 48, 64, 3), dtype=np.uint8)
    for path in paths:
        path.parent.mkdir(parents=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode(None))
    return paths


def frames_in(out: Path) -> list[int]:
    return [json.loads(line)["frame"] for line in (out / "predictions.jsonl").read_text().splitlines()]


def test_a_video_alone_lies_in_the_folder(clips, tmp_path):
    out = tmp_path / "out"
    assert predict(clips[:1], *WHOLE, "--save", "pictures,csv", "--out", out) == 0
    assert files_in(out) == {"predictions.jsonl", "predictions.csv", "walk_pose.mp4"}
    assert frames_in(out) == list(range(5))


def test_videos_and_photos_have_places_of_their_own(clips, photos, tmp_path):
    out = tmp_path / "out"
    assert predict([tmp_path / "clips", *photos], *WHOLE, "--recursive", "--out", out) == 0
    walks = {
        f"clips/{day}/walk/{name}" for day in ("monday", "tuesday") for name in ("predictions.jsonl", "walk_pose.mp4")
    }
    assert files_in(out) == walks | RECORD | {"predictions.json", "beach_pose.png", "street_pose.png"}
    assert len(read_results(out)) == 2 and frames_in(out / "clips" / "monday" / "walk") == list(range(5))


def test_a_video_that_is_none_costs_itself_alone(clips, tmp_path, caplog):
    clips[0].write_bytes(b"no video at all")
    out = tmp_path / "out"
    assert predict(clips, *WHOLE, "--out", out) == 1
    assert str(clips[0]) in caplog.text and frames_in(out / "tuesday" / "walk") == list(range(5))
    assert predict(clips, *WHOLE, "--skip-bad", "--out", out) == 0
    assert predict(clips[:1], *WHOLE, "--skip-bad", "--out", out / "alone") == 2


def test_a_video_takes_no_place_of_an_unfinished_run(clips, photos, tmp_path, capsys):
    out = tmp_path / "out"
    assert predict(photos, *WHOLE, "--out", out) == 0
    facts = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps({**facts, "finished": False}))
    assert predict(clips[:1], *WHOLE, "--out", out) == 2
    assert "has a run that was not finished" in capsys.readouterr().err
    (out / "run.json").write_text(json.dumps({**facts, "finished": True}))
    assert predict(clips[:1], *WHOLE, "--out", out) == 0
    assert frames_in(out) == list(range(5))
    assert predict(photos, *WHOLE, "--out", out) == 0


OPTIONS = [
    (True, ["--pick", 3], "--pick is for photos"),
    (True, ["--save", "csv,yolo"], "'yolo' is one of photos: save the frames as pictures first"),
    (True, ["--detect-every", 2], "--detect-every is for --detector"),
    (False, ["--smooth"], "are for videos; leave them out for photos"),
    (False, ["--tracker", "ocsort"], "are for videos; leave them out for photos"),
    (False, ["--threshold", 20], "threshold: expected a score from 0 to 1, got 20"),
]


@pytest.mark.parametrize(("is_video", "options", "message"), OPTIONS, ids=[str(row[1]) for row in OPTIONS])
def test_options_that_do_not_go_together_are_told(is_video, options, message, clips, photos, tmp_path, capsys):
    assert predict(clips[:1] if is_video else photos, *WHOLE, *options, "--out", tmp_path / "out") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_boxes_of_several_videos_are_refused(clips, tmp_path, capsys):
    boxes = tmp_path / "boxes.json"
    boxes.write_text("[]")
    assert predict(clips, "--model", "tiny", "--boxes", boxes, "--out", tmp_path / "out") == 2
    assert "--boxes are those of photos or of one video" in capsys.readouterr().err


def test_the_command_knows_the_trackers():
    assert get_args(TrackerName) == TRACKERS


def test_keypoints_below_a_threshold_are_not_drawn(clips, tmp_path):
    shown = []
    for least in (0, 1):
        out = tmp_path / str(least)
        assert predict(clips[:1], *WHOLE, "--threshold", least, "--out", out) == 0
        with av.open(str(out / "walk_pose.mp4")) as container:
            shown.append(next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int))
    assert abs(shown[0] - shown[1]).max() > 50
