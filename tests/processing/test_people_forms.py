"""What others take people in: every number where their documentation puts it."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from vitpose import People, get_keypoint_schema
from vitpose.modeling.keypoint_schemas import list_keypoint_schemas
from vitpose.processing.openpose_vitpose import BODIES

COCO = get_keypoint_schema("coco")
WHOLE_BODY = get_keypoint_schema("coco_wholebody")
SIZE = (320, 240)  # width and height of the picture in pixels


def some_people(schema=COCO, count=3, seed=0) -> People:
    """People whose keypoints lie in the picture, some below 0.2."""
    random = torch.Generator().manual_seed(seed)
    points = torch.rand(count, schema.num_keypoints, 2, generator=random)
    return People(
        keypoints_xy=points * torch.tensor([SIZE[0] - 1.0, SIZE[1] - 1.0]),
        scores=torch.rand(count, schema.num_keypoints, generator=random),
        boxes_xywh=torch.tensor([[10.0, 20.0, 100.0, 150.0], [200, 30, 60, 90], [5, 5, 50, 200]])[:count],
        box_scores=torch.tensor([0.9, 0.5, 0.7])[:count],
        labels=("person",) * count,
        schema=schema,
    )


def test_an_annotation_labels_what_scores_above_the_threshold():
    people = some_people()
    annotations = people.to_coco_annotations(7, first_id=4, category_ids=[1, 2, 1], threshold=0.5)
    assert [(own["id"], own["image_id"], own["category_id"]) for own in annotations] == [
        (4, 7, 1),
        (5, 7, 2),
        (6, 7, 1),
    ]
    for own, points, scores in zip(annotations, people.keypoints_xy, people.scores, strict=True):
        rows = np.reshape(own["keypoints"], (17, 3))
        labeled = scores.numpy() > 0.5
        assert rows[:, 2].tolist() == (2 * labeled).tolist()
        assert own["num_keypoints"] == labeled.sum()
        np.testing.assert_allclose(rows[labeled, :2], points.numpy()[labeled], atol=6e-4)
        assert not rows[~labeled].any()
    assert annotations[0]["bbox"] == [10, 20, 100, 150] and annotations[0]["area"] == 15_000


def test_label_studio_has_percentages_and_whose_keypoints_they_are():
    people = replace(some_people(), labels=("person", "acrobat", "person"))
    prediction = people.to_label_studio(*SIZE, threshold=0.3, model_version="mine")
    assert prediction["model_version"] == "mine"
    assert prediction["score"] == pytest.approx(people.person_scores.mean().item(), abs=1e-3)
    boxes = [region for region in prediction["result"] if region["type"] == "rectanglelabels"]
    assert [region["value"]["rectanglelabels"] for region in boxes] == [["person"], ["acrobat"], ["person"]]
    value = boxes[0]["value"]
    assert [value[side] for side in ("x", "y", "width", "height")] == [3.125, 8.3333, 31.25, 62.5]
    ids = [region["id"] for region in prediction["result"]]
    assert len(set(ids)) == len(ids)
    for number, box in enumerate(boxes):
        points = [region for region in prediction["result"] if region.get("parentID") == box["id"]]
        names = [region["value"]["keypointlabels"][0] for region in points]
        shown = (people.scores[number] > 0.3).nonzero().flatten().tolist()
        assert names == [COCO.keypoints[place] for place in shown]
        for region, place in zip(points, shown, strict=True):
            x, y = people.keypoints_xy[number, place].tolist()
            assert (region["value"]["x"], region["value"]["y"]) == pytest.approx((x / 3.2, y / 2.4), abs=1e-3)
            assert (region["original_width"], region["original_height"]) == SIZE
            assert region["score"] == pytest.approx(people.scores[number, place].item(), abs=1e-3)


def test_a_line_of_yolo_is_in_fractions_of_the_picture():
    people = some_people()
    lines = people.to_yolo(*SIZE, class_ids=[0, 3, 1], threshold=0.4).splitlines()
    values = np.array([[float(word) for word in line.split()] for line in lines])
    assert values.shape == (3, 5 + 17 * 3)
    assert values[:, 0].tolist() == [0, 3, 1]
    np.testing.assert_allclose(values[0, 1:5] * [320, 240, 320, 240], [60, 95, 100, 150], atol=1e-3)
    keypoints = values[:, 5:].reshape(3, 17, 3)
    labeled = people.scores.numpy() > 0.4
    assert (keypoints[..., 2] == 2 * labeled).all()
    np.testing.assert_allclose(keypoints[labeled][:, :2] * SIZE, people.keypoints_xy.numpy()[labeled], atol=1e-3)
    assert not keypoints[~labeled].any()


@pytest.mark.parametrize("place", [(-3.0, 100.0), (100.0, -0.5), (321.0, 10.0), (10.0, 250.0)])
def test_forms_in_fractions_leave_out_what_lies_outside_of_the_picture(place):
    people = some_people(count=1)
    points, scores = people.keypoints_xy.clone(), torch.ones(1, 17)
    points[0, 4] = torch.tensor(place)
    people = replace(people, keypoints_xy=points, scores=scores, boxes_xywh=torch.tensor([[-20.0, 200.0, 60.0, 80.0]]))
    values = [float(word) for word in people.to_yolo(*SIZE).split()]
    assert values[5 + 3 * 4 : 8 + 3 * 4] == [0, 0, 0] and values[5 + 3 * 3 + 2] == 2
    np.testing.assert_allclose(np.array(values[1:5]) * [320, 240, 320, 240], [20, 220, 40, 40], atol=1e-3)
    box, *others = people.to_label_studio(*SIZE)["result"]
    assert [box["value"][side] for side in ("x", "y", "width", "height")] == [0, 83.3333, 12.5, 16.6667]
    assert "right_ear" not in [region["value"]["keypointlabels"][0] for region in others] and len(others) == 16


OPENPOSE_FROM_COCO = {  # place in BODY_25: of which keypoints of COCO it is made
    **{0: [0], 1: [5, 6], 2: [6], 3: [8], 4: [10], 5: [5], 6: [7], 7: [9], 8: [11, 12], 9: [12], 10: [14], 11: [16]},
    **{12: [11], 13: [13], 14: [15], 15: [2], 16: [1], 17: [4], 18: [3]},
}


@pytest.mark.parametrize("schema", [COCO, WHOLE_BODY], ids=["17", "133"])
def test_openpose_has_a_neck_and_the_middle_of_the_hips(schema):
    people = some_people(schema)
    written = json.loads(json.dumps(people.to_openpose(threshold=-1)))
    assert written["version"] == 1.3 and len(written["people"]) == 3
    for number, person in enumerate(written["people"]):
        assert person["person_id"] == [-1]
        points = np.reshape(person["pose_keypoints_2d"], (25, 3))
        for place, sources in OPENPOSE_FROM_COCO.items():
            own = people.keypoints_xy[number, sources].mean(0).tolist()
            score = people.scores[number, sources].min().item()
            assert points[place] == pytest.approx([*own, score], abs=1e-3), BODIES["BODY_25"][place]
        feet = points[19:]
        if schema is COCO:
            assert not feet.any()
            assert person["face_keypoints_2d"] == person["hand_left_keypoints_2d"] == []
        else:  # big toe, small toe, heel, left then right, as the whole body has them
            np.testing.assert_allclose(feet[:, :2], people.keypoints_xy[number, 17:23], atol=1e-3)
            face = np.reshape(person["face_keypoints_2d"], (70, 3))
            np.testing.assert_allclose(face[:68, :2], people.keypoints_xy[number, 23:91], atol=1e-3)
            np.testing.assert_allclose(face[68:, :2], people.keypoints_xy[number, [2, 1]], atol=1e-3)  # the eyes
            for side, start in (("left", 91), ("right", 112)):
                hand = np.reshape(person[f"hand_{side}_keypoints_2d"], (21, 3))
                np.testing.assert_allclose(hand[:, :2], people.keypoints_xy[number, start : start + 21], atol=1e-3)


def test_openposes_older_body_has_18_points_in_cocos_order():
    people = some_people(count=1)
    points = np.reshape(people.to_openpose(body="BODY_18", threshold=-1)["people"][0]["pose_keypoints_2d"], (18, 3))
    order = [0, None, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3]
    for place, source in enumerate(order):
        if source is not None:
            assert points[place, :2] == pytest.approx(people.keypoints_xy[0, source].tolist(), abs=1e-3)
    assert points[1, :2] == pytest.approx(people.keypoints_xy[0, [5, 6]].mean(0).tolist(), abs=1e-3)


def test_openpose_writes_zeros_for_what_is_not_found():
    people = replace(some_people(count=1), scores=torch.full((1, 17), 0.9), track_ids=torch.tensor([12]))
    people.scores[0, 5] = 0.15  # the left shoulder, and so the neck
    (person,) = people.to_openpose()["people"]
    points = np.reshape(person["pose_keypoints_2d"], (25, 3))
    assert not points[[1, 5]].any() and points[2].all()
    assert person["person_id"] == [12]


def test_every_schema_of_people_with_limbs_has_an_openpose_form_and_no_other():
    for name in list_keypoint_schemas():
        schema = get_keypoint_schema(name)
        nobody = People.nobody(schema)
        if schema.category == "person" and {"left_elbow", "right_ankle"} <= set(schema.keypoints):
            assert nobody.to_openpose()["people"] == []
        else:
            with pytest.raises(ValueError, match=f"the keypoints of '{name}' (are of the category|lack)"):
                nobody.to_openpose()


def test_a_table_has_a_row_for_each_keypoint():
    people = replace(some_people(), track_ids=torch.tensor([4, 9, 2]))
    table = people.to_pandas(image="beach.jpg")
    assert isinstance(table, pd.DataFrame) and len(table) == 3 * 17
    assert table.columns[0] == "image" and set(table["image"]) == {"beach.jpg"}
    row = table[(table["person"] == 1) & (table["keypoint"] == "left_knee")].iloc[0]
    place = COCO.keypoints.index("left_knee")
    assert (row["x"], row["y"]) == pytest.approx(people.keypoints_xy[1, place].tolist())
    assert row["score"] == pytest.approx(people.scores[1, place].item())
    assert (row["track_id"], row["box_x"], row["box_height"], row["label"]) == (9, 200, 90, "person")
    assert row["person_score"] == pytest.approx(people.person_scores[1].item())
    wide = table.pivot(index="person", columns="keypoint", values="x")
    np.testing.assert_allclose(wide[list(COCO.keypoints)].to_numpy(), people.keypoints_xy[..., 0])


def test_nobody_is_a_form_of_each():
    nobody = People.nobody(COCO)
    assert nobody.to_coco_annotations(3) == nobody.to_openpose()["people"] == []
    assert nobody.to_yolo(*SIZE) == ""
    assert nobody.to_label_studio(*SIZE) == {"model_version": "vitpose", "score": 0.0, "result": []}
    table = nobody.to_pandas(image="a.jpg")
    assert len(table) == 0 and "keypoint" in table.columns


def test_supervision_holds_scores_boxes_and_names():
    supervision = pytest.importorskip("supervision", reason="comes with the extra video")
    people = replace(some_people(), track_ids=torch.tensor([4, 9, 2]))
    points = people.to_supervision()
    is_old = not hasattr(points, "detection_confidence")  # before 0.29
    np.testing.assert_allclose(points.confidence if is_old else points.keypoint_confidence, people.scores)
    assert is_old or points.detection_confidence.tolist() == people.box_scores.tolist()
    np.testing.assert_allclose(points.data["xyxy"][1], [200, 30, 260, 120])
    assert points.data["class_name"] == ["person"] * 3 and points.data["track_id"].tolist() == [4, 9, 2]
    chosen = points[[0, 2]]  # the library's own selection takes the data along
    assert len(chosen) == 2 and np.asarray(chosen.data["track_id"]).tolist() == [4, 2]
    scene = np.zeros((SIZE[1], SIZE[0], 3), dtype=np.uint8)
    edges = [(a + 1, b + 1) for a, b in COCO.edges]
    assert supervision.EdgeAnnotator(edges=edges).annotate(scene.copy(), points).any()


def test_uncertainty_is_what_the_peaks_lack():
    people = some_people()
    scores = torch.tensor([[0.9], [0.2], [0.5]]).repeat(1, 17)
    assert replace(people, scores=scores).uncertainties.tolist() == pytest.approx([0.1, 0.8, 0.5])
