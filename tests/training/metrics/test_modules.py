"""The metrics load as `evaluate` modules, from the package and by path, and give what the plain functions give."""

import re
import shutil
import textwrap
from concurrent.futures import ThreadPoolExecutor
from typing import get_args

import evaluate
import numpy as np
import pytest
import torch
from huggingface_hub import RepoCard

import vitpose
from vitpose.metrics import (
    coco_keypoint_metrics,
    crowdpose_metrics,
    end_point_error,
    head_size,
    keypoint_auc,
    pck,
    pckh,
    torso_size,
    wholebody_metrics,
)
from vitpose.training.metrics.modules import METRIC_FOLDER, MetricName, load_metric

NAMES = get_args(MetricName)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    """Batches of a metric lie in a folder of the test."""
    monkeypatch.setattr(evaluate.config, "HF_METRICS_CACHE", str(tmp_path / "metrics"))


def make_points(num_keypoints, *, people=5, seed=0):
    """Labeled people within 200 pixels and predictions a few pixels away."""
    rng = np.random.default_rng(seed)
    targets = rng.uniform(0, 200, (people, num_keypoints, 3))
    targets[..., 2] = rng.integers(0, 3, (people, num_keypoints))
    targets[:, ::5, 2] = 2
    return targets[..., :2] + rng.normal(0, 12, (people, num_keypoints, 2)), targets


def make_images(num_keypoints):
    """Three images of two people, one and none, the poses of the first and the last scored 0.9 and 0.8."""
    moved, targets = make_points(num_keypoints, people=3)
    predictions, references = [], []
    for chosen in ([0, 1], [2], []):
        poses = np.dstack([moved[chosen], np.full((len(chosen), num_keypoints), 0.5)])
        predictions.append({"keypoints": poses, "score": [0.9, 0.8][: len(chosen)]})
        boxes = [[0, 0, 200, 200]] * len(chosen)
        people = {
            "keypoints": targets[chosen],
            "bbox": boxes,
            "area": [2e4] * len(chosen),
            "iscrowd": [0] * len(chosen),
        }
        references.append(people | {"num_keypoints": [9] * len(chosen), "crowdIndex": 0.1 * len(chosen)})
    return predictions, references


def only(references, *fields):
    return [{field: row[field] for field in ("keypoints", "bbox", *fields)} for row in references]


def as_coco(predictions, references):
    """The same rows as COCO results and ground truth, spelled out."""
    results, people = [], []
    for image, (poses, truth) in enumerate(zip(predictions, references, strict=True)):
        for keypoints, score in zip(poses["keypoints"], poses["score"], strict=True):
            results.append({"image_id": image, "category_id": 1, "keypoints": keypoints.tolist(), "score": score})
        for person in range(len(truth["keypoints"])):
            own = {field: truth[field][person] for field in ("bbox", "area", "iscrowd", "num_keypoints")}
            people.append(own | {"image_id": image, "category_id": 1, "keypoints": truth["keypoints"][person].tolist()})
    images = [{"id": image, "crowdIndex": truth["crowdIndex"]} for image, truth in enumerate(references)]
    return results, {"images": images, "annotations": people, "categories": [{"id": 1, "name": "person"}]}


def oks_ap():
    predictions, references = make_images(14)
    sigmas = vitpose.get_keypoint_schema("lspet").sigmas
    rows = only(references, "area", "iscrowd")
    results, truth = as_coco(predictions, references)
    for person in truth["annotations"]:
        del person["num_keypoints"]
    expected = coco_keypoint_metrics(results, truth, sigmas)
    return {"predictions": predictions, "references": rows, "sigmas": sigmas}, expected


def crowdpose_ap():
    predictions, references = make_images(14)
    rows = [
        row | {"crowdIndex": full["crowdIndex"]}
        for row, full in zip(only(references, "iscrowd", "num_keypoints"), references, strict=True)
    ]
    return {"predictions": predictions, "references": rows}, crowdpose_metrics(*as_coco(predictions, references))


def wholebody_ap():
    predictions, references = make_images(133)
    rows = only(references, "area", "iscrowd")
    return {"predictions": predictions, "references": rows}, wholebody_metrics(*as_coco(predictions, references))


def pckh_of_heads():
    predictions, targets = make_points(16)
    boxes = np.array([[0.0, 0.0, 30.0, 40.0]] * 5)
    rows = [{"keypoints": target, "head_box": box} for target, box in zip(targets, boxes, strict=True)]
    return {"predictions": predictions, "references": rows}, pckh(predictions, targets, head_sizes=head_size(boxes))


def pck_of_lengths():
    predictions, targets = make_points(21)
    rows = [{"keypoints": target, "length": 60.0} for target in targets]
    return {"predictions": predictions, "references": rows}, pck(predictions, targets, normalizers=[60.0] * 5)


def torso_pck():
    predictions, targets = make_points(14)
    lengths = torso_size(targets, vitpose.get_keypoint_schema("lspet"))
    return {"predictions": predictions, "references": targets}, pck(predictions, targets, normalizers=lengths)


def of_hands(function):
    predictions, targets = make_points(21)
    return {"predictions": predictions, "references": targets}, function(predictions, targets)


CASES = {
    "crowdpose_ap": crowdpose_ap,
    "end_point_error": lambda: of_hands(end_point_error),
    "keypoint_auc": lambda: of_hands(keypoint_auc),
    "oks_ap": oks_ap,
    "pck": pck_of_lengths,
    "pckh": pckh_of_heads,
    "torso_pck": torso_pck,
    "wholebody_ap": wholebody_ap,
}


@pytest.mark.parametrize("name", NAMES)
def test_a_module_gives_what_the_function_gives(name):
    inputs, expected = CASES[name]()
    measured = vitpose.load_metric(name).compute(**inputs)
    np.testing.assert_equal(measured, expected)  # NaN equals NaN


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_of_the_folder_loads_by_its_path(name, tmp_path):
    folder = shutil.copytree(METRIC_FOLDER / name, tmp_path / "elsewhere" / name)
    inputs, expected = CASES[name]()
    np.testing.assert_equal(evaluate.load(str(folder)).compute(**inputs), expected)


def test_every_folder_is_a_metric_and_every_metric_has_a_folder():
    folders = {path.name for path in METRIC_FOLDER.iterdir() if not path.name.startswith("__")}
    assert folders == set(NAMES) == set(CASES)


@pytest.mark.parametrize("name", NAMES)
def test_a_card_is_one_of_evaluate_and_what_it_shows_runs(name):
    card = RepoCard.load(METRIC_FOLDER / name / "README.md")
    assert card.data.tags == ["evaluate", "metric"]
    assert card.data.title in card.text and card.data.description
    (block,) = re.findall(r"^```python\n(.*?)^```$", card.text, re.MULTILINE | re.DOTALL)
    exec(compile(textwrap.dedent(block), f"card of {name}", "exec"), {})


def test_batches_add_up_whatever_library_holds_them():
    inputs, expected = CASES["keypoint_auc"]()
    predictions, references = torch.tensor(inputs["predictions"]), torch.tensor(inputs["references"])
    metric = load_metric("keypoint_auc", keep_in_memory=True)
    for part in (slice(0, 2), slice(2, 5)):
        metric.add_batch(predictions=predictions[part], references=references[part])
    np.testing.assert_equal(metric.compute(), expected)


def test_two_processes_count_every_row_once():
    inputs, expected = CASES["keypoint_auc"]()
    shares = (slice(0, 2), slice(2, 5))

    def run(process):
        metric = load_metric("keypoint_auc", num_process=2, process_id=process, experiment_id="two processes")
        rows = {name: values[shares[process]] for name, values in inputs.items()}
        return metric.compute(**rows)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(run, (0, 1))
    np.testing.assert_equal(first, expected)
    assert second is None


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="metric: expected one of crowdpose_ap, .*, wholebody_ap, got 'pckhead'"):
        load_metric("pckhead")
    inputs, _ = CASES["oks_ap"]()
    inputs["references"][0]["iscrowd"] = [0]
    with pytest.raises(ValueError, match="references of image 0 must have one entry a person in every column, got"):
        load_metric("oks_ap").compute(**inputs)
