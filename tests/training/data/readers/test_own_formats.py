"""Datasets with files of their own: AI Challenger's list, ochuman.json, MPII, Leeds Sports Pose, InterHand2.6M."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from vitpose.modeling.keypoint_schemas import get_keypoint_schema
from vitpose.training.data.loading import read_dataset, read_ground_truth

SIZE = (64, 48)


def write(file: Path, content: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))


def write_photo(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", SIZE).save(file)


# AI Challenger

AIC = "ai_challenger_keypoint_validation_20170911"


def challenger(**changes) -> dict:
    """One photo with two people, keypoints x = 0, 1, ..., y = 20 and every kind of flag."""
    flags = [1, 2, 3, *[1] * 11]
    keypoints = [value for number, flag in enumerate(flags) for value in (number, 20, flag)]
    people = {"human1": [1, 2, 31, 42], "human2": [5, 5, 25, 45]}
    return {
        "image_id": "0a",
        "human_annotations": people,
        "keypoint_annotations": dict.fromkeys(people, keypoints),
        **changes,
    }


@pytest.fixture
def aic(tmp_path) -> Callable:
    write_photo(tmp_path / AIC / "keypoint_validation_images_20170911" / "0a.jpg")

    def read(content: Any):
        write(tmp_path / AIC / "keypoint_validation_annotations_20170911.json", content)
        return read_dataset("aic", tmp_path, split="val")

    return read


def test_ai_challenger_has_its_own_boxes_flags_and_names(aic):
    people = aic([challenger()])
    assert people["bbox"][:] == [[1, 2, 30, 40], [5, 5, 20, 40]]
    assert people["area"][:] == pytest.approx([0.53 * 1200, 0.53 * 800])
    assert [flag for _, _, flag in people[0]["keypoints"]] == [2, 1, 0, *[2] * 11]
    assert people[0]["keypoints"][:3] == [[0, 20, 2], [1, 20, 1], [0, 0, 0]]
    assert (people["image_id"][:], people["person_id"][:]) == ([1, 1], [1, 2])
    assert (people[0]["width"], people[0]["height"]) == SIZE


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param([challenger(), challenger()], "image 0a occurs twice", id="a photo twice"),
        pytest.param([challenger(image_id="0b")], "1 annotated images are missing: .*0b.jpg", id="a photo not there"),
        pytest.param(
            [challenger(keypoint_annotations={})], "'human1', 'human2'. have a box or keypoints", id="no points"
        ),
        pytest.param(
            [challenger(human_annotations={"human1": [1, 2, 3], "human2": [0, 0, 9, 9]})],
            "image 0a: human1: .*expected a box of four numbers .x1, y1, x2, y2., got .1, 2, 3.",
            id="a box of three",
        ),
        pytest.param(
            [challenger(keypoint_annotations=dict.fromkeys(("human1", "human2"), [1, 2, 0] * 14))],
            "image 0a: human1: .*a visibility other than 1, 2 or 3",
            id="flags of COCO",
        ),
        pytest.param(
            [challenger(keypoint_annotations=dict.fromkeys(("human1", "human2"), [1, 2, 1] * 17))],
            "image 0a: human1: .*42 numbers .* got 51",
            id="17 keypoints",
        ),
        pytest.param(
            [challenger(keypoint_annotations=dict.fromkeys(("human1", "human2"), [float("nan"), 2, 1] * 14))],
            "image 0a: human1: .*not finite",
            id="NaN",
        ),
        pytest.param([{"image_id": "0a"}], "image number 0 lacks .'human_annotations'", id="no people"),
        pytest.param("[{", "is not valid JSON, perhaps an unfinished file", id="cut short"),
        pytest.param("7", "is not of AI Challenger: expected a list", id="no list"),
    ],
)
def test_bad_files_of_ai_challenger_are_refused(aic, content, message):
    with pytest.raises(ValueError, match=message):
        aic(content)


# OCHuman

OWN_NAMES = ["right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist", "right_hip"]
OWN_NAMES += ["right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "head", "neck"]
OWN_NAMES += ["right_ear", "left_ear", "nose", "right_eye", "left_eye"]


def occluded(**changes) -> dict:
    """A person whose keypoint number n of the 19 is at x = n, with flags 0 to 3 in turn."""
    keypoints = [value for number in range(19) for value in (number, 20, number % 4)]
    return {"bbox": [1, 2, 31, 42], "keypoints": keypoints, "segms": {"outer": [[0, 0, 5, 5, 0, 5]]}, **changes}


def write_ochuman(root: Path, *photos: list[dict], names: list[str] = OWN_NAMES) -> None:
    images = []
    for number, people in enumerate(photos):
        write_photo(root / "images" / f"{number}.jpg")
        photo = {"image_id": f"{number:04d}", "file_name": f"{number}.jpg", "width": 64, "height": 48}
        images.append({**photo, "annotations": people})
    write(root / "ochuman.json", {"keypoint_names": names, "keypoint_visible": {}, "images": images[::-1]})


def test_ochumans_own_file_gives_cocos_keypoints(tmp_path):
    write_ochuman(tmp_path, [occluded(segms=None), occluded()], [occluded(keypoints=None)], [occluded()])
    people = read_dataset("ochuman", tmp_path, split="val")
    assert people["image_id"][:] == [1, 2]  # those with keypoints and an outline, in the order of their ids
    assert people[0]["bbox"] == [1, 2, 30, 40]
    schema = get_keypoint_schema("ochuman")
    for name, (x, _, flag) in zip(schema.keypoints, people[0]["keypoints"], strict=True):
        own = OWN_NAMES.index(name)
        assert (x, flag) == ((own, {1: 2, 2: 2, 3: 1}[own % 4]) if own % 4 else (0, 0))
    assert len(read_ground_truth("ochuman", tmp_path, split="val")["annotations"]) == 2


def test_the_first_2500_photos_are_ochumans_validation_split(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "write_photo", lambda file: file.touch())  # their sizes are in the file
    (tmp_path / "images").mkdir()
    write_ochuman(tmp_path, *[[occluded()]] * 2502)
    assert len(read_dataset("ochuman", tmp_path, split="val")) == 2500
    (first, _) = read_dataset("ochuman", tmp_path, split="test")
    assert (first["image_id"], Path(first["image"]["path"]).name) == (1, "2500.jpg")


@pytest.mark.parametrize(
    ("people", "names", "message"),
    [
        pytest.param([occluded(bbox=[1, 2])], OWN_NAMES, "image 0000: a person: expected a box", id="half a box"),
        pytest.param([occluded(keypoints=[1, 2, 4] * 19)], OWN_NAMES, "with v from 0 to 3", id="flag 4"),
        pytest.param([occluded()], OWN_NAMES[:-1], "lacks the keypoints .'left_eye'.", id="a name missing"),
        pytest.param([{"bbox": [1, 2, 3, 4]}], OWN_NAMES, "image 0000, annotation number 0 lacks", id="no fields"),
    ],
)
def test_bad_files_of_ochuman_are_refused(tmp_path, people, names, message):
    write_ochuman(tmp_path, people, names=names)
    with pytest.raises(ValueError, match=message):
        read_dataset("ochuman", tmp_path, split="val")


# MPII


def mpii_person(**changes) -> dict:
    joints = [[number + 1.0, 21.0] for number in range(16)]
    return {
        "image": "015.jpg",
        "center": [33.0, 20.0],
        "scale": 0.2,
        "joints": [[-1.0, -1.0], *joints[1:]],
        "joints_vis": [0, *[1] * 15],
        **changes,
    }


@pytest.fixture
def mpii(tmp_path) -> Callable:
    write_photo(tmp_path / "images" / "015.jpg")

    def read(content: Any):
        write(tmp_path / "annotations" / "mpii_val.json", content)
        return read_dataset("mpii", tmp_path, split="val")

    return read


def test_pixels_of_mpii_count_from_one_and_a_box_is_200_times_the_scale(mpii):
    (person,) = mpii([mpii_person()])
    assert person["bbox"] == pytest.approx([33 - 1 - 20, 20 - 1 + 15 * 0.2 - 20, 40, 40])
    assert person["keypoints"][:2] == [[0, 0, 0], [1, 20, 2]]
    assert (person["image_id"], person["person_id"]) == (15, 0)
    assert "head_size" not in person


def write_head_boxes(root: Path, count: int) -> None:
    boxes = np.zeros((2, 2, count))  # corners, x and y, people
    boxes[1] = [[3.0], [4.0]]
    savemat(root / "annotations" / "mpii_gt_val.mat", {"headboxes_src": boxes})


def test_head_sizes_come_from_the_file_beside_the_list(mpii, tmp_path):
    (tmp_path / "annotations").mkdir()
    write_head_boxes(tmp_path, 2)
    assert mpii([mpii_person(), mpii_person()])["head_size"][:] == pytest.approx([3, 3])  # 0.6 of a diagonal of 5


def test_a_file_with_the_head_of_one_person_is_read_and_one_without_heads_refused(mpii, tmp_path):
    (tmp_path / "annotations").mkdir()
    write_head_boxes(tmp_path, 1)
    assert mpii([mpii_person()])["head_size"][:] == pytest.approx([3])
    savemat(tmp_path / "annotations" / "mpii_gt_val.mat", {"jnt_missing": [1]})
    with pytest.raises(ValueError, match="expected the variable headboxes_src, got .*'jnt_missing'"):
        mpii([mpii_person()])


def test_head_sizes_of_another_split_are_refused(mpii, tmp_path):
    (tmp_path / "annotations").mkdir()
    write_head_boxes(tmp_path, 3)
    with pytest.raises(ValueError, match="mpii_gt_val.mat has head boxes of shape .2, 2, 3.: expected .2, 2, 2."):
        mpii([mpii_person(), mpii_person()])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param({}, "is not of MPII: expected a list of people, got dict", id="COCO's layout"),
        pytest.param([{"image": "015.jpg"}], "person number 0 lacks .'center', 'scale'", id="no fields"),
        pytest.param([mpii_person(image="a.jpg")], "missing: .*a.jpg", id="a photo not there"),
        pytest.param([mpii_person(joints=[[1, 2]] * 14)], "person 0 .image 015.jpg.: .*16 joints", id="14 joints"),
        pytest.param([mpii_person(joints_vis=[2] * 16)], "joints_vis other than 0 or 1", id="flag 2"),
        pytest.param([mpii_person(center=[1.0])], "person 0 .*expected center x, y and a scale", id="half a center"),
        pytest.param([mpii_person(scale=float("nan"))], "person 0 .*box that is not finite", id="NaN"),
        pytest.param([mpii_person(joints=[[900, 2]] * 16)], "person 0 .*farther outside its image", id="far outside"),
        pytest.param("[{", "is not valid JSON", id="cut short"),
    ],
)
def test_bad_lists_of_mpii_are_refused(mpii, content, message):
    with pytest.raises(ValueError, match=message):
        mpii(content)


def structures(rows: list[dict]) -> np.ndarray:
    """A MATLAB structure array."""
    array = np.zeros(len(rows), dtype=[(name, object) for name in rows[0]])
    for number, row in enumerate(rows):
        for name, value in row.items():
            array[name][number] = value
    return array


def write_mpii_mat(file: Path) -> None:
    """Two photos: the first with a labeled person and one without joints, the second without anybody."""
    flags = {0: 1, 1: 0, 8: [], 9: ""}  # visible, hidden, and two of the head that have no flag
    points = structures([{"x": n + 1.0, "y": 21.0, "id": n, "is_visible": flag} for n, flag in flags.items()])
    head = {"x1": 1.0, "y1": 1.0, "x2": 4.0, "y2": 5.0}
    seen = {"annopoints": {"point": points}, "objpos": {"x": 33.0, "y": 20.0}, "scale": 0.2, **head}
    unseen = {"annopoints": [], "objpos": {"x": 3.0, "y": 2.0}, "scale": 0.2, **head}
    photos = [
        {"image": {"name": "015.jpg"}, "annorect": structures([unseen, seen])},
        {"image": {"name": "016.jpg"}, "annorect": []},
    ]
    file.parent.mkdir(parents=True)
    savemat(file, {"RELEASE": {"annolist": structures(photos), "img_train": [1, 0]}})


def test_the_official_file_of_mpii_gives_hidden_joints_and_head_sizes(tmp_path):
    write_photo(tmp_path / "images" / "015.jpg")
    write_mpii_mat(tmp_path / "annotations" / "mpii_human_pose_v1_u12_1.mat")
    (person,) = read_dataset("mpii", tmp_path, split="trainval")
    labeled = {number: flag for number, (_, _, flag) in enumerate(person["keypoints"]) if flag}
    assert labeled == {0: 2, 1: 1, 8: 2, 9: 2}
    assert person["keypoints"][8] == [8, 20, 2]
    assert person["bbox"] == pytest.approx([12, 2, 40, 40])
    assert person["head_size"] == pytest.approx(3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"MATLAB 5.0 cut short", "is not a MATLAB file, perhaps an unfinished download", id="cut short"),
        pytest.param({"joints": np.zeros(3)}, "is not of MPII: expected the variable RELEASE", id="another dataset"),
    ],
)
def test_bad_official_files_are_refused(tmp_path, content, message):
    file = tmp_path / "annotations" / "mpii_human_pose_v1_u12_1.mat"
    file.parent.mkdir()
    file.write_bytes(content) if isinstance(content, bytes) else savemat(file, content)
    with pytest.raises(ValueError, match=message):
        read_dataset("mpii", tmp_path, split="trainval")


def test_without_scipy_a_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "scipy.io", None)
    write(tmp_path / "joints.mat", "")
    with pytest.raises(ImportError, match="joints.mat needs scipy: pip install scipy"):
        read_dataset("lspet", tmp_path, split="train")


# Leeds Sports Pose


def write_leeds(root: Path, *, people: int, extended: bool, digits: int) -> None:
    points = np.zeros((people, 14, 3))
    points[..., 0] = np.arange(14) + 10
    points[..., 1] = np.arange(people)[:, None] % 3 + 20
    points[:, :3, 2] = 1
    savemat(root / "joints.mat", {"joints": points.transpose(1, 2, 0) if extended else points.transpose(2, 1, 0)})
    for number in range(1, people + 1):
        write_photo(root / "images" / f"im{number:0{digits}d}.jpg")


def test_flags_of_lsp_say_hidden(tmp_path):
    write_leeds(tmp_path, people=3, extended=False, digits=4)
    people = read_dataset("lsp", tmp_path, split="train")
    assert [flag for _, _, flag in people[0]["keypoints"]] == [1, 1, 1, *[2] * 11]
    assert people[2]["keypoints"][0] == [10, 22, 1]
    assert people[0]["bbox"] == pytest.approx([10 - 0.12 * 13, 20 - 0.12 * 13, 1.24 * 13, 0.24 * 13])


def test_flags_of_the_extension_say_labeled(tmp_path):
    write_leeds(tmp_path, people=2, extended=True, digits=5)
    people = read_dataset("lspet", tmp_path, split="train")
    assert [flag for _, _, flag in people[0]["keypoints"]] == [2, 2, 2, *[0] * 11]
    assert people[1]["image"]["path"].endswith("im00002.jpg")
    assert set(people["dataset"]) == {"lspet"}


def test_the_first_thousand_are_for_training(tmp_path):
    write_leeds(tmp_path, people=1002, extended=False, digits=4)
    assert len(read_dataset("lsp", tmp_path, split="train")) == 1000
    assert read_dataset("lsp", tmp_path, split="test")["image_id"][:] == [1001, 1002]


def test_joints_of_another_shape_are_refused(tmp_path):
    savemat(tmp_path / "joints.mat", {"joints": np.zeros((16, 3, 5))})
    with pytest.raises(ValueError, match="has joints of shape .16, 3, 5.: expected .3, 14, people. or .14, 3, people."):
        read_dataset("lspet", tmp_path, split="train")


# InterHand2.6M


def write_hands(root: Path, valid: np.ndarray, **changes) -> None:
    """Both hands ten units before a camera at (1, 2, 3) that looks along y: x to the right, z of the world up."""
    world = np.zeros((42, 3))
    world[:] = (1, 12, 3)
    world[:, 0] += np.tile(np.arange(21), 2) / 10
    world[:21, 2] += np.arange(21) / 10
    world[21:, 2] -= np.arange(21) / 10
    image = {"id": 5, "file_name": "1.jpg", "width": 64, "height": 48, "capture": 0, "camera": "c", "frame_idx": 8}
    annotation = {"id": 6, "image_id": 5, "bbox": [0, 0, 9, 9], "joint_valid": valid.reshape(-1, 1).tolist()}
    files = {
        "data": {"images": [image], "annotations": [annotation]},
        "camera": {
            "0": {
                "campos": {"c": [1, 2, 3]},
                "camrot": {"c": [[1, 0, 0], [0, 0, -1], [0, 1, 0]]},
                "focal": {"c": [100, 50]},
                "princpt": {"c": [32, 24]},
            }
        },
        "joint_3d": {"0": {"8": {"world_coord": world.tolist()}}},
    }
    for name, content in {**files, **changes}.items():
        write(root / "annotations" / "val" / f"InterHand2.6M_val_{name}.json", content)
    write_photo(root / "images" / "val" / "1.jpg")


def test_each_hand_is_projected_by_its_camera(tmp_path):
    write_hands(tmp_path, np.ones(42))
    right, left = read_dataset("interhand2d", tmp_path, split="val")
    assert (right["hand"], left["hand"]) == ("right", "left")
    np.testing.assert_allclose(right["keypoints"], [[32 + n, 24 - n / 2, 2] for n in range(21)], atol=1e-9)
    np.testing.assert_allclose(left["keypoints"], [[32 + n, 24 + n / 2, 2] for n in range(21)], atol=1e-9)
    assert right["bbox"] == pytest.approx([32, 14, 20, 10])
    assert (right["person_id"], left["person_id"], right["image_id"]) == (12, 13, 5)


@pytest.mark.parametrize(
    ("invalid", "hands"),
    [
        pytest.param([], ["right", "left"], id="all joints"),
        pytest.param([20], ["left"], id="without its wrist a hand is not labeled"),
        pytest.param(range(9), ["right", "left"], id="12 joints are enough"),
        pytest.param(range(10), ["left"], id="11 are not"),
    ],
)
def test_which_hands_are_used(tmp_path, invalid, hands):
    valid = np.ones(42)
    valid[list(invalid)] = 0
    write_hands(tmp_path, valid)
    assert read_dataset("interhand2d", tmp_path, split="val")["hand"][:] == hands


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"camera": {}}, "annotation 6: .*_camera.json lacks capture 0, camera c", id="no camera"),
        pytest.param({"joint_3d": {"0": {}}}, "annotation 6: .*_joint_3d.json lacks capture 0, frame 8", id="no frame"),
        pytest.param(
            {"joint_3d": {"0": {"8": {"world_coord": [[1, 2, 3]] * 21}}}}, "annotation 6: .*no 42 joints", id="21"
        ),
        pytest.param(
            {"joint_3d": {"0": {"8": {"world_coord": [[1, -9, 3]] * 42}}}},
            "annotation 6: right hand: .*not finite",
            id="behind the camera",
        ),
        pytest.param({"joint_3d": '{"0"'}, "_joint_3d.json is not valid JSON", id="cut short"),
    ],
)
def test_bad_scenes_are_refused(tmp_path, changes, message):
    write_hands(tmp_path, np.ones(42), **changes)
    with pytest.raises(ValueError, match=message):
        read_dataset("interhand2d", tmp_path, split="val")
