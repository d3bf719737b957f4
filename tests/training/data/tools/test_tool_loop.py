"""Predictions that were looked over in a tool come back as annotations: what `vitpose predict` writes is read again."""

import json
import shutil

import datasets
import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from vitpose import get_keypoint_schema
from vitpose.training.data.loading import read_dataset, schema_of_files
from vitpose_cli.main import main


@pytest.fixture
def predicted(tmp_path, monkeypatch):
    """A folder with one photo and its predictions in the forms of tools."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "photos").mkdir()
    Image.fromarray(astronaut()).save(tmp_path / "photos" / "a.png")
    words = ["predict", str(tmp_path / "photos" / "a.png"), "--model", "tiny", "--whole-image"]
    assert main([*words, "--save", "yolo", "label-studio", "coco-annotations", "--out", str(tmp_path / "out")]) == 0
    return tmp_path


def coco_people(folder) -> np.ndarray:
    """(N, 17, 3) of the same predictions in COCO's form, with labeled keypoints alone."""
    content = json.loads((folder / "out" / "annotations.json").read_text())
    keypoints = np.array([entry["keypoints"] for entry in content["annotations"]]).reshape(-1, 17, 3)
    assert keypoints[..., 2].any()
    return np.where(keypoints[..., 2:] > 0, keypoints, 0)


def same_labeled(read, expected) -> None:
    """Equal where both are labeled; a form that has no place outside of the photo lacks keypoints there."""
    read = np.array(read)
    both = (read[..., 2] > 0) & (expected[..., 2] > 0)
    assert both.sum() >= 0.5 * (expected[..., 2] > 0).sum() and both.any()
    np.testing.assert_allclose(read[both][:, :2], expected[both][:, :2], atol=0.05)


def test_yolo_comes_back(predicted):
    data = predicted / "out" / "yolo"
    shutil.copytree(predicted / "photos", data / "images", dirs_exist_ok=True)
    people = read_dataset("yolo", data, split="train")
    same_labeled(people["keypoints"], coco_people(predicted))
    assert schema_of_files(data).name == "coco"


def test_label_studio_comes_back_once_somebody_agreed(predicted):
    tasks = json.loads((predicted / "out" / "label_studio.json").read_text())
    for number, task in enumerate(tasks):  # as the tool exports a prediction that was submitted
        task |= {"id": number, "annotations": [{"id": 1, "result": task.pop("predictions")[0]["result"]}]}
    (predicted / "export.json").write_text(json.dumps(tasks))
    people = read_dataset("label_studio", predicted / "export.json", split="train")
    names = schema_of_files(predicted / "export.json").keypoints
    order = [get_keypoint_schema("coco").keypoints.index(name) for name in names]
    same_labeled(people["keypoints"], coco_people(predicted)[:, order])
