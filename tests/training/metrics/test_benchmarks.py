"""CrowdPose and COCO-WholeBody score as their own evaluators do, on real annotations and on cases done by hand."""

import contextlib
import copy
import io
import json
import math

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from vitpose.metrics import (
    METRIC_NAMES,
    box_areas,
    coco_keypoint_metrics,
    crowdpose_metrics,
    wholebody_metrics,
)
from vitpose.modeling.keypoint_schemas import get_keypoint_schema

CROWD_SIGMAS = get_keypoint_schema("crowdpose").sigmas
WHOLEBODY = get_keypoint_schema("coco_wholebody")
FIELDS = ("keypoints", "foot_kpts", "face_kpts", "lefthand_kpts", "righthand_kpts")


def perturbed(keypoints, rng, noise):
    """Labeled points moved by Gaussian noise in pixels, with scores in [0, 1) for visibilities."""
    table = np.reshape(keypoints, (-1, 3)).astype(float)
    table[:, :2] += rng.normal(0, noise, table[:, :2].shape)
    table[:, 2] = rng.uniform(size=len(table))
    return table.ravel().tolist()


def make_crowd(crowding):
    """One person an image, one labeled shoulder each, in a box of 100 x 50 pixels."""
    images = [{"id": number, "crowdIndex": index} for number, index in enumerate(crowding, start=1)]
    person = {"category_id": 1, "iscrowd": 0, "num_keypoints": 1, "bbox": [0, 0, 100, 50], "area": 1e9}
    people = [person | {"id": n, "image_id": n, "keypoints": [50, 20, 2] + [0] * 39} for n in range(1, len(images) + 1)]
    return {"images": images, "annotations": people, "categories": [{"id": 1, "name": "person"}]}


def make_poses(shifts):
    """A pose an image, its shoulder shifted to the right by some pixels, scores falling from image to image."""
    pose = {"category_id": 1}
    return [
        pose | {"image_id": n, "score": 1 / n, "keypoints": [50 + shift, 20, 1] + [0] * 39}
        for n, shift in enumerate(shifts, start=1)
    ]


def test_crowdpose_by_hand():
    truth = make_crowd([0.1, 0.5, 0.9])
    measured = crowdpose_metrics(make_poses([0, 1000, 0]), truth)
    levels = {"AP_easy": 1.0, "AP_medium": 0.0, "AP_hard": 1.0}
    ap = (34 + 33 * 2 / 3) / 101  # recall 0 to 0.33 at precision 1, 0.34 to 0.66 at 2/3
    assert measured == pytest.approx(
        {"AP": ap, "AP50": ap, "AP75": ap} | dict.fromkeys(("AR", "AR50", "AR75"), 2 / 3) | levels
    )


def test_crowdpose_takes_the_area_from_the_box():
    """A shift at which OKS is 0.705 with 0.53 of the box's area: right at five of the ten thresholds."""
    shift = math.sqrt(-math.log(0.705) * 2 * 0.53 * 100 * 50) * 2 * CROWD_SIGMAS[0]
    measured = crowdpose_metrics(make_poses([shift]), make_crowd([0.5]))
    assert measured == pytest.approx(
        {"AP": 0.5, "AP50": 1, "AP75": 0, "AR": 0.5, "AR50": 1, "AR75": 0}
        | {"AP_easy": -1, "AP_medium": 0.5, "AP_hard": -1}
    )


BORDERS = [
    ("nobody near", 0.0, "AP_easy"),
    ("the paper's first border belongs to easy", 0.1, "AP_easy"),
    ("the toolkit's first border belongs to medium", 0.2, "AP_medium"),
    ("the second border belongs to hard", 0.8, "AP_hard"),
    ("a full crowd", 1.0, "AP_hard"),
]


@pytest.mark.parametrize(("sentence", "index", "level"), BORDERS, ids=[row[0] for row in BORDERS])
def test_borders_of_crowding(sentence, index, level):
    measured = crowdpose_metrics(make_poses([0]), make_crowd([index]))
    assert [name for name in ("AP_easy", "AP_medium", "AP_hard") if measured[name] > 0] == [level]


def test_crowdpose_ignores_people_without_visible_limbs():
    truth = make_crowd([0.5, 0.5])
    truth["annotations"][1]["num_keypoints"] = 0  # only occluded keypoints
    assert crowdpose_metrics(make_poses([0, 1000]), truth)["AP"] == pytest.approx(1.0)


def make_real_crowd(shared_data):
    """The real CrowdPose annotations sixty times over, with other crowd indices, and two guesses at each person."""
    real = json.loads((shared_data / "samples" / "crowdpose" / "test_crowdpose.json").read_text())
    rng = np.random.default_rng(0)
    images = [real["images"][n % 2] | {"id": n + 1, "crowdIndex": float(rng.uniform())} for n in range(60)]
    copies = [
        person | {"image_id": image["id"]}
        for n, image in enumerate(images)
        for person in real["annotations"]
        if person["image_id"] == real["images"][n % 2]["id"]
    ]
    people = [person | {"id": number} for number, person in enumerate(copies, start=1)]
    results = [
        {"image_id": person["image_id"], "category_id": 1, "score": float(rng.uniform())}
        | {"keypoints": perturbed(person["keypoints"], rng, noise)}
        for person in people
        for noise in (5.0, 25.0)
    ]
    return real | {"images": images, "annotations": people}, results


def test_crowdpose_equals_another_implementation_on_real_people(shared_data, tmp_path):
    faster = pytest.importorskip("faster_coco_eval", reason="faster-coco-eval is not installed")
    truth, results = make_real_crowd(shared_data)
    measured = crowdpose_metrics(results, truth)
    assert crowdpose_metrics(results, truth, backend="faster_coco_eval") == pytest.approx(measured, abs=1e-12)
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    index = faster.COCO(str(tmp_path / "truth.json"))
    evaluator = faster.COCOeval_faster(
        index, index.loadRes(results), "keypoints_crowd", kpt_oks_sigmas=np.array(CROWD_SIGMAS), use_area=False
    )
    evaluator.run()
    np.testing.assert_allclose(list(measured.values())[:6], evaluator.stats[:6], atol=1e-12)
    np.testing.assert_allclose(list(measured.values())[6:], evaluator.stats[6:9], atol=5.1e-5)  # it rounds these three
    assert all(0.4 < measured[name] < 0.6 for name in ("AP", "AP_easy", "AP_medium", "AP_hard"))


def test_crowdpose_names_what_is_missing(shared_data):
    truth = make_crowd([0.1, 0.5])
    del truth["images"][1]["crowdIndex"]
    with pytest.raises(ValueError, match=r"images: entry 1 \(id 2\) lacks \['crowdIndex'\]"):
        crowdpose_metrics([], truth)
    truth["images"][1]["crowdIndex"] = math.nan
    with pytest.raises(ValueError, match=r"crowdIndex that is NaN or infinite, in entry 1 \(id 2\)"):
        crowdpose_metrics([], truth)
    with pytest.raises(ValueError, match="3 x 14 = 42 keypoint numbers"):
        crowdpose_metrics([make_poses([0])[0] | {"keypoints": [1.0] * 51}], make_crowd([0.1]))


def test_ai_challenger_is_scored_with_areas_from_boxes(shared_data):
    truth = json.loads((shared_data / "samples" / "aic" / "test_aic.json").read_text())
    sigmas = get_keypoint_schema("aic").sigmas
    results = [person | {"score": 1.0} for person in truth["annotations"]]
    with pytest.raises(ValueError, match=r"lacks \['area'\]"):
        coco_keypoint_metrics(results, truth, sigmas)
    with_areas = box_areas(truth)
    assert "area" not in truth["annotations"][0]
    assert coco_keypoint_metrics(results, with_areas, sigmas)["AP"] == pytest.approx(1.0, abs=1e-12)


def make_wholebody(shared_data, noise):
    """The real COCO-WholeBody annotations and two guesses at each person; a fifth of the parts have scores of 0."""
    truth = json.loads((shared_data / "samples" / "coco" / "test_coco_wholebody.json").read_text())
    rng = np.random.default_rng(7)
    results = []
    for person in truth["annotations"]:
        for times in (1, 2):
            result = {"image_id": person["image_id"], "category_id": 1, "score": float(rng.uniform())}
            result |= {field: perturbed(person[field], rng, noise * times) for field in FIELDS}
            for field in FIELDS:
                if rng.uniform() < 0.2:
                    result[field][2::3] = [0.0] * (len(result[field]) // 3)
            results.append(result)
    return truth, results


def reference_part(truth, results, fields, sigmas):
    """pycocotools called directly on one part; its sizes of results come from the body, as COCO's loader has it."""
    truth, results = copy.deepcopy((truth, results))
    said = [result for result in results if any(score > 0 for field in fields for score in result[field][2::3])]
    with contextlib.redirect_stdout(io.StringIO()):
        index = COCO()
        index.dataset = truth
        index.createIndex()
        poses = index.loadRes(said)
        for row in (*truth["annotations"], *poses.dataset["annotations"]):
            row["keypoints"] = sum((row[field] for field in fields), [])
        for person in truth["annotations"]:
            person["num_keypoints"] = sum(visibility > 0 for visibility in person["keypoints"][2::3])
        evaluator = COCOeval(index, poses, "keypoints")
        evaluator.params.kpt_oks_sigmas = np.asarray(sigmas)
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return dict(zip(METRIC_NAMES, evaluator.stats.tolist(), strict=True))


PARTS = {
    "body": (FIELDS[:1], slice(0, 17)),
    "foot": (FIELDS[1:2], slice(17, 23)),
    "face": (FIELDS[2:3], slice(23, 91)),
    "left_hand": (FIELDS[3:4], slice(91, 112)),
    "right_hand": (FIELDS[4:], slice(112, 133)),
    "whole": (FIELDS, slice(0, 133)),
}


@pytest.mark.parametrize("noise", [1.0, 4.0])
def test_wholebody_equals_pycocotools_part_by_part(shared_data, noise):
    truth, results = make_wholebody(shared_data, noise)
    measured = wholebody_metrics(results, truth)
    for part, (fields, columns) in PARTS.items():
        assert measured[part] == reference_part(truth, results, fields, WHOLEBODY.sigmas[columns]), part


XTCOCOTOOLS = {
    "body": 0.6765440829797266,
    "foot": 0.6569091691777874,
    "face": 0.14179642964296427,
    "left_hand": 0.678877887788779,
    "right_hand": 0.7192362093352193,
    "whole": 0.6171669447646518,
}


def test_wholebody_equals_the_official_evaluator(shared_data):
    """AP as xtcocotools 1.14.3 gives it for the same people and poses."""
    truth, results = make_wholebody(shared_data, 1.0)
    measured = wholebody_metrics(results, truth)
    assert {part: figures["AP"] for part, figures in measured.items()} == pytest.approx(XTCOCOTOOLS, abs=1e-12)


def test_wholebody_of_perfect_poses_is_one_in_both_forms(shared_data):
    truth = json.loads((shared_data / "samples" / "coco" / "test_coco_wholebody.json").read_text())
    perfect = [person | {"score": 1.0} for person in truth["annotations"]]
    measured = wholebody_metrics(perfect, truth)
    assert {part: round(figures["AP"], 12) for part, figures in measured.items()} == dict.fromkeys(PARTS, 1.0)
    joined = [{**row, "keypoints": sum((row[field] for field in FIELDS), [])} for row in truth["annotations"]]
    plain = [{key: value for key, value in row.items() if key not in FIELDS[1:]} for row in joined]
    assert wholebody_metrics([row | {"score": 1.0} for row in plain], truth | {"annotations": plain}) == measured


def test_a_part_may_have_its_own_score(shared_data):
    truth, results = make_wholebody(shared_data, 4.0)
    before = wholebody_metrics(results, truth)
    ranked = [result | {"face_score": 1.0 - result["score"]} for result in results]
    after = wholebody_metrics(ranked, truth)
    assert after["face"]["AP"] != before["face"]["AP"]
    assert {part: after[part] for part in PARTS if part != "face"} == {
        part: before[part] for part in PARTS if part != "face"
    }


def make_whole_person(labeled=slice(0, 133)):
    """Ground truth of one person with some of the 133 keypoints labeled."""
    keypoints = np.zeros((133, 3))
    keypoints[labeled] = 50, 60, 2
    person = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 200, 200], "area": 4e4, "iscrowd": 0}
    people = [{**person, "keypoints": keypoints.ravel().tolist()}]
    return {"images": [{"id": 1}], "annotations": people, "categories": [{"id": 1, "name": "person"}]}


def whole_pose(score, off=0.0, **part_scores):
    pose = np.tile([50.0 + off, 60.0, 0.9], 133).tolist()
    return {"image_id": 1, "category_id": 1, "score": score, "keypoints": pose, **part_scores}


@pytest.mark.parametrize(
    ("first", "last", "part"),
    [(0, 16, "body"), (17, 22, "foot"), (23, 90, "face"), (91, 111, "left_hand"), (112, 132, "right_hand")],
)
def test_a_part_goes_from_its_first_to_its_last_keypoint(first, last, part):
    for index in (first, last):
        measured = wholebody_metrics([whole_pose(1.0)], make_whole_person(labeled=index))
        known = {name for name, metrics in measured.items() if metrics["AP"] != -1}
        assert known == {part, "whole"}, index


@pytest.mark.parametrize(
    ("field", "part"),
    [
        ("foot_score", "foot"),
        ("face_score", "face"),
        ("lefthand_score", "left_hand"),
        ("righthand_score", "right_hand"),
        ("wholebody_score", "whole"),
    ],
)
def test_a_score_of_a_part_ranks_that_part_alone(field, part):
    right, wrong = whole_pose(0.5, **{field: 1.0}), whole_pose(0.9, off=1000.0)
    measured = wholebody_metrics([right, wrong], make_whole_person())
    assert [name for name, metrics in measured.items() if metrics["AP"] > 0.99] == [part]


def test_wholebody_names_what_is_missing(shared_data):
    truth, results = make_wholebody(shared_data, 1.0)
    short = {key: value for key, value in results[0].items() if key != "face_kpts"}
    message = r"results: entry 0 \(image_id 785\) must have keypoint numbers in all fields, .*'face_kpts': 0"
    with pytest.raises(ValueError, match=message):
        wholebody_metrics([short], truth)
    with pytest.raises(ValueError, match="3 x 133 = 399 keypoint numbers"):
        wholebody_metrics([{"image_id": 785, "category_id": 1, "score": 1.0, "keypoints": [1.0] * 51}], truth)
    with pytest.raises(ValueError, match="face_score that is NaN or infinite, in entry 0"):
        wholebody_metrics([results[0] | {"face_score": math.nan}], truth)
