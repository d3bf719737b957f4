"""Pre-training runs: a folder to start pose models from, exact to resume, on people or on whole images."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from huggingface_hub import ModelCard
from PIL import Image

from vitpose import (
    ViTPoseForMaskedImageModeling,
    ViTPoseImageProcessor,
    get_keypoint_schema,
    write_pretraining_card,
)
from vitpose.processing.processor_settings_vitpose import ProcessorSettings
from vitpose.training import run
from vitpose.training.config.checks import check_recipe
from vitpose.training.config.parsing import parse_recipe
from vitpose.training.config.recipe import Recipe
from vitpose.training.engine.model_building import build_model, build_pretraining_model
from vitpose.training.engine.trainer import Trainer
from vitpose.training.results import masked_image_outputs as pretraining_outputs
from vitpose.training.results.masked_image import _training_loader, masked_image_losses
from vitpose.training.samples.picture import PictureDataset, one_row_an_image, random_resized_crop
from vitpose.training.samples.pose import PoseDataset
from vitpose.training.session import run_recipe
from vitpose.training.synthetic.people import SyntheticPeople

SETTINGS = ProcessorSettings(crop_size=(64, 48))


@pytest.fixture
def make_mae_recipe(make_recipe, monkeypatch):
    """Makes the recipe of a small pre-training run; its two decoder blocks are those of the tiny preset."""
    monkeypatch.setattr(pretraining_outputs, "save_curves", lambda log, png: None)
    return lambda **changes: make_recipe(**{"task": "masked_image_modeling", "adam_beta2": 0.95, **changes})


def test_the_shipped_tiny_recipe_runs_and_a_pose_model_starts_from_its_folder(tmp_path, monkeypatch) -> None:
    sizes = ["--image_height", "64", "--image_width", "48", "--num_workers", "0", "--eval_people", "4"]
    few = [*sizes, "--train_people", "16", "--batch_size", "8", "--warmup_steps", "1"]
    output = tmp_path / "mae"
    assert run.main(["mae_tiny.yaml", *few, "--output_dir", str(output)]) == 0
    files = {path.name for path in output.iterdir()}
    assert {"model.safetensors", "config.json", "preprocessor_config.json", "README.md", "metrics.json"} <= files
    assert {"curves.png", "reconstructions.png", "log.jsonl", "checkpoints"} <= files
    assert not list(output.rglob("*.partial*"))

    metrics = json.loads((output / "metrics.json").read_text())
    assert 0.3 < metrics["reconstruction_loss"] < 3
    card = ModelCard.load(output / "README.md")
    assert card.data.eval_results[0].metric_value == round(metrics["reconstruction_loss"], 4)
    assert "mae_tiny.yaml" in card.text or "pytest" in card.text
    model, crops = ViTPoseForMaskedImageModeling.from_pretrained(output), torch.zeros(1, 3, 64, 48)
    assert model.reconstruct(crops).reconstructed.shape == crops.shape
    assert ViTPoseImageProcessor.from_pretrained(output).size == {"height": 64, "width": 48}
    with Image.open(output / "reconstructions.png") as picture:
        assert picture.width > picture.height > 100

    pose = build_model(parse_recipe([*few, "--init_from", str(output)]))
    ours, theirs = pose.backbone.state_dict(), model.backbone.state_dict()
    assert all(torch.equal(ours[name], value) for name, value in theirs.items())
    assert run.main([*few, "--init_from", str(output), "--output_dir", str(tmp_path / "pose")]) == 0


@pytest.mark.parametrize("mixed", [False, True], ids=["one dataset", "a mixture"])
def test_a_pre_training_stopped_in_mid_epoch_and_resumed_equals_an_unbroken_one(
    make_mae_recipe, mixture, tmp_path, assert_same_weights, read_log, mixed
) -> None:
    changes = {"epochs": 2, "checkpoint_every": 2, "mixture": mixture if mixed else []}
    run_recipe(make_mae_recipe(**changes, output_dir=str(tmp_path / "unbroken")))
    resumed = make_mae_recipe(**changes, output_dir=str(tmp_path / "resumed"))
    train_batch, left = Trainer._train_batch, list(range(4))
    with pytest.MonkeyPatch.context() as patch, pytest.raises(IndexError):
        patch.setattr(Trainer, "_train_batch", lambda *given: (left.pop(), train_batch(*given))[1])
        run_recipe(resumed)
    run_recipe(make_mae_recipe(**changes, output_dir=str(tmp_path / "resumed"), resume=True))
    assert_same_weights(tmp_path / "unbroken", tmp_path / "resumed")
    names = ("loss", "loss/synthetic", "loss/people")
    losses = [
        [[line.get(name) for name in names] for line in read_log(tmp_path / run)] for run in ("unbroken", "resumed")
    ]
    assert losses[0] == losses[1]


def test_it_learns_to_paint(make_mae_recipe, read_log) -> None:
    recipe = make_mae_recipe(train_people=8, batch_size=8, epochs=60, learning_rate=3e-3, eval_every=0, augment=False)
    run_recipe(recipe)
    losses = [line["loss"] for line in read_log(recipe.run.output_dir) if "loss" in line]
    assert losses[-1] < 0.8 * losses[0]


@pytest.fixture
def mixture(tmp_path, write_people) -> list[dict]:
    """Two datasets, of other keypoints each; an epoch draws 12 people of one and 5 of 10 of the other."""
    (tmp_path / "lspet").mkdir()
    folder = write_people(tmp_path / "lspet", schema="lspet", train=10, val=3)
    lspet = {"data": "people", "data_dir": str(folder), "schema": "lspet", "train_people": None, "rate": 0.5}
    return [{"data": "synthetic", "train_people": 12, "eval_people": 4}, lspet]


def test_a_mixture_of_datasets_is_pre_trained_on_at_their_rates(make_mae_recipe, mixture, read_log) -> None:
    """An epoch of 17 people in one step, whose losses are those of the first weights."""
    recipe = make_mae_recipe(mixture=mixture, batch_size=17)
    folder = run_recipe(recipe, write_card=write_pretraining_card)
    model = build_pretraining_model(recipe)
    ((batch,), _) = _training_loader(recipe, Accelerator(), model.config)
    assert Counter(batch["part"].tolist()) == {0: 12, 1: 5} and "dataset_index" not in batch
    losses = masked_image_losses(model, batch)
    before, line = read_log(folder)[:2]
    assert before["step"] == 0 and before["eval"]
    assert line["loss"] == pytest.approx(losses.mean().item(), rel=1e-4)
    for part, name in enumerate(("synthetic", "people")):
        assert line[f"loss/{name}"] == pytest.approx(losses[batch["part"] == part].mean().item(), rel=1e-4)

    metrics = json.loads((folder / "metrics.json").read_text())
    expected = {f"{name}/reconstruction_loss" for name in ("synthetic", "people")}
    assert metrics.keys() == {*expected, "settings"}
    results = ModelCard.load(folder / "README.md").data.eval_results
    assert {result.dataset_name: result.metric_value for result in results} == {
        name: round(metrics[f"{name}/reconstruction_loss"], 4) for name in ("synthetic", "people")
    }
    assert (folder / "reconstructions.png").exists()


def test_a_person_drawn_twice_is_cropped_and_hidden_twice() -> None:
    dataset = pictures()
    first, again = dataset[1, 2], dataset[1, 6]
    assert first["person_id"] == again["person_id"] and first["index"] == again["index"] == 2
    assert not torch.equal(first["noise"], again["noise"])


def test_a_batchs_loss_is_the_mean_of_its_crops(make_mae_recipe) -> None:
    model = build_pretraining_model(make_mae_recipe())
    samples = [pictures()[index] for index in range(4)]
    batch = {name: torch.stack([sample[name] for sample in samples]) for name in ("pixel_values", "noise")}
    losses = masked_image_losses(model, batch)
    torch.testing.assert_close(losses.mean(), model(**batch).loss)
    alone = torch.stack([model(**{name: value[[crop]] for name, value in batch.items()}).loss for crop in range(4)])
    torch.testing.assert_close(losses, alone)


ROWS = [
    {"image": Image.new("RGB", (90, 60), colour), "image_id": image, "person_id": person, "width": 90, "height": 60}
    | {"bbox": [10.0 * person, 5.0, 20.0, 40.0]}
    for person, (image, colour) in enumerate([(7, "red"), (7, "red"), (8, "blue"), (9, "green")])
]


def pictures(**changes) -> PictureDataset:
    fields = {"crops": "people", "settings": SETTINGS, "num_patches": 48, "augment": True, "seed": 1}
    return PictureDataset(ROWS, **{**fields, **changes})


def test_each_image_is_cropped_once() -> None:
    assert len(pictures()) == 4
    dataset = pictures(crops="images")
    assert [dataset[index]["image_id"] for index in range(len(dataset))] == [7, 8, 9]
    assert len(one_row_an_image(SyntheticPeople(num_people=5, seed=1))) == 5


def test_a_sample_is_a_function_of_seed_epoch_and_index() -> None:
    one, same, other = pictures(), pictures(), pictures(seed=2)
    for name in ("pixel_values", "noise"):
        assert torch.equal(one[3, 2][name], same[3, 2][name])
        for different in (one[4, 2], one[3, 1], other[3, 2]):
            assert not torch.equal(one[3, 2][name], different[name]) or name == "pixel_values"


def test_without_augmentation_a_person_is_cropped_as_for_pose() -> None:
    people = [SyntheticPeople(num_people=3, seed=3)[index] for index in range(3)]
    ours = PictureDataset(people, crops="people", settings=SETTINGS, num_patches=48, augment=False)
    pose = PoseDataset(people, schema=get_keypoint_schema("coco"), settings=ours.settings, augmentation=None)
    for index in range(3):
        torch.testing.assert_close(ours[index]["pixel_values"], pose[index]["pixel_values"])
    restored = ours.pictures(ours[0]["pixel_values"][None])
    assert restored.shape == (1, 64, 48, 3) and restored.dtype == np.uint8


def test_without_augmentation_an_image_is_cropped_at_its_middle() -> None:
    sample = pictures(crops="images", augment=False)[0]
    assert sample["pixel_values"].std(dim=(1, 2)).max() < 1e-5  # nothing but the red of the image, no border


def test_random_resized_crops_stay_inside_and_cover_the_papers_range() -> None:
    rng = np.random.default_rng(0)
    center, size = torch.tensor([50.0, 40.0], dtype=torch.float64), torch.tensor([60.0, 80.0], dtype=torch.float64)
    parts = [random_resized_crop(center, size, aspect=0.75, rng=rng) for _ in range(500)]
    for place, part in parts:
        assert ((place - part / 2) >= center - size / 2 - 1e-9).all()
        assert ((place + part / 2) <= center + size / 2 + 1e-9).all()
    shares = np.array([float((part / size).prod()) for _, part in parts])
    ratios = np.array([float(part[0] / part[1]) / 0.75 for _, part in parts])
    assert 0.2 <= shares.min() < 0.25 and 0.9 < shares.max() <= 1
    assert 0.74 < ratios.min() < 0.8 and 1.25 < ratios.max() < 1.34


MISTAKES = [
    ({"init_from": "tiny"}, "transfer.init_from: expected 'none', as pre-training starts from random weights"),
    ({"decoder": "classic"}, "model.decoder: expected 'simple', as no keypoint is learned, got 'classic'"),
    ({"freeze": "ffn"}, "transfer.freeze: expected 'none', as no keypoint is learned, got 'ffn'"),
    ({"rotation_deviation": 40.0}, "augmentation.rotation_deviation: expected 10.0, as no keypoint is learned"),
    ({"experts": "none"}, "model.experts: expected 'partially_shared', as no keypoint is learned, got 'none'"),
    ({"adam_beta2": 1.0}, "optimization.adam_beta2: expected 0 or more and less than 1, got 1.0"),
    (
        {"task": "pose", "crops": "images"},
        "dataset.crops: expected 'people', as images are for masked_image_modeling",
    ),
]


@pytest.mark.parametrize(("changes", "message"), MISTAKES)
def test_a_contradiction_is_named(changes, message) -> None:
    with pytest.raises(ValueError) as error:
        check_recipe(Recipe.from_fields(**{"task": "masked_image_modeling", "init_from": "none", **changes}))
    assert message in str(error.value)


def test_a_pre_trained_folder_is_no_pose_model(make_mae_recipe, make_recipe) -> None:
    recipe = make_mae_recipe()
    run_recipe(recipe)
    with pytest.raises(ValueError, match=r"Missing: encoder\.layer\.2\..* Choose the preset"):
        build_model(make_recipe(init_from=recipe.run.output_dir, num_hidden_layers=3))
    with pytest.raises(ValueError, match="expected a trained pose model, the teacher, got a backbone alone"):
        build_model(make_recipe(task="knowledge_token", init_from=recipe.run.output_dir, output_dir=str(Path("other"))))
