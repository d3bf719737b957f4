"""What the names of keypoints cost: the same people, fine-tuned alike, under several ways of naming left and right.

Run: ``python benchmarks/keypoint_names.py FOLDER``. Each run starts from the tiny checkpoint inside the package, trains
on the same generated people with mirroring and is evaluated with the flip test; only the names in the schema differ,
and with them the mirror pairs and the keypoints that the checkpoint is asked for. "no sides" are numbered keypoints:
what a user gets whose names nobody understands. "no pairs" keeps COCO's names without their pairs. A run that FOLDER
already holds is not done again. Prints a Markdown table.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from training_runs import trained, write_people

from vitpose import KeypointSchema, get_keypoint_schema
from vitpose.modeling.keypoint_sides import mirror_pairs
from vitpose.training.config.recipe import Recipe

COCO = get_keypoint_schema("coco")
SPELLINGS: dict[str, Callable[[str], str]] = {
    "left_eye": lambda name: name,
    "L_eye": lambda name: name.replace("left", "L").replace("right", "R"),
    "eye_l": lambda name: "_".join(reversed(name.replace("left", "l").replace("right", "r").split("_"))),
    "leye": lambda name: name.replace("left_", "l").replace("right_", "r"),
    "EyeLeft": lambda name: "".join(word.capitalize() for word in reversed(name.split("_"))),
    "no sides": lambda name: f"kp{COCO.keypoints.index(name)}",
}


def renamed(spell: Callable[[str], str]) -> KeypointSchema:
    """COCO's keypoints as an annotation tool would export them under other names."""
    names = tuple(map(spell, COCO.keypoints))
    return replace(COCO, name="mine", keypoints=names, flip_pairs=mirror_pairs(names))


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare names of keypoints.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--people", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=2)
    chosen = parser.parse_args()

    people = write_people(chosen.folder / "people", train=chosen.people, val=100)
    schemas = {words: renamed(spell) for words, spell in SPELLINGS.items()}
    schemas["no pairs"] = replace(COCO, name="mine", flip_pairs=())
    print("| names | mirror pairs | PCK | AP |")
    print("|---|---:|---:|---:|")
    for words, schema in schemas.items():
        folder = chosen.folder / words.replace(" ", "_")
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "schema.json"
        file.write_text(json.dumps(schema.to_dict()), encoding="utf-8")
        recipe = Recipe.from_fields(
            data="people",
            data_dir=str(people),
            schema=str(file),
            train_people=chosen.people,
            epochs=chosen.epochs,
            eval_every=0,
            num_workers=0,
            output_dir=str(folder / "run"),
        )
        metrics = trained(recipe)
        pck = f"{metrics['PCK']:.3f}" if "PCK" in metrics else "no torso"
        print(f"| {words} | {len(schema.flip_pairs)} | {pck} | {metrics['AP']:.3f} |", flush=True)


if __name__ == "__main__":
    main()
