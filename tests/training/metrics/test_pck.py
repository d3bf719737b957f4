"""Distances of keypoints become shares and means: PCK, PCKh, AUC and EPE against figures worked out by hand."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from vitpose.metrics import box_size, end_point_error, head_size, keypoint_auc, pck, pckh, torso_size
from vitpose.modeling.keypoint_schemas import get_keypoint_schema
from vitpose.training.evaluation.by_dataset import chosen_metrics


def test_pck_by_hand():
    targets = np.zeros((3, 2, 3))
    targets[..., 2] = [[2, 1], [2, 0], [2, 2]]
    predictions = np.zeros((3, 2, 2))
    predictions[0, 0] = 6, 8  # 10 px away, on the edge of 0.2 x 50: right
    predictions[0, 1] = 0, 10.5  # wrong
    predictions[1, 1] = 500, 0  # not labeled, does not count
    predictions[2] = 1e6  # the third person has no length to judge by
    measured = pck(predictions, targets, normalizers=[50, 50, math.nan])
    shares = {"PCK": 2 / 3, "PCK_keypoint_mean": 0.5, "PCK_per_keypoint": [1.0, 0.0]}
    assert measured == shares | {"people": 2, "people_excluded": 1}


def test_pck_is_undefined_when_nobody_can_be_judged():
    measured = pck(np.zeros((1, 2, 2)), np.ones((1, 2, 3)), normalizers=[0.0])
    assert math.isnan(measured["PCK"]) and measured["people_excluded"] == 1


def test_box_size_is_the_longer_side():
    np.testing.assert_array_equal(box_size([[5, 5, 30, 40], [0, 0, 7, 2]]), [40, 7])
    with pytest.raises(ValueError, match=r"boxes must have shape \(N, 4\), .*, got \(4,\)"):
        box_size([0, 0, 1, 1])
    with pytest.raises(ValueError, match="sides of at least 0 pixels"):
        box_size([[0, 0, -1, 1]])


MPII = get_keypoint_schema("mpii").keypoints


def make_mpii_people(count):
    """People with every keypoint labeled at the origin, predicted there, with heads of 100 pixels."""
    targets = np.zeros((count, 16, 3))
    targets[..., 2] = 1
    return np.zeros((count, 16, 2)), targets, np.full(count, 100.0)


def test_pckh_by_hand():
    predictions, targets, sizes = make_mpii_people(2)
    predictions[0, MPII.index("left_elbow")] = 30, 40  # 50 px, on the edge of 0.5 x 100: right
    predictions[1, MPII.index("left_elbow")] = 30, 40.1  # wrong
    predictions[0, MPII.index("right_elbow")] = 10, 0  # on the edge of 0.1: right at both thresholds
    predictions[:, MPII.index("upper_neck")] = 500, 0  # in the mean, in no group
    predictions[:, MPII.index("pelvis")] = 500, 0  # in neither
    targets[1, MPII.index("left_knee"), 2] = 0
    predictions[1, MPII.index("left_knee")] = 500, 0  # not labeled, does not count
    measured = pckh(predictions, targets, head_sizes=sizes)
    right = dict.fromkeys(("Head", "Shoulder", "Wrist", "Hip", "Knee", "Ankle"), 1.0) | {"Elbow": (0.5 + 1.0) / 2}
    labels = 2 * 14 - 1
    means = {"Mean": (labels - 3) / labels, "Mean@0.1": (labels - 4) / labels}
    assert measured == pytest.approx(right | means | {"people": 2, "people_excluded": 0})


@pytest.mark.parametrize("joint", ["shoulder", "elbow", "wrist", "hip", "knee", "ankle"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_each_side_is_half_of_its_group_in_pckh(side, joint):
    predictions, targets, sizes = make_mpii_people(1)
    predictions[:, MPII.index(f"{side}_{joint}")] = 500, 0
    measured = pckh(predictions, targets, head_sizes=sizes)
    groups = ("Head", "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle")
    assert {group: measured[group] for group in groups} == dict.fromkeys(groups, 1.0) | {joint.title(): 0.5}


def plain_pckh(predictions, targets, sizes, threshold):
    """The mean as MPII's toolkit weighs it: each keypoint's share by how many have it labeled."""
    shares, counts = [], []
    for k, name in enumerate(MPII):
        if name in ("pelvis", "thorax"):
            continue
        seen = [i for i in range(len(targets)) if targets[i, k, 2] > 0]
        near = [math.dist(predictions[i, k], targets[i, k, :2]) / sizes[i] <= threshold for i in seen]
        shares.append(sum(near) / len(seen))
        counts.append(len(seen))
    return sum(share * count / sum(counts) for share, count in zip(shares, counts, strict=True))


def test_pckh_of_real_people(shared_data):
    people = json.loads((shared_data / "samples" / "mpii" / "test_mpii.json").read_text())
    targets = np.array([np.column_stack([person["joints"], person["joints_vis"]]) for person in people])
    ends = targets[:, [MPII.index("upper_neck"), MPII.index("head_top")], :2]
    heads = np.concatenate([ends.min(axis=1), np.ptp(ends, axis=1)], axis=1)  # boxes around the ends of the head
    sizes = head_size(heads)
    np.testing.assert_allclose(sizes, [0.6 * math.dist(*pair) for pair in ends])
    perfect = pckh(targets[..., :2], targets, head_sizes=sizes)
    assert {perfect[name] for name in (*list(perfect)[:7], "Mean", "Mean@0.1")} == {1.0}
    moved = targets[..., :2] + np.random.default_rng(0).normal(0, 20, (len(people), 16, 2))
    measured = pckh(moved, targets, head_sizes=sizes)
    assert measured["Mean"] == pytest.approx(plain_pckh(moved, targets, sizes, 0.5))
    assert measured["Mean@0.1"] == pytest.approx(plain_pckh(moved, targets, sizes, 0.1))
    one_based = targets + [1, 1, 0]
    assert pckh(moved + 1, one_based, head_sizes=sizes) == pytest.approx(measured)


def test_pckh_leaves_out_people_without_a_head_and_names_other_schemas():
    predictions, targets, sizes = make_mpii_people(2)
    predictions[1] = 500
    measured = pckh(predictions, targets, head_sizes=[sizes[0], math.nan])
    assert (measured["Mean"], measured["people"], measured["people_excluded"]) == (1.0, 1, 1)
    with pytest.raises(ValueError, match=r"targets must have shape \(N, 16, 3\), got \(2, 14, 3\)"):
        pckh(predictions[:, :14], targets[:, :14], head_sizes=sizes)


def test_auc_by_hand():
    targets = np.zeros((2, 2, 3))
    targets[..., 2] = [[1, 1], [1, 0]]
    predictions = np.zeros((2, 2, 2))
    predictions[0, 0] = 3, 4  # 5 px: right at the thresholds 6, 12, 18 and 24 of five up to 30
    predictions[1, 0] = 0, 18  # on a threshold: right at 18 and 24
    predictions[0, 1] = 0, 30  # at the end of the curve: never right
    predictions[1, 1] = 0, 0  # not labeled, does not count
    measured = keypoint_auc(predictions, targets, steps=5)
    assert measured == {"AUC": pytest.approx((0.6 + 0.0) / 2), "AUC_per_keypoint": pytest.approx([0.6, 0.0])}


def test_auc_is_the_mean_of_pck_over_its_thresholds(shared_data):
    """Twenty thresholds from 0 to 28.5 px, on real hands as flat projections of the shared 3D joints."""
    frames = json.loads((shared_data / "samples/interhand2.6m/test_interhand2.6m_joint_3d.json").read_text())
    joints = [frame for capture in frames.values() for frame in capture.values()]
    hands = np.array([np.array(joint["world_coord"])[:21, :2] for joint in joints])
    labeled = np.array([np.ravel(joint["joint_valid"])[:21] for joint in joints])
    targets = np.dstack([hands, labeled])
    moved = hands + np.random.default_rng(1).normal(0, 8, hands.shape)
    lengths = np.full(len(hands), 30.0)
    curve = [
        pck(moved, targets, normalizers=lengths, threshold=step / 20)["PCK_keypoint_mean"] for step in range(1, 20)
    ]
    measured = keypoint_auc(moved, targets)
    assert measured["AUC"] == pytest.approx(sum(curve) / 20)
    assert 0.3 < measured["AUC"] < 0.8
    assert keypoint_auc(hands, targets)["AUC"] == 1.0
    errors = [math.dist(moved[i, k], hands[i, k]) for i, k in np.argwhere(labeled > 0)]
    assert end_point_error(moved, targets)["EPE"] == pytest.approx(sum(errors) / len(errors))
    assert end_point_error(hands, targets)["EPE"] == 0.0


def test_epe_by_hand():
    targets = np.zeros((2, 2, 3))
    targets[..., 2] = [[1, 2], [1, 0]]
    predictions = np.array([[[3.0, 4.0], [0.0, 1.0]], [[0.0, 0.0], [900.0, 0.0]]])
    measured = end_point_error(predictions, targets)
    assert measured == {"EPE": pytest.approx((5 + 1 + 0) / 3), "EPE_per_keypoint": [2.5, 1.0]}


def test_errors_of_nothing_are_undefined():
    targets = np.zeros((1, 2, 3))
    assert math.isnan(keypoint_auc(np.zeros((1, 2, 2)), targets)["AUC"])
    assert math.isnan(end_point_error(np.zeros((1, 2, 2)), targets)["EPE"])
    with pytest.raises(ValueError, match="a positive normalizer and at least one step, got 0 and 20"):
        keypoint_auc(np.zeros((1, 2, 2)), targets, normalizer=0)
    with pytest.raises(ValueError, match="of 1 people, first number 0"):
        end_point_error(np.full((1, 2, 2), np.nan), targets)


BAD_PCK = [
    ("another keypoint count", (np.zeros((1, 3, 2)), np.ones((1, 2, 3)), [1.0]), "targets must have shape"),
    ("a missing length", (np.zeros((2, 2, 2)), np.ones((2, 2, 3)), [1.0]), "one length a person"),
    ("a negative length", (np.zeros((1, 2, 2)), np.ones((1, 2, 3)), [-1.0]), "normalizers must be lengths"),
    ("a point that is not a number", (np.full((1, 2, 2), np.nan), np.ones((1, 2, 3)), [1.0]), "must be finite"),
]


@pytest.mark.parametrize(("sentence", "arguments", "message"), BAD_PCK, ids=[row[0] for row in BAD_PCK])
def test_bad_pck_input_is_named(sentence, arguments, message):
    predictions, targets, normalizers = arguments
    with pytest.raises(ValueError, match=message):
        pck(predictions, targets, normalizers=normalizers)


def test_torso_size_takes_the_other_diagonal_where_one_end_is_not_labeled():
    schema = get_keypoint_schema("lspet")
    index = schema.keypoints.index
    targets = np.zeros((3, schema.num_keypoints, 3))
    targets[:2, index("left_shoulder")] = 0, 0, 2
    targets[:2, index("right_hip")] = 3, 4, 2
    targets[0, index("right_shoulder")] = 10, 0, 1
    targets[0, index("left_hip")] = 10, 12, 2
    np.testing.assert_array_equal(torso_size(targets, schema), [12.0, 5.0, np.nan])


def test_torso_size_names_what_a_schema_lacks():
    schema = get_keypoint_schema("interhand2d")
    with pytest.raises(ValueError, match="schema 'interhand2d' has no right_shoulder"):
        torso_size(np.zeros((1, schema.num_keypoints, 3)), schema)


def test_torso_size_knows_the_keypoints_in_other_spellings():
    schema = get_keypoint_schema("coco")
    names = tuple(name.replace("left_", "L").replace("right_", "R") for name in schema.keypoints)
    people = np.random.default_rng(0).uniform(1, 100, (3, 17, 3))
    own = replace(schema, name="mine", keypoints=names)
    np.testing.assert_array_equal(torso_size(people, own), torso_size(people, schema))
    assert chosen_metrics("people", own, annotated_boxes=True) == ("oks_ap", "torso_pck")
