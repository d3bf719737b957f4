"""The pipeline as a user of transformers calls it: any input, any source of people, batches across images."""

import base64
import io
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import VitPoseConfig, VitPoseForPoseEstimation, pipeline
from transformers.pipelines.pt_utils import KeyDataset

import vitpose
from vitpose import ViTPoseConfig, ViTPoseForPoseEstimation, ViTPoseImageProcessor, predict_heatmaps

TINY = {"image_size": (64, 48), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
SIZE = (90, 120)  # width, height of the photos
BOXES = [[[5.0, 5.0, 40.0, 60.0], [30.5, 20.25, 50.0, 90.0]], [], [[0.0, 0.0, 30.0, 40.0]] * 3]


def save_model(folder: Path, **settings: object) -> str:
    torch.manual_seed(0)
    ViTPoseForPoseEstimation(ViTPoseConfig.from_preset("tiny", **TINY, **settings)).save_pretrained(folder)
    ViTPoseImageProcessor(size={"height": 64, "width": 48}, dark_sigma=2.0).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def pipe(folder):
    return pipeline("keypoint-detection", model=folder, device="cpu")


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    pixels = np.random.default_rng(0).integers(0, 256, (3, SIZE[1], SIZE[0], 3), dtype=np.uint8)
    return [Image.fromarray(image) for image in pixels]


def points_of(people: list[dict]) -> np.ndarray:
    """(N, K, 3): x, y, score."""
    return np.array([[(k["x"], k["y"], k["score"]) for k in person["keypoints"]] for person in people])


def test_people_have_the_documented_form(pipe, photos):
    people = pipe(photos[0], boxes=BOXES[0])
    assert [set(person) for person in people] == [{"label", "score", "box", "keypoints"}] * 2
    assert people[1]["box"] == {"xmin": 30.5, "ymin": 20.25, "xmax": 80.5, "ymax": 110.25}
    assert people[0]["label"] == "person"
    assert [point["label"] for point in people[0]["keypoints"]] == list(vitpose.get_keypoint_schema("coco").keypoints)
    scores = points_of(people)[0, :, 2]
    assert people[0]["score"] == pytest.approx(scores[scores > 0.2].mean() if (scores > 0.2).any() else 0)


def test_the_keypoints_are_those_of_model_and_processor(folder, pipe, photos):
    model, processor = ViTPoseForPoseEstimation.from_pretrained(folder), ViTPoseImageProcessor.from_pretrained(folder)
    assert pipe.image_processor.dark_sigma == 2.0, "a setting of ours survives AutoImageProcessor's stock class"
    with torch.no_grad():
        outputs = model.eval()(**processor(photos[0], boxes=[BOXES[0]]))
    expected = processor.post_process_pose_estimation(outputs, boxes=[BOXES[0]])[0]
    found = points_of(pipe(photos[0], boxes=BOXES[0]))
    np.testing.assert_allclose(found[..., :2], np.stack([p["keypoints"] for p in expected]), atol=1e-4)
    np.testing.assert_allclose(found[..., 2], np.stack([p["scores"] for p in expected]), atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 32])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_people_of_several_images_share_batches(pipe, photos, batch_size, num_workers, monkeypatch):
    sizes = []
    forward = pipe.model.forward
    monkeypatch.setattr(pipe.model, "forward", lambda crops, **kw: sizes.append(len(crops)) or forward(crops, **kw))
    together = pipe(photos, boxes=BOXES, batch_size=batch_size, num_workers=num_workers)
    monkeypatch.undo()
    assert [len(people) for people in together] == [2, 0, 3]
    assert sum(sizes) == 5
    if batch_size == 32:
        assert sizes == [5]
    for people, photo, boxes in zip(together, photos, BOXES, strict=True):
        if boxes:
            np.testing.assert_allclose(points_of(people), points_of(pipe(photo, boxes=boxes)), atol=1e-4)


def test_one_person_fills_an_image_that_comes_alone(pipe, photos):
    (person,) = pipe(photos[0])
    assert person["box"] == {"xmin": 0.0, "ymin": 0.0, "xmax": 90.0, "ymax": 120.0}


def as_inputs(kind: str, photos: list[Image.Image], tmp_path: Path):
    paths = []
    for number, photo in enumerate(photos):
        photo.save(tmp_path / f"{number}.png")
        paths.append(str(tmp_path / f"{number}.png"))
    column = datasets.Dataset.from_dict({"image": paths}, features=datasets.Features({"image": datasets.Image()}))
    return {
        "paths": paths,
        "pathlib": [Path(path) for path in paths],
        "PIL": photos,
        "tuple": tuple(photos),
        "arrays": [np.array(photo) for photo in photos],
        "one array": np.stack([np.array(photo) for photo in photos]),
        "tensors": [torch.from_numpy(np.array(photo)).permute(2, 0, 1) for photo in photos],
        "dicts": [{"image": photo} for photo in photos],
        "generator": (photo for photo in photos),
        "iterator": iter(photos),
        "column": column["image"],
        "KeyDataset": KeyDataset(column, "image"),
        "dataset of images alone": column,
    }[kind]


@pytest.mark.parametrize(
    "kind",
    ["paths", "pathlib", "PIL", "tuple", "arrays", "one array", "tensors", "dicts"]
    + ["generator", "iterator", "column", "KeyDataset", "dataset of images alone"],
)
def test_every_kind_of_input_gives_the_same(kind, pipe, photos, tmp_path):
    result = pipe(as_inputs(kind, photos, tmp_path))
    if kind in ("generator", "iterator", "column", "KeyDataset", "dataset of images alone"):
        assert not isinstance(result, list), "what can be long is read as it is asked for"
    expected = pipe(photos)
    for people, others in zip(result, expected, strict=True):
        np.testing.assert_allclose(points_of(people), points_of(others), atol=1e-4)


def test_an_empty_list_has_no_people(pipe):
    assert pipe([]) == []
    assert list(pipe(iter([]))) == []


def test_boxes_travel_with_their_images(pipe, photos):
    together = pipe([{"image": photo, "boxes": boxes} for photo, boxes in zip(photos, BOXES, strict=True)])
    apart = pipe(photos, boxes=BOXES)
    assert together == apart


def test_the_flip_test_averages_with_the_mirrored_crop(folder, pipe, photos):
    model, processor = pipe.model, pipe.image_processor
    crops = processor(photos[0], boxes=[BOXES[0]]).pixel_values
    maps = predict_heatmaps(model, crops, flip_index=pipe.schema.flip_index)
    with torch.no_grad():
        plain, mirrored = model(crops).heatmaps, model(crops.flip(-1)).heatmaps
    by_hand = (plain + mirrored.flip(-1)[:, list(pipe.schema.flip_index)]) / 2
    torch.testing.assert_close(maps, by_hand)
    expected = processor.post_process_pose_estimation(maps, boxes=[BOXES[0]])[0]
    found = points_of(pipe(photos[0], boxes=BOXES[0], flip_test=True))
    np.testing.assert_allclose(found[..., :2], np.stack([p["keypoints"] for p in expected]), atol=1e-3)


def test_an_ensemble_is_the_mean_of_its_models(pipe):
    torch.manual_seed(1)
    other = ViTPoseForPoseEstimation(ViTPoseConfig.from_preset("tiny", **TINY)).eval()
    crops = torch.randn(2, 3, 64, 48)
    maps = predict_heatmaps([pipe.model, other], crops)
    with torch.no_grad():
        torch.testing.assert_close(maps, (pipe.model(crops).heatmaps + other(crops).heatmaps) / 2)


def test_an_ensemble_needs_models_of_one_kind(pipe):
    other = ViTPoseForPoseEstimation(ViTPoseConfig.from_preset("tiny", datasets=["mpii"], **TINY)).eval()
    with pytest.raises(ValueError, match=r"heatmaps of one shape, got \(1, 17, 32, 24\) and \(1, 16, 32, 24\)"):
        predict_heatmaps([pipe.model, other], torch.zeros(1, 3, 64, 48))
    with pytest.raises(ValueError, match="must be a pose model or a sequence of them, got an empty one"):
        predict_heatmaps([], torch.zeros(1, 3, 64, 48))


def test_a_threshold_leaves_keypoints_out(pipe, photos):
    everything = points_of(pipe(photos[0], boxes=BOXES[0]))
    middle = float(np.median(everything[..., 2]))
    people = pipe(photos[0], boxes=BOXES[0], threshold=middle)
    assert [len(person["keypoints"]) for person in people] == (everything[..., 2] > middle).sum(1).tolist()
    assert all(point["score"] > middle for person in people for point in person["keypoints"])


def test_a_detector_finds_the_people(pipe, photos, detector):
    by_name = pipe(photos, detector=detector, detector_threshold=0.0)
    made = pipeline("object-detection", model=detector, device="cpu")
    assert pipe(photos, detector=made, detector_threshold=0.0) == by_name
    rounded = [entry for entry in made(photos[0], threshold=0.0) if entry["label"] == "person"]
    assert len(by_name[0]) > 0
    assert [person["label"] for person in by_name[0]] == ["person"] * len(by_name[0])
    exact = {tuple(int(value) for value in person["box"].values()) for person in by_name[0]}
    assert exact <= {tuple(entry["box"].values()) for entry in rounded}, "the same boxes, before they are cut to pixels"
    dogs = pipe(photos, detector=detector, detector_threshold=0.0, detector_labels=["dog"])
    assert len(dogs[0]) + len(by_name[0]) == len(made(photos[0], threshold=0.0))


def test_a_detector_sees_photos_of_0_to_1_as_bright_as_others(folder, pipe, photos, detector):
    plain = pipeline("keypoint-detection", model=folder, device="cpu")
    plain.image_processor = ViTPoseImageProcessor(size={"height": 64, "width": 48}, do_rescale=False)
    seen = [np.asarray(photos[0], dtype=np.float32) / 255, np.asarray(photos[0])]
    boxes = [[p["box"] for p in plain(image, detector=detector, detector_threshold=0.0)] for image in seen]
    assert boxes[0] == boxes[1] != []
    with pytest.raises(ValueError, match=r"inputs\[0\]: a detector needs photos of 0..255, or floats of 0..1"):
        plain(seen[0] - 0.5, detector=detector)


def test_a_detectors_score_counts(pipe, photos, detector):
    (photo, *_), found = photos, pipe(photos[0], detector=detector, detector_threshold=0.0)
    given = pipe(
        photo,
        boxes=[[b["xmin"], b["ymin"], b["xmax"] - b["xmin"], b["ymax"] - b["ymin"]] for b in (p["box"] for p in found)],
    )
    for person, alone in zip(found, given, strict=True):
        assert 0 <= person["score"] <= alone["score"]


def test_a_detector_finds_people_from_a_score_of_three_tenths_on(pipe, photos, detector_that_scores):
    made = detector_that_scores([0.31, 0.29])
    assert len(pipe(photos[0], detector=made)) == 1
    assert len(pipe(photos[0], detector=made, detector_threshold=0.28)) == 2


def test_given_boxes_go_before_the_detector(folder, photos, detector):
    pipe = pipeline("keypoint-detection", model=folder, detector=detector, device="cpu")
    assert [len(people) for people in pipe(photos, boxes=BOXES)] == [2, 0, 3]


@pytest.fixture(scope="module")
def plus(tmp_path_factory) -> str:
    return save_model(tmp_path_factory.mktemp("plus"), datasets=["coco", "mpii", "ap10k"])


def test_a_dataset_is_chosen_by_name_or_number(plus, photos):
    pipe = pipeline("keypoint-detection", model=plus, device="cpu")
    by_name = pipe(photos[0], dataset="mpii")
    assert len(by_name[0]["keypoints"]) == 16
    assert pipe(photos[0], dataset=1) == by_name
    assert pipe(photos[0], dataset="ap10k")[0]["label"] == "animal"
    chosen = pipeline("keypoint-detection", model=plus, device="cpu", dataset="mpii")
    assert chosen(photos[0]) == by_name
    assert chosen.schema.name == "mpii"
    with pytest.raises(ValueError, match="several datasets, say which one's keypoints to find: coco, mpii, ap10k"):
        pipe(photos[0])
    with pytest.raises(ValueError, match="expected one of coco, mpii, ap10k or an index from 0 to 2, got 'aic'"):
        pipe(photos[0], dataset="aic")


def test_a_stock_checkpoint_without_schemas_finds_cocos_keypoints(folder, tmp_path, photos):
    config = VitPoseConfig.from_pretrained(folder)
    del config.keypoint_schemas
    VitPoseForPoseEstimation(config).save_pretrained(tmp_path)
    ViTPoseImageProcessor(size={"height": 64, "width": 48}).save_pretrained(tmp_path)
    (person,) = pipeline("keypoint-detection", model=str(tmp_path), device="cpu")(photos[0])
    assert [point["label"] for point in person["keypoints"]][:2] == ["nose", "left_eye"]


def test_half_precision_all_the_way(folder, photos):
    pipe = pipeline("keypoint-detection", model=folder, dtype=torch.bfloat16, device="cpu")
    assert pipe.dtype == torch.bfloat16
    assert points_of(pipe(photos[0], boxes=BOXES[0])).shape == (2, 17, 3)


def test_a_stream_is_read_as_it_is_asked_for_and_memory_stays_flat(pipe):
    """2,000 images of 300 KB would be 600 MB; what lives at a time is a batch."""
    read = 0

    def images():
        nonlocal read
        for number in range(2000):
            read += 1
            yield {
                "image": np.full((320, 320, 3), number % 256, dtype=np.uint8),
                "boxes": [[9, 9, 90, 99]] * (number % 3),
            }

    tracemalloc.start()
    count = 0
    with torch.inference_mode():
        for number, people in enumerate(pipe(images(), batch_size=16)):
            assert len(people) == number % 3
            assert read - number <= 17, "no further ahead than a batch"
            count += 1
            if number == 200:
                early = tracemalloc.get_traced_memory()[0]
    late = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert count == 2000
    assert late - early < 1_000_000


@pytest.mark.parametrize(
    ("inputs", "settings", "error", "message"),
    [
        pytest.param("no_such.jpg", {}, ValueError, r"inputs\[0\]: .*no_such.jpg", id="a missing file"),
        pytest.param(7, {}, TypeError, "an image or an iterable of images, got int", id="a number"),
        pytest.param(["{}", 7], {}, TypeError, r"inputs\[1\]: an image must be a path", id="a number among images"),
        pytest.param("{}", {"boxes": [1, 2, 3, 4]}, ValueError, r"inputs\[0\]: .*single row", id="un-nested box"),
        pytest.param("{}", {"boxes": [[1, 2, 0, 4]]}, ValueError, r"inputs\[0\]: .*above 0", id="a box without width"),
        pytest.param("{}", {"boxes": [[500, 2, 9, 4]]}, ValueError, r"inputs\[0\]: .*wholly outside", id="a box aside"),
        pytest.param(
            ["{}"] * 2, {"boxes": [[]]}, ValueError, "got 1 entries for 2 images", id="fewer boxes than images"
        ),
        pytest.param({"photo": "{}"}, {}, ValueError, r"inputs\[0\] must be a dict of image", id="an unknown key"),
        pytest.param("{}", {"treshold": 0.5}, TypeError, "treshold", id="a typo"),
        pytest.param("{}", {"detector": 3}, TypeError, "detector must be the name .* got int", id="no detector"),
        pytest.param(
            "{}", {"dataset": "mpii"}, ValueError, "dataset: expected 'coco' or 0, the only one", id="another dataset"
        ),
        pytest.param(iter([]), {"num_workers": 2}, ValueError, "num_workers=2 needs a list", id="workers on a stream"),
    ],
)
def test_mistakes_are_named(pipe, photos, tmp_path, inputs, settings, error, message):
    photos[0].save(tmp_path / "photo.png")

    def fill(value):
        if isinstance(value, list):
            return [fill(entry) for entry in value]
        return str(tmp_path / "photo.png") if value == "{}" else value

    with pytest.raises(error, match=message):
        pipe(fill(inputs), **settings)


def test_an_image_that_cannot_be_read_comes_after_the_people_of_those_before(pipe, photos):
    found = pipe(photo for photo in [photos[0], photos[1], "nowhere.jpg"])  # all of them in one batch
    assert len(next(found)) == len(next(found)) == 1
    with pytest.raises(ValueError, match=r"inputs\[2\]: There is no image file nowhere.jpg"):
        next(found)


def test_a_stream_of_boxes_that_does_not_fit_is_named(pipe, photos):
    with pytest.raises(ValueError, match="but ended after 2 entries"):
        list(pipe(iter(photos), boxes=iter(BOXES[:2])))
    with pytest.raises(ValueError, match="but go on after the last of 2 images"):
        list(pipe(iter(photos[:2]), boxes=iter(BOXES)))


def test_labels_of_a_detector_are_a_list(pipe, photos, detector):
    with pytest.raises(TypeError, match=r"expected a list of names such as \['person'\], got the string 'person'"):
        pipe(photos[0], detector=detector, detector_labels="person")


def test_base64_of_a_photo_is_a_photo(pipe, photos):
    file = io.BytesIO()
    photos[0].save(file, format="PNG")
    assert pipe(base64.b64encode(file.getvalue()).decode(), boxes=BOXES[0]) == pipe(photos[0], boxes=BOXES[0])


def test_a_detector_that_knows_no_person(pipe, photos, detector):
    with pytest.raises(ValueError, match=r"has no class 'cat': pass detector_labels, some of its own 'person', 'dog'"):
        pipe(photos[0], detector=detector, detector_labels=["cat"])


def test_a_processor_of_another_size_is_refused(folder):
    with pytest.raises(ValueError, match=r"crops of height and width \(256, 192\), the model takes \(64, 48\)"):
        pipeline("keypoint-detection", model=folder, image_processor=ViTPoseImageProcessor(), device="cpu")


def test_transformers_own_class_gives_the_same(folder, pipe, photos):
    """A folder that vitpose saved tells the keypoints to transformers' config too."""
    stock = VitPoseForPoseEstimation.from_pretrained(folder)
    processor = ViTPoseImageProcessor.from_pretrained(folder)
    theirs = pipeline("keypoint-detection", model=stock, image_processor=processor, device="cpu")
    found, expected = theirs(photos[0], flip_test=True), pipe(photos[0], flip_test=True)
    np.testing.assert_allclose(points_of(found), points_of(expected), atol=1e-3)


@pytest.mark.parametrize("missing", ["keypoints", "datasets"])
def test_a_model_that_does_not_tell_its_keypoints_is_refused(missing, folder):
    stock = VitPoseForPoseEstimation.from_pretrained(folder)
    if missing == "keypoints":
        del stock.config.keypoint_schemas
    else:
        stock.config.backbone_config.num_experts = 6
    with pytest.raises(TypeError, match="load it with vitpose.ViTPoseForPoseEstimation.from_pretrained"):
        pipeline("keypoint-detection", model=stock, image_processor=ViTPoseImageProcessor(), device="cpu")


WITHOUT_VITPOSE = """
import json, sys
sys.modules["vitpose"] = None
from transformers import pipeline
folder, photo = sys.argv[1:]
pipe = pipeline("keypoint-detection", model=folder, trust_remote_code=True, device="cpu")
print(json.dumps(pipe(photo, boxes=[[5, 5, 40, 60]])))
"""


@pytest.mark.parametrize("which", ["folder", "plus"])
def test_a_saved_pipeline_runs_without_vitpose(which, request, photos, tmp_path):
    settings = {"dataset": "mpii"} if which == "plus" else {}
    pipe = pipeline("keypoint-detection", model=request.getfixturevalue(which), device="cpu", **settings)
    pipe.save_pretrained(tmp_path / "saved")
    photos[0].save(tmp_path / "photo.png")
    script = WITHOUT_VITPOSE.replace("boxes=[[5, 5, 40, 60]]", "boxes=[[5, 5, 40, 60]], **" + repr(settings))
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "saved"), str(tmp_path / "photo.png")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (person,), (expected,) = json.loads(done.stdout), pipe(photos[0], boxes=[[5, 5, 40, 60]])
    np.testing.assert_allclose(points_of([person]), points_of([expected]), atol=1e-4)
    assert [k["label"] for k in person["keypoints"]] == [k["label"] for k in expected["keypoints"]]
