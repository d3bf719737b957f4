"""Annotated people from files: counts, columns, the way back to COCO, and a named error for every kind of bad data."""

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from PIL import Image

from vitpose.base.errors import PlacedError
from vitpose.data import read_coco, read_detections, read_people, to_coco_annotations
from vitpose.metrics import coco_keypoint_metrics
from vitpose.modeling.keypoint_schemas import get_keypoint_schema
from vitpose.training.data.columns import PEOPLE_FEATURES
from vitpose.training.data.images import ImageReadError

COCO, LSPET = get_keypoint_schema("coco"), get_keypoint_schema("lspet")
LABELED = [10.0, 20.0, 2] * 17
UNLABELED = [0, 0, 0] * 17
NAN = float("nan")
RESULT = {"image_id": 2, "category_id": 1, "bbox": [1, 2, 30, 40], "score": 0.75}


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def annotation(number: int, *, image_id: int = 1, **changes) -> dict:
    return {
        "id": number,
        "image_id": image_id,
        "category_id": 1,
        "bbox": [5.0, 6.0, 20.0, 30.0],
        "area": 400.0,
        "iscrowd": 0,
        "keypoints": LABELED,
        **changes,
    }


@pytest.fixture
def coco_content() -> dict:
    """Two photos, three people to train on, one crowd, one person without labeled keypoints."""
    photos = [{"id": number, "file_name": f"{number}.png", "width": 64, "height": 48} for number in (1, 2)]
    people = [
        annotation(11),
        annotation(12, image_id=2, bbox=[1, 2, 30, 40]),
        annotation(13, iscrowd=1),
        annotation(14, keypoints=UNLABELED),
        annotation(15, keypoints=[NAN, 3, 0, *LABELED[3:]]),
    ]
    category = {"id": 1, "name": "person", "keypoints": list(COCO.keypoints)}
    return {"images": photos, "annotations": people, "categories": [category]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the photos `1.png` and `2.png`."""
    for number in (1, 2):
        Image.new("RGB", (64, 48), (number, 0, 0)).save(tmp_path / f"{number}.png")
    return tmp_path


def read(folder: Path, content: object, **choices) -> Dataset:
    file = folder / "people.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_coco(file, folder, **{"schema": COCO, **choices})


def test_coco_people_keep_their_numbers_and_their_photos_stay_on_disk(folder, coco_content):
    people = read(folder, coco_content)
    assert people.features == PEOPLE_FEATURES
    assert people["person_id"][:] == [11, 12, 15]
    row = people[1]
    assert row["image"] == {"bytes": None, "path": str(folder / "2.png")}
    assert (row["image_id"], row["width"], row["height"], row["iscrowd"]) == (2, 64, 48, 0)
    assert (row["bbox"], row["area"]) == ([1, 2, 30, 40], 400)
    assert row["keypoints"] == [[10, 20, 2]] * 17
    assert people[2]["keypoints"][0] == [0, 0, 0]  # unlabeled, whatever stood there


def test_who_is_left_out_is_counted_in_the_log(folder, coco_content, caplog):
    coco_content["annotations"].append(annotation(16, bbox=[64, 0, 10, 10]))
    with caplog.at_level(logging.INFO):
        assert len(read(folder, coco_content)) == 3
    assert "3 people; left out 1 crowds and 1 people with fewer than 1 labeled keypoints" in caplog.text
    assert "left out 1 people whose box covers no part of the image, person_id 16" in caplog.text


def test_min_keypoints_decides_who_is_worth_training_on(folder, coco_content):
    assert read(folder, coco_content, min_keypoints=17)["person_id"][:] == [11, 12]
    assert read(folder, coco_content, min_keypoints=0)["person_id"][:] == [11, 12, 14, 15]


def test_an_absent_area_is_that_of_the_box(folder, coco_content):
    del coco_content["annotations"][0]["area"]
    assert read(folder, coco_content)["area"][:] == [600, 400, 400]


def test_keypoints_of_other_names_are_read_with_a_warning(folder, coco_content, caplog):
    coco_content["categories"][0]["keypoints"] = ["Nose", "Left Eye", "right-eye", *COCO.keypoints[3:-1], "toe"]
    assert len(read(folder, coco_content)) == 3
    assert "check that they mean the same: toe / right_ankle." in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param('{"images": [{"id": 1', "people.json is not valid JSON, perhaps an unfinished", id="cut short"),
        pytest.param("[]", "expected an object with the lists images and annotations", id="a list"),
        pytest.param('{"images": []}', "expected an object with the lists images and annotations", id="no annotations"),
    ],
)
def test_files_that_are_no_annotations_are_refused(folder, text, message):
    with pytest.raises(ValueError, match=message):
        read(folder, text)


def image_2(**changes) -> Callable[[dict], None]:
    return lambda content: content["images"][1].update(changes)


def annotation_12(**changes) -> Callable[[dict], None]:
    return lambda content: content["annotations"][1].update(changes)


def category(**changes) -> Callable[[dict], None]:
    return lambda content: content["categories"][0].update(changes)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(lambda c: c["annotations"][1].pop("image_id"), "annotation 12 lacks .'image_id'.", id="no image"),
        pytest.param(lambda c: c["images"][1].pop("id"), "image number 1 lacks .'id'.", id="no id"),
        pytest.param(image_2(id=1), "image 1 occurs twice", id="an image id twice"),
        pytest.param(annotation_12(image_id=9), "annotation 12 is of the unknown image 9", id="an unknown image"),
        pytest.param(image_2(file_name="x.png"), "1 annotated images are missing: .*x.png", id="a photo not there"),
        pytest.param(
            category(keypoints=["a"] * 14), "has 14 keypoints .* 'coco' expects 17", id="a file of 14 keypoints"
        ),
        pytest.param(annotation_12(keypoints=[1] * 42), "annotation 12: .*51 numbers .* got 42", id="a person of 14"),
        pytest.param(annotation_12(bbox=["a"] * 4), "annotation 12: .*expected numbers", id="words for numbers"),
        pytest.param(annotation_12(bbox=[1] * 5), "annotation 12: .*4 numbers .* got 5", id="a box of five numbers"),
        pytest.param(annotation_12(bbox=[1, 2, NAN, 4]), "annotation 12: .*not finite: .1.0, 2.0, nan", id="a NaN box"),
        pytest.param(annotation_12(bbox=[1, 2, -3, 4]), "annotation 12: .*negative size", id="a negative width"),
        pytest.param(annotation_12(area=-1), "annotation 12: .*area that is negative", id="a negative area"),
        pytest.param(
            annotation_12(keypoints=[NAN, 2, 2] * 17), "labeled keypoint that is not finite", id="a NaN joint"
        ),
        pytest.param(lambda c: c.update(annotations=[]), "nobody with at least 1 labeled keypoints", id="nobody"),
    ],
)
def test_bad_annotations_are_refused_by_name(folder, coco_content, spoil, message):
    spoil(coco_content)
    with pytest.raises(ValueError, match=message):
        read(folder, coco_content)


def test_an_error_carries_the_file_and_the_annotation_as_data(folder, coco_content):
    annotation_12(bbox=[1, 2, -3, 4])(coco_content)
    with pytest.raises(PlacedError) as caught:
        read(folder, coco_content)
    file, entry = caught.value.place
    assert (os.path.basename(file), entry) == ("people.json", "annotation 12")


def test_missing_files_and_folders_are_named(folder, coco_content):
    with pytest.raises(ValueError, match="There is no file .*absent.json"):
        read_coco(folder / "absent.json", folder, schema=COCO)
    (folder / "people.json").write_text(json.dumps(coco_content))
    with pytest.raises(ValueError, match="There is no image folder .*absent"):
        read_coco(folder / "people.json", folder / "absent", schema=COCO)


@pytest.fixture
def rows() -> list[dict]:
    """Two people in the fewest columns a dataset may have."""
    image = Image.new("RGB", (64, 48))
    return [
        {"image": image, "bbox": [5.0, 6.0, 20.0 + n, 30.0], "keypoints": [[10.0, 20.0, 2.0]] * 17} for n in range(2)
    ]


def test_people_in_three_columns_are_filled_up(rows):
    people = read_people(Dataset.from_list(rows), schema=COCO)
    assert people.features == PEOPLE_FEATURES
    assert people["image_id"][:] == people["person_id"][:] == [0, 1]
    assert people["width"][:] == [64, 64]
    assert people["height"][:] == [48, 48]
    assert people["area"][:] == [600, 630]
    assert people[0]["image"]["bytes"].startswith(b"\x89PNG")  # as stored, not decoded


def test_people_keep_the_numbers_they_come_with(rows):
    given = {"image_id": 3, "person_id": 4, "width": 64, "height": 48, "area": 5.0, "iscrowd": 0}
    people = read_people(Dataset.from_list([{**row, **given, "note": "dropped"} for row in rows]), schema=COCO)
    assert people.column_names == list(PEOPLE_FEATURES)
    assert {name: people[1][name] for name in given} == given


def test_every_kind_of_source_gives_the_same_people(rows, tmp_path):
    dataset = Dataset.from_list(rows)
    files, saved, splits = tmp_path / "files", tmp_path / "saved", tmp_path / "splits"
    for split in ("train", "val"):
        dataset.to_parquet(files / f"{split}-00000-of-00001.parquet")
    dataset.save_to_disk(saved)
    DatasetDict(train=dataset, test=dataset.select([0])).save_to_disk(splits)
    expected = read_people(dataset, schema=COCO)[:]
    for people in (
        read_people(files / "val-00000-of-00001.parquet", schema=COCO),
        read_people(f"{files}/val-*.parquet", schema=COCO),
        read_people(files, schema=COCO, split="train"),
        read_people(files, schema=COCO, split="val"),
        read_people(saved, schema=COCO),
        read_people(splits, schema=COCO, split="train"),
    ):
        assert people[:] == expected
    assert len(read_people(splits, schema=COCO, split="test")) == 1


@pytest.mark.parametrize("width", [0.0, 64.5, NAN])
def test_sizes_are_whole_numbers(rows, width):
    sized = Dataset.from_list([{**row, "width": width, "height": 48.0} for row in rows])
    with pytest.raises(ValueError, match="row 0: a width that is not a whole number above 0"):
        read_people(sized, schema=COCO)


def test_a_selected_part_of_a_dataset_is_read_in_its_order(rows):
    people = read_people(Dataset.from_list(rows).select([1, 0, 1]), schema=COCO)
    assert [box[2] for box in people["bbox"]] == [21, 20, 21]


@pytest.mark.parametrize(
    ("source", "split", "message"),
    [
        pytest.param("{}/absent", None, "There is no file or folder .*absent", id="no folder"),
        pytest.param("{}/x-*.parquet", None, "No file matches .*x-", id="no file"),
        pytest.param("{}/one.parquet", "train", "without splits: leave out split='train'", id="a file has no splits"),
        pytest.param("{}/bad.parquet", None, "Cannot read .*bad.parquet", id="a damaged file"),
        pytest.param("{}/saved", "train", "one dataset without splits", id="a saved dataset without splits"),
        pytest.param("{}/splits", None, "has the splits train, test: .*got split=None", id="which split"),
        pytest.param("{}/splits", "dev", "has the splits train, test: .*got split='dev'", id="another split"),
        pytest.param("nobody/nothing", None, "Cannot read nobody/nothing", id="an unknown id, or the Hub out of reach"),
    ],
)
def test_bad_sources_are_refused(rows, tmp_path, source, split, message):
    dataset = Dataset.from_list(rows)
    dataset.to_parquet(tmp_path / "one.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 cut short")
    dataset.save_to_disk(tmp_path / "saved")
    DatasetDict(train=dataset, test=dataset).save_to_disk(tmp_path / "splits")
    with pytest.raises(ValueError, match=message):
        read_people(source.format(tmp_path), schema=COCO, split=split)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        pytest.param({"keypoints": [[1.0, 2.0, 2.0]] * 14}, ValueError, "row 1: .*51 numbers .* got 42", id="14"),
        pytest.param({"bbox": [1.0, 2.0, -3.0, 4.0]}, ValueError, "row 1: .*negative size", id="a negative width"),
        pytest.param({"bbox": None}, ValueError, "row 1: .*4 numbers", id="no box"),
        pytest.param({"keypoints": [[1.0, 2.0, 3.0]] * 17}, ValueError, "visibility other than 0, 1 or 2", id="v is 3"),
        pytest.param(
            {"image": {"bytes": b"damaged"}}, ImageReadError, "row 1: the image cannot be read", id="a damaged image"
        ),
        pytest.param({"image": {"path": "/no/a.png"}}, ValueError, "missing: /no/a.png", id="an absent image"),
        pytest.param({"image": {}}, ValueError, "missing: an image without bytes", id="no image"),
    ],
)
def test_bad_rows_are_refused(rows, change, error, message):
    rows = [{**row, "image": {"bytes": _png(row["image"]), "path": None}} for row in rows]
    rows[1] |= {**change, **({"image": {"bytes": None, "path": None, **change["image"]}} if "image" in change else {})}
    with pytest.raises(error, match=message):
        read_people(Dataset.from_list(rows), schema=COCO)


def _png(image: Image.Image) -> bytes:
    return datasets.Image().encode_example(image)["bytes"]


def test_a_missing_column_is_named(rows):
    with pytest.raises(ValueError, match="lacks the columns .'bbox'.: it has"):
        read_people(Dataset.from_list(rows).remove_columns("bbox"), schema=COCO)


def test_perfect_predictions_reach_ap_one_on_the_ground_truth_of_a_dataset(rows):
    rng = np.random.default_rng(0)
    people = []
    for number in range(6):  # two people in each photo
        keypoints = np.c_[rng.uniform(5, 45, (17, 2)), np.full(17, 2)]
        people.append({**rows[0], "image_id": number // 2, "area": 2000.0, "keypoints": keypoints.tolist()})
    annotations = to_coco_annotations(read_people(Dataset.from_list(people), schema=COCO), COCO)
    results = [
        {"image_id": row["image_id"], "category_id": 1, "keypoints": row["keypoints"], "score": 1.0}
        for row in annotations["annotations"]
    ]
    metrics = coco_keypoint_metrics(results, annotations, sigmas=COCO.sigmas)
    assert (metrics["AP"], metrics["AR"]) == (1.0, 1.0)
    assert annotations["annotations"][0]["id"] == 1  # pycocotools would count a match with the id 0 as none
    assert annotations["categories"][0]["keypoints"] == list(COCO.keypoints)


def test_plain_rows_have_the_same_ground_truth_as_a_dataset(rows):
    people = read_people(Dataset.from_list(rows), schema=COCO)
    assert to_coco_annotations([people[0], people[1]], COCO) == to_coco_annotations(people, COCO)


def test_detections_are_people_without_labels(folder, coco_content):
    for name, content in (("people.json", coco_content), ("found.json", [RESULT, {**RESULT, "category_id": 3}])):
        (folder / name).write_text(json.dumps(content))
    people = read_detections(folder / "found.json", folder / "people.json", folder, schema=COCO)
    assert people["box_score"][:] == [0.75]
    assert people[0]["image"]["path"] == str(folder / "2.png")
    assert (people[0]["area"], people[0]["keypoints"]) == (1200, [[0, 0, 0]] * 17)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param({}, "expected a list, got dict", id="not a list"),
        pytest.param([{"image_id": 1, "bbox": [1, 2, 3, 4]}], "result 0 lacks .'category_id', 'score'.", id="fields"),
        pytest.param([{**RESULT, "image_id": 9}], "result 0 is of the unknown image 9", id="an unknown image"),
    ],
)
def test_bad_detections_are_refused(folder, coco_content, content, message):
    for name, stored in (("people.json", coco_content), ("found.json", content)):
        (folder / name).write_text(json.dumps(stored))
    with pytest.raises(ValueError, match=message):
        read_detections(folder / "found.json", folder / "people.json", folder, schema=COCO)


def test_the_real_coco_photos_hold_sixty_eight_people(shared_data, caplog):
    root = shared_data / "coco_mini"
    with caplog.at_level(logging.INFO):
        people = read_coco(root / "annotations" / "person_keypoints_val2017.json", root / "val2017", schema=COCO)
    assert len(people) == 68
    assert len(set(people["image_id"])) == 32
    assert "left out 1 crowds and 24 people" in caplog.text


@pytest.mark.parametrize(("split", "count"), [("train", 7054), ("val", 1000)])
def test_the_real_lspet_people_are_all_read(shared_data, split, count):
    people = read_people(shared_data / "lspet", schema=LSPET, split=split)
    assert len(people) == count
    assert people[0]["image"]["bytes"][:2] == b"\xff\xd8"  # a JPEG, as stored
    assert np.shape(people[0]["keypoints"]) == (14, 3)


@pytest.mark.parametrize(("name", "count"), [("aic", 9), ("ap10k", 2), ("crowdpose", 4), ("ochuman", 5), ("coco", 12)])
def test_real_files_of_other_datasets_in_coco_layout_are_read(shared_data, name, count):
    root = shared_data / "samples" / name
    assert len(read_coco(root / f"test_{name}.json", root, schema=get_keypoint_schema(name))) == count
