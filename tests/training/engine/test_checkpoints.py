"""Checkpoints: whole or absent, the newest few kept, and only for the run they belong to."""

import itertools
import json
import shutil
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from vitpose.training.config.recipe import Recipe
from vitpose.training.engine.checkpoints import Progress, list_checkpoints, load_checkpoint, save_checkpoint


@pytest.fixture
def accelerator() -> Accelerator:
    return Accelerator(cpu=True)


@pytest.fixture
def model(accelerator) -> nn.Module:
    model = nn.Linear(2, 2)
    accelerator.prepare(model, torch.optim.AdamW(model.parameters()))
    return model


def save(accelerator: Accelerator, folder: Path, step: int, **changes) -> Path:
    return save_checkpoint(
        accelerator, folder, Progress(epoch=1, samples=8, step=step, seconds=2.5), Recipe.from_fields(**changes)
    )


def names(folder: Path) -> list[str]:
    return [path.name for path in list_checkpoints(folder)]


def test_a_checkpoint_brings_back_weights_and_progress(tmp_path, accelerator, model):
    before = model.weight.detach().clone()
    save(accelerator, tmp_path, 3)
    with torch.no_grad():
        model.weight.zero_()
    progress = load_checkpoint(accelerator, tmp_path, Recipe())
    assert progress == Progress(epoch=1, samples=8, step=3, seconds=2.5)
    assert torch.equal(model.weight, before)


def test_the_newest_checkpoint_counts(tmp_path, accelerator, model):
    for step in (9, 10):
        with torch.no_grad():
            model.weight.fill_(step)
        save(accelerator, tmp_path, step)
    assert load_checkpoint(accelerator, tmp_path, Recipe()).step == 10
    assert model.weight[0, 0] == 10


def test_the_oldest_go(tmp_path, accelerator, model):
    for step in range(1, 5):
        save(accelerator, tmp_path, step, keep_checkpoints=2)
    assert names(tmp_path) == ["step-00000003", "step-00000004"]


def test_a_checkpoint_of_the_same_step_replaces_the_earlier(tmp_path, accelerator, model):
    save_checkpoint(accelerator, tmp_path, Progress(samples=8, step=2), Recipe())
    save_checkpoint(accelerator, tmp_path, Progress(epoch=1, samples=0, step=2), Recipe())
    assert names(tmp_path) == ["step-00000002"]
    assert load_checkpoint(accelerator, tmp_path, Recipe()).epoch == 1


def test_what_a_kill_left_half_written_is_passed_over(tmp_path, accelerator, model):
    save(accelerator, tmp_path, 1)
    partial = tmp_path / ".step-00000002.partial"
    partial.mkdir()
    (partial / "model.safetensors").write_bytes(b"half of it")
    assert load_checkpoint(accelerator, tmp_path, Recipe()).step == 1
    save(accelerator, tmp_path, 2)  # and it is no obstacle to the next
    assert not partial.exists()
    assert load_checkpoint(accelerator, tmp_path, Recipe()).step == 2


@pytest.mark.parametrize("call", range(4))
def test_a_kill_while_a_checkpoint_is_replaced_loses_nothing(tmp_path, accelerator, model, monkeypatch, call):
    """A step is saved before its evaluation and after it; the one checkpoint that is kept is then the only way back."""
    save_checkpoint(accelerator, tmp_path, Progress(samples=8, step=2), Recipe.from_fields(keep_checkpoints=1))
    calls = itertools.count()

    def dies(original):
        def step(*arguments, **choices):
            if next(calls) == call:
                raise KeyboardInterrupt
            return original(*arguments, **choices)

        return step

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", dies(Path.rename))
        patch.setattr(shutil, "rmtree", dies(shutil.rmtree))
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(accelerator, tmp_path, Progress(epoch=1, step=2), Recipe.from_fields(keep_checkpoints=1))
    assert load_checkpoint(accelerator, tmp_path, Recipe.from_fields(keep_checkpoints=1)).step == 2
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000002"]


def test_nothing_to_resume_is_said(tmp_path, accelerator):
    with pytest.raises(FileNotFoundError, match="Nothing to resume: .* holds no checkpoint. Leave --resume out"):
        load_checkpoint(accelerator, tmp_path / "checkpoints", Recipe())


@pytest.mark.parametrize(
    "change",
    [
        {"num_workers": 7},  # augmentation does not depend on who loads a sample
        {"log_every": 3, "checkpoint_every": 5, "keep_checkpoints": 1},
        {"eval_every": 4, "flip_test": False, "eval_people": 10},  # evaluation leaves the weights alone
        {"output_dir": "moved", "resume": True},
    ],
)
def test_a_resumed_run_may_change_what_leaves_the_weights_alone(tmp_path, accelerator, model, change):
    save(accelerator, tmp_path, 1)
    assert load_checkpoint(accelerator, tmp_path, Recipe.from_fields(**change)).step == 1


def test_a_recipe_that_contradicts_the_checkpoint_is_refused_by_its_fields(tmp_path, accelerator, model):
    save(accelerator, tmp_path, 1, learning_rate=1e-3)
    with torch.no_grad():
        before = model.weight.add_(1).clone()
    with pytest.raises(ValueError) as error:
        load_checkpoint(accelerator, tmp_path, Recipe.from_fields(learning_rate=1e-4, seed=1, num_workers=0))
    message = str(error.value)
    assert "run.seed: 0 then, 1 now; optimization.learning_rate: 0.001 then, 0.0001 now" in message
    assert "num_workers" not in message
    assert "Resume with the same values, or start a new run in another output_dir." in message
    assert torch.equal(model.weight, before)  # refused before anything was loaded


def test_another_number_of_processes_is_refused(tmp_path, accelerator, model):
    state = save(accelerator, tmp_path, 1) / "progress.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "processes": 4}))
    with pytest.raises(ValueError, match="processes: 4 then, 1 now"):
        load_checkpoint(accelerator, tmp_path, Recipe())
