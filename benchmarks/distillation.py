"""What distillation gives a small student: runs of equal budget on the same generated people, each with three seeds.

Run: ``python benchmarks/distillation.py FOLDER``. The teacher is the tiny checkpoint inside the package, the student a
model of fewer blocks. First the token is learned in the frozen teacher; then students are trained without a teacher,
with its heatmaps, with its token and with both, on the same people in the same order, under the same augmentation.
With ``--careless`` these have half their labels, and those not exact; evaluation always has exact ones. A run that
FOLDER already holds is not done again. Prints a Markdown table.
"""

import argparse
import itertools
from pathlib import Path

from training_runs import FIGURES, print_table, trained, write_people

from vitpose import TINY_CHECKPOINT
from vitpose.training.config.recipe import Recipe
from vitpose.training.evaluation.saved import evaluate_model


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the kinds of distillation.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--blocks", type=int, default=2, help="blocks of the student; the teacher has 6")
    parser.add_argument("--people", type=int, default=400, help="people of a student's run")
    parser.add_argument("--epochs", type=int, default=6, help="how often a student sees them")
    parser.add_argument("--token-people", type=int, default=1200, help="people that the token is learned on, once each")
    parser.add_argument("--kinds", nargs="+", default=["none", "output", "token", "both"])
    parser.add_argument("--careless", action="store_true", help="half the labels, as loose as COCO's annotators'")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    chosen = parser.parse_args()

    people = write_people(
        chosen.folder / "people", train=max(chosen.people, chosen.token_people), val=200, careless=chosen.careless
    )
    shared = {"data": "people", "data_dir": str(people), "num_workers": 0, "eval_every": 0}
    token = Recipe.from_fields(
        task="knowledge_token",
        train_people=chosen.token_people,
        augment=False,
        learning_rate=1e-2,
        output_dir=str(chosen.folder / "token"),
        **shared,
    )
    figures = {"teacher": evaluate_model(TINY_CHECKPOINT, Recipe.from_fields(**shared)).metrics}
    if {"token", "both"} & set(chosen.kinds):
        figures["teacher with its token"] = trained(token)
    for name, measured in figures.items():
        print(f"{name}: " + ", ".join(f"{figure} {measured[figure]:.4f}" for figure in FIGURES), flush=True)

    teachers = {"none": None, "output": "tiny", "token": token.output_dir, "both": token.output_dir}
    runs: dict[str, list[dict[str, float]]] = {kind: [] for kind in chosen.kinds}
    for seed, kind in itertools.product(chosen.seeds, chosen.kinds):
        recipe = Recipe.from_fields(
            train_people=chosen.people,
            epochs=chosen.epochs,
            batch_size=8,
            num_hidden_layers=chosen.blocks,
            init_from="none",
            distillation=kind,
            teacher=teachers[kind],
            learning_rate=1e-3,
            warmup_steps=40,
            seed=seed,
            output_dir=str(chosen.folder / f"{kind}-{seed}"),
            **shared,
        )
        runs[kind].append(trained(recipe))
    print_table("distillation", runs)


if __name__ == "__main__":
    main()
