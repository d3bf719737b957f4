"""How each dataset is scored, and what is refused before any work."""

import dataclasses

import numpy as np
import pytest

from vitpose import get_keypoint_schema
from vitpose.data import to_coco_annotations
from vitpose.metrics import torso_size
from vitpose.processing.people_vitpose import People
from vitpose.processing.processor_settings_vitpose import ProcessorSettings
from vitpose.training.config.recipe import Recipe
from vitpose.training.data.loading import get_known_dataset, list_known_datasets
from vitpose.training.evaluation.by_dataset import Scored, check_columns, chosen_metrics, measure_by_keypoint
from vitpose.training.evaluation.score import score
from vitpose.training.evaluation.submission import mpii_predictions, submission


def people_of(schema_name: str, **extra) -> list[dict]:
    """Three of whatever has these keypoints, each in a photo of its own."""
    schema, random = get_keypoint_schema(schema_name), np.random.default_rng(0)
    people = []
    for number in range(3):
        points = random.integers(80, 1520, (schema.num_keypoints, 2)) / 8  # float32 has them
        keypoints = np.column_stack([points, np.full(len(points), 2.0)]).tolist()
        people.append(
            {
                **{"image_id": number + 1, "person_id": number, "width": 200, "height": 200, "iscrowd": 0},
                **{"bbox": [0.0, 0.0, 200.0, 200.0], "area": 20000.0, "keypoints": keypoints, **extra},
            }
        )
    return people


def evaluated(dataset: str, people: list[dict], off: float = 0.0):
    """The evaluation of poses that are so many pixels off."""
    schema = get_keypoint_schema(get_known_dataset(dataset).schema)
    points = np.array([person["keypoints"] for person in people])[..., :2] + [off, 0.0]
    found = People.annotated(np.concatenate([points, np.ones((*points.shape[:2], 1))], axis=2), schema)
    metrics = chosen_metrics(dataset, schema, annotated_boxes=True)
    return score(found, people, to_coco_annotations(people, schema), settings=ProcessorSettings(), metrics=metrics)


@pytest.mark.parametrize(
    ("dataset", "extra", "main", "others"),
    [
        ("coco", {}, "AP", {"AP50", "ARl"}),
        ("aic", {}, "AP", {"AR"}),
        ("coco_wholebody", {}, "AP_whole", {"AR_whole", "AP_body", "AP_foot", "AP_face", "AP_left_hand", "AR_face"}),
        ("crowdpose", {"crowd_index": 0.1}, "AP", {"AP_easy", "AP_medium", "AP_hard"}),
        ("mpii", {"head_size": 30.0}, "PCKh", {"PCKh@0.1", "PCKh_head", "PCKh_ankle", "PCKh_people_excluded"}),
        ("lspet", {}, "PCK", {"PCK_people_excluded"}),
        ("interhand2d", {}, "AUC", {"PCK_box", "EPE"}),
    ],
)
def test_perfect_predictions_score_one_in_the_datasets_own_figure(dataset, extra, main, others):
    evaluation = evaluated(dataset, people_of(get_known_dataset(dataset).schema, **extra))
    assert evaluation.primary == (main, pytest.approx(1.0))
    assert others <= set(evaluation.metrics)


def test_hands_that_are_a_little_off():
    figures = evaluated("interhand2d", people_of("interhand2d"), off=6.5).metrics
    assert figures["EPE"] == pytest.approx(6.5)
    assert figures["AUC"] == pytest.approx(0.75)  # right at 7.5, 9, ... 28.5 of the twenty thresholds
    assert figures["PCK_box"] == 1.0


def test_heads_measure_pckh():
    people = people_of("mpii", head_size=20.0)
    assert evaluated("mpii", people, off=9.0).metrics["PCKh"] == 1.0
    assert evaluated("mpii", people, off=11.0).metrics["PCKh"] == 0.0


@pytest.mark.parametrize(
    ("schema", "sigmas", "metrics"),
    [
        ("coco", True, ("oks_ap", "torso_pck")),
        ("coco", False, ("torso_pck",)),
        ("ap10k", True, ("oks_ap", "torso_pck")),
        ("interhand2d", False, ("keypoint_auc", "pck", "end_point_error")),
    ],
)
def test_other_data_is_scored_by_what_its_keypoints_allow(schema, sigmas, metrics):
    keypoints = get_keypoint_schema(schema)
    keypoints = keypoints if sigmas else dataclasses.replace(keypoints, sigmas=None)
    assert chosen_metrics("people", keypoints, annotated_boxes=True) == metrics


@pytest.mark.parametrize("dataset", list_known_datasets())
def test_a_detectors_boxes_go_with_oks_alone(dataset):
    known = get_known_dataset(dataset)
    choose = {"data": dataset, "schema": get_keypoint_schema(known.schema), "annotated_boxes": False}
    if known.metrics[0].endswith("_ap"):
        assert chosen_metrics(**choose) == known.metrics
    else:
        with pytest.raises(ValueError, match=f"{dataset}: .* which a detector's boxes do not have"):
            chosen_metrics(**choose)


@pytest.mark.parametrize(
    ("metric", "schema", "lengths", "right", "wrong"),
    [
        ("pckh", "mpii", {"head_size": 20.0}, 10.0, 10.5),  # half the head
        ("pck", "interhand2d", {}, 40.0, 40.5),  # a fifth of the box
        ("torso_pck", "lspet", {}, None, None),
    ],
)
def test_each_keypoint_is_measured_by_the_length_of_its_metric(metric, schema, lengths, right, wrong):
    keypoints = get_keypoint_schema(schema)
    people = people_of(schema, **lengths)[:1]
    if metric == "torso_pck":
        torso = torso_size(np.array([people[0]["keypoints"]]), keypoints)[0]
        right, wrong = 0.2 * torso - 0.1, 0.2 * torso + 0.1
    for off, share in ((right, 1.0), (wrong, 0.0)):
        points = np.array([person["keypoints"] for person in people])[..., :2] + [off, 0.0]
        scored = Scored(points=points, people=people, results=[], annotations={}, schema=keypoints)
        assert measure_by_keypoint(metric, scored) == dict.fromkeys(keypoints.keypoints, share)


@pytest.mark.parametrize("joint", ["left_shoulder", "right_shoulder", "left_hip", "right_hip"])
def test_keypoints_without_a_whole_torso_are_scored_as_hands(joint):
    known = get_keypoint_schema("lspet")
    names = tuple("other" if name == joint else name for name in known.keypoints)
    schema = dataclasses.replace(known, keypoints=names, sigmas=None, flip_pairs=())
    assert chosen_metrics("people", schema, annotated_boxes=True) == ("keypoint_auc", "pck", "end_point_error")


def test_mpii_without_head_sizes_is_refused():
    with pytest.raises(ValueError, match="no column head_size. Put the file of head boxes, such as mpii_gt_val.mat"):
        check_columns(("pckh",), people_of("mpii"))


def test_boxes_are_padded_as_the_dataset_is():
    named = {name: Recipe.from_fields(data=name, data_dir="x").box_padding for name in ("coco", "interhand2d")}
    assert named == {"coco": 1.25, "interhand2d": 1.5}
    assert Recipe().box_padding == 1.25


def test_wholebody_results_have_the_fields_of_the_benchmark():
    keypoints = [float(value) for value in range(399)]
    (result,) = submission([{"image_id": 1, "keypoints": keypoints, "score": 1.0}], dataset="coco_wholebody")
    fields = ("keypoints", "foot_kpts", "face_kpts", "lefthand_kpts", "righthand_kpts")
    assert [len(result[field]) for field in fields] == [51, 18, 204, 63, 63]
    assert [value for field in fields for value in result[field]] == keypoints


def test_mpii_predictions_are_in_the_order_of_the_file_and_count_from_one():
    people = [{"person_id": 2}, {"person_id": 0}]
    table = mpii_predictions(np.stack([np.full((16, 2), 5.0), np.full((16, 2), 7.0)]), people)
    assert table[[0, 2], 0, 0].tolist() == [8.0, 6.0]
    assert np.isnan(table[1]).all()
