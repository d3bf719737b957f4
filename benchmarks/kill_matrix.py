"""Runs killed with SIGKILL at random moments and resumed, beside the same run unbroken: every bit counts.

Run: ``python benchmarks/kill_matrix.py FOLDER``. Small models on generated people, a checkpoint after every step. Each
setting is trained once without a break, and once killed several times, with all its processes and workers, at a random
moment after a random step; what is left resumes from its newest checkpoint. Prints a Markdown table, and fails if a
single weight or loss differs.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file
from training_runs import write_people

from vitpose.training.engine.checkpoints import list_checkpoints

RUN = Path(__file__).resolve().parents[1] / "training" / "run.py"
# Two epochs of six steps, fewer with accumulated gradients.
SMALL: dict[str, Any] = {
    "data": "people",
    "num_hidden_layers": 2,
    "drop_path_rate": 0.2,
    "init_from": "none",
    "train_people": 24,
    "eval_people": 4,
    "batch_size": 4,
    "epochs": 2,
    "warmup_steps": 2,
    "num_workers": 0,
    "log_every": 1,
    "checkpoint_every": 1,
}
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "two workers": {"num_workers": 2},
    "accumulated gradients, two workers": {"batch_size": 2, "gradient_accumulation_steps": 3, "num_workers": 2},
    "bf16, an average of the weights": {"mixed_precision": "bf16", "ema_decay": 0.9},
    "classic decoder": {"decoder": "classic"},
    "two datasets with experts": {"mixture": True, "num_workers": 2},
    "masked-image pre-training": {"task": "masked_image_modeling", "drop_path_rate": None},
    "two processes": {"processes": 2, "batch_size": 2},
    "two processes, two datasets, accumulated gradients": {
        "processes": 2, "batch_size": 2, "mixture": True, "gradient_accumulation_steps": 2
    },
}  # fmt: skip


def write_recipe(people: Path, setting: dict[str, Any], folder: Path) -> Path:
    """The recipe file of a run into a folder."""
    fields = {**SMALL, "data_dir": str(people), "output_dir": str(folder), **setting}
    fields.pop("processes", None)
    if fields.pop("mixture", False):
        fields["mixture"] = [
            {"data": "people", "data_dir": str(people), "train_people": 16, "eval_people": 2},
            {"data": "synthetic", "data_dir": None, "schema": "coco", "train_people": 8, "eval_people": 2},
        ]
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = folder.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(fields), encoding="utf-8")
    return path


def start(recipe: Path, processes: int, *, resume: bool) -> subprocess.Popen:
    """A run in a session of its own, so that a kill takes all its processes and workers."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [*launch, str(RUN), str(recipe), *(["--resume"] if resume else [])]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    with recipe.with_suffix(".err").open("w", encoding="utf-8") as errors:
        return subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=errors, env=environment, start_new_session=True
        )


def finish(recipe: Path, processes: int, *, resume: bool) -> None:
    process = start(recipe, processes, resume=resume)
    if process.wait():
        sys.exit(recipe.with_suffix(".err").read_text(encoding="utf-8"))


def kill_after(recipe: Path, folder: Path, processes: int, step: int, *, resume: bool, rng: random.Random) -> bool:
    """Kill a run some moments after a step; False if it ended before."""
    process = start(recipe, processes, resume=resume)
    while last_step(folder) < step:
        if process.poll() is not None:
            break
        time.sleep(0.005)
    time.sleep(rng.uniform(0, 0.3))  # in a step, in the writing of a checkpoint, in an evaluation
    if process.poll() is not None:
        return False
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return True


def last_step(folder: Path) -> int:
    """The last step whose checkpoint is whole."""
    checkpoints = list_checkpoints(folder / "checkpoints")
    return int(checkpoints[-1].name.split("-")[1]) if checkpoints else 0


def differences(folders: tuple[Path, Path]) -> list[str]:
    """What differs between two finished runs: weights bit by bit, and losses."""
    weights = [load_file(folder / "model.safetensors") for folder in folders]
    different = [name for name in weights[0] if not torch.equal(weights[0][name], weights[1][name])]
    logs = [(folder / "log.jsonl").read_text(encoding="utf-8").splitlines() for folder in folders]
    losses = [[line["loss"] for line in map(json.loads, log) if "loss" in line] for log in logs]
    return different + (["losses"] if losses[0] != losses[1] else [])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=2, help="of each setting")
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    rng = random.Random(chosen.seed)
    people = write_people(chosen.folder / "people", train=24, val=4)
    print("| setting | killed after steps | different weights and losses |\n|---|---|---|", flush=True)
    failed = False
    for number, name in enumerate(chosen.settings):
        setting = SETTINGS[name]
        processes = setting.get("processes", 1)
        whole, killed = (chosen.folder / f"{number}-{kind}" for kind in ("unbroken", "killed"))
        finish(write_recipe(people, setting, whole), processes, resume=False)
        recipe, reached = write_recipe(people, setting, killed), []
        for step in sorted(rng.sample(range(1, last_step(whole)), chosen.kills)):
            if not kill_after(recipe, killed, processes, step, resume=killed.exists(), rng=rng):
                sys.exit(f"{name}: it ended before step {step}\n" + recipe.with_suffix(".err").read_text("utf-8"))
            reached.append(last_step(killed))
        finish(recipe, processes, resume=True)
        found = differences((whole, killed))
        failed |= bool(found)
        print(f"| {name} | {', '.join(map(str, reached))} | {', '.join(found) or 'none'} |", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
