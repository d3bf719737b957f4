"""Runs small enough for tests: a model of two narrow layers on a few generated people."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState, PartialState
from datasets import Dataset
from safetensors.torch import load_file
from torch import Tensor

from vitpose.modeling.configuration_vitpose import PRESETS
from vitpose.modeling.keypoint_schemas import get_keypoint_schema
from vitpose.training.config.checks import check_recipe
from vitpose.training.config.recipe import Recipe
from vitpose.training.results import run_outputs as outputs
from vitpose.training.synthetic.people import SyntheticPeople

SMALL = {
    "image_size": (64, 48),
    "patch_size": (8, 8),
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "drop_path_rate": 0.2,
}


@pytest.fixture(autouse=True)
def _fresh_accelerator() -> Iterator[None]:
    """Accelerate remembers device and precision in the process; each test begins without."""
    yield
    AcceleratorState._reset_state()
    PartialState._reset_state()


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Sums of one thread have one order, here and in the processes that tests start; small models gain from it too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def make_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Recipe]:
    """Makes the recipe of a small run in `tmp_path / "run"`; keywords change its fields. Runs draw no pictures."""
    monkeypatch.setitem(PRESETS, "tiny", SMALL)
    monkeypatch.setattr(outputs, "save_curves", lambda log, png: None)
    monkeypatch.setattr(outputs, "draw_predictions", lambda evaluator, evaluation, path, start: path.touch())

    def make(**changes: Any) -> Recipe:
        fields = {
            "init_from": "none",
            "train_people": 12,
            "eval_people": 4,
            "batch_size": 4,
            "warmup_steps": 2,
            "num_workers": 0,
            "log_every": 1,
            "output_dir": str(tmp_path / "run"),
        }
        recipe = Recipe.from_fields(**fields).replace(**changes)
        check_recipe(recipe)
        return recipe

    return make


@pytest.fixture(scope="session")
def read_log() -> Callable[[str | Path], list[dict[str, Any]]]:
    """Reads the log of a run's folder."""

    def read(folder: str | Path) -> list[dict[str, Any]]:
        return [json.loads(line) for line in Path(folder, "log.jsonl").read_text().splitlines()]

    return read


@pytest.fixture(scope="session")
def read_weights() -> Callable[[str | Path], dict[str, Tensor]]:
    """Reads the weights in a run's folder."""
    return lambda folder: load_file(Path(folder, "model.safetensors"))


@pytest.fixture(scope="session")
def assert_same_weights(read_weights: Callable) -> Callable[[str | Path, str | Path], None]:
    """Asserts that the final weights of two runs are equal, bit for bit."""

    def check(folder: str | Path, other: str | Path) -> None:
        ours, theirs = read_weights(folder), read_weights(other)
        assert list(ours) == list(theirs)
        assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []

    return check


@pytest.fixture(scope="session")
def write_people() -> Callable[..., Path]:
    """Writes generated people as Parquet files into a folder; keywords give their number in each split.

    They have the keypoints of a schema; those that COCO does not know are not labelled.
    """

    def write(folder: Path, *, schema: str, **splits: int) -> Path:
        names, known = get_keypoint_schema(schema).keypoints, get_keypoint_schema("coco").keypoints
        for seed, (split, count) in enumerate(splits.items(), start=3):
            rows = []
            for person in SyntheticPeople(num_people=count, seed=seed):
                data = io.BytesIO()
                person["image"].save(data, format="PNG")
                points = dict(zip(known, np.asarray(person["keypoints"]).tolist(), strict=True))
                keypoints = [points.get(name, [0.0, 0.0, 0.0]) for name in names]
                rows.append({"image": {"bytes": data.getvalue()}, "bbox": person["bbox"], "keypoints": keypoints})
            Dataset.from_list(rows).to_parquet(folder / f"{split}-00000-of-00001.parquet")
        return folder

    return write


# What runs of two processes begin with; they find a folder and what the test gives.
BEGINNING = """
import json, os, sys, time
from pathlib import Path
from accelerate import Accelerator
from vitpose.modeling.configuration_vitpose import PRESETS
from vitpose.training.config.recipe import Recipe
from vitpose.training.engine.trainer import Trainer
from vitpose.training.results import run_outputs as outputs
from vitpose.training.session import run_recipe

folder, given = Path(sys.argv[1]), json.loads(sys.argv[2])
PRESETS["tiny"] = given["small"]
outputs.draw_predictions = lambda evaluator, evaluation, path, start: path.touch()
Accelerator.end_training = lambda self: None  # the processes stay together for the next run
"""


@pytest.fixture(scope="session")
def launch_two() -> Callable[..., subprocess.CompletedProcess]:
    """Runs a script in two processes on the CPU, with `folder` and the dictionary `given`; they use the small model."""

    def launch(script: str, folder: Path, **given: Any) -> subprocess.CompletedProcess:
        file = folder / "runs.py"
        file.write_text(BEGINNING + script)
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", file, folder]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
        given = {"small": SMALL, **given}
        return subprocess.run(
            [*command, json.dumps(given)], capture_output=True, text=True, env=environment, timeout=300
        )

    return launch


TWO_PROCESSES = """
fields = dict(init_from="none", train_people=18, eval_people=5, eval_batch_size=2, batch_size=2, epochs=2,
              warmup_steps=2, checkpoint_every=2, num_workers=0, log_every=1)
run_recipe(Recipe.from_fields(**fields, output_dir=f"{folder}/unbroken"))

train_batch, left = Trainer._train_batch, list(range(8))
def interrupted(self, *arguments):
    left.pop()  # IndexError in the 9th batch, in the middle of the second epoch
    return train_batch(self, *arguments)
Trainer._train_batch = interrupted
try:
    run_recipe(Recipe.from_fields(**fields, output_dir=f"{folder}/resumed"))
except IndexError:
    Trainer._train_batch = train_batch
run_recipe(Recipe.from_fields(**fields, output_dir=f"{folder}/resumed", resume=True))
"""


@pytest.fixture(scope="session")
def two_process_runs(tmp_path_factory: pytest.TempPathFactory, launch_two: Callable) -> Path:
    """Folder with `unbroken` and `resumed`, the same small run of two processes whole and interrupted."""
    folder = tmp_path_factory.mktemp("two_processes")
    done = launch_two(TWO_PROCESSES, folder)
    assert done.returncode == 0, done.stderr
    return folder
