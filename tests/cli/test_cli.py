"""The command line: photos in, JSON and pictures out, and a mistake told in one line."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from transformers import ViTImageProcessor

import vitpose
from vitpose import ViTPoseConfig, ViTPoseForPoseEstimation, ViTPoseImageProcessor
from vitpose_cli import main as cli

SIZE = (80, 100)  # width, height of the photos in pixels


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    """Folder of a small model with random weights and its processor."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    small = {"image_size": (64, 48), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    ViTPoseForPoseEstimation(ViTPoseConfig.from_preset("tiny", **small)).save_pretrained(folder)
    ViTPoseImageProcessor(size={"height": 64, "width": 48}).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def photos(tmp_path) -> list[Path]:
    pixels = np.random.default_rng(0).integers(0, 256, (2, SIZE[1], SIZE[0], 3), dtype=np.uint8)
    paths = [tmp_path / "beach.jpg", tmp_path / "street.png"]
    for path, image in zip(paths, pixels, strict=True):
        Image.fromarray(image).save(path)
    return paths


def predict(photos: list[Path], *arguments: object) -> int:
    return cli.main(["predict", *map(str, photos), *map(str, arguments)])


def read_results(out: Path) -> list[dict]:
    return json.loads((out / "predictions.json").read_text())


def write_boxes(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_whole_image_is_one_person(photos, model, tmp_path):
    out = tmp_path / "out"
    assert predict(photos, "--model", model, "--whole-image", "--out", out) == 0
    assert {path.name for path in out.iterdir()} == {"predictions.json", "beach_pose.png", "street_pose.png"}
    with Image.open(out / "beach_pose.png") as picture:
        assert picture.size == SIZE
    results = read_results(out)
    assert [(result["image_id"], result["file_name"]) for result in results] == [(0, "beach.jpg"), (1, "street.png")]
    for result in results:
        assert set(result) == {"image_id", "file_name", "category_id", "bbox", "keypoints", "score"}
        assert result["category_id"] == 1
        assert result["bbox"] == [0.0, 0.0, *SIZE]
        assert len(result["keypoints"]) == 51
        sure = [score for score in result["keypoints"][2::3] if score > 0.2]
        assert result["score"] == pytest.approx(np.mean(sure) if sure else 0, abs=1e-3)


def test_each_box_of_a_file_is_a_person(photos, model, tmp_path, caplog):
    entries = [
        {"file_name": "street.png", "bbox": [5, 5, 30, 60]},
        {"file_name": "beach.jpg", "bbox": [10, 20, 40, 50]},
        {"file_name": "street.png", "bbox": [40, 10, 30, 80]},
        {"file_name": "elsewhere.png", "bbox": [0, 0, 5, 5]},
    ]
    boxes = write_boxes(tmp_path / "boxes.json", entries)
    assert predict(photos, "--model", model, "--boxes", boxes, "--out", tmp_path / "out") == 0
    found = [(result["file_name"], result["bbox"]) for result in read_results(tmp_path / "out")]
    assert found == [("beach.jpg", [10, 20, 40, 50]), ("street.png", [5, 5, 30, 60]), ("street.png", [40, 10, 30, 80])]
    assert "boxes.json has boxes of files that are not among the images (1), such as elsewhere.png." in caplog.text


def test_the_keypoints_are_those_of_the_python_interface(photos, model, tmp_path):
    boxes = write_boxes(tmp_path / "boxes.json", [{"file_name": "street.png", "bbox": [5, 5, 30, 60]}])
    assert predict(photos[1:], "--model", model, "--boxes", boxes, "--out", tmp_path / "out") == 0
    processor, net = ViTPoseImageProcessor.from_pretrained(model), ViTPoseForPoseEstimation.from_pretrained(model)
    given = [[[5.0, 5.0, 30.0, 60.0]]]
    inputs = processor(Image.open(photos[1]), boxes=given, return_tensors="pt")
    with torch.no_grad():
        (person,) = processor.post_process_pose_estimation(net.eval()(**inputs), boxes=given)[0]
    rows = np.reshape(read_results(tmp_path / "out")[0]["keypoints"], (17, 3))
    assert rows[:, :2] == pytest.approx(person["keypoints"].numpy(), abs=1e-3)
    assert rows[:, 2] == pytest.approx(person["scores"].numpy(), abs=1e-3)


def test_a_photo_taken_sideways_is_turned(model, tmp_path, photos):
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: a quarter turn
    Image.open(photos[1]).save(tmp_path / "turned.jpg", exif=exif)
    assert predict([tmp_path / "turned.jpg"], "--model", model, "--whole-image", "--out", tmp_path / "out") == 0
    assert read_results(tmp_path / "out")[0]["bbox"] == [0.0, 0.0, SIZE[1], SIZE[0]]


def test_a_photo_of_16_bits_is_not_clipped(model, tmp_path, detector):
    Image.new("I;16", SIZE, 90 * 257).save(tmp_path / "deep.png")
    nothing = ["--detector", detector, "--detector-threshold", 1.0]
    assert predict([tmp_path / "deep.png"], "--model", model, *nothing, "--out", tmp_path / "out") == 0
    with Image.open(tmp_path / "out" / "deep_pose.png") as picture:
        assert picture.getpixel((40, 50)) == (90, 90, 90)


def test_a_detector_finds_the_people(photos, model, detector, tmp_path):
    out, everything = tmp_path / "out", ["--detector", detector, "--detector-threshold", 0.0]
    assert predict(photos, "--model", model, *everything, "--out", out) == 0
    for result in read_results(out):
        left, top, width, height = result["bbox"]
        assert width > 0 and height > 0
        assert left < SIZE[0] and top < SIZE[1]
    assert {path.name for path in out.iterdir()} == {"predictions.json", "beach_pose.png", "street_pose.png"}


def test_a_photo_without_people_is_drawn_as_it_is(photos, model, detector, tmp_path):
    out, nothing = tmp_path / "out", ["--detector", detector, "--detector-threshold", 1.0]
    assert predict(photos[1:], "--model", model, *nothing, "--out", out) == 0
    assert read_results(out) == []
    assert np.array_equal(np.array(Image.open(out / "street_pose.png")), np.array(Image.open(photos[1])))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"file_name": "beach.jpg"}, "expected a list of"),
        ([["beach.jpg", [0, 0, 5, 5]]], "expected a list of"),
        ([7], "expected a list of"),
        ([{"file_name": "beach.jpg"}], "expected a list of"),
        ([{"file_name": "beach.jpg", "bbox": [0, 0, 5, 5]}], "has no box for street.png. Add one, or leave"),
        ("[{", "boxes.json is not valid JSON"),
    ],
)
def test_a_bad_boxes_file_is_named(photos, model, tmp_path, capsys, content, message):
    boxes = write_boxes(tmp_path / "boxes.json", content)
    assert predict(photos, "--model", model, "--boxes", boxes, "--out", tmp_path / "out") == 2
    shown = capsys.readouterr().err
    assert message in shown and "boxes.json" in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize(
    ("bbox", "message"),
    [
        ([0, 0, 5], "x, y, width, height"),
        ([0, 0, 0, 5], "width"),
        ([500, 500, 5, 5], "outside"),
        (["a", 0, 5, 5], "rows of numbers"),
    ],
)
def test_a_bad_box_is_named(photos, model, tmp_path, capsys, bbox, message):
    boxes = write_boxes(tmp_path / "boxes.json", [{"file_name": "beach.jpg", "bbox": bbox}])
    assert predict(photos[:1], "--model", model, "--boxes", boxes, "--out", tmp_path / "out") == 2
    shown = capsys.readouterr().err
    assert f"error: {photos[0]}: boxes[0]" in shown
    assert message in shown


def test_a_missing_photo_is_named(photos, model, tmp_path, capsys):
    missing = tmp_path / "nowhere.jpg"
    assert predict([*photos, missing], "--model", model, "--whole-image", "--out", tmp_path / "out") == 2
    assert f"error: There is no image {missing}." in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"no image at all", b""])
def test_a_photo_that_is_none_is_named(model, tmp_path, capsys, content):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(content)
    assert predict([broken], "--model", model, "--whole-image", "--out", tmp_path / "out") == 2
    shown = capsys.readouterr().err
    assert f"error: {broken} cannot be read as an image" in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize("source", ["whole image", "boxes"])
def test_a_damaged_photo_is_named_and_those_before_it_are_kept(photos, model, tmp_path, capsys, source):
    photos[0].write_bytes(photos[0].read_bytes()[:-1500])
    where = ("--model", model, "--out", tmp_path / "out")
    boxes = write_boxes(tmp_path / "boxes.json", [{"file_name": path.name, "bbox": [5, 5, 30, 60]} for path in photos])
    people = ("--whole-image",) if source == "whole image" else ("--boxes", boxes)
    assert predict(photos[::-1], *where, *people) == 2
    assert f"error: {photos[0]} cannot be read as an image" in capsys.readouterr().err
    assert [result["file_name"] for result in read_results(tmp_path / "out")] == ["street.png"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"predictions.json", "street_pose.png"}


def test_files_that_are_no_photos_are_told_before_any_work(photos, model, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no image at all")
    for last in ("broken.jpg", "nowhere.jpg"):
        assert predict([*photos, tmp_path / last], "--model", model, "--whole-image", "--out", tmp_path / "out") == 2
    assert not (tmp_path / "out").exists()


def test_two_photos_of_one_name_would_overwrite_each_other(photos, model, tmp_path, capsys):
    (tmp_path / "other").mkdir()
    twin = tmp_path / "other" / "beach.png"
    Image.open(photos[0]).save(twin)
    assert predict([photos[0], twin], "--model", model, "--whole-image", "--out", tmp_path / "out") == 2
    assert f"{photos[0]} and {twin} would write the same picture, beach_pose.png" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_drawing_overwrites_no_photo(photos, model, tmp_path, capsys):
    drawn = photos[0].rename(tmp_path / "street_pose.png")
    before = drawn.read_bytes()
    assert predict([drawn, photos[1]], "--model", model, "--whole-image", "--out", tmp_path) == 2
    assert f"The drawing of {photos[1]} would overwrite the photo {drawn}" in capsys.readouterr().err
    assert drawn.read_bytes() == before


def files_in(out: Path) -> set[str]:
    return {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}


def test_predictions_are_written_in_the_forms_that_are_asked_for(photos, model, tmp_path):
    out = tmp_path / "out"
    forms = ["--format", "csv", "label-studio", "yolo", "csv"]
    assert predict(photos, "--model", model, "--whole-image", "--out", out, *forms) == 0
    tables = {"predictions.csv", "label_studio.json", "label_studio.xml"}
    labels = {"yolo/data.yaml", "yolo/labels/beach.txt", "yolo/labels/street.txt"}
    assert files_in(out) == tables | labels | {"beach_pose.png", "street_pose.png"}
    (task, _) = json.loads((out / "label_studio.json").read_text())
    assert task["data"]["image"] == f"/data/local-files/?d={tmp_path.name}/beach.jpg"
    assert task["predictions"][0]["model_version"] == Path(model).name
    rows = (out / "predictions.csv").read_text().splitlines()
    assert len(rows) == 1 + 2 * 17 and rows[1].startswith("0,beach.jpg,0,person,,")


def test_pictures_are_drawn_as_openpose_does(photos, model, tmp_path):
    assert predict(photos, "--model", model, "--whole-image", "--out", tmp_path / "out", "--style", "openpose") == 0
    with Image.open(tmp_path / "out" / "beach_pose.png") as picture:
        assert picture.size == SIZE
        assert np.asarray(picture)[0, 0].tolist() == [0, 0, 0]


@pytest.fixture(scope="module")
def animals(tmp_path_factory) -> Path:
    """Folder of a model of animals."""
    folder = tmp_path_factory.mktemp("animals")
    small = {"image_size": (64, 48), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    ViTPoseForPoseEstimation(ViTPoseConfig.from_preset("tiny", datasets=["ap10k"], **small)).save_pretrained(folder)
    ViTPoseImageProcessor(size={"height": 64, "width": 48}).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("asked", [["--format", "csv", "openpose"], ["--style", "openpose"]])
def test_openpose_has_no_animals(asked, photos, animals, tmp_path, capsys):
    assert predict(photos, "--model", animals, "--whole-image", "--out", tmp_path / "out", *asked) == 2
    assert "the keypoints of 'ap10k' are of the category 'animal'" in capsys.readouterr().err
    assert not files_in(tmp_path / "out")


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
    assert predict(photos, "--whole-image", "--pick", 10, "--format", "coco-annotations", "coco", "--out", out) == 0
    assert predict(photos, "--whole-image", "--flip-test", "--out", tmp_path / "all") == 0
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
    assert "2 images without people cannot be ranked" in caplog.text
    assert read_results(tmp_path / "out") == [] and not any((tmp_path / "out" / "picked").iterdir())


def test_a_damaged_photo_leaves_those_that_were_ranked_before(photos, model, tmp_path, capsys):
    photos[0].write_bytes(photos[0].read_bytes()[:-1500])
    assert predict(photos[::-1], "--model", model, "--whole-image", "--pick", 1, "--out", tmp_path / "out") == 2
    assert f"error: {photos[0]} cannot be read as an image" in capsys.readouterr().err
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


def test_a_missing_model_is_named(photos, tmp_path, capsys):
    assert predict(photos, "--model", tmp_path / "nowhere", "--whole-image", "--out", tmp_path / "out") == 2
    shown = capsys.readouterr().err
    assert "nowhere" in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["predict", "a.jpg"], "one of the arguments --boxes --detector --whole-image is required"),
        (["predict", "--whole-image"], "IMAGE"),
        (["predict", "a.jpg", "--whole-image", "--boxes", "b.json"], "not allowed with argument"),
        (["predict", "a.jpg", "--whole-image", "--format", "coko"], "invalid choice: 'coko'"),
        (["predict", "a.jpg", "--whole-image", "--modle", "x"], "unrecognized arguments: --modle x"),
        (["pridict"], "invalid choice: 'pridict'"),
    ],
)
def test_a_wrong_call_ends_with_the_usage(arguments, message, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_a_saved_model_is_evaluated(model, tmp_path, capsys):
    out = tmp_path / "figures"
    fields = ["--eval_people", "4", "--num_workers", "0", "--no_flip_test"]
    assert cli.main(["evaluate", "--model", model, "--out", str(out), *fields]) == 0
    table = capsys.readouterr().out.splitlines()
    written = json.loads((out / "metrics.json").read_text())
    assert written["settings"]["flip_test"] is False
    assert {"AP", "ARl", "PCK"} <= set(written)
    assert f"{'AP':<20}{written['AP']:>9.4f}" in table
    assert sum(line.startswith("left_wrist") for line in table) == 1


def test_an_unknown_field_of_an_evaluation_is_named(model, capsys):
    assert cli.main(["evaluate", "--model", model, "--eval_peple", "4"]) == 2
    assert "error: The command line, field: expected a known name, got 'eval_peple'. Did you mean 'eval_people'?" in (
        capsys.readouterr().err
    )


def test_it_is_a_command():
    done = subprocess.run([sys.executable, "-m", "vitpose", "--help"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    assert "predict" in done.stdout and "evaluate" in done.stdout


def convert(*arguments: object) -> int:
    return cli.main(["convert", *map(str, arguments)])


def test_a_model_goes_to_the_authors_format_and_back(model, tmp_path):
    assert convert(model, "--to", "authors", "--out", tmp_path / "vitpose.pth") == 0
    back = ("--out", tmp_path / "back", "--num-attention-heads", 2, "--image-size", 64, 48)
    assert convert(tmp_path / "vitpose.pth", *back) == 0
    loaded, original = (ViTPoseForPoseEstimation.from_pretrained(path) for path in (tmp_path / "back", model))
    torch.testing.assert_close(loaded.state_dict(), original.state_dict(), rtol=0, atol=0)
    processor = ViTPoseImageProcessor.from_pretrained(tmp_path / "back")
    assert (processor.size, processor.dark_sigma) == ({"height": 64, "width": 48}, 2.0)
    assert processor.heatmap_stride == 2  # patches of 8 pixels
    assert not [path.name for path in tmp_path.iterdir() if "partial" in path.name]


@pytest.mark.parametrize("name", ["broken.pth", "empty.pth", "broken.safetensors"])
def test_a_broken_checkpoint_is_named(name, model, tmp_path, capsys):
    if name == "broken.pth":
        assert convert(model, "--to", "authors", "--out", tmp_path / name) == 0
    broken = tmp_path / name
    broken.write_bytes(broken.read_bytes()[:-3000] if broken.exists() else b"no tensors" * name.startswith("broken"))
    assert convert(broken, "--out", tmp_path / "back") == 2
    assert f"error: {broken} cannot be read as a checkpoint: " in capsys.readouterr().err


@pytest.fixture
def broken_models(model, tmp_path) -> list[Path]:
    """A model whose weights are cut short, and one whose image processor is another's."""
    for name in ("cut", "other"):
        shutil.copytree(model, tmp_path / name)
    weights = tmp_path / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    ViTImageProcessor().save_pretrained(tmp_path / "other")
    return [tmp_path / "cut", tmp_path / "other"]


def test_a_broken_model_is_told_in_a_line(broken_models, photos, tmp_path, capsys):
    for folder, message in zip(broken_models, ("read as safetensors", "must be one of ViTPose"), strict=True):
        assert predict(photos, "--model", folder, "--whole-image", "--out", tmp_path / "out") == 2
        assert message in capsys.readouterr().err


@pytest.fixture(scope="module")
def plus(tmp_path_factory) -> Path:
    """Folder of a model of two datasets."""
    folder = tmp_path_factory.mktemp("plus")
    small = {"image_size": (64, 48), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = ViTPoseForPoseEstimation(ViTPoseConfig.from_preset("tiny", datasets=["coco", "mpii"], **small))
    model.save_pretrained(folder)
    ViTPoseImageProcessor(size={"height": 64, "width": 48}, dark_sigma=1.5).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("dataset", "keypoints"), [("mpii", 16), ("1", 16), ("coco", 17)])
def test_the_keypoints_of_one_of_several_datasets(dataset, keypoints, photos, plus, tmp_path):
    where = ("--model", plus, "--whole-image", "--out", tmp_path / "out")
    assert predict(photos, *where, "--dataset", dataset) == 0
    assert {len(result["keypoints"]) for result in read_results(tmp_path / "out")} == {3 * keypoints}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [([], "say which one's keypoints to find: coco, mpii"), (["--dataset", "aic"], "expected one of coco, mpii")],
)
def test_a_dataset_must_be_one_of_the_models(arguments, message, photos, plus, tmp_path, capsys):
    assert predict(photos, "--model", plus, "--whole-image", "--out", tmp_path / "out", *arguments) == 2
    assert message in capsys.readouterr().err


def test_a_model_of_several_datasets_folds_to_one(plus, tmp_path):
    assert convert(plus, "--fold", "mpii", "--out", tmp_path / "mpii") == 0
    folded = ViTPoseForPoseEstimation.from_pretrained(tmp_path / "mpii").eval()
    assert folded.config.dataset_names == ["mpii"] and folded.config.is_stock
    assert ViTPoseImageProcessor.from_pretrained(tmp_path / "mpii").dark_sigma == 1.5
    crops, whole = torch.randn(1, 3, 64, 48), ViTPoseForPoseEstimation.from_pretrained(plus).eval()
    with torch.no_grad():
        torch.testing.assert_close(folded(crops).heatmaps, whole(crops, dataset_index=1).heatmaps)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.pth", "--out", "out"], "There is no file absent.pth."),
        (["MODEL", "--out", "."], "exists already: choose another place, or delete it"),
        (["MODEL", "--out", "out", "--fold", "mpii"], "dataset: expected one of coco"),
        (["MODEL", "--out", "out", "--datasets", "coco"], "says what the model is: leave the other arguments out"),
    ],
)
def test_a_conversion_that_cannot_be_is_told_in_a_line(arguments, message, model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.txt").touch()
    assert convert(*[model if argument == "MODEL" else argument for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error
    assert {path.name for path in tmp_path.iterdir()} == {"mine.txt"}


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"vitpose {vitpose.__version__}\n"


def test_train_takes_a_recipe_as_the_script_does(capsys, tmp_path):
    with pytest.raises(SystemExit) as end:
        cli.main(["train", "--help"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert "--epochs" in shown and "--optimization.epochs" in shown
    with pytest.raises(SystemExit) as end:
        cli.main(["train", "--epohcs", "3", "--output_dir", str(tmp_path)])
    assert end.value.code == 2
    assert "Did you mean 'epochs'?" in capsys.readouterr().err


def test_schema_tells_of_a_side_that_has_no_other(tmp_path, caplog):
    category = {"id": 1, "name": "x", "keypoints": ["nose", "left_eye", "rigth_eye", "left_ear", "right_ear"]}
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"images": [], "annotations": [], "categories": [category]}))
    assert cli.main(["schema", str(file), "--out", str(tmp_path / "schema.json")]) == 0
    assert "LEFT AND RIGHT: of 'x' these have no other side: left_eye. Correct the names in the tool" in caplog.text
