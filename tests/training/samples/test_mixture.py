"""Several datasets in one run: who is drawn how often, batches of people with different keypoints, one loss of all."""

import json
from collections import Counter
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from matplotlib.figure import Figure

from vitpose import ViTPoseForPoseEstimation, write_model_card
from vitpose.training.config.parsing import load_recipe_file
from vitpose.training.engine.model_building import build_model
from vitpose.training.engine.objectives import PoseObjective
from vitpose.training.engine.trainer import Trainer
from vitpose.training.pictures.curves import _draw_loss
from vitpose.training.pictures.curves import read_log as read_training_lines
from vitpose.training.samples.loaders import MixtureSampler, build_training_loader
from vitpose.training.samples.mixture import collate_mixed
from vitpose.training.samples.settings import training_settings
from vitpose.training.session import run_recipe


@pytest.fixture(scope="module")
def lspet_folder(tmp_path_factory, write_people) -> Path:
    return write_people(tmp_path_factory.mktemp("lspet"), schema="lspet", train=10, val=3)


@pytest.fixture
def mixture(lspet_folder) -> list[dict]:
    lspet = {"data": "people", "data_dir": str(lspet_folder), "schema": "lspet", "rate": 1.5}
    return [{"data": "synthetic", "train_people": 12, "eval_people": 4}, {**lspet, "train_people": None}]


def draws(sampler: MixtureSampler) -> list[tuple[int, int]]:
    return [(part, index) for _, (part, index) in sampler]


def test_an_epoch_draws_each_dataset_at_its_rate():
    sampler = MixtureSampler([10, 20, 100], [1.0, 2.5, 0.1], seed=0)
    drawn = Counter((part, index % (10, 20, 100)[part]) for part, index in draws(sampler))
    assert len(sampler) == 10 + 50 + 10
    assert {drawn[0, index] for index in range(10)} == {1}
    assert Counter(drawn[1, index] for index in range(20)) == {2: 10, 3: 10}
    assert sum(drawn[2, index] for index in range(100)) == 10


def test_the_order_follows_from_seed_and_epoch():
    first, same, other = (MixtureSampler([50, 30], [1.0, 0.5], seed=seed) for seed in (0, 0, 1))
    assert draws(first) == draws(same) != draws(other)
    early = draws(first)
    first.set_epoch(1)
    assert draws(first) != early
    assert {i for p, i in draws(first) if p == 1} != {i for p, i in early if p == 1}, "other people of those half drawn"


def test_a_resumed_epoch_goes_on_where_it_was():
    whole, rest = (MixtureSampler([50, 30], [1.0, 0.5], seed=0, multiple=4) for _ in range(2))
    rest.skip(20)
    assert draws(rest) == draws(whole)[20:]
    assert len(draws(whole)) == 68


def test_a_batch_is_as_wide_as_its_largest_schema():
    def sample(num_keypoints: int) -> dict:
        points = {"keypoints_crop": torch.ones(num_keypoints, 2), "visibility": torch.ones(num_keypoints)}
        return {**points, "dataset_index": num_keypoints - 14}

    batch = collate_mixed([sample(14), sample(17)])
    assert batch["keypoints_crop"].shape == (2, 17, 2)
    assert batch["visibility"].tolist() == [[1] * 14 + [0] * 3, [1] * 17]
    assert batch["dataset_index"].tolist() == [0, 3]


def test_a_person_drawn_twice_is_augmented_twice(make_recipe, mixture):
    recipe = make_recipe(mixture=[mixture[0], {**mixture[1], "rate": 2.0}])
    config = build_model(recipe).config
    loader, _ = build_training_loader(recipe, Accelerator(), config, training_settings(recipe, config))
    first, again = loader.dataset[0, (1, 3)], loader.dataset[0, (1, 13)]
    assert first["person_id"] == again["person_id"]
    assert not torch.equal(first["matrix"], again["matrix"])
    assert torch.equal(again["matrix"], loader.dataset[0, (1, 13)]["matrix"])


def test_samples_come_in_the_order_asked_for(make_recipe, mixture):
    recipe = make_recipe(mixture=mixture)
    config = build_model(recipe).config
    dataset = build_training_loader(recipe, Accelerator(), config, training_settings(recipe, config))[0].dataset
    keys = [(0, (1, 2)), (0, (0, 5)), (1, (1, 2)), (0, (1, 0))]
    for key, together in zip(keys, dataset.__getitems__(keys), strict=True):
        alone = dataset[key]
        assert together["part"] == key[1][0]
        torch.testing.assert_close(alone, together)


@pytest.mark.parametrize("weights", [False, True], ids=["plain", "with joint weights"])
def test_the_loss_of_a_mixed_batch_is_that_of_its_parts(make_recipe, mixture, weights):
    recipe = make_recipe(mixture=mixture, use_joint_weights=weights, batch_size=27)
    model = build_model(recipe).eval()
    settings = training_settings(recipe, model.config)
    loader, _ = build_training_loader(recipe, Accelerator(), model.config, settings)
    (batch,) = loader
    objective, indices = (
        PoseObjective(recipe=recipe, config=model.config, settings=settings),
        batch["dataset_index"],
    )
    assert sorted(Counter(indices.tolist()).values()) == [12, 15]
    whole = objective(model, batch)
    for index, count in ((0, 17), (1, 14)):
        own = {name: values[indices == index] for name, values in batch.items()}
        own["keypoints_crop"], own["visibility"] = own["keypoints_crop"][:, :count], own["visibility"][:, :count]
        torch.testing.assert_close(whole[indices == index], objective(model, own))


def test_the_log_has_the_loss_of_each_dataset(make_recipe, mixture, read_log):
    """An epoch of 27 people in one step, whose losses are those of the first weights."""
    recipe = make_recipe(mixture=mixture, batch_size=27, drop_path_rate=0.0)
    (line,) = (line for line in read_log(run_recipe(recipe)) if "loss" in line)
    model = build_model(recipe)
    settings = training_settings(recipe, model.config)
    (batch,) = build_training_loader(recipe, Accelerator(), model.config, settings)[0]
    losses = PoseObjective(recipe=recipe, config=model.config, settings=settings)(model, batch)
    assert line["loss"] == pytest.approx(losses.mean().item(), rel=1e-4)
    for part, name in enumerate(("synthetic", "people")):
        assert line[f"loss/{name}"] == pytest.approx(losses[batch["part"] == part].mean().item(), rel=1e-4)


def test_the_loss_of_each_dataset_is_drawn(tmp_path):
    lines = [{"step": step, "lr": 1e-3, "loss": 1 / step, "loss/coco": 0.9 / step} for step in range(1, 30)]
    lines[20]["loss/mpii"] = 0.5  # a small share: in one window alone
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    axes = Figure().add_subplot()
    _draw_loss(axes, read_training_lines(tmp_path / "log.jsonl")[0])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["all", "coco", "mpii"]


def test_a_run_leaves_the_figures_of_each_dataset(make_recipe, mixture, read_log):
    folder = run_recipe(make_recipe(mixture=mixture, epochs=1), write_card=write_model_card)
    metrics = json.loads((folder / "metrics.json").read_text())
    assert {"synthetic/AP", "synthetic/PCK", "people/AP", "people/PCK"} <= metrics.keys()
    assert set(metrics["settings"]) == {"synthetic", "people"}
    assert (folder / "results_people.json").exists() and (folder / "predictions_synthetic.png").exists()
    assert "people/AP" in read_log(folder)[-1]["eval"]
    model = ViTPoseForPoseEstimation.from_pretrained(folder)
    assert model.config.dataset_names == ["coco", "lspet"]
    assert model.config.backbone_config.num_experts == 2
    assert "synthetic/AP" in (folder / "README.md").read_text()


def test_datasets_of_the_same_keypoints_share_a_head(make_recipe, mixture):
    twice = [mixture[0], {**mixture[0], "data_dir": None, "style": "street"}]
    recipe = make_recipe(mixture=[mixture[0], {**mixture[1], "schema": None}])
    assert [schema.name for schema in recipe.keypoint_schemas] == ["coco"]
    assert build_model(recipe).config.num_datasets == 1
    with pytest.raises(ValueError, match="expected each dataset once"):
        make_recipe(mixture=twice)


@pytest.mark.parametrize("experts", ["partially_shared", "independent", "independent_and_shared", "none"])
def test_every_kind_of_experts_trains_all_its_parts(make_recipe, mixture, experts):
    recipe = make_recipe(mixture=mixture, experts=experts, batch_size=8)
    model = build_model(recipe)
    settings = training_settings(recipe, model.config)
    loader, _ = build_training_loader(recipe, Accelerator(), model.config, settings)
    batch = next(iter(loader))
    assert len(batch["dataset_index"].unique()) == 2
    PoseObjective(recipe=recipe, config=model.config, settings=settings)(model, batch).mean().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_an_interrupted_mixture_equals_an_unbroken_one(
    make_recipe, mixture, tmp_path, monkeypatch, assert_same_weights
):
    fields = {"mixture": mixture, "epochs": 2, "checkpoint_every": 2}
    unbroken = run_recipe(make_recipe(**fields, output_dir=str(tmp_path / "unbroken")))
    train_batch, left = Trainer._train_batch, list(range(10))

    def interrupted(self, *arguments):
        left.pop()
        return train_batch(self, *arguments)

    monkeypatch.setattr(Trainer, "_train_batch", interrupted)
    with pytest.raises(IndexError):
        run_recipe(make_recipe(**fields, output_dir=str(tmp_path / "resumed")))
    monkeypatch.setattr(Trainer, "_train_batch", train_batch)
    resumed = run_recipe(make_recipe(**fields, output_dir=str(tmp_path / "resumed"), resume=True))
    assert_same_weights(unbroken, resumed)


def test_experts_start_from_a_model_of_one_dataset(make_recipe, mixture, tmp_path):
    dense = run_recipe(make_recipe(output_dir=str(tmp_path / "dense")))
    model = build_model(make_recipe(mixture=mixture, init_from=str(dense))).eval()
    alone = ViTPoseForPoseEstimation.from_pretrained(dense).eval()
    crops = torch.randn(2, 3, 64, 48)
    with torch.no_grad():
        torch.testing.assert_close(model(crops, dataset_index=0).heatmaps, alone(crops).heatmaps, atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="with experts 'none' heads cannot start from it"):
        build_model(make_recipe(mixture=mixture, init_from=str(dense), experts="none"))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        pytest.param({"data": "cocoo"}, r"entry 1: dataset.data: expected one of", id="an unknown dataset"),
        pytest.param({"dat": "coco"}, r"entry 1: expected one of .*, got 'dat'. Did you mean 'data'", id="a typo"),
        pytest.param({"data": "coco"}, r"entry 1: dataset.data_dir: expected where the data is", id="no folder"),
        pytest.param({"learning_rate": 1.0}, r"entry 1: expected one of .*, got 'learning_rate'", id="not of the data"),
        pytest.param({"rate": 0}, "entry 1: expected a rate above 0, got 0", id="a rate of 0"),
        pytest.param({"rate": "2"}, "entry 1: expected a rate above 0, got '2'", id="a rate in quotes"),
        pytest.param({"data": 7}, r"entry 1: dataset.data: expected str, got 7", id="a number"),
    ],
)
def test_mistakes_in_a_mixture_are_named(make_recipe, mixture, entry, message):
    with pytest.raises(ValueError, match=message):
        make_recipe(mixture=[mixture[0], entry])


def test_a_mixture_comes_from_a_recipe_file(tmp_path):
    file = tmp_path / "two.yaml"
    file.write_text("mixture:\n- {data: synthetic}\n- {data: mpii, data_dir: data/mpii, rate: 0.5}\n")
    assert load_recipe_file(file)["dataset.mixture"][1] == {"data": "mpii", "data_dir": "data/mpii", "rate": 0.5}
