"""Scores agree with the evaluators they wrap, with plain loops, and with figures worked out by hand."""

import contextlib
import copy
import importlib.util
import io
import json
import math
import sys

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from vitpose.metrics import METRIC_NAMES, coco_keypoint_metrics
from vitpose.modeling.keypoint_schemas import get_keypoint_schema


def make_ground_truth(num_keypoints=17, *, num_images=6, seed=0):
    """Small COCO ground truth: medium and large people, one crowd, one person without labeled keypoints."""
    rng = np.random.default_rng(seed)
    people = []
    for number in range(3 * num_images):
        x, y, side = rng.uniform(0, 200), rng.uniform(0, 200), rng.uniform(40, 200)
        xy = np.array([x, y]) + rng.uniform(0, side, (num_keypoints, 2))
        visibility = rng.integers(0, 3, num_keypoints)
        keypoints = np.column_stack([xy * (visibility > 0)[:, None], visibility])
        person = {"id": number, "image_id": number % num_images, "category_id": 1, "iscrowd": int(number == 4)}
        person |= {"bbox": [x, y, side, side], "area": 0.6 * side * side}
        keypoints *= number not in (4, 5)  # the crowd and one more person have no keypoints
        person |= {"keypoints": keypoints.ravel().tolist(), "num_keypoints": int((keypoints[:, 2] > 0).sum())}
        people.append(person)
    images = [{"id": number, "width": 400, "height": 400} for number in range(num_images)]
    return {"images": images, "annotations": people, "categories": [{"id": 1, "name": "person"}]}


def make_results(truth, *, noise, seed=1):
    """One result for each annotated person, the labeled points moved by Gaussian noise in pixels."""
    rng = np.random.default_rng(seed)
    results = []
    for person in truth["annotations"]:
        keypoints = np.reshape(person["keypoints"], (-1, 3)).astype(float)
        keypoints[:, :2] += rng.normal(0, noise, keypoints[:, :2].shape) if noise else 0
        result = {"image_id": person["image_id"], "category_id": person["category_id"], "score": float(rng.uniform())}
        results.append(result | {"keypoints": keypoints.ravel().tolist()})
    return results


def reference_metrics(results, truth, sigmas=None):
    """pycocotools called directly, annotation ids counted from 1."""
    truth = copy.deepcopy(truth)
    for number, person in enumerate(truth["annotations"], start=1):
        person["id"] = number
    with contextlib.redirect_stdout(io.StringIO()):
        index = COCO()
        index.dataset = truth
        index.createIndex()
        evaluator = COCOeval(index, index.loadRes(copy.deepcopy(results)), "keypoints")
        if sigmas is not None:
            evaluator.params.kpt_oks_sigmas = np.asarray(sigmas)
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return dict(zip(METRIC_NAMES, evaluator.stats.tolist(), strict=True))


BACKENDS = [
    "pycocotools",
    pytest.param(
        "faster_coco_eval",
        marks=pytest.mark.skipif(
            importlib.util.find_spec("faster_coco_eval") is None, reason="faster-coco-eval is not installed"
        ),
    ),
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("noise", [0.0, 4.0, 15.0])
def test_figures_equal_pycocotools(backend, noise):
    truth = make_ground_truth()
    results = make_results(truth, noise=noise)
    measured = coco_keypoint_metrics(results, truth, backend=backend)
    assert measured == pytest.approx(reference_metrics(results, truth), abs=1e-12)
    assert tuple(measured) == METRIC_NAMES


@pytest.mark.parametrize("backend", BACKENDS)
def test_other_keypoint_counts_use_the_given_sigmas(backend):
    truth = make_ground_truth(14)
    results = make_results(truth, noise=6.0)
    sigmas = np.linspace(0.03, 0.1, 14).tolist()
    measured = coco_keypoint_metrics(results, truth, sigmas, backend=backend)
    assert measured == pytest.approx(reference_metrics(results, truth, sigmas), abs=1e-12)
    assert 0 < measured["AP"] < 1


def test_perfect_predictions_score_one_although_an_annotation_has_id_zero():
    truth = make_ground_truth()
    assert truth["annotations"][0]["id"] == 0
    assert coco_keypoint_metrics(make_results(truth, noise=0), truth) == dict.fromkeys(METRIC_NAMES, 1.0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_results_score_zero(backend):
    assert coco_keypoint_metrics([], make_ground_truth(), backend=backend) == dict.fromkeys(METRIC_NAMES, 0.0)


def test_files_nested_keypoints_and_extra_fields_give_the_same_figures_and_inputs_stay_unchanged(tmp_path, capsys):
    truth = make_ground_truth()
    results = make_results(truth, noise=5.0)
    expected = coco_keypoint_metrics(results, truth)
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "results.json").write_text(json.dumps(results))
    assert coco_keypoint_metrics(tmp_path / "results.json", str(tmp_path / "truth.json")) == expected
    nested = [r | {"keypoints": np.reshape(r["keypoints"], (-1, 3)).tolist(), "bbox": [0, 0, 9, 9]} for r in results]
    before = copy.deepcopy((nested, truth))
    assert coco_keypoint_metrics(nested, truth) == expected
    assert (nested, truth) == before
    assert capsys.readouterr().out == ""


REAL = ["coco_mini/annotations/person_keypoints_val2017.json", "samples/coco/test_coco.json"]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("file", [*REAL, "samples/ochuman/test_ochuman.json", "samples/ap10k/test_ap10k.json"])
def test_real_people_and_animals_score_one_on_themselves_and_as_the_reference_says_when_moved(
    shared_data, file, backend
):
    path = shared_data / file
    truth = json.loads(path.read_text())
    schema = get_keypoint_schema("ap10k" if "ap10k" in file else "coco")
    results = [person | {"score": 1.0} for person in truth["annotations"] if person["num_keypoints"]]
    measured = coco_keypoint_metrics(results, path, schema.sigmas, backend)
    assert [measured["AP"], measured["AR"]] == pytest.approx([1.0, 1.0], abs=1e-12)
    for noise in (2.0, 5.0, 15.0):
        noisy = make_results(truth, noise=noise)
        measured = coco_keypoint_metrics(noisy, path, schema.sigmas, backend)
        difference = 0 if backend == "pycocotools" else 1e-12  # the other sums in another order
        assert measured == pytest.approx(reference_metrics(noisy, truth, schema.sigmas), abs=difference, rel=0)


BAD_RESULTS = [
    ("an image that the ground truth does not hold", {"image_id": 77}, "image_id 77, absent"),
    ("a category that the ground truth does not hold", {"category_id": 3}, "category_id 3, absent"),
    ("a point that is not a number", {"keypoints": [math.nan] * 51}, "NaN or infinite"),
    ("a score that is not a number", {"score": math.nan}, r"score that is NaN or infinite, in entry 0 \(image_id 0\)"),
    ("a score that is a list", {"score": [0.5]}, "score must be a number"),
    ("an image id of another type", {"image_id": "0"}, "image_id 0, absent"),
    ("keypoints turned on their side", {"keypoints": np.zeros((3, 17)).tolist()}, r"got \(3, 17\) in entry 0"),
    ("keypoints of unequal length", {"keypoints": [[1.0, 2.0, 1.0], [1.0]]}, "got lists of unequal length in entry 0"),
    (
        "points without their scores",
        {"keypoints": [1.0] * 34},
        r"3 x 17 = 51 keypoint numbers each, .* got \(34,\) in entry 0",
    ),
]


@pytest.mark.parametrize(("sentence", "fields", "message"), BAD_RESULTS, ids=[row[0] for row in BAD_RESULTS])
def test_bad_results_are_named(sentence, fields, message):
    truth = make_ground_truth()
    with pytest.raises(ValueError, match=message):
        coco_keypoint_metrics([make_results(truth, noise=0)[0] | fields], truth)


def test_bad_arguments_are_named():
    truth = make_ground_truth()
    results = make_results(truth, noise=0)
    with pytest.raises(ValueError, match="3 x 14 = 42 keypoint numbers"):
        coco_keypoint_metrics(results, truth, [0.05] * 14)
    with pytest.raises(ValueError, match="sigmas must be a flat list of positive numbers"):
        coco_keypoint_metrics(results, truth, [0.05] * 16 + [0.0])
    with pytest.raises(ValueError, match=r"must be one of \['pycocotools', 'faster_coco_eval'\], got 'cocoapi'"):
        coco_keypoint_metrics(results, truth, backend="cocoapi")
    with pytest.raises(ValueError, match=r"lacks \['categories'\]"):
        coco_keypoint_metrics(results, {"images": [], "annotations": []})
    with pytest.raises(ValueError, match=r"entry 0 \(image_id 0\) lacks \['score'\]"):
        coco_keypoint_metrics([{k: v for k, v in results[0].items() if k != "score"}], truth)
    with pytest.raises(TypeError, match="list of COCO result dicts"):
        coco_keypoint_metrics(results[0], truth)


BAD_TRUTH = [
    ("two annotations with one id", {"id": 2}, "annotation id 2 occurs more than once"),
    ("an unknown image", {"image_id": 99}, "annotations refer to image_id 99, absent from the ground truth's 6"),
    (
        "a box of three numbers",
        {"bbox": [1, 2, 3]},
        r"bbox must be 4 numbers, but it is something else, in entry 1 \(id 1",
    ),
    ("a box with a negative side", {"bbox": [1, 2, 3, -4]}, "a negative area or box side, in entry 1"),
    ("an area that is not a number", {"area": math.nan}, "area that is NaN or infinite, in entry 1"),
    (
        "keypoints that are not numbers",
        {"keypoints": [math.inf] * 51},
        "keypoints that are NaN or infinite, in entry 1",
    ),
]


@pytest.mark.parametrize(("sentence", "fields", "message"), BAD_TRUTH, ids=[row[0] for row in BAD_TRUTH])
def test_bad_ground_truth_is_named(sentence, fields, message):
    truth = make_ground_truth()
    truth["annotations"][1] |= fields
    with pytest.raises(ValueError, match=message):
        coco_keypoint_metrics([], truth)


def test_two_images_with_one_id_are_named():
    truth = make_ground_truth()
    truth["images"][3]["id"] = 0
    with pytest.raises(ValueError, match="image id 0 occurs more than once"):
        coco_keypoint_metrics([], truth)


def test_errors_name_the_file(tmp_path):
    truth = make_ground_truth()
    damaged, foreign = tmp_path / "damaged.json", tmp_path / "foreign.json"
    damaged.write_text('[{"image_id": 1, "categ')
    foreign.write_text(json.dumps([make_results(truth, noise=0)[0] | {"image_id": 77}]))
    with pytest.raises(ValueError, match=r"damaged\.json is not valid JSON, perhaps an unfinished file"):
        coco_keypoint_metrics(damaged, truth)
    with pytest.raises(ValueError, match=r"results of .*foreign\.json refer to image_id 77, absent"):
        coco_keypoint_metrics(foreign, truth)


CONVENTIONS = [
    ("a pose on a crowd costs nothing", 4, 1.0),
    ("a pose on a person without labeled keypoints costs nothing", 5, 1.0),
    ("a pose where nobody is costs precision", None, 0.5),
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("sentence", "person", "expected"), CONVENTIONS, ids=[row[0] for row in CONVENTIONS])
def test_who_is_ignored(sentence, person, expected, backend):
    """One labeled person who is found, and a better scored second pose, in the image of persons 4 and 5."""
    people = make_ground_truth(num_images=1)["annotations"]
    found = people[0] | {"image_id": 0}
    others = [] if person is None else [make_ground_truth()["annotations"][person] | {"image_id": 0}]
    truth = {"images": [{"id": 0}], "annotations": [found, *others], "categories": [{"id": 1, "name": "person"}]}
    (pose,) = make_results(truth | {"annotations": [found]}, noise=0)
    x, y = (others[0]["bbox"] if others else [5_000, 5_000])[:2]
    second = pose | {"score": 1.0, "keypoints": [x + 1, y + 1, 1.0] * 17}
    assert coco_keypoint_metrics([pose, second], truth, backend=backend)["AP"] == pytest.approx(expected)


def test_twenty_poses_an_image_count_and_people_not_found_cost_recall():
    truth = make_ground_truth(num_images=1)
    poses = make_results(truth, noise=0)
    best = [pose | {"score": 2.0, "keypoints": [5_000.0, 5_000.0, 1.0] * 17} for pose in poses[:1] * 20]
    assert coco_keypoint_metrics(poses + best, truth)["AR"] == 0.0
    labeled = [person["num_keypoints"] > 0 for person in truth["annotations"]]
    half = [pose for pose, counts in zip(poses, labeled, strict=True) if counts][:1]
    assert coco_keypoint_metrics(half, truth)["AR"] == pytest.approx(1 / sum(labeled))


def test_a_missing_backend_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(ImportError, match="pip install faster-coco-eval"):
        coco_keypoint_metrics([], make_ground_truth(), backend="faster_coco_eval")
