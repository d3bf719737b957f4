"""Random crops: how often, how far, in which frame, and always the same for the same (seed, epoch, index)."""

from dataclasses import replace

import numpy as np
import pytest

from vitpose.modeling.keypoint_schemas import get_keypoint_schema
from vitpose.training.samples.pose import Augmentation, Crop, rng_for, sample_crop

COCO = get_keypoint_schema("coco")
BOX = np.array([100.0, 50.0, 60.0, 120.0])
PADDING = 1.25
NONE = Augmentation(shift_probability=0, flip_probability=0, half_body_probability=0, scale=0, rotation_probability=0)
NUM_DRAWS = 5000


def person(num_labelled: int = 17) -> np.ndarray:
    """Keypoints on a curve, from the head down; those after the first `num_labelled` are not labelled."""
    places = np.arange(17.0)
    return np.stack([100 + 3 * places, 50 + 0.4 * places**2, (places < num_labelled) * 2.0], axis=-1)


def draw(augmentation: Augmentation, index: int, keypoints: np.ndarray | None = None, epoch: int = 0) -> Crop:
    keypoints = person() if keypoints is None else keypoints
    return sample_crop(augmentation, BOX, keypoints, schema=COCO, padding=PADDING, rng=rng_for(0, epoch, index))


def draws(augmentation: Augmentation, keypoints: np.ndarray | None = None) -> list[Crop]:
    return [draw(augmentation, index, keypoints) for index in range(NUM_DRAWS)]


def around(points: np.ndarray) -> list[float]:
    """The box of the size of points, around their mean."""
    sides = np.ptp(points, axis=0)
    return [*(points.mean(0) - sides / 2), *sides]


@pytest.mark.parametrize("index", range(3))
def test_without_any_chance_the_crop_is_that_of_evaluation(index):
    crop = draw(NONE, index)
    assert crop.box_xywh.tolist() == BOX.tolist()
    assert crop[1:] == Crop(BOX, PADDING)[1:] == (PADDING, 0.0, False)


def test_shift_moves_three_in_ten_boxes_by_up_to_a_fifth_of_their_own_sides():
    crops = draws(replace(NONE, shift_probability=0.3))
    shifts = np.stack([crop.box_xywh for crop in crops]) - BOX
    assert not shifts[:, 2:].any()  # the sides stay
    moved = shifts.any(axis=1)
    assert moved.mean() == pytest.approx(0.3, abs=0.02)
    relative = shifts[moved, :2] / BOX[2:]  # (n, 2), of the box and not of the padded crop
    assert np.abs(relative).max(0).tolist() == pytest.approx([0.2, 0.2], abs=0.002)
    assert relative.std(0).tolist() == pytest.approx([0.4 / 12**0.5] * 2, rel=0.05)  # uniform
    assert np.corrcoef(relative.T)[0, 1] == pytest.approx(0, abs=0.06)  # x and y on their own


def test_flip_mirrors_every_other_person():
    assert np.mean([crop.flip for crop in draws(replace(NONE, flip_probability=0.5))]) == pytest.approx(0.5, abs=0.02)


def test_scale_is_a_normal_factor_clipped_to_half_and_one_and_a_half():
    factors = np.array([crop.padding / PADDING for crop in draws(replace(NONE, scale=0.5))])
    assert (factors.min(), factors.max()) == pytest.approx((0.5, 1.5))
    assert factors.mean() == pytest.approx(1.0, abs=0.02)
    assert np.isclose(factors, 0.5).mean() == pytest.approx(0.159, abs=0.02)  # the normal's tail beyond one deviation


def test_rotation_turns_six_in_ten_by_a_normal_angle_clipped_to_eighty_degrees():
    angles = np.array([crop.rotation for crop in draws(replace(NONE, rotation_probability=0.6))])
    turned = angles[angles != 0]
    assert len(turned) / NUM_DRAWS == pytest.approx(0.6, abs=0.02)
    assert (turned.min(), turned.max()) == (-80.0, 80.0)
    assert np.median(np.abs(turned)) == pytest.approx(0.6745 * 40, rel=0.05)


def test_half_body_crops_around_the_upper_or_the_lower_keypoints_with_its_own_padding():
    """As the released code: the upper half in 69 % of the draws, a box around the mean of the keypoints."""
    crops = draws(replace(NONE, half_body_probability=0.3))
    halves = [around(person()[list(half), :2]) for half in (COCO.upper_body, COCO.lower_body)]
    upper, lower = (
        np.mean([crop.padding == 1.5 and crop.box_xywh.tolist() == half for crop in crops]) for half in halves
    )
    assert upper == pytest.approx(0.3 * 0.6915, abs=0.015)
    assert lower == pytest.approx(0.3 * 0.3085, abs=0.015)


@pytest.mark.parametrize(
    ("num_labelled", "expected"),
    [
        pytest.param(8, "whole", id="eight labelled keypoints are too few"),
        pytest.param(9, "upper", id="nine are enough; no lower keypoint among them"),
        pytest.param(13, "upper", id="two lower keypoints do not make a half"),
    ],
)
def test_half_body_needs_enough_keypoints(num_labelled, expected):
    keypoints = person(num_labelled)
    labelled_upper = [index for index in COCO.upper_body if index < num_labelled]
    box = around(keypoints[labelled_upper, :2]) if expected == "upper" else BOX.tolist()
    for index in range(20):
        crop = draw(replace(NONE, half_body_probability=1), index, keypoints)
        assert crop.box_xywh.tolist() == pytest.approx(box)


def test_half_body_leaves_people_whole_whose_keypoints_lie_on_one_spot():
    keypoints = person()
    keypoints[:, :2] = 120.0
    assert draw(replace(NONE, half_body_probability=1), 0, keypoints).box_xywh.tolist() == BOX.tolist()


def test_half_body_leaves_skeletons_without_halves_whole():
    hand = get_keypoint_schema("interhand2d")
    keypoints = np.ones((hand.num_keypoints, 3))
    augmentation = replace(NONE, half_body_probability=1)
    crop = sample_crop(augmentation, BOX, keypoints, schema=hand, padding=PADDING, rng=rng_for(0, 0, 0))
    assert crop.box_xywh.tolist() == BOX.tolist()


def test_a_draw_depends_on_seed_epoch_and_index_alone():
    forwards = [draw(Augmentation(), index) for index in range(20)]
    backwards = [draw(Augmentation(), index) for index in reversed(range(20))][::-1]
    for one, other in zip(forwards, backwards, strict=True):
        assert one[1:] == other[1:]
        assert one.box_xywh.tolist() == other.box_xywh.tolist()
    keys = [(seed, epoch, index) for seed in range(3) for epoch in range(3) for index in range(3)]
    assert len({rng_for(*key).random() for key in keys}) == len(keys)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"flip_probability": 1.5}, "flip_probability: expected a probability", id="a chance above 1"),
        pytest.param({"rotation": -1.0}, "rotation: expected a finite number", id="a negative angle"),
        pytest.param({"shift": float("nan")}, "shift: expected a finite number", id="not a number"),
        pytest.param({"scale": 1.0}, "scale: expected less than 1", id="a crop without extent"),
        pytest.param({"half_body_padding": 0.0}, "half_body_padding: expected more than 0", id="no padding factor"),
    ],
)
def test_bad_figures_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**changes)
