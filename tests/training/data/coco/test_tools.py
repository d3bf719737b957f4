"""COCO files as annotation tools export them: the same people from each, and a word about what is not as in COCO.

Those of Label Studio, datumaro and sleap-io have the form that label-studio-sdk 2.1.2, datumaro 1.13.12 and sleap-io
0.9.5 wrote for these people; the others follow the code or the documentation of their tools.
"""

import logging
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from coco_help import LINES, NAMES, OTHER, Content, Person, coco, flat, padded, schema_of, tight, write

from vitpose import get_keypoint_schema
from vitpose.data import read_coco, read_ground_truth, schema_from_annotations
from vitpose.metrics import coco_keypoint_metrics


def cvat(people):
    content = coco(
        people, bbox=tight, segmentation=lambda p: [], attributes=lambda p: {"occluded": False, "track_id": 4}
    )
    empty = {"keypoints": [], "skeleton": []}
    content["categories"] += [{"id": 2, "name": name, "supercategory": "person", **empty} for name in NAMES[:1]]
    content["categories"] += [{"id": 9, "name": "car", "supercategory": "", **empty}]
    outside = {"id": 7, "image_id": 2, "category_id": 1, "bbox": [0, 0, 0, 0], "area": 0, "keypoints": []}
    return content | {"annotations": [*content["annotations"], outside], "licenses": [], "info": {"contributor": ""}}


def label_studio(people):
    content = coco(people, first=0, bbox=tight)
    annotations = []
    for entry, person in zip(content["annotations"], people, strict=True):
        del entry["area"]
        number = 2 * entry["id"]
        rectangle = {"segmentation": [], "bbox": person["box"], "ignore": 0, "iscrowd": 0, "area": 20280.0}
        annotations.append({"id": number, "image_id": entry["image_id"], "category_id": 3, **rectangle})
        annotations.append({**entry, "id": number + 1, "category_id": 4})
    for image in content["images"]:
        image["file_name"] = f"../upload/3/0a1b2c3d-{image['file_name']}"
    keypoints = {"id": 4, "name": "default", "supercategory": "default", "keypoints": list(NAMES), "skeleton": []}
    info = {"year": 2026, "version": "1.0", "contributor": "Label Studio"}
    categories = [{"id": 3, "name": "dancer"}, keypoints]
    return {"images": content["images"], "categories": categories, "annotations": annotations, "info": info}


def coco_annotator(people):
    zeros = {"bbox": lambda p: [0, 0, 0, 0], "area": lambda p: 0}
    content = coco(people, isbbox=lambda p: False, color=lambda p: "#d52e2e", metadata=lambda p: {}, **zeros)
    content["categories"][0] |= {"metadata": {}, "color": "#30b6c3", "skeleton": [*LINES, [32, 33]]}
    outline = {**OTHER, "category_id": 1, "segmentation": [[1, 2, 41, 2, 41, 32]]}
    for image in content["images"]:
        image |= {"dataset_id": 5, "path": f"/datasets/df/{image['file_name']}", "annotated": True, "category_ids": [1]}
    return content | {"annotations": [*content["annotations"], outline]}


def roboflow(people):
    content = coco(people, first=0)
    nothing = {"id": 0, "name": "people-Qg7R", "supercategory": "none"}
    content["categories"] = [nothing, {**content["categories"][0], "supercategory": "people-Qg7R"}]
    return {
        "info": {"year": "2024", "version": "1"},
        "licenses": [{"id": 1, "url": "", "name": "CC BY 4.0"}],
        **content,
    }


def rectlabel(people):
    """Beside the keypoints points of their own, each with a box of one pixel."""
    content = coco(people, segmentation=lambda p: [])
    content["categories"].append({"id": 10, "name": "point"})
    point = {**OTHER, "category_id": 10, "area": 0, "segmentation": [[20, 30]], "bbox": [20, 30, 1, 1]}
    return content | {"annotations": [point, *content["annotations"]]}


def labelme_converter(people):
    """Skeletons counted from 0; ids are texts."""
    content = coco(people)
    content["categories"][0]["skeleton"] = [[0, 1], [0, 2], [1, 3]]
    for entry in (*content["images"], *content["annotations"]):
        entry["id"] = str(entry["id"])
    return content


def x_anylabeling(people):
    """Several classes, and keypoints without a visibility: it is a setting."""
    content = coco(people, keypoints=lambda p: (p["keypoints"][:, :2] * (p["keypoints"][:, 2:] > 0)).ravel().tolist())
    content["categories"].append({"id": 9, "name": "dog", "keypoints": [*NAMES, "tail"], "skeleton": []})
    return content | {"annotations": [*content["annotations"], {**OTHER, "keypoints": [9, 9] * 6}]}


def supervisely(people):
    return coco(people, bbox=lambda p: None, area=lambda p: 0, segmentation=lambda p: [])


def datumaro(people):
    content = coco(people)
    content["categories"].append({"id": 9, "name": "car", "supercategory": "", "keypoints": [], "skeleton": []})
    return {"licenses": [{"name": "", "id": 0, "url": ""}], "info": {"contributor": "", "year": ""}, **content}


def sleap_io(people):
    return coco(people, bbox=tight)


def fiftyone(people):
    """Neither box nor area nor the names of keypoints; visibilities of its own as true and false."""
    visible = {"keypoints": lambda p: [bool(v) if n % 3 == 2 else int(v) for n, v in enumerate(flat(p))]}
    content = coco(people, first=0, **visible)
    for entry in content["annotations"]:
        del entry["bbox"], entry["area"]
        entry["category_id"] = 0
    return content | {"categories": [{"id": 0, "name": "person", "supercategory": None}]}


def encord(people):
    content = coco(people)
    content["categories"].append({"id": 9, "name": "ball", "supercategory": "bounding_box"})
    ball = {**OTHER, "keypoints": None, "num_keypoints": None, "segmentation": []}
    return content | {"annotations": [ball, *content["annotations"]]}


def mmpose_converter(people):
    """Photos without sizes, as several of its converters write them."""
    content = coco(people)
    for image in content["images"]:
        del image["width"], image["height"]
    return content


# form, whose box its people have, words of each warning in order
FORMS = [
    (coco, "box", []),
    (cvat, "padded", ["1 annotations without keypoints: 1 of 'person'", "3 people .*tenth larger"]),
    (label_studio, "box", ["3 of 'dancer'", "3 people have the rectangle", "3 photos have another name"]),
    (coco_annotator, "padded", ["1 of 'person'", "3 people .*tenth larger"]),
    (roboflow, "box", []),
    (rectlabel, "box", ["1 of 'point'"]),
    (labelme_converter, "box", []),
    (x_anylabeling, "box", ["1 annotations of other keypoints: 1 of the category 'dog'"]),
    (supervisely, "padded", ["3 people .*tenth larger"]),
    (datumaro, "box", []),
    (sleap_io, "padded", ["3 people .*tenth larger"]),
    (fiftyone, "padded", ["3 people .*tenth larger"]),
    (encord, "box", ["1 of 'ball'"]),
    (mmpose_converter, "box", ["sizes of 3 photos are read from the photos"]),
]


@pytest.mark.parametrize(("form", "boxes", "warnings"), FORMS, ids=[form.__name__ for form, _, _ in FORMS])
def test_the_same_people_are_read_from_each_form(workplace, tmp_path, caplog, form, boxes, warnings):
    folder, people = workplace
    file = write(tmp_path, form(people))
    with caplog.at_level(logging.WARNING):
        read = read_coco(file, folder, schema=schema_of())
    expected = {"box": lambda person: person["box"], "padded": padded}[boxes]
    assert [Path(image["path"]).name for image in read["image"]] == [person["name"] for person in people]
    for row, person in zip(read, people, strict=True):
        points = np.array(row["keypoints"])
        np.testing.assert_array_equal(points > 0, person["keypoints"] > 0)
        np.testing.assert_array_equal(points[:, :2], person["keypoints"][:, :2])
        np.testing.assert_allclose(row["bbox"], expected(person))
        assert (row["width"], row["height"]) == person["size"]
        assert row["area"] > 0
    assert len(caplog.messages) == len(warnings), caplog.messages
    assert all(re.search(words, message) for words, message in zip(warnings, caplog.messages, strict=True))


@pytest.mark.parametrize("form", [form for form, _, _ in FORMS if form not in (x_anylabeling, fiftyone)])
def test_the_schema_is_read_from_each_form(workplace, tmp_path, caplog, form):
    schema = schema_from_annotations(write(tmp_path, form(workplace[1])), name="mine")
    assert (schema.keypoints, schema.flip_pairs) == (NAMES, ((1, 2), (3, 4)))
    assert schema.edges == (() if form is label_studio else ((0, 1), (0, 2), (1, 3)))
    assert ("[32, 33]" in caplog.text) == (form is coco_annotator)


def ground_truth(workplace, root: Path, content: Content) -> Content:
    folder, people = workplace
    for part in ("annotations", "val"):
        (root / part).mkdir()
    for person in people:
        (root / "val" / person["name"]).symlink_to(folder / person["name"])
    write(root / "annotations", content, "person_keypoints_val.json")
    return read_ground_truth("coco", root, split="val", schema=schema_of())


@pytest.mark.parametrize("form", [form for form, _, _ in FORMS])
def test_evaluation_counts_the_people_that_were_read(workplace, tmp_path, form):
    """Keypoints as annotated are perfect results, whatever else stands in the file."""
    people = workplace[1]
    truth = ground_truth(workplace, tmp_path, form(people))
    results = [
        {"image_id": image["id"], "category_id": entry["category_id"], "keypoints": flat(person), "score": 1.0}
        for image, entry, person in zip(truth["images"], truth["annotations"], people, strict=True)
    ]
    metrics = coco_keypoint_metrics(results, truth, sigmas=(0.05,) * 5)
    assert (metrics["AP"], metrics["AR"]) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("changes", "boxes"),
    [
        pytest.param({"area": lambda person: 0}, lambda person: person["box"], id="no area"),
        pytest.param({"bbox": lambda person: [0, 0, 0, 0]}, padded, id="no box"),
    ],
)
def test_the_ground_truth_has_boxes_and_areas(workplace, tmp_path, changes, boxes):
    """Without an area no result is near enough to a person to count."""
    truth = ground_truth(workplace, tmp_path, coco(workplace[1], **changes))
    for entry, person in zip(truth["annotations"], workplace[1], strict=True):
        np.testing.assert_allclose(entry["bbox"], boxes(person))
        assert entry["area"] == pytest.approx(500 if "bbox" in changes else person["box"][2] * person["box"][3])


def test_rectangles_of_people_come_before_those_of_other_things(workplace, tmp_path):
    """A shirt's fits as well, and is smaller; a crowd is nobody."""
    people = workplace[1]
    content = label_studio(people)
    content["categories"] += [{"id": 5, "name": "shirt"}]
    content["categories"][0]["name"] = "Person"
    for number, person in enumerate(people):
        shirt = {**OTHER, "id": 50 + number, "image_id": number, "bbox": tight(person)}
        content["annotations"] += [{**shirt, "category_id": 5}, {**shirt, "category_id": 3, "iscrowd": 1}]
    read = read_coco(write(tmp_path, content), workplace[0], schema=schema_of())
    assert read["bbox"][:] == [person["box"] for person in people]


def joined_people(people: list[Person]) -> Content:
    """What Label Studio exports of two people on a photo: two rectangles, and one annotation for all keypoints."""
    content = label_studio(people)
    left, right = content["annotations"][0], dict(content["annotations"][0])
    left["bbox"], right["bbox"] = [0, 0, 75, 230], [80, 0, 70, 230]
    right["id"] = 99
    content["annotations"].append(right)
    return content


def test_keypoints_of_several_people_are_not_read_as_one_person(workplace, tmp_path, caplog):
    read = read_coco(write(tmp_path, joined_people(workplace[1])), workplace[0], schema=schema_of())
    assert read["image_id"][:] == [1, 2]
    assert "left out 1 photos of several people" in caplog.text and "'label_studio'" in caplog.text
    content = joined_people(workplace[1]) | {"info": {"contributor": "somebody else, whose people are people"}}
    assert len(read_coco(write(tmp_path, content), workplace[0], schema=schema_of())) == 3


@pytest.mark.parametrize("spell", [str, lambda name: name.replace("left_", "L_").replace("right_", "R_")])
def test_keypoints_that_are_known_bring_their_sigmas(tmp_path, spell):
    known = get_keypoint_schema("coco")
    names = [spell(name) for name in known.keypoints]
    file = write(
        tmp_path, {"images": [], "annotations": [], "categories": [{"id": 1, "name": "x", "keypoints": names}]}
    )
    assert schema_from_annotations(file) == known
    assert schema_from_annotations(file, name="mine") == replace(known, name="mine")
    other = {"id": 1, "name": "x", "keypoints": names[::-1]}  # in another order they are other heatmaps
    assert schema_from_annotations(write(tmp_path, {"categories": [other]})).sigmas is None
