"""Datasets in COCO's layout that hold more than COCO: parts of a body, species, clips, crowds; and files mixed up."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitpose.data import read_coco, to_coco_annotations
from vitpose.modeling.keypoint_schemas import get_keypoint_schema
from vitpose.training.data.loading import read_dataset, read_ground_truth

PARTS = {"keypoints": 17, "foot_kpts": 6, "face_kpts": 68, "lefthand_kpts": 21, "righthand_kpts": 21}
VALID = {"foot_valid": True, "face_valid": False, "lefthand_valid": True, "righthand_valid": True}


def keypoints(count: int, *, start: int = 0, flag: float = 2) -> list[float]:
    return [value for number in range(start, start + count) for value in (number % 60, 20, flag)]


def write(root: Path, file: str, content: object) -> None:
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(content if isinstance(content, str) else json.dumps(content))


def write_photo(root: Path, file: str) -> None:
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 48)).save(root / file)


def content_of(people: list[dict], *, categories: list[dict] = (), **image) -> dict:
    """A file with one photo of 64 x 48 pixels."""
    photo = {"id": 1, "file_name": "1.png", "width": 64, "height": 48, **image}
    return {"images": [photo], "annotations": people, "categories": list(categories)}


def person(number: int = 7, *, count: int = 17, **changes) -> dict:
    return {
        "id": number,
        "image_id": 1,
        "category_id": 1,
        "bbox": [1, 2, 60, 40],
        "keypoints": keypoints(count),
        **changes,
    }


def whole_person(**changes) -> dict:
    parts = {part: keypoints(count, start=n) for n, (part, count) in enumerate(PARTS.items())}
    return person(**{**parts, **VALID, **changes})


@pytest.fixture
def wholebody(tmp_path):
    write_photo(tmp_path, "val2017/1.png")

    def read(*people, name="coco_wholebody"):
        write(tmp_path, "annotations/coco_wholebody_val_v1.0.json", content_of(list(people)))
        return read_dataset(name, tmp_path, split="val")

    return read


def test_parts_of_a_whole_body_follow_each_other(wholebody):
    people = wholebody(whole_person())
    points = np.array(people[0]["keypoints"])
    starts = np.cumsum([0, *PARTS.values()])[:-1]
    assert points.shape == (133, 3)
    assert points[starts, 0].tolist() == [0, 1, 2, 3, 4]
    assert {name: people[0][name] for name in VALID} == VALID


def test_a_fraction_for_a_visibility_means_labeled(wholebody):
    hand = keypoints(20, flag=0.04) + [0, 0, 0]
    flags = [flag for _, _, flag in wholebody(whole_person(righthand_kpts=hand))[0]["keypoints"][112:]]
    assert flags == [1] * 20 + [0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"face_kpts": keypoints(67)}, "annotation 7: .*399 numbers .* got 396", id="a face of 67"),
        pytest.param({"face_kpts": ["a"] * 204}, "annotation 7: .*expected numbers", id="words"),
        pytest.param({"face_kpts": None}, "annotation 7: .*expected numbers", id="null"),
        pytest.param({"bbox": [1, 2]}, "annotation 7: .*4 numbers", id="half a box"),
    ],
)
def test_bad_parts_are_refused(wholebody, changes, message):
    with pytest.raises(ValueError, match=message):
        wholebody(whole_person(**changes))


def test_coco_is_not_coco_wholebody(wholebody):
    with pytest.raises(ValueError, match="annotation 7 lacks .'foot_kpts', 'face_kpts'"):
        wholebody(person())


def test_halpe_is_cut_to_body_and_feet(tmp_path):
    write_photo(tmp_path, "val2017/1.png")
    write(tmp_path, "annotations/halpe_val_v1.json", content_of([person(count=136), person(8, count=26)]))
    people = read_dataset("halpe26", tmp_path, split="val")
    assert people[0]["keypoints"] == people[1]["keypoints"] == np.reshape(keypoints(26), (26, 3)).tolist()


@pytest.fixture
def species() -> list[dict]:
    names = list(get_keypoint_schema("ap10k").keypoints)
    return [{"id": number, "name": name, "keypoints": names} for number, name in ((1, "antelope"), (26, "jaguar"))]


def test_species_share_one_schema_and_keep_their_names(tmp_path, species):
    write_photo(tmp_path, "data/1.png")
    content = content_of([person(category_id=26), person(8)], categories=species)
    write(tmp_path, "annotations/ap10k-train-split2.json", content)
    people = read_dataset("ap10k", tmp_path, split="train-split2")
    assert people["category_id"][:] == [26, 1]
    assert people["category"][:] == ["jaguar", "antelope"]
    truth = to_coco_annotations(people, get_keypoint_schema("ap10k"))
    assert [category["name"] for category in truth["categories"]] == ["antelope", "jaguar"]
    assert [row["category_id"] for row in truth["annotations"]] == [26, 1]


def test_the_first_split_of_ap10k_is_the_split(tmp_path, species):
    write_photo(tmp_path, "data/1.png")
    write(tmp_path, "annotations/ap10k-val-split1.json", content_of([person()], categories=species))
    assert len(read_dataset("ap10k", tmp_path, split="val")) == 1


def test_frames_of_a_clip_keep_their_tracks_and_paths_of_windows_are_read(tmp_path, species):
    write_photo(tmp_path, "data/jaguar/1.png")
    content = content_of([person(track_id=3)], categories=species, file_name="data\\jaguar\\1.png", video_id=12)
    write(tmp_path, "annotations/train_annotations_1.json", content)
    (animal,) = read_dataset("apt36k", tmp_path, split="train")
    assert (animal["video_id"], animal["track_id"]) == (12, 3)
    assert animal["image"]["path"] == f"{tmp_path}/data/jaguar/1.png"


def test_how_crowded_a_photo_is_reaches_the_ground_truth(tmp_path):
    write_photo(tmp_path, "images/1.png")
    write(tmp_path, "json/crowdpose_test.json", content_of([person(count=14)], crowdIndex=0.33))
    people = read_dataset("crowdpose", tmp_path, split="test")
    assert people["crowd_index"][:] == [0.33]
    assert to_coco_annotations(people, get_keypoint_schema("crowdpose"))["images"][0]["crowdIndex"] == 0.33


def test_photos_without_people_are_in_the_ground_truth(tmp_path):
    """Of COCO-WholeBody too, whose file is not in the common form: detections in them count as wrong."""
    write_photo(tmp_path, "val2017/1.png")
    content = content_of([whole_person(iscrowd=1), whole_person(id=8)])
    content["images"].append({"id": 2, "file_name": "2.png", "width": 64, "height": 48})
    write(tmp_path, "annotations/coco_wholebody_val_v1.0.json", content)
    truth = read_ground_truth("coco_wholebody", tmp_path, split="val")
    assert [image["id"] for image in truth["images"]] == [1, 2]
    assert [row["iscrowd"] for row in truth["annotations"]] == [1, 0]


def category_of(schema: str) -> dict:
    return {"id": 1, "name": "person", "keypoints": list(get_keypoint_schema(schema).keypoints)}


@pytest.mark.parametrize(
    ("file_of", "given_as", "message"),
    [
        pytest.param("crowdpose", "aic", "calls keypoint 0 'left_shoulder', which is keypoint 3 .* crowdpose", id="14"),
        pytest.param("aic", "crowdpose", "calls keypoint 0 'right_shoulder', .* those of aic", id="14, the other way"),
        pytest.param("aic", "lspet", "is of another dataset, or in another order", id="14 again"),
        pytest.param(
            "ap10k", "coco", "calls keypoint 0 'L_Eye', which is keypoint 1 of .* 'coco'", id="17 of an animal"
        ),
        pytest.param("mpii", "coco", "has 16 keypoints .* 'coco' expects 17. .* those of mpii", id="another count"),
    ],
)
def test_a_file_of_another_dataset_is_refused(tmp_path, file_of, given_as, message):
    count = get_keypoint_schema(file_of).num_keypoints
    write_photo(tmp_path, "1.png")
    write(tmp_path, "people.json", content_of([person(count=count)], categories=[category_of(file_of)]))
    with pytest.raises(ValueError, match=message):
        read_coco(tmp_path / "people.json", tmp_path, schema=get_keypoint_schema(given_as))


@pytest.mark.parametrize("spelling", ["Left Front Paw", "L_F_Paw", "left_front_paw", "paw, front left"])
def test_names_may_be_spelt_otherwise(tmp_path, spelling, caplog):
    names = list(get_keypoint_schema("ap10k").keypoints)
    names[7] = spelling
    write_photo(tmp_path, "1.png")
    category = {"id": 1, "keypoints": names}
    write(tmp_path, "people.json", content_of([person()], categories=[category]))
    assert len(read_coco(tmp_path / "people.json", tmp_path, schema=get_keypoint_schema("ap10k"))) == 1
    assert "name keypoints differently" not in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(
            [person(category_id=9)],
            "annotation 7 has the unknown category 9: expected one of .1.",
            id="category",
        ),
        pytest.param(
            [person(image_id="one")],
            "annotation number 0: expected whole .* got image_id 'one'",
            id="text id",
        ),
        pytest.param([7], "annotation number 0: expected an object, got 7", id="no object"),
        pytest.param([person(image_id=2)], "annotation 7 is of the unknown image 2: .* describes 1 others", id="image"),
        pytest.param([person(keypoints=keypoints(16))], "annotation 7: .*51 numbers .* got 48", id="16 keypoints"),
        pytest.param(
            [person(), person(8, keypoints=[500, 1, 2, *keypoints(16)])],
            "annotation 8: .*farther outside its image than the image is large: .500.0, 1.0.",
            id="a keypoint of another photo",
        ),
        pytest.param(
            [person(keypoints=[-65, 1, 1, *keypoints(16)])], "annotation 7: .*farther outside", id="far to the left"
        ),
    ],
)
def test_bad_people_are_refused_by_file_and_id(tmp_path, content, message):
    write_photo(tmp_path, "1.png")
    write(tmp_path, "people.json", content_of(content, categories=[category_of("coco")]))
    with pytest.raises(ValueError, match=message):
        read_coco(tmp_path / "people.json", tmp_path, schema=get_keypoint_schema("coco"))


def test_a_keypoint_just_outside_is_read(tmp_path):
    write_photo(tmp_path, "1.png")
    write(tmp_path, "people.json", content_of([person(keypoints=[-3, 50, 1, *keypoints(16)])]))
    (read,) = read_coco(tmp_path / "people.json", tmp_path, schema=get_keypoint_schema("coco"))
    assert read["keypoints"][0] == [-3, 50, 1]


@pytest.mark.parametrize(
    ("results", "message"),
    [
        pytest.param([{"score": "high"}], "result 0: expected a finite number for the score, got 'high'", id="words"),
        pytest.param([{"score": float("nan")}], "result 0: .*got nan", id="NaN"),
        pytest.param([{}, {"image_id": 5}], "boxes.json: result 1 is of the unknown image 5", id="unknown image"),
        pytest.param([{"category_id": 3}], "no box of the categories .1. with a score of at least 0.5", id="no person"),
        pytest.param([{"score": 0.4}], "at least 0.5: it has 1 others. Lower min_score", id="nothing sure enough"),
        pytest.param([{"bbox": [1, 2, float("inf"), 4]}], "result 0: .*not finite", id="an endless box"),
        pytest.param([{"bbox": [1, 2, 3]}], "result 0: .*4 numbers .* got 3", id="three numbers"),
        pytest.param([3], "result number 0: expected an object", id="no object"),
        pytest.param('[{"image_id": 1', "boxes.json is not valid JSON, perhaps an unfinished file", id="cut short"),
    ],
)
def test_bad_detections_are_refused_by_file_and_number(tmp_path, results, message):
    plain = {"image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 40], "score": 0.9}
    if isinstance(results, list):
        results = [{**plain, **result} if isinstance(result, dict) else result for result in results]
    write_photo(tmp_path, "val/1.png")
    write(tmp_path, "annotations/person_keypoints_val.json", content_of([], categories=[category_of("coco")]))
    write(tmp_path, "boxes.json", results)
    with pytest.raises(ValueError, match=message):
        read_dataset("coco", tmp_path, split="val", boxes=tmp_path / "boxes.json", min_score=0.5)


def test_boxes_of_the_test_set_need_no_annotations(tmp_path):
    write_photo(tmp_path, "test2017/1.png")
    content = content_of([])
    del content["annotations"], content["categories"]
    write(tmp_path, "annotations/image_info_test-dev2017.json", content)
    write(tmp_path, "boxes.json", [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 40], "score": 0.9}])
    (row,) = read_dataset("coco", tmp_path, split="test-dev2017", boxes=tmp_path / "boxes.json")
    assert (row["bbox"], row["box_score"], row["iscrowd"]) == ([1, 2, 30, 40], 0.9, 0)
