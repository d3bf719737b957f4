"""Pictures of a run are written whole, from logs as killed and resumed runs leave them."""

import json
import os

import numpy as np
import pytest
from PIL import Image
from skimage import data

from vitpose.base.files import whole_file, whole_folder
from vitpose.modeling.keypoint_schemas import get_keypoint_schema
from vitpose.training.pictures.curves import read_log, save_curves, smooth
from vitpose.training.pictures.sheets import save_predictions

COCO = get_keypoint_schema("coco")


def train_line(step, loss=1.0):
    return json.dumps({"step": step, "epoch": step / 10, "loss": loss, "lr": 1e-3, "images_per_s": 9.5}) + "\n"


def eval_line(step, **figures):
    return json.dumps({"step": step, "epoch": step / 10, "eval": figures}) + "\n"


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log.jsonl"


@pytest.mark.parametrize(
    ("sentence", "evaluations", "losses"),
    [
        ("a run with two evaluations", [eval_line(5, AP=0.1, PCK=0.4), eval_line(10, AP=0.3, PCK=0.6)], (1.0, 0.01)),
        ("a run that measures figures of its own", [eval_line(5, EPE=12.0)], (1.0, 0.9)),
        ("a run without evaluation", [], (1.0, 0.9)),
        ("a run whose loss touches zero", [], (1.0, 0.0)),
    ],
)
def test_curves_are_drawn(sentence, evaluations, losses, log, tmp_path):
    log.write_text(
        "".join(train_line(step, loss) for step, loss in enumerate(np.linspace(*losses, 12))) + "".join(evaluations)
    )
    save_curves(log, tmp_path / "new" / "curves.png")
    with Image.open(tmp_path / "new" / "curves.png") as picture:
        assert picture.format == "PNG" and (picture.width > 1000) == bool(evaluations)
        assert np.asarray(picture.convert("L")).std() > 10


def test_a_last_line_that_a_kill_cut_short_is_passed_over(log):
    log.write_text(train_line(1) + train_line(2) + '{"step": 3, "lo')
    training, evaluations = read_log(log)
    assert [entry["step"] for entry in training] == [1, 2] and evaluations == []


def test_the_later_lines_of_a_resumed_run_count(log):
    log.write_text(
        train_line(1)
        + train_line(2, 7.0)
        + eval_line(2, AP=0.1)
        + train_line(2, 5.0)
        + train_line(3)
        + eval_line(2, AP=0.2)
    )
    training, evaluations = read_log(log)
    assert [(entry["step"], entry["loss"]) for entry in training] == [(1, 1.0), (2, 5.0), (3, 1.0)]
    assert [entry["eval"]["AP"] for entry in evaluations] == [0.2]


BAD_LOGS = [
    ("a broken line before the last", train_line(1) + '{"step": 2,\n' + train_line(3), "line 2 is no JSON object"),
    ("a broken last line that is complete", train_line(1) + "oops\n", "line 2 is no JSON object"),
    ("a list", "[1, 2]\n", "line 1: expected an object .*, got list"),
    ("a line without loss", '{"step": 1, "lr": 0.1}\n', r"line 1: expected .*, got only \['lr', 'step'\]"),
    ("an empty log", "", "holds no training line"),
]


@pytest.mark.parametrize(("sentence", "text", "message"), BAD_LOGS, ids=[row[0] for row in BAD_LOGS])
def test_bad_logs_are_named_and_leave_no_picture(sentence, text, message, log, tmp_path):
    log.write_text(text)
    with pytest.raises(ValueError, match=message):
        save_curves(log, tmp_path / "curves.png")
    assert os.listdir(tmp_path) == ["log.jsonl"]


def test_smoothing_starts_unbiased_and_bridges_missing_values():
    np.testing.assert_allclose(smooth(np.full(50, 3.0)), 3.0)
    noisy = np.random.default_rng(0).normal(size=400)
    assert smooth(noisy).std() < 0.4 * noisy.std()
    assert np.isfinite(smooth([1.0, np.nan, 2.0])).all()


def test_a_file_is_whole_or_keeps_its_old_content(tmp_path):
    path = tmp_path / "card.md"
    path.write_text("old")
    with pytest.raises(RuntimeError), whole_file(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["card.md"]
    with whole_file(path) as partial:
        partial.write_text("new")
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["card.md"]


def make_people(count):
    rng = np.random.default_rng(0)
    points = rng.uniform(150, 350, (count, 17, 2))
    people = [{"keypoints": p, "scores": np.ones(17), "bbox": [140, 140, 360, 360]} for p in points]
    return people, np.concatenate([points, np.full((count, 17, 1), 2.0)], axis=2)


def test_predictions_stand_beside_their_annotations(tmp_path):
    photo = Image.fromarray(data.astronaut())
    people, targets = make_people(3)
    alone, both = tmp_path / "alone.png", tmp_path / "both.png"
    save_predictions(alone, [photo] * 3, [[person] for person in people], COCO, columns=3, tile=(80, 60))
    save_predictions(
        both,
        [photo] * 3,
        [[p] for p in people],
        COCO,
        targets[:, None],
        captions=["OKS 0.9"] * 3,
        columns=3,
        tile=(80, 60),
    )
    single, double = Image.open(alone), Image.open(both)
    assert double.height == single.height and double.width == 2 * single.width - 8
    left, right = (np.asarray(double)[8:88, start : start + 60] for start in (8, 76))
    np.testing.assert_array_equal(left, right)  # the same pose twice: as annotated and as predicted


def test_pictures_show_the_whole_image_where_nobody_is_and_accept_crops_at_an_edge(tmp_path):
    photo = Image.fromarray(data.astronaut())
    people, _ = make_people(1)
    people[0]["bbox"] = [-50, 100, 40, 500]
    save_predictions(tmp_path / "sheet.png", [photo, photo], [[], people], COCO, tile=(80, 60))
    assert (tmp_path / "sheet.png").exists()


def test_counts_that_differ_are_named(tmp_path):
    photo = Image.fromarray(data.astronaut())
    with pytest.raises(ValueError, match="one entry of captions an image, got 2 for 1"):
        save_predictions(tmp_path / "sheet.png", [photo], [[]], COCO, captions=["a", "b"])
    with pytest.raises(ValueError, match=r"shape \(M, 17, 3\), got \(17, 3\)"):
        save_predictions(tmp_path / "sheet.png", [photo], [[]], COCO, np.zeros((1, 17, 3)))


def test_a_folder_is_whole_or_absent(tmp_path):
    path = tmp_path / "model"
    with pytest.raises(RuntimeError), whole_folder(path) as partial:
        (partial / "config.json").write_text("{}")
        raise RuntimeError("killed")
    assert list(tmp_path.iterdir()) == []
    with whole_folder(path) as partial:
        (partial / "config.json").write_text("{}")
        assert not path.exists()
    assert [file.name for file in path.iterdir()] == ["config.json"]
    with pytest.raises(FileExistsError, match="exists already"), whole_folder(path):
        raise AssertionError("an existing folder must not be written over")
    assert [file.name for file in tmp_path.iterdir()] == ["model"]
