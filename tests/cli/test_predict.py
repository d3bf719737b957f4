"""`vitpose predict`: photos in, files and pictures out, and a mistake told in one line."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from predict_help import RECORD, SIZE, files_in, predict, read_results, write_boxes
from transformers import ViTImageProcessor

import vitpose.photos.crops
from vitpose import ViTPoseConfig, ViTPoseForPoseEstimation, ViTPoseImageProcessor
from vitpose.processing.people_vitpose import Detections


def test_a_whole_image_is_one_person(photos, model, tmp_path):
    out = tmp_path / "out"
    assert predict(photos, "--model", model, "--whole-image", "--out", out) == 0
    assert files_in(out) == {"predictions.json", "beach_pose.png", "street_pose.png"} | RECORD
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
    assert files_in(out) == {"predictions.json", "beach_pose.png", "street_pose.png"} | RECORD


def test_a_photo_without_people_is_drawn_as_it_is(photos, model, detector, tmp_path):
    out, nothing = tmp_path / "out", ["--detector", detector, "--detector-threshold", 1.0]
    assert predict(photos[1:], "--model", model, *nothing, "--out", out) == 0
    assert read_results(out) == []
    assert np.array_equal(np.array(Image.open(out / "street_pose.png")), np.array(Image.open(photos[1])))


def test_predictions_are_written_in_the_forms_that_are_asked_for(photos, model, tmp_path):
    out = tmp_path / "out"
    forms = ["--save", "pictures,csv", "label-studio", "yolo,csv"]
    assert predict(photos, "--model", model, "--whole-image", "--out", out, *forms) == 0
    tables = {"predictions.csv", "label_studio.json", "label_studio.xml"}
    labels = {"yolo/data.yaml", "yolo/labels/beach.txt", "yolo/labels/street.txt"}
    assert files_in(out) == tables | labels | {"beach_pose.png", "street_pose.png"} | RECORD
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


@pytest.mark.parametrize("asked", [["--save", "csv", "openpose"], ["--style", "openpose"]])
def test_openpose_has_no_animals(asked, photos, animals, tmp_path, capsys):
    assert predict(photos, "--model", animals, "--whole-image", "--out", tmp_path / "out", *asked) == 2
    assert "the keypoints of 'ap10k' are of the category 'animal'" in capsys.readouterr().err
    assert not files_in(tmp_path / "out")


def test_a_missing_model_is_named(photos, tmp_path, capsys):
    assert predict(photos, "--model", tmp_path / "nowhere", "--whole-image", "--out", tmp_path / "out") == 2
    shown = capsys.readouterr().err
    assert "nowhere" in shown
    assert "Traceback" not in shown


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


def test_photos_of_several_sizes_share_batches_of_a_detector(photos, model, detector, tmp_path, monkeypatch):
    everything = ["--model", model, "--detector", detector, "--detector-threshold", 0.0]
    Image.open(photos[0]).resize((50, 70)).save(tmp_path / "small.png")
    photos = [*photos, tmp_path / "small.png"]
    assert predict(photos, *everything, "--out", tmp_path / "one by one") == 0
    batches, detect_all = [], vitpose.photos.crops.detect_all

    def note(own, images, **settings):
        batches.append(len(images))
        return detect_all(own, images, **settings)

    monkeypatch.setattr("vitpose.photos.crops.detect_all", note)
    monkeypatch.setattr("vitpose.photos.crops._together", lambda *_: 2)
    assert predict(photos, *everything, "--out", tmp_path / "together") == 0
    assert batches == [0, 2, 1]
    alone, together = (read_results(tmp_path / name) for name in ("one by one", "together"))
    assert [own["file_name"] for own in together] == [own["file_name"] for own in alone]
    for own, other in zip(together, alone, strict=True):
        assert own["bbox"] == pytest.approx(other["bbox"], abs=0.01)


def test_a_photo_that_a_detector_refuses_costs_itself_alone(photos, model, detector, tmp_path, monkeypatch):
    detect_all = vitpose.photos.crops.detect_all

    def refuse(own, images, **settings):
        if any(image.shape[2] == 50 for image in images):
            raise ValueError("a detector needs photos of 0..255")
        return detect_all(own, images, **settings)

    monkeypatch.setattr("vitpose.photos.crops.detect_all", refuse)
    monkeypatch.setattr("vitpose.photos.crops._together", lambda *_: 8)
    Image.open(photos[0]).resize((50, 70)).save(tmp_path / "small.png")
    everything = ["--model", model, "--detector", detector, "--detector-threshold", 0.0]
    assert predict([*photos, tmp_path / "small.png"], *everything, "--out", tmp_path / "out") == 1
    assert {result["file_name"] for result in read_results(tmp_path / "out")} == {"beach.jpg", "street.png"}
    assert "small.png,a detector needs" in (tmp_path / "out" / "failed.csv").read_text()


def test_labels_that_a_detector_lacks_are_told_before_the_first_photo(photos, model, detector, tmp_path, capsys):
    wrong = ["--model", model, "--detector", detector, "--detector-labels", "persn"]
    assert predict(photos, *wrong, "--out", tmp_path / "out") == 2
    assert "The detector has no class 'persn'" in capsys.readouterr().err
    assert "failed.csv" not in files_in(tmp_path / "out")


def test_the_tiny_model_needs_no_detector(photos, tmp_path, caplog):
    assert predict(photos, "--model", "tiny", "--save", "json", "--out", tmp_path / "out") == 0
    assert "--model tiny has seen drawn people only; one person fills each photo" in caplog.text
    assert [result["bbox"] for result in read_results(tmp_path / "out")] == [[0.0, 0.0, *SIZE]] * 2


def test_keypoints_below_a_threshold_are_not_drawn(photos, tmp_path):
    for name, least in (("all", 0.0), ("none", 1.0)):
        saved = ("--save", "pictures,json", "--threshold", least, "--out", tmp_path / name)
        assert predict(photos, "--model", "tiny", "--whole-image", *saved) == 0
    assert read_results(tmp_path / "all") == read_results(tmp_path / "none")
    pixels = [np.array(Image.open(tmp_path / name / "street_pose.png")) for name in ("all", "none")]
    assert np.array_equal(pixels[1], np.array(Image.open(photos[1]))) and not np.array_equal(*pixels)


def test_each_photo_of_a_batch_has_its_own_people(model, detector, tmp_path, monkeypatch):
    """A stand-in for the detector finds one person in each, who is as large as half of the photo."""

    def find(own, images, **settings):
        halves = [torch.tensor([[0.0, 0.0, image.shape[2] / 2, image.shape[1] / 2]]) for image in images]
        return [Detections.given(half.double(), "person") for half in halves]

    monkeypatch.setattr("vitpose.photos.crops.detect_all", find)
    monkeypatch.setattr("vitpose.photos.crops._together", lambda *_: 3)
    sizes = [(40, 60), (50, 80), (64, 90), (70, 100), (80, 120)]
    for number, size in enumerate(sizes):
        Image.new("RGB", size, (90, 120, 60)).save(tmp_path / f"{number}.png")
    photos = sorted(tmp_path.glob("*.png"))
    assert predict(photos, "--model", model, "--detector", detector, "--out", tmp_path / "out") == 0
    found = {result["file_name"]: result["bbox"][2:] for result in read_results(tmp_path / "out")}
    assert found == {f"{number}.png": [width / 2, height / 2] for number, (width, height) in enumerate(sizes)}
