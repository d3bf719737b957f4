"""What distillation gives a small student: a few runs of equal budget on generated people, each with three seeds.

Run: ``python benchmarks/distillation.py FOLDER``. The teacher is the tiny checkpoint inside the package, the student a
model of fewer blocks with random weights. First the token is learned in the frozen teacher; then students are trained
without a teacher, with its heatmaps, with its token and with both, on the same people in the same order. A run that
FOLDER already holds is not done again. Prints a Markdown table.
"""

import argparse
import itertools
import json
from pathlib import Path
from statistics import mean

from accelerate.state import AcceleratorState, PartialState

from vitpose import TINY_CHECKPOINT
from vitpose.training.evaluate_saved import evaluate_model
from vitpose.training.recipe import Recipe
from vitpose.training.session import run_recipe

FIGURES = ("AP", "PCK")


def trained(recipe: Recipe) -> dict[str, float]:
    """The figures of a run, which is done if its folder does not hold them yet."""
    metrics = Path(recipe.output_dir, "metrics.json")
    if not metrics.exists():
        recipe.validate()
        run_recipe(recipe)
        AcceleratorState._reset_state()
        PartialState._reset_state()
    return json.loads(metrics.read_text(encoding="utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the kinds of distillation.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--blocks", type=int, default=2, help="blocks of the student; the teacher has 6")
    parser.add_argument("--people", type=int, default=600, help="people of a student's run, each seen once")
    parser.add_argument("--token-people", type=int, default=1200, help="people that the token is learned on")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    chosen = parser.parse_args()

    token = Recipe(
        task="knowledge_token",
        train_people=chosen.token_people,
        augment=False,
        learning_rate=1e-2,
        num_workers=0,
        output_dir=str(chosen.folder / "token"),
    )
    figures = {"teacher": evaluate_model(TINY_CHECKPOINT, Recipe()).metrics, "teacher with its token": trained(token)}
    teachers = {"none": None, "output": "tiny", "token": token.output_dir, "both": token.output_dir}
    for name, measured in figures.items():
        print(f"{name}: " + ", ".join(f"{figure} {measured[figure]:.4f}" for figure in FIGURES), flush=True)

    runs: dict[str, list[dict[str, float]]] = {kind: [] for kind in teachers}
    for seed, (kind, teacher) in itertools.product(chosen.seeds, teachers.items()):
        recipe = Recipe(
            train_people=chosen.people,
            augment=False,
            batch_size=8,
            num_workers=0,
            num_hidden_layers=chosen.blocks,
            init_from="none",
            distillation=kind,
            teacher=teacher,
            learning_rate=1e-3,
            seed=seed,
            data_seed=100 + seed,
            output_dir=str(chosen.folder / f"{kind}-{seed}"),
        )
        runs[kind].append(trained(recipe))

    print(f"| distillation | {' | '.join(f'{figure}, mean | of each seed' for figure in FIGURES)} |")
    print("|---|" + "---:|---|" * len(FIGURES))
    for kind, of_kind in runs.items():
        values = [[run[figure] for run in of_kind] for figure in FIGURES]
        cells = [f"{mean(of_seeds):.3f} | {', '.join(f'{value:.3f}' for value in of_seeds)}" for of_seeds in values]
        print(f"| {kind} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
