"""The training loop: exact to resume, equal in its accumulated batches, learning, and clear when it must stop."""

import itertools
import json
import logging
import math
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from PIL import Image
from torch.optim.optimizer import register_optimizer_step_pre_hook

from vitpose.training import run
from vitpose.training.config.recipe import Recipe
from vitpose.training.data.images import ImageReadError
from vitpose.training.engine.checkpoints import Progress, list_checkpoints
from vitpose.training.engine.objectives import PoseObjective
from vitpose.training.engine.preemption import PreemptedError
from vitpose.training.engine.trainer import NonFiniteLossError, Trainer
from vitpose.training.samples import loaders as assembly
from vitpose.training.session import run_recipe
from vitpose.training.synthetic.people import SyntheticPeople


class PowerCutError(Exception):
    """Stands for whatever ends a run in its middle."""


@contextmanager
def power_cut(method: str, call: int) -> Iterator[None]:
    """Make the trainer's method fail at its n-th call, counted from 0; what is inside must end so."""
    original, calls = getattr(Trainer, method), itertools.count()

    def failing(self, *arguments):
        if next(calls) == call:
            raise PowerCutError
        return original(self, *arguments)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(PowerCutError):
        patch.setattr(Trainer, method, failing)
        yield


def training_lines(log: list[dict]) -> list[dict]:
    return [line for line in log if "loss" in line]


@pytest.mark.parametrize(
    ("changes", "method", "call"),
    [
        # in the middle of the second epoch, after a checkpoint in its middle
        ({"checkpoint_every": 2, "num_workers": 1}, "_train_batch", 5),
        # before the first checkpoint of the second epoch: back to the end of the first
        ({}, "_train_batch", 4),
        # ten people in batches of two by twos: the last step of an epoch has one batch
        (
            {"train_people": 10, "batch_size": 2, "gradient_accumulation_steps": 2, "checkpoint_every": 1},
            "_train_batch",
            8,
        ),
        # in an evaluation, when the epoch's last checkpoint holds all of its samples
        ({"checkpoint_every": 3}, "_evaluate", 1),
        # while the checkpoint after an evaluation is written
        ({"checkpoint_every": 3}, "_save", 1),
        # a decoder with batch norm, whose statistics are part of the state
        ({"decoder": "classic", "checkpoint_every": 2}, "_train_batch", 5),
    ],
)
def test_an_interrupted_run_equals_an_unbroken_one(
    tmp_path, make_recipe, read_log, assert_same_weights, changes, method, call
):
    unbroken, resumed = tmp_path / "unbroken", tmp_path / "resumed"
    run_recipe(make_recipe(**changes, epochs=2, output_dir=str(unbroken)))
    with power_cut(method, call):
        run_recipe(make_recipe(**changes, epochs=2, output_dir=str(resumed)))
    run_recipe(make_recipe(**changes, epochs=2, output_dir=str(resumed), resume=True))

    assert_same_weights(unbroken, resumed)
    ours, theirs = read_log(resumed), read_log(unbroken)
    assert [(line["step"], "eval" in line) for line in ours] == [(line["step"], "eval" in line) for line in theirs]
    losses = [[line["loss"] for line in training_lines(log)] for log in (ours, theirs)]
    assert losses[0] == losses[1]
    figures = [[line["eval"] for line in log if "eval" in line] for log in (ours, theirs)]
    assert figures[0] == figures[1]


@pytest.mark.parametrize(("method", "call"), [("_evaluate", 0), ("_train_batch", 1)])
def test_a_run_that_was_cut_off_before_its_first_checkpoint_begins_anew(make_recipe, read_log, caplog, method, call):
    recipe = make_recipe()
    with power_cut(method, call):
        run_recipe(recipe)
    with pytest.raises(FileNotFoundError, match="Leave --resume out to start"):
        run_recipe(recipe.replace(resume=True))
    run_recipe(recipe)
    assert [line["step"] for line in read_log(recipe.run.output_dir)] == [0, 1, 2, 3, 3]


def pretend_merits(monkeypatch, *merits: float) -> None:
    """Give the evaluations after each epoch merits of one's own."""
    note = Progress.note_merit
    monkeypatch.setattr(Progress, "note_merit", lambda self, merit: note(self, merits[self.epoch - 1]))


def evaluated_steps(log: list[dict]) -> list[int]:
    return [line["step"] for line in log if "eval" in line]


@pytest.mark.parametrize(
    ("sentence", "merits", "epochs"),
    [
        ("the best of the second, and two that are not better", [0.1, 0.3, 0.3, 0.2, 0.9], 4),
        ("a better one begins the count anew", [0.1, 0.0, 0.2, 0.1, 0.3], 5),
        ("what is no number is no improvement", [float("nan"), float("nan"), 0.2, 0.3, 0.4], 2),
    ],
)
def test_a_run_ends_when_its_patience_is_spent(make_recipe, monkeypatch, read_log, caplog, sentence, merits, epochs):
    pretend_merits(monkeypatch, *merits)
    recipe = make_recipe(epochs=5, patience=2)
    with caplog.at_level("INFO", logger="vitpose"):
        run_recipe(recipe)
    assert evaluated_steps(read_log(recipe.run.output_dir)) == [3 * epoch for epoch in range(epochs + 1)]
    assert ("Stopped after epoch" in caplog.text) == (epochs < 5)
    assert Path(recipe.run.output_dir, "model.safetensors").exists()


@pytest.mark.parametrize(("method", "call"), [("_train_batch", 11), ("_evaluate", 4), ("_save", 8)])
def test_patience_is_spent_alike_in_an_interrupted_run(
    tmp_path, make_recipe, monkeypatch, read_log, assert_same_weights, method, call
):
    pretend_merits(monkeypatch, 0.1, 0.3, 0.2, 0.2, 0.1, 0.1)
    unbroken, resumed = (
        make_recipe(epochs=6, patience=3, output_dir=str(tmp_path / name)) for name in ("unbroken", "resumed")
    )
    run_recipe(unbroken)
    with power_cut(method, call):
        run_recipe(resumed)
    run_recipe(resumed.replace(resume=True))
    logs = [read_log(recipe.run.output_dir) for recipe in (unbroken, resumed)]
    assert evaluated_steps(logs[0]) == evaluated_steps(logs[1]) == [0, 3, 6, 9, 12, 15]
    assert_same_weights(tmp_path / "unbroken", tmp_path / "resumed")


def test_a_run_that_stopped_is_finished_and_goes_on_with_more_patience(make_recipe, monkeypatch, read_log):
    pretend_merits(monkeypatch, 0.3, 0.1, 0.2, 0.4)
    recipe = make_recipe(epochs=4, patience=1)
    run_recipe(recipe)
    log = read_log(recipe.run.output_dir)
    run_recipe(recipe.replace(resume=True))
    assert read_log(recipe.run.output_dir) == log and evaluated_steps(log) == [0, 3, 6]
    run_recipe(recipe.replace(resume=True, patience=3))
    assert evaluated_steps(read_log(recipe.run.output_dir)) == [0, 3, 6, 9, 12]


def test_a_finished_run_can_be_resumed(tmp_path, make_recipe, read_log, read_weights):
    recipe = make_recipe()
    run_recipe(recipe)
    before, log = read_weights(recipe.run.output_dir), read_log(recipe.run.output_dir)
    run_recipe(make_recipe(resume=True))
    assert all(torch.equal(value, before[name]) for name, value in read_weights(recipe.run.output_dir).items())
    assert read_log(recipe.run.output_dir) == log


def test_two_processes_interrupted_equal_two_unbroken(two_process_runs, assert_same_weights, read_log):
    assert_same_weights(two_process_runs / "unbroken", two_process_runs / "resumed")
    # 18 people in batches of two on two processes: five steps an epoch, the fifth filled up with the first people
    steps = [line["step"] for line in training_lines(read_log(two_process_runs / "resumed"))]
    assert steps == list(range(1, 11))


def test_drop_path_differs_from_step_to_step_but_not_from_run_to_run(tmp_path, make_recipe, assert_same_weights):
    for name, rate in (("one", 0.5), ("same", 0.5), ("other", 0.0)):
        run_recipe(make_recipe(drop_path_rate=rate, output_dir=str(tmp_path / name)))
    assert_same_weights(tmp_path / "one", tmp_path / "same")
    with pytest.raises(AssertionError):
        assert_same_weights(tmp_path / "one", tmp_path / "other")


def losses_of(recipe: Recipe, read_log: Callable) -> list[float]:
    run_recipe(recipe)
    return [line["loss"] for line in training_lines(read_log(recipe.run.output_dir))]


def test_accumulated_batches_equal_a_big_one(tmp_path, make_recipe, read_log):
    same = {"train_people": 16, "epochs": 3, "drop_path_rate": 0.0, "learning_rate": 1e-3, "eval_every": 0}
    big = losses_of(make_recipe(**same, batch_size=8, output_dir=str(tmp_path / "big")), read_log)
    parts = {"batch_size": 2, "gradient_accumulation_steps": 4, "output_dir": str(tmp_path / "parts")}
    assert losses_of(make_recipe(**same, **parts), read_log) == pytest.approx(big, abs=1e-5, rel=1e-4)
    assert len(big) == 6


def test_samples_of_an_accumulated_step_count_alike(tmp_path, make_recipe, monkeypatch, read_weights):
    """Nine people in batches of 4, 4 and 1 take the step of one batch of nine; Adam would not tell its length."""
    share_of_step, shares = Trainer._share_of_step, []
    monkeypatch.setattr(Trainer, "_share_of_step", lambda *given: shares.append(share_of_step(*given)) or shares[-1])
    whole = make_recipe(train_people=9, batch_size=9, output_dir=str(tmp_path / "whole"))
    parts = {"train_people": 9, "batch_size": 4, "gradient_accumulation_steps": 3}
    for recipe in (whole, make_recipe(**parts, output_dir=str(tmp_path / "parts"))):
        run_recipe(recipe.replace(learning_rate=1e-3, drop_path_rate=0.0))
    assert shares == pytest.approx([1, 4 / 9, 4 / 9, 1 / 9])
    one, other = (read_weights(tmp_path / name) for name in ("whole", "parts"))
    for name, values in one.items():
        torch.testing.assert_close(other[name], values, atol=2e-5, rtol=0, msg=name)


def norms_of_gradients(recipe: Recipe) -> list[float]:
    """The L2 norm of all gradients at each step of a run, as the optimizer gets them."""
    norms = []

    def measure(optimizer: torch.optim.Optimizer, *_: object) -> None:
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        norms.append(torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]).norm().item())

    handle = register_optimizer_step_pre_hook(measure)
    try:
        run_recipe(recipe)
    finally:
        handle.remove()
    return norms


def test_long_gradients_are_scaled_down_unless_the_limit_is_0(tmp_path, make_recipe):
    free = norms_of_gradients(make_recipe(max_grad_norm=0.0, output_dir=str(tmp_path / "free")))
    limit = free[0] / 2
    clipped = norms_of_gradients(make_recipe(max_grad_norm=limit, output_dir=str(tmp_path / "clipped")))
    assert len(clipped) == len(free) == 3
    assert clipped[0] == pytest.approx(limit, rel=0.01)
    assert max(clipped) <= limit * 1.0001


def test_the_gradients_of_a_step_travel_once(make_recipe, monkeypatch):
    """DDP decides in the forward pass whether processes exchange gradients after the backward pass."""
    seen = []
    monkeypatch.setattr(Accelerator, "no_sync", lambda self, model: _noting(seen))
    original = PoseObjective.__call__

    def noted(self, model, batch):
        seen.append("forward")
        return original(self, model, batch)

    monkeypatch.setattr(PoseObjective, "__call__", noted)
    run_recipe(make_recipe(train_people=8, batch_size=4, gradient_accumulation_steps=2, epochs=1))
    assert seen == ["begin", "forward", "end", "forward"]


@contextmanager
def _noting(seen: list[str]) -> Iterator[None]:
    seen.append("begin")
    yield
    seen.append("end")


@pytest.mark.parametrize("method", ["_log", "_evaluate"])
def test_a_notice_in_the_last_step_or_in_an_evaluation_loses_nothing(
    tmp_path, make_recipe, monkeypatch, read_log, assert_same_weights, method
):
    recipe = make_recipe(epochs=2, output_dir=str(tmp_path / "unbroken"))
    run_recipe(recipe)
    noticed = recipe.replace(output_dir=str(tmp_path / "noticed"))
    original, steps = getattr(Trainer, method), itertools.count(1)

    def with_notice(self, *arguments):
        if next(steps) == (3 if method == "_log" else 2):  # 12 people in batches of 4
            os.kill(os.getpid(), signal.SIGTERM)
            if method == "_evaluate":  # and a scheduler that does not wait for its end
                raise PowerCutError
        return original(self, *arguments)

    with monkeypatch.context() as patch, pytest.raises((PreemptedError, PowerCutError)):
        patch.setattr(Trainer, method, with_notice)
        run_recipe(noticed)
    assert [path.name for path in (tmp_path / "noticed" / "checkpoints").iterdir()] == ["step-00000003"]
    run_recipe(noticed.replace(resume=True))
    assert_same_weights(tmp_path / "unbroken", tmp_path / "noticed")
    logs = [[line["step"] for line in read_log(tmp_path / name)] for name in ("unbroken", "noticed")]
    assert logs[0] == logs[1]


def test_gradient_checkpointing_changes_no_loss(tmp_path, make_recipe, read_log):
    plain = losses_of(make_recipe(output_dir=str(tmp_path / "plain")), read_log)
    saving = make_recipe(gradient_checkpointing=True, output_dir=str(tmp_path / "saving"))
    assert losses_of(saving, read_log) == pytest.approx(plain, rel=1e-5)


def test_bf16_stays_close_to_fp32(tmp_path, make_recipe, read_log, read_weights):
    full = losses_of(make_recipe(output_dir=str(tmp_path / "full")), read_log)
    AcceleratorState._reset_state()
    half = make_recipe(mixed_precision="bf16", output_dir=str(tmp_path / "half"))
    assert losses_of(half, read_log) == pytest.approx(full, rel=0.02)
    assert {value.dtype for value in read_weights(half.run.output_dir).values()} == {torch.float32}


def test_it_learns_eight_people(make_recipe, read_log, monkeypatch):
    people = [SyntheticPeople(num_people=8, seed=3, style="studio")[index] for index in range(8)]
    monkeypatch.setattr(assembly, "training_people", lambda recipe: 100 * people)  # drawn once, seen 100 times
    recipe = make_recipe(
        **{"batch_size": 8, "augment": False, "drop_path_rate": 0.0},
        **{"learning_rate": 3e-3, "warmup_steps": 10, "schedule": "cosine"},
    )
    losses = losses_of(recipe, read_log)
    assert len(losses) == 100
    assert losses[-1] < losses[0] / 2


def test_the_log_says_what_a_step_was(make_recipe, read_log):
    recipe = make_recipe(train_people=10, epochs=2, warmup_steps=2, schedule="step", learning_rate=1e-3, log_every=2)
    run_recipe(recipe)
    log = read_log(recipe.run.output_dir)
    lines = training_lines(log)
    # three steps an epoch: every second, and the last of each epoch
    assert [line["step"] for line in lines] == [2, 3, 4, 6]
    assert [line["epoch"] for line in lines] == [0.8, 1.0, 1.4, 2.0]
    assert [line["lr"] for line in lines] == pytest.approx([1e-3 * 0.5005, 1e-3, 1e-3, 1e-3])
    assert all(math.isfinite(line["loss"]) and line["images_per_s"] > 0 for line in lines)
    evaluations = [line for line in log if "eval" in line]
    assert [line["step"] for line in evaluations] == [0, 3, 6]
    assert {"AP", "ARl", "PCK"} <= set(evaluations[0]["eval"])


@pytest.mark.parametrize(("eval_every", "evaluated"), [(1, [0, 3, 6, 9]), (2, [0, 6, 9]), (0, [9])])
def test_the_first_weights_and_the_last_epoch_are_evaluated(make_recipe, read_log, eval_every, evaluated):
    recipe = make_recipe(epochs=3, eval_every=eval_every)
    run_recipe(recipe)
    assert [line["step"] for line in read_log(recipe.run.output_dir) if "eval" in line] == evaluated


def test_a_tracker_that_is_not_installed_is_named(make_recipe):
    with pytest.raises(ValueError, match="report_to: aim is not installed. Install it, or leave report_to out."):
        run_recipe(make_recipe(report_to="aim"))


def test_tensorboard_gets_the_figures(make_recipe):
    pytest.importorskip("tensorboard")
    recipe = make_recipe(report_to="tensorboard")
    run_recipe(recipe)
    assert list(Path(recipe.run.output_dir).rglob("events.out.tfevents.*"))


def test_a_warm_up_longer_than_the_run_is_pointed_out(make_recipe, caplog):
    with caplog.at_level(logging.WARNING):
        run_recipe(make_recipe(warmup_steps=4))
    assert "The warm-up of 4 steps is longer than the run, 3 steps" in caplog.text


def test_a_loss_that_is_not_finite_stops_the_run(make_recipe, monkeypatch):
    targets, batches = PoseObjective.targets, itertools.count()

    def poisoned(self, batch):
        labels, weights = targets(self, batch)
        return (labels * math.nan if next(batches) == 2 else labels), weights

    monkeypatch.setattr(PoseObjective, "targets", poisoned)
    recipe = make_recipe(checkpoint_every=1, epochs=2, keep_checkpoints=3)
    with pytest.raises(NonFiniteLossError) as error:
        run_recipe(recipe)
    message = str(error.value)
    assert "The loss is nan at step 2, learning rate 0.0003, people [" in message
    people = re.search(r"people \[(.*?)\] of images \[(.*?)\]", message)
    assert len(people[1].split(",")) == len(people[2].split(",")) == recipe.optimization.batch_size
    kept = [path.name for path in list_checkpoints(Path(recipe.run.output_dir, "checkpoints"))]
    assert kept == ["step-00000001", "step-00000002"]


@pytest.fixture
def damaged_coco(tmp_path) -> Path:
    """A COCO folder of six photos, one of them cut short in its pixels, where no header shows it."""
    folder, pixels = tmp_path / "coco", np.random.default_rng(0).integers(0, 256, (60, 50, 3), dtype=np.uint8)
    (folder / "annotations").mkdir(parents=True)
    (folder / "train2017").mkdir()
    (folder / "val2017").mkdir()
    people = []
    for number in range(1, 7):
        for split in ("train2017", "val2017"):
            Image.fromarray(pixels).save(folder / split / f"{number}.jpg")
        keypoints = [float(value) for joint in range(17) for value in (10 + joint, 20 + joint, 2)]
        person = {"id": number, "image_id": number, "category_id": 1, "bbox": [5, 5, 40, 50], "area": 900, "iscrowd": 0}
        people.append({**person, "keypoints": keypoints, "num_keypoints": 17})
    whole = folder / "train2017" / "4.jpg"
    whole.write_bytes(whole.read_bytes()[:1500])
    images = [{"id": n, "file_name": f"{n}.jpg", "width": 50, "height": 60} for n in range(1, 7)]
    content = {"images": images, "annotations": people, "categories": [{"id": 1, "name": "person"}]}
    for split in ("train2017", "val2017"):
        (folder / "annotations" / f"person_keypoints_{split}.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_unreadable_photo_stops_the_run_with_its_name(make_recipe, damaged_coco, capsys, monkeypatch, num_workers):
    fields = {"data": "coco", "data_dir": str(damaged_coco), "train_split": "train2017", "eval_split": "val2017"}
    recipe = make_recipe(**fields, train_people=None, batch_size=1, num_workers=num_workers)
    monkeypatch.setattr(run, "parse_recipe", lambda arguments: recipe)
    assert run.main([]) == 2
    shown = capsys.readouterr().err
    assert re.search(
        r"^error: .*4\.jpg: row 3: the image cannot be read: .*Replace it or remove its people\.$", shown, re.M
    )
    assert "Traceback" not in shown


def test_an_unreadable_photo_is_an_error_of_its_own_kind(make_recipe, damaged_coco):
    fields = {"data": "coco", "data_dir": str(damaged_coco), "train_split": "train2017", "eval_split": "val2017"}
    with pytest.raises(ImageReadError, match=r"4\.jpg"):
        run_recipe(make_recipe(**fields, train_people=None))
