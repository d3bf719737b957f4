"""What masked-image pre-training gives a small model: pose training from it and from scratch, on generated people.

Run: ``python benchmarks/masked_image_modeling.py FOLDER``. A tiny backbone is pre-trained on people without their
keypoints; then pose models of its size are trained from it and from random weights, on the same people in the same
order, each with three seeds. A run that FOLDER already holds is not done again. Prints the pre-training loss over its
steps and a Markdown table.
"""

import argparse
import itertools
import json
from pathlib import Path
from statistics import mean

from accelerate.state import AcceleratorState, PartialState

from vitpose.training.recipe import Recipe
from vitpose.training.session import run_recipe


def trained(recipe: Recipe) -> tuple[dict[str, float], list[dict]]:
    """The figures of a run and the lines of its log; it is done if its folder does not hold them yet."""
    folder = Path(recipe.output_dir)
    if not (folder / "metrics.json").exists():
        recipe.validate()
        run_recipe(recipe)
        AcceleratorState._reset_state()
        PartialState._reset_state()
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8")), [line for line in lines if "loss" in line]


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare pose training from a pre-trained backbone and from scratch.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--blocks", type=int, default=2, help="blocks of the backbone")
    parser.add_argument("--pretraining-people", type=int, default=1600, help="people seen without their keypoints")
    parser.add_argument("--people", type=int, default=600, help="people of a pose run, each seen once")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    chosen = parser.parse_args()

    pretraining = Recipe(
        task="masked_image_modeling",
        num_hidden_layers=chosen.blocks,
        init_from="none",
        train_people=chosen.pretraining_people,
        batch_size=16,
        learning_rate=1e-3,
        adam_beta2=0.95,
        num_workers=0,
        log_every=20,
        output_dir=str(chosen.folder / "pretrained"),
    )
    figures, log = trained(pretraining)
    print("pre-training: " + ", ".join(f"step {line['step']}: {line['loss']:.3f}" for line in log))
    print(f"on people not seen: {figures['reconstruction_loss']:.4f}", flush=True)

    starts = {"random weights": "none", "pre-trained": pretraining.output_dir}
    runs: dict[str, list[tuple[float, float, float]]] = {name: [] for name in starts}
    for seed, (name, init_from) in itertools.product(chosen.seeds, starts.items()):
        recipe = Recipe(
            num_hidden_layers=chosen.blocks,
            init_from=init_from,
            train_people=chosen.people,
            augment=False,
            batch_size=8,
            learning_rate=1e-3,
            num_workers=0,
            seed=seed,
            data_seed=100 + seed,
            output_dir=str(chosen.folder / f"{name.replace(' ', '_')}-{seed}"),
        )
        figures, log = trained(recipe)
        runs[name].append((1e3 * log[-1]["loss"], figures["PCK"], figures["AP"]))

    print("| start | last loss, 1e-3 | PCK, mean | of each seed | AP, mean |")
    print("|---|---:|---:|---|---:|")
    for name, of_name in runs.items():
        loss, pck, ap = (mean(values) for values in zip(*of_name, strict=True))
        seeds = ", ".join(f"{values[1]:.3f}" for values in of_name)
        print(f"| {name} | {loss:.3f} | {pck:.3f} | {seeds} | {ap:.4f} |", flush=True)


if __name__ == "__main__":
    main()
