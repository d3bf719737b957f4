"""Folders in COCO's layout as tools export them: found, whatever the files are called and wherever the photos lie."""

import json
from pathlib import Path

import pytest
from coco_help import coco, schema_of

from vitpose import read_dataset
from vitpose.data import read_ground_truth
from vitpose.training.data.loading import refuse_one_file, schema_of_files


def lay_out(root: Path, workplace, places: dict[str, str], photos: str) -> None:
    """Write the annotations of one person each into the files, and the photos into a folder."""
    folder, people = workplace
    for file, person in zip(places, people, strict=False):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(json.dumps(coco([person])))
        target = root / photos.format(split=places[file])
        target.mkdir(parents=True, exist_ok=True)
        (target / person["name"]).symlink_to(folder / person["name"])


@pytest.mark.parametrize(
    ("files", "photos"),
    [
        pytest.param({"annotations/person_keypoints_default.json": "train"}, "images/default", id="CVAT"),
        pytest.param(
            {"train/_annotations.coco.json": "train", "valid/_annotations.coco.json": "valid"}, "{split}", id="Roboflow"
        ),
        pytest.param({"result.json": "train"}, "images", id="Label Studio"),
        pytest.param({"my train set.json": "train", "my-val-set.json": "val"}, "photos", id="by words of the name"),
    ],
)
def test_exports_are_found_as_they_lie(workplace, tmp_path, files, photos):
    lay_out(tmp_path, workplace, files, photos)
    for split, person in zip(("train", "val")[: len(files)], workplace[1], strict=False):
        (row,) = read_dataset("coco", tmp_path, split=split, schema=schema_of())
        assert Path(row["image"]["path"]).name == person["name"] and row["bbox"] == person["box"]
        assert len(read_ground_truth("coco", tmp_path, split=split, schema=schema_of())["annotations"]) == 1
    assert schema_of_files(tmp_path).keypoints == schema_of().keypoints


def test_a_file_in_place_of_the_folder(workplace, tmp_path):
    lay_out(tmp_path, workplace, {"a/b.json": "train"}, "a/photos")
    assert len(read_dataset("coco", tmp_path / "a" / "b.json", split="train", schema=schema_of())) == 1
    with pytest.raises(ValueError, match=r"b.json is one file, which would be both train and val"):
        refuse_one_file("coco", str(tmp_path / "a" / "b.json"), "train", "val")


def test_what_is_not_found_is_named(workplace, tmp_path):
    lay_out(tmp_path, workplace, {"a.json": "train", "b.json": "train"}, "photos")
    with pytest.raises(ValueError, match=r"one file of COCO keypoints for the split 'train', found a.json, b.json"):
        read_dataset("coco", tmp_path, split="train", schema=schema_of())
    with pytest.raises(
        ValueError, match=r"for the split 'test', found a.json, b.json. Call the file or its folder test"
    ):
        read_dataset("coco", tmp_path, split="test", schema=schema_of())


def test_a_folder_without_annotations_is_told_what_is_read(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match="COCO's layout or of Ultralytics YOLO pose.*found none that can be read"):
        schema_of_files(tmp_path)


def test_a_split_with_its_year_is_not_taken_for_another(workplace, tmp_path):
    lay_out(tmp_path, workplace, {"annotations/person_keypoints_val2017.json": "val"}, "val2017")
    with pytest.raises(ValueError, match="for the split 'train', found annotations/person_keypoints_val2017.json"):
        read_dataset("coco", tmp_path, split="train", schema=schema_of())
    lay_out(tmp_path / "b", workplace, {"test1/labels.json": "test1"}, "test1")
    with pytest.raises(ValueError, match="for the split 'train', found test1/labels.json"):
        read_dataset("coco", tmp_path / "b", split="train", schema=schema_of())
