"""Files of other forms are called by their names, and schemas are written whatever their skeleton is."""

import pytest
from coco_help import NAMES, schema_of, write

from vitpose.data import read_coco, schema_from_annotations

LABELME = {"version": "5.4", "shapes": [], "imagePath": "1.png", "imageData": None}


RESULT = {"image_id": 1, "category_id": 1, "score": 0.9}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param([{**RESULT, "keypoints": [1, 2, 1]}], "COCO results, what a model predicted", id="results"),
        pytest.param([{**RESULT, "bbox": [1, 2, 3, 4]}], "COCO results of a detector", id="boxes of a detector"),
        pytest.param([{"id": 1, "data": {}, "annotations": []}], "read it as the dataset 'label_studio'", id="tasks"),
        pytest.param([{"image": "a", "annotation_id": 1, "lead_time": 2}], "JSON-MIN of Label Studio", id="JSON-MIN"),
        pytest.param(LABELME, "labelme or X-AnyLabeling: read its folder as the dataset 'labelme'", id="labelme"),
        pytest.param({"_via_img_metadata": {}}, "a project of VIA: export COCO", id="VIA"),
        pytest.param({"version": 1.3, "people": []}, "JSON of OpenPose", id="OpenPose"),
        pytest.param({"objects": [], "size": {}}, "JSON of Supervisely: export COCO keypoints", id="Supervisely"),
        pytest.param({"version": "2.0", "item": {}, "annotations": []}, "V7 Darwin: export COCO", id="V7"),
        pytest.param({"infos": {}, "categories": {}, "items": []}, "Datumaro's own JSON", id="Datumaro"),
        pytest.param({"meta_info": {}, "instance_info": []}, "predictions of MMPose", id="MMPose"),
        pytest.param({"skeletons": [], "videos": []}, "read the .slp file as the dataset 'sleap'", id="SLEAP"),
        pytest.param([{"joints": [], "joints_vis": [], "center": []}], "as the dataset 'mpii'", id="MPII"),
        pytest.param({"images": [], "annotations": [{"caption": "a"}]}, "COCO captions", id="captions"),
        pytest.param({"images": [], "annotations": [{"segments_info": []}]}, "COCO panoptic", id="panoptic"),
        pytest.param({"images": [], "annotations": 3}, "in COCO layout: expected an object", id="none that is known"),
    ],
)
def test_a_file_of_another_form_is_called_by_its_name(tmp_path, content, message):
    file = write(tmp_path, content)
    with pytest.raises(ValueError, match=f"people.json is .*{message}"):
        read_coco(file, tmp_path, schema=schema_of())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("annotations.xml", "the dataset 'cvat'"),
        ("data.yaml", "the dataset 'yolo'"),
        ("CollectedData.csv", "the dataset 'deeplabcut'"),
        ("CollectedData.h5", "the dataset 'deeplabcut'"),
        ("labels.slp", "the dataset 'sleap'"),
        ("export.zip", "unpack it"),
        ("labels", "a folder, .*'labelme'"),
    ],
)
def test_a_file_that_is_no_json_is_called_by_its_name(tmp_path, name, message):
    (tmp_path / name).write_text("x") if "." in name else (tmp_path / name).mkdir()
    for door in (lambda file: read_coco(file, tmp_path, schema=schema_of()), schema_from_annotations):
        with pytest.raises(ValueError, match=f"{name} is .*{message}.*Expected JSON in COCO layout"):
            door(tmp_path / name)


@pytest.mark.parametrize(
    ("skeleton", "edges", "left_out"),
    [
        pytest.param([[1, 2], [4, 5]], [(0, 1), (3, 4)], 0, id="from 1"),
        pytest.param([[0, 1], [3, 4]], [(0, 1), (3, 4)], 0, id="from 0"),
        pytest.param([[0, 1], [1, 5]], [(0, 4)], 1, id="0 beside the last one counted from 1"),
        pytest.param([[1, 1], [2, 3]], [(1, 2)], 1, id="a keypoint with itself"),
        pytest.param([[1, 2], [2, 1], [1, 2]], [(0, 1)], 0, id="the same line again"),
        pytest.param([[1, 2], [7, 2], [-1, 2]], [(0, 1)], 2, id="keypoints that there are not"),
        pytest.param([["1", "2"], [2.0, 3.0]], [(0, 1), (1, 2)], 0, id="numbers as texts"),
        pytest.param([["nose", "left_wrist"], ["nose", "tail"]], [(0, 1)], 1, id="names"),
        pytest.param([{"from": 1, "to": 2}], [(0, 1)], 0, id="objects"),
        pytest.param({"a": [1, 2], "b": [1]}, [(0, 1)], 1, id="an object of lines"),
        pytest.param([1, None, [1, 2, 3], [True, 2]], [], 4, id="no lines at all"),
        pytest.param(None, [], 0, id="null"),
        pytest.param("1-2", [], 1, id="a text"),
    ],
)
def test_odd_lines_of_a_skeleton_are_left_out(tmp_path, caplog, skeleton, edges, left_out):
    content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "p", "keypoints": list(NAMES)}]}
    content["categories"][0]["skeleton"] = skeleton
    schema = schema_from_annotations(write(tmp_path, content))
    assert list(schema.edges) == edges
    assert f"left out {left_out} lines" in caplog.text if left_out else not caplog.messages


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        pytest.param([{"id": 1, "name": "person"}], "found none among 'person'. Export keypoints", id="none"),
        pytest.param("person", "found none. Export", id="no list"),
        pytest.param([{"name": "p", "keypoints": ["a", "a"]}], "each entry once, got .'a'.", id="a name twice"),
        pytest.param([{"name": "p", "keypoints": ["a", ""]}], "non-empty strings", id="an empty name"),
    ],
)
def test_a_schema_that_cannot_be_made_names_the_file(tmp_path, categories, message):
    with pytest.raises(ValueError, match=f"people.json.*{message}"):
        schema_from_annotations(write(tmp_path, {"images": [], "annotations": [], "categories": categories}))
