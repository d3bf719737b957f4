"""Runs that end in the middle, wherever it is: resumed, they equal the unbroken one; nothing older is lost."""

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from accelerate import Accelerator

from vitpose.training.config.recipe import Recipe
from vitpose.training.engine.checkpoints import list_checkpoints
from vitpose.training.engine.objectives import PoseObjective
from vitpose.training.engine.trainer import NonFiniteLossError, Trainer
from vitpose.training.session import run_recipe


class KilledError(Exception):
    """Stands for whatever ends a run in its middle."""


@pytest.fixture
def run_until(monkeypatch: pytest.MonkeyPatch) -> Callable[[Recipe, int], None]:
    """Runs a recipe that is killed in the batch with a number, counted from the start of the first epoch."""
    train_batch = Trainer._train_batch

    def run(recipe: Recipe, batch: int) -> None:
        def killed(self: Trainer, *arguments):
            in_epoch = math.ceil(self.sampler.epoch_length / self.samples_per_batch)
            if self.progress.epoch * in_epoch + self.progress.samples // self.samples_per_batch == batch:
                raise KilledError
            return train_batch(self, *arguments)

        monkeypatch.setattr(Trainer, "_train_batch", killed)
        with pytest.raises(KilledError):
            run_recipe(recipe)
        monkeypatch.setattr(Trainer, "_train_batch", train_batch)

    return run


ACCUMULATED = {"train_people": 10, "batch_size": 2, "gradient_accumulation_steps": 2}  # steps of 4, 4 and 2 people


@pytest.fixture
def mixture(tmp_path, write_people) -> list[dict]:
    (tmp_path / "lspet").mkdir()
    folder = write_people(tmp_path / "lspet", schema="lspet", train=4, val=1)
    part = {"data": "people", "data_dir": str(folder), "schema": "lspet", "train_people": None, "eval_people": None}
    return [{"data": "synthetic", "train_people": 6, "eval_people": 1}, part]


@pytest.mark.parametrize(
    ("sentence", "changes", "kills"),
    [
        ("in each batch of two epochs", {}, range(2, 10)),
        ("batch norm has statistics of its own", {"decoder": "classic"}, (3, 6, 8)),
        ("two workers are ahead with their batches", {"num_workers": 2}, (3, 6, 9)),
        ("a running average of weights and statistics", {"decoder": "classic", "ema_decay": 0.9}, (3, 6, 8)),
        ("half precision", {"mixed_precision": "bf16"}, (3, 6, 8)),
        ("several datasets, two workers", {"mixture": None, "num_workers": 2}, (2, 5, 8)),
    ],
)
def test_a_run_killed_again_and_again_equals_an_unbroken_one(
    make_recipe, mixture, run_until, tmp_path, read_log, assert_same_weights, sentence, changes, kills
):
    fields = {**ACCUMULATED, "epochs": 2, "checkpoint_every": 1, "eval_every": 0, "eval_people": 1, **changes}
    fields |= {"mixture": mixture} if "mixture" in fields else {}
    unbroken = make_recipe(**fields, output_dir=str(tmp_path / "unbroken"))
    run_recipe(unbroken)
    killed = {**fields, "output_dir": str(tmp_path / "killed")}
    for number, batch in enumerate(kills):
        run_until(make_recipe(**killed, resume=number > 0), batch)
    run_recipe(make_recipe(**killed, resume=True))
    assert_same_weights(tmp_path / "unbroken", tmp_path / "killed")
    losses = [
        [
            {name: value for name, value in line.items() if name.startswith(("loss", "step"))}
            for line in read_log(folder)
        ]
        for folder in (tmp_path / "unbroken", tmp_path / "killed")
    ]
    assert losses[0] == losses[1]
    assert [line["step"] for line in losses[0] if "loss" in line] == [1, 2, 3, 4, 5, 6]


def test_a_full_disk_loses_nothing_older(make_recipe, monkeypatch, tmp_path, assert_same_weights):
    fields = {"epochs": 2, "checkpoint_every": 1, "eval_every": 0, "eval_people": 1}
    run_recipe(make_recipe(**fields, output_dir=str(tmp_path / "unbroken")))
    save_state, calls = Accelerator.save_state, itertools.count()

    def full_disk(self, folder, **settings):
        save_state(self, folder, **settings)
        if next(calls) == 3:
            weights = Path(folder, "model.safetensors")
            weights.write_bytes(weights.read_bytes()[:100])
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(Accelerator, "save_state", full_disk)
    recipe = make_recipe(**fields, output_dir=str(tmp_path / "full"))
    with pytest.raises(OSError, match="No space left on device"):
        run_recipe(recipe)
    kept = [path.name for path in list_checkpoints(tmp_path / "full" / "checkpoints")]
    assert kept == ["step-00000002", "step-00000003"]
    monkeypatch.setattr(Accelerator, "save_state", save_state)
    run_recipe(make_recipe(**fields, output_dir=str(tmp_path / "full"), resume=True))
    assert_same_weights(tmp_path / "unbroken", tmp_path / "full")


def test_a_mixture_whose_loss_is_no_number_names_its_samples(make_recipe, mixture, monkeypatch):
    targets, batches = PoseObjective.targets, itertools.count()

    def poisoned(self, batch):
        labels, weights = targets(self, batch)
        if next(batches) == 2:
            labels[0] = math.nan  # one person of the batch
        return labels, weights

    monkeypatch.setattr(PoseObjective, "targets", poisoned)
    recipe = make_recipe(mixture=mixture, checkpoint_every=1, batch_size=3)
    with pytest.raises(NonFiniteLossError, match=r"nan at step 2, .* people \[\d+, \d+, \d+\] of images \[") as error:
        run_recipe(recipe)
    assert "go on from the last checkpoint with --resume" in str(error.value)
    kept = [path.name for path in list_checkpoints(Path(recipe.run.output_dir, "checkpoints"))]
    assert kept == ["step-00000001", "step-00000002"]
