"""The best model of a run: which one is kept, that a resumed run neither loses nor worsens it, that it is ready."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from vitpose import ViTPoseForPoseEstimation, ViTPoseImageProcessor
from vitpose.training.engine.trainer import Trainer
from vitpose.training.evaluation.measured import mean_merit
from vitpose.training.evaluation.score import Evaluation
from vitpose.training.results import best_model
from vitpose.training.results.best_model import best_metric
from vitpose.training.session import run_recipe


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[float]], None]:
    """Give the evaluations of a run's epochs main figures of one's own; returns those."""

    def install(figures: Sequence[float]) -> None:
        def evaluate(self: Trainer) -> dict[str, Evaluation]:
            figure = figures[self.progress.epoch - 1]
            measured = {name: evaluator.measured() for name, evaluator in self.evaluators.items()}
            return {
                name: Evaluation(metrics={"AP": figure}, results=[], people=None, similarity=None, measured=own)
                for name, own in measured.items()
            }

        monkeypatch.setattr(Trainer, "_evaluate", evaluate)
        for name in ("write_outputs", "save_start"):
            monkeypatch.setattr(f"vitpose.training.results.pose.{name}", lambda *arguments, **named: None)

    return install


def kept(recipe) -> dict:
    return json.loads(Path(recipe.run.output_dir, "best", "metrics.json").read_text())


@pytest.mark.parametrize(
    ("sentence", "figures", "epoch"),
    [
        ("the second of three is best", [0.1, 0.3, 0.2], 2),
        ("of equal ones the earlier stays", [0.1, 0.3, 0.3], 2),
        ("one that is no number is never best", [float("nan"), 0.1, float("nan")], 2),
        ("COCO's -1, where nothing could be measured, is worse than any", [-1.0, 0.0, -1.0], 2),
    ],
)
def test_the_best_evaluation_is_kept(make_recipe, pretend, sentence, figures, epoch):
    pretend(figures)
    recipe = make_recipe(epochs=3)
    run_recipe(recipe)
    assert (kept(recipe)["epoch"], kept(recipe)["step"]) == (epoch, 3 * epoch)
    assert kept(recipe)["main"] == figures[epoch - 1]


@pytest.mark.parametrize("change", [{"flip_test": False}, {"eval_people": 5}])
def test_a_figure_measured_otherwise_is_no_rival(make_recipe, pretend, monkeypatch, caplog, change):
    pretend([0.3, 0.1])
    train_batch, calls = Trainer._train_batch, list(range(4))

    def failing(self, *arguments):
        calls.pop()  # IndexError in the second epoch
        return train_batch(self, *arguments)

    monkeypatch.setattr(Trainer, "_train_batch", failing)
    with pytest.raises(IndexError):
        run_recipe(make_recipe(epochs=2))
    monkeypatch.setattr(Trainer, "_train_batch", train_batch)
    recipe = make_recipe(epochs=2, resume=True, **change)
    run_recipe(recipe)
    assert (kept(recipe)["epoch"], kept(recipe)["main"]) == (2, 0.1)
    aside = json.loads(Path(recipe.run.output_dir, "best-until-step-3", "metrics.json").read_text())
    assert aside["main"] == 0.3 and "was measured otherwise" in caplog.text


def test_the_folder_is_a_model_of_its_epoch(make_recipe, pretend, tmp_path, assert_same_weights):
    pretend([0.3, 0.1])
    same = {"schedule": "step", "eval_every": 1}  # whose learning rate does not depend on the number of epochs
    long, short = (make_recipe(**same, epochs=n, output_dir=str(tmp_path / str(n))) for n in (2, 1))
    run_recipe(long)
    run_recipe(short)
    best = Path(long.run.output_dir, "best")
    assert_same_weights(best, Path(short.run.output_dir, "best"))
    assert ViTPoseForPoseEstimation.from_pretrained(best).config.image_size == (64, 48)
    assert ViTPoseImageProcessor.from_pretrained(best).size == {"height": 64, "width": 48}
    assert {"settings", "AP", "main", "step", "epoch"} <= kept(long).keys()
    assert not list(Path(long.run.output_dir).glob(".best*"))


@pytest.mark.parametrize("method", ["_save", "_train_batch"])
def test_a_resumed_run_keeps_what_an_unbroken_one_keeps(
    make_recipe, pretend, tmp_path, monkeypatch, assert_same_weights, method
):
    """Interrupted between the best model and its checkpoint, and in the epoch after it."""
    pretend([0.1, 0.5, 0.2])
    unbroken = make_recipe(epochs=3, output_dir=str(tmp_path / "unbroken"))
    run_recipe(unbroken)
    original, fails = getattr(Trainer, method), {"_save": 3, "_train_batch": 7}[method]
    calls = list(range(fails))

    def failing(self, *arguments):
        calls.pop()
        return original(self, *arguments)

    monkeypatch.setattr(Trainer, method, failing)
    resumed = make_recipe(epochs=3, output_dir=str(tmp_path / "resumed"))
    with pytest.raises(IndexError):
        run_recipe(resumed)
    monkeypatch.setattr(Trainer, method, original)
    assert kept(resumed)["epoch"] == 2
    run_recipe(make_recipe(epochs=3, output_dir=str(tmp_path / "resumed"), resume=True))
    assert_same_weights(Path(unbroken.run.output_dir, "best"), Path(resumed.run.output_dir, "best"))
    assert kept(resumed) == kept(unbroken)


def test_a_better_model_that_cannot_be_written_leaves_the_earlier(make_recipe, pretend, monkeypatch):
    pretend([0.1, 0.5])
    save_model, calls = best_model.save_model, iter(range(1))

    def full_disk(*arguments):
        save_model(*arguments)
        if next(calls, None) is None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(best_model, "save_model", full_disk)
    recipe = make_recipe(epochs=2)
    with pytest.raises(OSError, match="No space left"):
        run_recipe(recipe)
    assert kept(recipe)["epoch"] == 1
    ViTPoseForPoseEstimation.from_pretrained(Path(recipe.run.output_dir, "best"))
    monkeypatch.setattr(best_model, "save_model", save_model)
    run_recipe(make_recipe(epochs=2, resume=True))
    assert kept(recipe)["epoch"] == 2


def test_a_kill_between_two_renames_loses_nothing(make_recipe, pretend):
    pretend([0.5, 0.1])
    recipe = make_recipe(epochs=2)
    best = Path(recipe.run.output_dir, "best")
    run_recipe(make_recipe(epochs=2))
    best.rename(best.with_name(".best.old"))
    run_recipe(make_recipe(epochs=2, resume=True))
    assert kept(recipe)["epoch"] == 1


def test_a_mixture_is_judged_by_the_mean():
    evaluations = {
        name: Evaluation(metrics=metrics, results=[], people=None, similarity=None)
        for name, metrics in (("coco", {"AP": 0.7, "AP50": 0.9}), ("mpii", {"PCKh": 0.9, "PCKh_head": 1.0}))
    }
    assert mean_merit(evaluations) == pytest.approx(0.8)


def test_the_summary_names_the_folder_and_the_command(make_recipe, caplog):
    recipe = make_recipe()
    with caplog.at_level("INFO", logger="vitpose"):
        run_recipe(recipe)
    best = Path(recipe.run.output_dir, "best")
    assert f"best     {best}, {best_metric(best):.4f} after epoch 1, step 3" in caplog.text
    assert f"publish  vitpose publish {best.parent} --repo YOUR_NAME/run" in caplog.text


def test_a_run_may_keep_none_and_a_left_one_is_no_start(make_recipe, tmp_path):
    recipe = make_recipe(keep_best=False)
    run_recipe(recipe)
    assert not Path(recipe.run.output_dir, "best").exists()
    (tmp_path / "other" / "best").mkdir(parents=True)
    with pytest.raises(FileExistsError, match="already holds a run"):
        run_recipe(make_recipe(output_dir=str(tmp_path / "other")))


def test_the_kept_weights_are_those_evaluated(make_recipe, read_weights):
    """With one evaluation, the last, the best model is the final one."""
    recipe = make_recipe(eval_every=0, epochs=2)
    run_recipe(recipe)
    ours, theirs = read_weights(Path(recipe.run.output_dir, "best")), read_weights(recipe.run.output_dir)
    assert all(torch.equal(value, ours[name]) for name, value in theirs.items())
