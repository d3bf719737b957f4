"""An evaluation cuts crops and decodes heatmaps as the pipeline does: by the processor in the model's folder."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from vitpose import (
    TINY_CHECKPOINT,
    KeypointDetectionPipeline,
    SyntheticPeople,
    ViTPoseForPoseEstimation,
    ViTPoseImageProcessor,
)
from vitpose.training.config.recipe import Recipe
from vitpose.training.evaluation.saved import evaluate_model
from vitpose.training.samples.loaders import EVALUATION_SEED

SIZE = {"height": 128, "width": 96}  # of the tiny checkpoint's crops
FEW = {"eval_people": 4, "num_workers": 0}


def folder_with(path: Path, **settings) -> Path:
    """The tiny checkpoint with a processor of these settings."""
    shutil.copytree(TINY_CHECKPOINT, path)
    ViTPoseImageProcessor(**{"size": SIZE, **settings}).save_pretrained(path)
    return path


def random_settings(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    return {
        "image_mean": rng.uniform(0.3, 0.6, 3).tolist(),
        "image_std": rng.uniform(0.15, 0.4, 3).tolist(),
        "do_normalize": bool(rng.random() < 0.8),
        "rescale_factor": float(rng.uniform(0.8, 1.2) / 255),
        "normalize_factor": float(rng.uniform(150, 250)),
        "dark_sigma": float(rng.uniform(0.5, 2.5)),
        "use_udp": bool(rng.random() < 0.5),
    }


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("flip_test", [False, True])
def test_an_evaluation_finds_the_keypoints_that_the_pipeline_finds(tmp_path, seed, flip_test):
    folder = folder_with(tmp_path / "model", **random_settings(seed))
    evaluation = evaluate_model(str(folder), Recipe.from_fields(**FEW, flip_test=flip_test))
    pipe = KeypointDetectionPipeline.from_pretrained(str(folder), flip_test=flip_test)
    generated = SyntheticPeople(num_people=4, seed=EVALUATION_SEED, style="studio")
    rows = [generated[index] for index in range(4)]
    found = pipe.find_people([row["image"] for row in rows], boxes=[[row["bbox"]] for row in rows])
    for row, people in enumerate(found):
        torch.testing.assert_close(evaluation.people.keypoints_xy[row], people.keypoints_xy[0], atol=1e-3, rtol=0)
        torch.testing.assert_close(evaluation.people.scores[row], people.scores[0], atol=1e-4, rtol=0)


def test_a_processor_that_the_model_was_not_trained_with_costs_precision(tmp_path):
    """It did not show: crops were cut as the recipe has it, whatever the folder said."""
    wrong = folder_with(
        tmp_path / "model", image_mean=[0.1] * 3, image_std=[0.9] * 3, use_udp=False, normalize_factor=100.0
    )
    recipe = Recipe.from_fields(eval_people=20, num_workers=0)
    right, found = (evaluate_model(str(source), recipe) for source in (TINY_CHECKPOINT, wrong))
    assert right.metrics["AP"] > 0.6 > found.metrics["AP"] + 0.3
    assert found.measured["box_padding"] == 2.5


def test_what_an_authors_checkpoint_needs_is_in_its_folder(tmp_path):
    folder = folder_with(tmp_path / "model", dark_sigma=2.0)
    assert evaluate_model(str(folder), Recipe.from_fields(**FEW)).measured["dark_sigma"] == 2.0


def test_an_argument_that_contradicts_the_processor_names_both(tmp_path):
    folder = folder_with(tmp_path / "model", dark_sigma=2.0)
    message = rf"dark_sigma: expected 2\.0, as {folder}/preprocessor_config\.json says, got 0\.8"
    with pytest.raises(ValueError, match=message):
        evaluate_model(str(folder), Recipe.from_fields(**FEW, dark_sigma=0.8))


@pytest.mark.parametrize(
    ("sentence", "settings", "message"),
    [
        (
            "crops of another size",
            {"size": {"height": 256, "width": 192}},
            r"cuts crops of height and width \(256, 192\), the model takes \(128, 96\)",
        ),
        (
            "heatmaps of another size",
            {"heatmap_stride": 8},
            r"heatmap_stride 8 means heatmaps of height and width \(16, 12\), the model gives \(64, 48\)",
        ),
    ],
)
def test_a_processor_that_contradicts_its_model_is_refused_everywhere(tmp_path, sentence, settings, message):
    folder = folder_with(tmp_path / "model", **settings)
    with pytest.raises(ValueError, match=message):
        evaluate_model(str(folder), Recipe.from_fields(**FEW))
    with pytest.raises(ValueError, match=message):
        KeypointDetectionPipeline.from_pretrained(str(folder))


def test_a_folder_without_a_processor_says_what_it_lacks(tmp_path):
    ViTPoseForPoseEstimation.from_pretrained(TINY_CHECKPOINT).save_pretrained(tmp_path / "model")
    with pytest.raises(ValueError, match=r"has no preprocessor_config\.json.*ViTPoseImageProcessor\(size="):
        evaluate_model(str(tmp_path / "model"), Recipe.from_fields(**FEW))


def test_a_setting_of_a_newer_version_is_kept_and_told(tmp_path, caplog):
    folder = folder_with(tmp_path / "model")
    file = folder / "preprocessor_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"super_resolution": 3}))
    processor = ViTPoseImageProcessor.from_pretrained(folder)
    assert "does not know super_resolution = 3" in caplog.text
    processor.save_pretrained(tmp_path / "again")
    assert json.loads((tmp_path / "again" / "preprocessor_config.json").read_text())["super_resolution"] == 3
    with pytest.raises(TypeError, match="super_resolution"):
        ViTPoseImageProcessor(super_resolution=3)
