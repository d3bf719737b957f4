"""Generated people: what a training run relies on, from exact repeats to keypoints that lie on what is drawn."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader

from vitpose.modeling.keypoint_schemas import get_keypoint_schema
from vitpose.training.synthetic.canvas import Canvas, Light, rgb
from vitpose.training.synthetic.figure import paint_figure
from vitpose.training.synthetic.outfit import sample_outfit
from vitpose.training.synthetic.people import SyntheticPeople, _keypoint, _silhouette
from vitpose.training.synthetic.poses import Pose
from vitpose.training.synthetic.skeleton import View, build_skeleton, sample_body
from vitpose.training.synthetic.styles import STYLES

STYLE_NAMES = tuple(STYLES)
NAMES = get_keypoint_schema("coco").keypoints
COUNT = 80


@pytest.fixture(scope="module", params=STYLE_NAMES)
def people(request) -> list[dict]:
    data = SyntheticPeople(num_people=COUNT, seed=7, style=request.param)
    return [data[index] for index in range(COUNT)]


def same(first: dict, second: dict) -> bool:
    rest = [{key: value for key, value in person.items() if key != "image"} for person in (first, second)]
    return rest[0] == rest[1] and first["image"].tobytes() == second["image"].tobytes()


def keypoints_of(people: list[dict]) -> np.ndarray:
    """(people, 17, 3)"""
    return np.array([person["keypoints"] for person in people])


# Repeats


def test_an_item_depends_on_seed_style_and_index_only():
    data = SyntheticPeople(num_people=6, seed=3, style="street")
    forwards = [data[index] for index in range(6)]
    backwards = [data[index] for index in reversed(range(6))][::-1]
    longer = SyntheticPeople(num_people=1000, seed=3, style="street")
    copied = pickle.loads(pickle.dumps(data))
    for index in range(6):
        for other in (backwards[index], longer[index], copied[index]):
            assert same(forwards[index], other)


def test_a_spawned_loader_worker_draws_the_same():
    data = SyntheticPeople(num_people=4, seed=3, style="studio")
    loader = DataLoader(data, batch_size=None, num_workers=1, multiprocessing_context="spawn")
    for index, person in enumerate(loader):
        assert same(person, data[index])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"seed": 4}, "another seed gives other people"),
        ({"style": "street"}, "the styles do not share people"),
    ],
)
def test_seed_and_style_change_the_person(change, why):
    settings = {"num_people": 5, "seed": 3, "style": "studio"}
    first, second = SyntheticPeople(**settings)[2], SyntheticPeople(**{**settings, **change})[2]
    assert first["keypoints"] != second["keypoints"], why
    assert first["image"].tobytes() != second["image"].tobytes(), why


# Columns


def test_columns_are_those_of_every_reader(people):
    for index, person in enumerate(people):
        assert person["image"].mode == "RGB"
        assert person["image"].size == (person["width"], person["height"])
        assert (person["image_id"], person["person_id"], person["iscrowd"]) == (index, index, 0)
        assert np.shape(person["keypoints"]) == (17, 3)
        assert 100 <= person["height"] <= 320 and 100 <= person["width"] <= 320


def test_box_and_area_are_possible(people):
    for person in people:
        x, y, width, height = person["bbox"]
        assert x >= 0 and y >= 0 and x + width <= person["width"] and y + height <= person["height"]
        assert 0 < person["area"] <= width * height


def test_visible_keypoints_are_in_the_box_and_absent_ones_are_zero(people):
    for person in people:
        x, y, width, height = person["bbox"]
        for kx, ky, v in person["keypoints"]:
            assert v in (0.0, 1.0, 2.0)
            if v == 2:
                assert x - 1 <= kx <= x + width and y - 1 <= ky <= y + height
            elif v == 0:
                assert kx == ky == 0
            else:
                assert 0 <= kx < person["width"] and 0 <= ky < person["height"]


def test_pictures_are_colorful(people):
    for person in people:
        pixels = np.asarray(person["image"], dtype=np.float32)
        assert pixels.std(axis=(0, 1)).min() > 8  # every channel varies over the picture
    mean_colors = np.array([np.asarray(person["image"]).mean(axis=(0, 1)) for person in people])
    assert mean_colors.std(axis=0).min() > 10  # and from picture to picture


# Variety


def test_every_flag_occurs_and_most_joints_are_visible(people):
    flags = keypoints_of(people)[..., 2]
    assert (flags == 2).mean() > 0.5
    assert (flags == 1).mean() > 0.05
    assert (flags == 0).any()


def test_bodies_sizes_and_foreshortening_vary(people):
    points = keypoints_of(people)
    ends = [NAMES.index(name) for name in ("left_shoulder", "left_elbow")]
    seen = (points[:, ends, 2] > 0).all(axis=1)
    lengths = np.linalg.norm(points[seen, ends[0], :2] - points[seen, ends[1], :2], axis=1)
    heights = np.array([person["bbox"][3] for person in people])
    assert lengths.min() < 0.5 * np.median(lengths)
    assert (lengths / heights[seen]).std() > 0.03
    assert len({person["image"].size for person in people}) > COUNT // 2


def test_fronts_and_backs_and_both_sides_occur(people):
    points = keypoints_of(people)
    left, right = (points[:, NAMES.index(f"{side}_shoulder")] for side in ("left", "right"))
    known = (left[:, 2] > 0) & (right[:, 2] > 0)
    faces_camera = left[known, 0] > right[known, 0]
    assert 0.5 < faces_camera.mean() < 0.95
    nose = points[known, NAMES.index("nose"), 2]
    assert (nose[faces_camera] == 2).mean() > 0.5
    assert (nose[~faces_camera] == 2).mean() < 0.5


def test_left_and_right_are_balanced():
    data = [SyntheticPeople(num_people=300, seed=1, style="studio")[index] for index in range(300)]
    points = keypoints_of(data)
    for joint in ("elbow", "wrist", "knee", "ankle", "ear"):
        left, right = (points[:, NAMES.index(f"{side}_{joint}"), 2] == 2 for side in ("left", "right"))
        assert abs(left.mean() - right.mean()) < 0.12, joint


def test_styles_look_different():
    """Hard light and strong colors: pictures of the street style are more saturated."""

    def saturation(style: str) -> float:
        data = SyntheticPeople(num_people=40, seed=5, style=style)
        return float(np.mean([np.asarray(data[index]["image"].convert("HSV"))[..., 1].mean() for index in range(40)]))

    assert saturation("street") > 1.15 * saturation("studio")


# Geometry, on one figure in a known view


def standing(*, arms=((0, 10, 0, 5), (0, 10, 0, 5)), legs=((0, 5, 0, 0), (0, 5, 0, 0))) -> Pose:
    zeros = np.zeros((2, 3))
    return Pose(family="standing", trunk=zeros, head=zeros[0], arms=np.array(arms), legs=np.array(legs), lift=0.0)


def placed(pose: Pose, *, yaw: float):
    body = sample_body(np.random.default_rng(0))
    skeleton = build_skeleton(body, pose, View(yaw_degrees=yaw, pitch_degrees=0, distance=6))
    skeleton.place(pixels_per_height=200, offset_xy=np.array([110.0, 115.0]))
    return skeleton


def painted(pose: Pose, *, yaw: float, seed: int = 0) -> tuple[Canvas, object]:
    light = Light(direction=np.array([0, 0, -1], dtype=np.float32), ambient=rgb(1, 1, 1), diffuse=rgb(0, 0, 0))
    canvas = Canvas(background=Image.new("RGB", (220, 240), (90, 120, 200)), light=light)
    skeleton = placed(pose, yaw=yaw)
    outfit = sample_outfit(np.random.default_rng(seed), fabrics=STYLES["studio"].fabrics, patterned=0, outdoor=0)
    paint_figure(canvas=canvas, skeleton=skeleton, outfit=outfit)
    return canvas, skeleton


@pytest.mark.parametrize(
    ("yaw", "left_is_at_the"),
    [(0, "right of the picture, for a person who faces us"), (180, "left of the picture, seen from behind")],
)
def test_left_is_the_persons_own_left(yaw, left_is_at_the):
    points = placed(standing(), yaw=yaw).points
    sign = 1 if yaw == 0 else -1
    for joint in ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
        assert sign * (points[f"left_{joint}"][0] - points[f"right_{joint}"][0]) > 0, left_is_at_the
    assert (points["nose"][2] < points["head"][2]) == (yaw == 0)


@pytest.mark.parametrize(
    ("pose", "joint", "moves", "why"),
    [
        (standing(arms=((80, 0, 0, 0), (0, 0, 0, 0))), "left_wrist", (0, None, -1), "the arm swings to the front"),
        (standing(arms=((0, 90, 0, 0), (0, 0, 0, 0))), "left_wrist", (1, None, 0), "the arm goes out to its own side"),
        (standing(arms=((0, 0, 0, 90), (0, 0, 0, 0))), "left_wrist", (0, None, -1), "the elbow bends to the front"),
        (
            standing(arms=((0, 0, 60, 90), (0, 0, 0, 0))),
            "left_wrist",
            (-1, None, -1),
            "an inward twist crosses the body",
        ),
        (standing(legs=((0, 0, 0, 90), (0, 0, 0, 0))), "left_ankle", (0, None, 1), "the knee bends to the back"),
        (standing(legs=((80, 0, 0, 0), (0, 0, 0, 0))), "left_ankle", (0, None, -1), "the thigh swings to the front"),
    ],
)
def test_joints_turn_as_human_joints_do(pose, joint, moves, why):
    rest = placed(standing(arms=((0, 0, 0, 0),) * 2, legs=((0, 0, 0, 0),) * 2), yaw=0).points[joint]
    change = placed(pose, yaw=0).points[joint] - rest
    for axis, direction in enumerate(moves):
        if direction == 0:
            assert abs(change[axis]) < 12, why
        elif direction is not None:
            assert direction * change[axis] > 15, why


def test_the_drawn_nose_is_where_its_keypoint_is():
    canvas, skeleton = painted(standing(), yaw=20)
    rows, columns = np.nonzero(canvas.owner == 7)  # Part.NOSE
    middle = np.array([columns.mean(), rows.mean()])
    assert np.abs(middle - skeleton.points["nose"][:2]).max() < 2


@pytest.mark.parametrize(
    ("yaw", "labeled"),
    [
        (0, {"nose", "left_eye", "right_eye", "left_ear", "right_ear"}),
        (90, {"nose", "left_eye", "left_ear"}),  # the right half of the face is behind the head
        (180, {"left_ear", "right_ear"}),
    ],
)
def test_what_a_head_turns_away_is_not_labeled(yaw, labeled):
    canvas, skeleton = painted(standing(), yaw=yaw)
    flags = {name: _keypoint(canvas.owner, skeleton, name)[2] for name in NAMES[:5]}
    assert {name for name, flag in flags.items() if flag > 0} == labeled


def test_both_sides_wear_the_same_colors():
    """No color tells left from right: under flat light both sleeves, legs and shoes have the same colors."""
    for seed in range(8):
        canvas, _ = painted(standing(arms=((0, 60, 0, 0),) * 2, legs=((0, 15, 0, 0),) * 2), yaw=0, seed=seed)
        for left_part in (12, 14, 16, 18, 20, 22):
            sides = [canvas.rgb[:, canvas.owner == part] for part in (left_part, left_part + 1)]
            # Medians ignore the soft shadows that differ with the order of painting.
            assert np.abs(np.median(sides[0], axis=1) - np.median(sides[1], axis=1)).max() < 6


def test_box_is_tight_around_the_painted_pixels():
    canvas, _ = painted(standing(), yaw=0)
    changed = np.abs(canvas.rgb - rgb(90, 120, 200)).max(axis=0) > 0
    rows, columns = np.nonzero(changed)
    x, y, width, height = _silhouette(canvas.owner)["bbox"]
    # The faintest half of the anti-aliased rim is not counted: at most one pixel on each side.
    assert 0 <= x - columns.min() <= 1 and 0 <= y - rows.min() <= 1
    assert 0 <= columns.max() + 1 - (x + width) <= 1 and 0 <= rows.max() + 1 - (y + height) <= 1


# Bad input


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"num_people": -1}, ValueError, "num_people must be at least 1, got -1"),
        ({"num_people": 0}, ValueError, "num_people must be at least 1, got 0"),
        ({"num_people": 2.5}, TypeError, "num_people must be a whole number, got 2.5"),
        ({"seed": -3}, ValueError, "seed must be at least 0, got -3"),
        ({"seed": "x"}, TypeError, "seed must be a whole number, got 'x'"),
        ({"style": "cartoon"}, ValueError, "style: expected one of studio, street, got 'cartoon'"),
    ],
)
def test_bad_settings_are_refused(settings, error, message):
    with pytest.raises(error, match=message):
        SyntheticPeople(**{"num_people": 3, "seed": 0, "style": "studio", **settings})


@pytest.mark.parametrize("index", [3, -1, 100])
def test_indices_outside_the_data_set_are_refused(index):
    with pytest.raises(IndexError, match=f"from 0 to 2, got {index}"):
        SyntheticPeople(num_people=3, seed=0)[index]
