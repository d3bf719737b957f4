"""What masked-image pre-training gives a small model: pose training from it and from scratch, on generated people.

Run: ``python benchmarks/masked_image_modeling.py FOLDER``. A tiny backbone is pre-trained on many people without their
keypoints; then pose models of its size are trained from it and from random weights on the few people whose keypoints
are known, the same ones in the same order, with three seeds. The first seed is run with every learning rate, and each
start goes on with the one that is best for it. A run that FOLDER already holds is not done again. Prints the
pre-training loss over its steps and a Markdown table.
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from training_runs import print_table, trained, training_losses, write_people

from vitpose.training.config.recipe import Recipe


def pretrain(chosen: argparse.Namespace, shared: dict[str, Any]) -> Recipe:
    """Pre-train the backbone, print how its loss fell, and return the recipe of that run."""
    recipe = Recipe.from_fields(
        task="masked_image_modeling",
        train_people=chosen.pretraining_people,
        epochs=chosen.pretraining_epochs,
        batch_size=16,
        learning_rate=1.5e-3,
        adam_beta2=0.95,
        warmup_steps=100,
        augment=False,
        log_every=100,
        output_dir=str(chosen.folder / "pretrained"),
        init_from="none",
        **shared,
    )
    figures, losses = trained(recipe), training_losses(recipe)
    shown = losses[:: max(1, len(losses) // 10)]
    print("pre-training: " + ", ".join(f"step {step}: {loss:.3f}" for step, loss in (*shown, losses[-1])))
    print(f"on people not seen: {figures['reconstruction_loss']:.4f}", flush=True)
    return recipe


def tune(
    chosen: argparse.Namespace, shared: dict[str, Any], init_from: str, *, learning_rate: float, seed: int
) -> dict[str, float]:
    """The figures of a pose run."""
    start = "random" if init_from == "none" else "pretrained"
    recipe = Recipe.from_fields(
        init_from=init_from,
        train_people=chosen.people,
        epochs=chosen.epochs,
        batch_size=8,
        learning_rate=learning_rate,
        warmup_steps=40,
        eval_every=0,
        seed=seed,
        output_dir=str(chosen.folder / f"{start}-{learning_rate:g}-{seed}"),
        **shared,
    )
    return trained(recipe)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare pose training from a pre-trained backbone and from scratch.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--blocks", type=int, default=3, help="blocks of the backbone")
    parser.add_argument("--pretraining-people", type=int, default=6000, help="people seen without their keypoints")
    parser.add_argument("--pretraining-epochs", type=int, default=9)
    parser.add_argument("--people", type=int, default=300, help="people whose keypoints are known")
    parser.add_argument("--epochs", type=int, default=8, help="how often a pose run sees them")
    parser.add_argument("--learning-rates", type=float, nargs="+", default=[2.5e-4, 5e-4, 1e-3, 2e-3])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    chosen = parser.parse_args()

    people = write_people(chosen.folder / "people", train=chosen.pretraining_people, val=200)
    shared = {"num_hidden_layers": chosen.blocks, "data": "people", "data_dir": str(people), "num_workers": 0}
    starts = {"random weights": "none", "pre-trained": pretrain(chosen, shared).run.output_dir}
    first, *others = chosen.seeds
    rows = {}
    for name, init_from in starts.items():
        run = partial(tune, chosen, shared, init_from)
        tried = {rate: run(learning_rate=rate, seed=first) for rate in chosen.learning_rates}
        for rate, figures in tried.items():
            print(f"{name}, learning rate {rate:g}: AP {figures['AP']:.3f}, PCK {figures['PCK']:.3f}", flush=True)
        best = max(tried, key=lambda rate: tried[rate]["PCK"])
        runs = [tried[best], *(run(learning_rate=best, seed=seed) for seed in others)]
        rows[f"{name}, learning rate {best:g}"] = runs
    print_table("start", rows)


if __name__ == "__main__":
    main()
