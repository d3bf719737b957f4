"""People between the rooms: what they hold, what a person scores, and the forms that others take them in."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from vitpose import People, draw_poses, get_keypoint_schema

COCO = get_keypoint_schema("coco")


def some_people(count: int = 3, seed: int = 0) -> People:
    random = torch.Generator().manual_seed(seed)
    return People(
        keypoints_xy=200 * torch.rand(count, 17, 2, generator=random),
        scores=torch.rand(count, 17, generator=random),
        boxes_xywh=torch.tensor([[10.0, 20.0, 100.0, 150.0]]).repeat(count, 1),
        box_scores=torch.rand(count, generator=random),
        labels=("person",) * count,
        schema=COCO,
        track_ids=torch.arange(count) + 5,
    )


def test_a_persons_score_is_the_boxs_times_the_mean_of_confident_keypoints():
    people = some_people()
    scores = torch.full((3, 17), 0.1)
    scores[0, :2] = torch.tensor([0.5, 0.9])
    scores[1] = 0.2  # not above
    scores[2, :2] = torch.tensor([0.21, 0.59])
    people = replace(people, scores=scores, box_scores=torch.tensor([0.5, 1.0, 0.8]))
    assert people.person_scores.tolist() == pytest.approx([0.35, 0.0, 0.32])


def test_the_pipelines_dicts_lead_back_to_the_people():
    people = some_people()
    again = People.from_dicts(json.loads(json.dumps(people.to_dicts())), COCO)
    torch.testing.assert_close(again.keypoints_xy, people.keypoints_xy)
    torch.testing.assert_close(again.scores, people.scores)
    torch.testing.assert_close(again.boxes_xywh, people.boxes_xywh)
    assert again.track_ids.tolist() == [5, 6, 7]


def test_a_threshold_leaves_keypoints_out_of_the_dicts():
    people = some_people()
    for person, scores in zip(people.to_dicts(threshold=0.5), people.scores, strict=True):
        assert [point["label"] for point in person["keypoints"]] == [
            name for name, score in zip(COCO.keypoints, scores.tolist(), strict=True) if score > 0.5
        ]


def test_cocos_results_have_every_number_of_a_person():
    people = some_people()
    results = json.loads(json.dumps(people.to_coco([7, 7, 9], category_ids=[1, 2, 1])))
    assert [(r["image_id"], r["category_id"], r["track_id"]) for r in results] == [(7, 1, 5), (7, 2, 6), (9, 1, 7)]
    assert results[0]["bbox"] == [10, 20, 100, 150]
    rows = np.array(results[1]["keypoints"]).reshape(17, 3)
    np.testing.assert_allclose(rows[:, :2], people.keypoints_xy[1], atol=6e-4)
    np.testing.assert_allclose(rows[:, 2], people.scores[1], atol=6e-4)
    assert results[2]["score"] == pytest.approx(people.person_scores[2].item(), abs=1e-6)
    again = People.from_coco(results, COCO)
    torch.testing.assert_close(again.keypoints_xy, people.keypoints_xy, atol=6e-4, rtol=0)
    assert again.track_ids.tolist() == [5, 6, 7]


def test_some_of_them_and_all_of_them_together():
    people = some_people()
    both = People.join([people[:1], people[[2, 1]]])
    assert both.track_ids.tolist() == [5, 7, 6]
    torch.testing.assert_close(both.scores, people.scores[[0, 2, 1]])
    assert len(people[people.scores[:, 0] > 2]) == len(people[[]]) == 0
    assert len(People.nobody(COCO)) == 0 and People.nobody(COCO).to_coco(1) == []


def test_annotated_people_have_the_box_of_what_is_labeled():
    keypoints = np.zeros((2, 17, 3))
    keypoints[0, 3], keypoints[0, 8] = (10, 40, 2), (30, 20, 1)
    people = People.annotated(keypoints, COCO)
    assert people.boxes_xywh.tolist() == [[10, 20, 20, 20], [0, 0, 0, 0]]
    assert people.scores.sum(1).tolist() == [2, 0]


@pytest.mark.parametrize(
    ("field", "shape"), [("keypoints_xy", (3, 16, 2)), ("scores", (2, 17)), ("boxes_xywh", (3, 5)), ("track_ids", (1,))]
)
def test_tensors_of_other_people_are_refused(field, shape):
    with pytest.raises(ValueError, match=rf"{field} must have shape .* got \({shape[0]}, ?"):
        replace(some_people(), **{field: torch.zeros(shape)})


def test_supervision_draws_them():
    supervision = pytest.importorskip("supervision", reason="comes with the extra video")
    people = some_people()
    points = people.to_supervision()
    assert points.xy.shape == (3, 17, 2) and points.data["class_name"] == ["person"] * 3
    scene = np.zeros((220, 220, 3), dtype=np.uint8)
    assert supervision.VertexAnnotator(radius=2).annotate(scene, points).any()


def test_every_form_of_a_person_is_drawn_alike():
    people, photo = some_people(), Image.new("RGB", (220, 220))
    drawn = draw_poses(photo, people).tobytes()
    assert drawn != photo.tobytes()
    assert draw_poses(photo, people.to_dicts(), COCO).tobytes() == drawn
    untracked = replace(people, track_ids=None)  # of post-processing
    assert draw_poses(photo, people.to_tensors(), COCO).tobytes() == draw_poses(photo, untracked).tobytes() != drawn
