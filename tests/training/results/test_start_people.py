"""The people before a run: kept at its first evaluation, drawn beside those of its last."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from vitpose.modeling.keypoint_schemas import get_keypoint_schema
from vitpose.processing.people_vitpose import People
from vitpose.training.evaluation.score import Evaluation
from vitpose.training.results import run_outputs
from vitpose.training.results.start_people import read_start, save_start
from vitpose.training.session import run_recipe


def evaluation(count: int, *, shift: float = 0.0) -> Evaluation:
    """So many people, whose keypoints lie at (number + shift, 0); the later ones agree better."""
    keypoints = torch.zeros(count, 17, 2)
    keypoints[..., 0] = torch.arange(count)[:, None] + shift
    people = People(
        keypoints_xy=keypoints,
        scores=torch.full((count, 17), 0.5),
        boxes_xywh=torch.tensor([[0.0, 0.0, 10.0, 10.0]]).repeat(count, 1),
        box_scores=torch.ones(count),
        labels=("person",) * count,
        schema=get_keypoint_schema("coco"),
    )
    return Evaluation(metrics={"AP": 0.5}, results=[], people=people, similarity=np.linspace(0, 1, count))


def test_the_people_kept_are_those_that_were_found(tmp_path):
    before, after = evaluation(5), evaluation(5, shift=100.0)
    save_start({"synthetic": before}, tmp_path)
    start = read_start(tmp_path, {"synthetic": after})["synthetic"]
    for row in range(5):
        person, similarity = start.person(row, after.people[[row]])
        assert torch.equal(person.keypoints_xy, before.people[[row]].keypoints_xy)
        assert similarity == before.similarity[row] and person.labels == ("person",)


def test_of_many_people_some_are_kept_from_the_first_to_the_last(tmp_path):
    many = evaluation(1000)
    save_start({"coco": many}, tmp_path)
    rows = read_start(tmp_path, {"coco": many})["coco"].rows
    assert len(rows) == len(set(rows)) == 256 and (rows[0], rows[-1]) == (0, 999)


@pytest.mark.parametrize("evaluations", [{"synthetic": evaluation(6)}, {"coco": evaluation(5)}])
def test_people_of_another_evaluation_are_no_before(tmp_path, evaluations):
    save_start({"synthetic": evaluation(5)}, tmp_path)
    assert read_start(tmp_path, evaluations) == {}


@pytest.fixture
def sheets(monkeypatch) -> list[dict]:
    """What is handed to each sheet of predictions."""
    made: list[dict] = []

    def record(images, people, targets, **named):
        made.append({"images": images, "people": people, "targets": targets, **named})
        return images[0]

    monkeypatch.setattr(run_outputs, "predictions_sheet", record)
    return made


DRAW = run_outputs.draw_predictions  # the one that runs of tests leave out


def test_the_picture_of_a_run_shows_the_same_people_before_and_after(make_recipe, monkeypatch, sheets):
    recipe = make_recipe(learning_rate=1e-2, epochs=2, checkpoint_every=1)
    monkeypatch.setattr(run_outputs, "draw_predictions", DRAW)
    folder = Path(run_recipe(recipe))
    (made,) = sheets
    assert len(made["before"]) == len(made["people"]) == len(made["targets"]) == 4
    assert all(words.startswith("before, OKS ") for words in made["before_captions"])
    assert all(words.startswith("after, OKS ") for words in made["captions"])
    for before, after, target in zip(made["before"], made["people"], made["targets"], strict=True):
        assert torch.equal(before.boxes_xywh, after.boxes_xywh)
        assert not torch.equal(before.keypoints_xy, after.keypoints_xy)
        assert target.schema == after.schema
    run_recipe(recipe.replace(resume=True))  # the same picture again
    kept = json.loads((folder / "start.json").read_text())["synthetic"]
    assert kept["count"] == 4
    assert all(
        torch.equal(*pair) for pair in zip(*([p.keypoints_xy for p in s["before"]] for s in sheets), strict=True)
    )


def test_a_run_that_is_evaluated_at_its_end_alone_has_no_before(make_recipe, monkeypatch, sheets):
    monkeypatch.setattr(run_outputs, "draw_predictions", DRAW)
    folder = Path(run_recipe(make_recipe(eval_every=0)))
    (made,) = sheets
    assert made["before"] is None and made["captions"][0].startswith("predicted, OKS ")
    assert not (folder / "start.json").exists()
