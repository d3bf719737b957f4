"""The recipes that ship: each says how to run it, is understood, and runs whole at the size of a test."""

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from PIL import Image

from vitpose import get_keypoint_schema
from vitpose.modeling.configuration_vitpose import PRESETS
from vitpose.training.config.checks import check_recipe
from vitpose.training.config.parsing import RECIPES, load_recipe_file
from vitpose.training.config.recipe import DATASETS, Recipe
from vitpose.training.data.loading import get_known_dataset
from vitpose.training.engine.model_building import build_config
from vitpose.training.session import run_recipe

NAMES = sorted(path.name for path in RECIPES.glob("*.yaml"))
SHARED = ("coco.yaml", "multi.yaml", "plusplus.yaml", "mae.yaml")  # what others build on
POSE = [name for name in NAMES if load_recipe_file(name).get("run.task", "pose") == "pose" and name not in SHARED]
# One of each kind, run whole; what is left out differs from these in size alone.
FAMILIES = [
    *("coco_small.yaml", "coco_base_simple.yaml", "coco_base_384x288.yaml", "coco_giant.yaml"),
    *("coco_base_stride8_full.yaml", "coco_base_stride8_window.yaml", "coco_base_stride8_shifted_window.yaml"),
    *("coco_base_stride8_pooled_window.yaml", "coco_base_stride8_shifted_pooled_window.yaml"),
    *("coco_base_frozen_attention.yaml", "coco_base_frozen_ffn.yaml", "crowdpose_base.yaml", "interhand_base.yaml"),
    *("multi_base.yaml", "coco_aic_base.yaml", "plusplus_base.yaml", "plusplus_base_independent.yaml"),
    *("plusplus_base_independent_and_shared.yaml", "lspet_small.yaml", "overfit_small.yaml"),
    *("mae_base.yaml", "mae_coco_aic_base.yaml"),
]
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_opens_with_its_command(name):
    head = re.match(r"(#.*\n)+", (RECIPES / name).read_text())
    assert head is not None
    if name in SHARED:
        assert "Not run by itself" in head[0].replace("\n# ", " ")
    else:
        assert f"training/run.py {name}" in head[0]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "finetune.yaml"])  # its schema is the user's
def test_a_recipe_names_splits_that_its_data_has(name):
    for part in Recipe.from_fields(**load_recipe_file(name)).parts:
        known = get_known_dataset(part.dataset.data) if part.dataset.data in DATASETS else None
        if known is not None:
            assert {part.dataset.train_split, part.dataset.eval_split} <= set(known.splits), part.dataset.data


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_stands_in_the_table(name):
    table = (Path(__file__).resolve().parents[3] / "docs" / "recipes.md").read_text()
    assert f"`{name}`" in table


@pytest.mark.parametrize("name", POSE)
def test_a_recipe_describes_a_model(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my_schema.json").write_text(json.dumps(get_keypoint_schema("lspet").to_dict()))  # what finetune.yaml names
    recipe = Recipe.from_fields(**load_recipe_file(name))
    check_recipe(recipe)
    config = build_config(recipe)
    assert config.dataset_names == [schema.name for schema in recipe.keypoint_schemas]
    if recipe.model.image_height:
        assert config.image_size == (recipe.model.image_height, recipe.model.image_width)


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    """Makes a folder of Parquet files with four noisy pictures of things that have the keypoints of a schema."""
    random = np.random.default_rng(0)

    def make(schema: str) -> str:
        folder = tmp_path_factory.mktemp(schema)
        for split in ("train", "val"):
            rows = []
            for _ in range(4):
                data = io.BytesIO()
                Image.fromarray(random.integers(0, 256, (48, 40, 3), dtype=np.uint8)).save(data, format="PNG")
                points = random.uniform(4, 36, (get_keypoint_schema(schema).num_keypoints, 2))
                keypoints = np.concatenate([points, np.full((len(points), 1), 2.0)], axis=1).tolist()
                rows.append(
                    {"image": {"bytes": data.getvalue(), "path": None}, "bbox": [2, 2, 36, 44], "keypoints": keypoints}
                )
            Dataset.from_list(rows).to_parquet(folder / f"{split}-00000-of-00001.parquet")
        return str(folder)

    return make


@pytest.mark.parametrize("name", FAMILIES)
def test_a_recipe_runs_whole_at_the_size_of_a_test(name, folder_of, monkeypatch, make_recipe):
    fields = load_recipe_file(name)
    given = Recipe.from_fields(**fields)
    preset = {**PRESETS[given.model.preset], **SMALL, "mlp_ratio": 2}
    monkeypatch.setitem(PRESETS, given.model.preset, preset)

    def stand_in(part: Recipe) -> dict:
        schema = part.keypoint_schema.name
        here = {"data": "people", "data_dir": folder_of(schema), "schema": schema}
        return {**here, "train_split": "train", "eval_split": "val", "eval_boxes": None}

    small = {"image_height": 64, "image_width": 48, "num_attention_heads": None, "epochs": 1, "batch_size": 2}
    small |= {"mixed_precision": "no", "decay_epochs": [1], "init_from": "none", "train_people": None}
    if given.model.window_size:
        small["window_size"] = 4
    if given.dataset.mixture:
        small["mixture"] = [stand_in(part) for part in given.parts]
    else:
        small |= stand_in(given)
    small |= {"eval_people": None, "num_workers": 0, "output_dir": make_recipe().run.output_dir}
    output = run_recipe(make_recipe(**given.replace(**small).values()))
    metrics = json.loads((output / "metrics.json").read_text())
    assert len([value for value in metrics.values() if isinstance(value, float)]) >= len(given.parts)
    assert (output / "model.safetensors").exists()
