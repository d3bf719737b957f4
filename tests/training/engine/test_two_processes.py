"""Two processes on three datasets of uneven shares: the losses of one; and the end of both when one dies."""

import time
from pathlib import Path
from typing import NamedTuple

import pytest
from accelerate.state import AcceleratorState, PartialState

from vitpose.modeling.configuration_vitpose import PRESETS
from vitpose.training.config.recipe import Recipe
from vitpose.training.results import run_outputs as outputs
from vitpose.training.session import run_recipe

SMALL = {**PRESETS["tiny"], "image_size": (64, 48), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
SCRIPT = """
run_recipe(Recipe.from_fields(**given["fields"], batch_size=2, output_dir=str(folder / "two")))

train_batch = Trainer._train_batch
def dies(self, *arguments):
    if self.progress.step == 3 and self.accelerator.process_index == 1:
        (folder / "died").write_text(str(time.time()))
        os._exit(3)
    return train_batch(self, *arguments)
Trainer._train_batch = dies
run_recipe(Recipe.from_fields(**given["fields"], batch_size=2, output_dir=str(folder / "dying")))
"""


class Runs(NamedTuple):
    """The folder of the runs, and how the launcher of the second ended."""

    folder: Path
    status: int
    seconds_after_death: float
    shown: str


@pytest.fixture(scope="module")
def fields(tmp_path_factory, write_people) -> dict:
    """14, 7 and 3 people an epoch, of 17, 14 and 16 keypoints: six steps of four."""
    mixture = [{"data": "synthetic", "train_people": 14, "eval_people": 1}]
    for schema, count in (("lspet", 7), ("mpii", 3)):
        folder = write_people(tmp_path_factory.mktemp(schema), schema=schema, train=count, val=1)
        own = {"data": "people", "data_dir": str(folder), "schema": schema}
        mixture.append({**own, "train_people": None, "eval_people": None})
    same = {"init_from": "none", "drop_path_rate": 0.0, "num_workers": 0, "log_every": 1, "warmup_steps": 2}
    return {**same, "mixture": mixture, "epochs": 2, "eval_every": 0, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def runs(tmp_path_factory, fields, launch_two) -> Runs:
    folder = tmp_path_factory.mktemp("runs")
    done = launch_two(SCRIPT, folder, small=SMALL, fields=fields)
    died = folder / "died"
    assert died.exists(), done.stderr
    return Runs(folder, done.returncode, time.time() - float(died.read_text()), done.stderr)


def test_the_losses_are_those_of_one_process(runs, fields, tmp_path, monkeypatch, read_log):
    monkeypatch.setitem(PRESETS, "tiny", SMALL)
    monkeypatch.setattr(outputs, "draw_predictions", lambda evaluator, evaluation, path, start: path.touch())
    run_recipe(Recipe.from_fields(**fields, batch_size=4, output_dir=str(tmp_path / "one")))
    AcceleratorState._reset_state()
    PartialState._reset_state()
    one, two = (
        [line for line in read_log(folder) if "loss" in line] for folder in (tmp_path / "one", runs.folder / "two")
    )
    names = {"loss", "loss/synthetic", "loss/people_1", "loss/people_2"}
    assert set().union(*one) >= names
    for ours, theirs in zip(two, one, strict=True):
        assert {name: ours[name] for name in names & ours.keys()} == pytest.approx(
            {name: theirs[name] for name in names & theirs.keys()}, abs=1e-5, rel=1e-5
        )
    assert len(one) == 12
    assert one[-1]["loss"] < one[0]["loss"]


def test_when_one_process_dies_the_other_ends(runs):
    assert runs.status != 0
    assert runs.seconds_after_death < 60
    assert "rank      : 1" in runs.shown  # the launcher says whose end it was
    assert not (runs.folder / "dying" / "model.safetensors").exists()
