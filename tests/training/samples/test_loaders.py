"""A recipe's data by name: who is trained on, whose boxes are evaluated, and what perfect predictions score."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vitpose.processing.people_vitpose import People
from vitpose.processing.processor_settings_vitpose import ProcessorSettings
from vitpose.training.config.checks import check_recipe
from vitpose.training.config.recipe import Recipe
from vitpose.training.data.loading import get_known_dataset
from vitpose.training.evaluation.score import score
from vitpose.training.samples.loaders import evaluation_people, training_people

SAMPLES = {
    "coco": "test_coco.json",
    "coco_wholebody": "test_coco_wholebody.json",
    "aic": "test_aic.json",
    "crowdpose": "test_crowdpose.json",
    "ochuman": "test_ochuman.json",
    "ap10k": "test_ap10k.json",
}


def recipe_of(name: str, root: Path, samples: Path, **fields) -> Recipe:
    """A recipe of a few real photos, laid out as the dataset's download is."""
    known = get_known_dataset(name)
    split = "test" if name == "crowdpose" else "val"
    place = known.splits[split][0]
    folder = samples / ("coco" if name == "coco_wholebody" else name)
    links = [(folder / SAMPLES[name], place.annotations), (folder, place.images)]
    if split in known.detections:
        boxes = "test_crowdpose_det_AP_40.json" if name == "crowdpose" else "test_coco_det_AP_H_56.json"
        links.append((folder / boxes, known.detections[split]))
    for file, link in links:
        (root / link).parent.mkdir(parents=True, exist_ok=True)
        (root / link).symlink_to(file)
    recipe = Recipe.from_fields(data=name, data_dir=str(root), train_split=split, eval_split=split, **fields)
    check_recipe(recipe)
    return recipe


@pytest.mark.parametrize("name", SAMPLES)
def test_perfect_predictions_of_real_people_score_one(shared_data, tmp_path, name):
    """Of animals too, whose figure is a mean over species: each prediction has its animal's species."""
    recipe = recipe_of(name, tmp_path, shared_data / "samples")
    source = evaluation_people(recipe)
    found = People.annotated([person["keypoints"] for person in source.people], recipe.keypoint_schema)
    found = replace(found, scores=torch.ones_like(found.scores))
    evaluation = score(found, source.people, source.annotations, settings=ProcessorSettings())
    assert evaluation.metrics["AP"] == pytest.approx(1)
    assert len(training_people(recipe)) == len(source.people)


@pytest.mark.parametrize(("name", "boxes"), [("coco", 118), ("crowdpose", 6)])
def test_published_boxes_are_scored_against_everyone(shared_data, tmp_path, name, boxes):
    recipe = recipe_of(name, tmp_path, shared_data / "samples", eval_boxes="published", eval_people=None)
    source = evaluation_people(recipe)
    assert len(source.people) == boxes
    assert not source.annotated_boxes
    assert all("box_score" in person for person in source.people)
    assert len(source.annotations["annotations"]) > len(
        evaluation_people(recipe_of(name, tmp_path / "again", shared_data / "samples")).people
    )
