"""`vitpose predict --pick`: the photos to annotate first."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageFilter
from predict_help import files_in, predict, read_results

import vitpose


@pytest.fixture(scope="module")
def degraded(tmp_path_factory) -> tuple[list[Path], list[np.ndarray]]:
    """Photos of generated people, every third of them blurred, and their keypoints."""
    folder = tmp_path_factory.mktemp("people")
    people = vitpose.SyntheticPeople(num_people=30, seed=4, style="street")
    paths, keypoints = [], []
    for number, row in enumerate(people[index] for index in range(30)):
        left, top, width, height = row["bbox"]
        photo = row["image"].filter(ImageFilter.GaussianBlur(4)) if number % 3 == 0 else row["image"]
        paths.append(folder / f"{number:02}.png")
        photo.crop((int(left), int(top), int(left + width), int(top + height))).save(paths[-1])
        points = np.reshape(row["keypoints"], (17, 3))
        keypoints.append(points - [int(left), int(top), 0])
    return paths, keypoints


def test_the_photos_to_annotate_first_are_those_with_large_errors(degraded, tmp_path, caplog):
    photos, keypoints = degraded
    out = tmp_path / "out"
    tiny = ("--model", "tiny", "--whole-image")
    assert predict(photos, *tiny, "--pick", 10, "--save", "pictures,json,coco-annotations", "--out", out) == 0
    assert predict(photos, *tiny, "--flip-test", "--out", tmp_path / "all") == 0
    rows = [line.split(",") for line in (out / "picked.csv").read_text().splitlines()[1:]]
    picked = [row[0] for row in rows]
    figures = [float(row[1]) for row in rows]
    assert len(picked) == 10 and figures == sorted(figures, reverse=True)
    everyone = {own["file_name"]: own for own in read_results(tmp_path / "all")}
    assert read_results(out) == [everyone[name] for name in picked]  # the least sure first, by the flip test
    stored = json.loads((out / "annotations.json").read_text())
    assert [image["file_name"] for image in stored["images"]] == picked
    assert [image["id"] for image in stored["images"]] == [int(name[:2]) for name in picked]
    assert {path.name for path in (out / "picked").iterdir()} == set(picked)
    assert len(list(out.glob("*_pose.png"))) == 10
    errors = np.array([mean_error(own, keypoints[own["image_id"]]) for own in everyone.values()])
    chosen = np.array([f"{number:02}.png" in picked for number in range(30)])
    assert errors[chosen].mean() > 1.5 * errors[~chosen].mean()


def mean_error(result: dict, truth: np.ndarray) -> float:
    """Mean distance of labeled keypoints, in shares of the person's size."""
    labeled = truth[:, 2] > 0
    distances = np.linalg.norm(np.reshape(result["keypoints"], (17, 3))[:, :2] - truth[:, :2], axis=1)
    return float(distances[labeled].mean() / np.sqrt(np.prod(result["bbox"][2:])))


def test_more_picks_than_photos_are_all_of_them(photos, model, tmp_path):
    assert predict(photos, "--model", model, "--whole-image", "--pick", 9, "--out", tmp_path / "out") == 0
    assert len(read_results(tmp_path / "out")) == 2
    assert (tmp_path / "out" / "picked" / "beach.jpg").read_bytes() == photos[0].read_bytes()


def test_photos_without_people_are_not_picked(photos, model, detector, tmp_path, caplog):
    nothing = ["--detector", detector, "--detector-threshold", 1.0]
    assert predict(photos, "--model", model, *nothing, "--pick", 1, "--out", tmp_path / "out") == 0
    assert "2 photos without people cannot be ranked" in caplog.text
    assert read_results(tmp_path / "out") == [] and not any((tmp_path / "out" / "picked").iterdir())


def test_a_damaged_photo_is_not_ranked(photos, model, tmp_path):
    photos[0].write_bytes(photos[0].read_bytes()[:-1500])
    assert predict(photos, "--model", model, "--whole-image", "--pick", 2, "--out", tmp_path / "out") == 1
    assert [result["file_name"] for result in read_results(tmp_path / "out")] == ["street.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--pick", 0], "expected the number of photos to pick, 1 or more, got 0"), (["--pick", 1], "exists already")],
)
def test_a_pick_that_cannot_be_is_told_in_a_line(arguments, message, photos, model, tmp_path, capsys):
    out = tmp_path / "out"
    (out / "picked").mkdir(parents=True)
    (out / "picked" / "corrected.jpg").touch()
    assert predict(photos, "--model", model, "--whole-image", *arguments, "--out", out) == 2
    assert message in capsys.readouterr().err
    assert files_in(out) == {"picked/corrected.jpg"}
