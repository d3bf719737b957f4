"""docs/finetune.md word for word: its commands, in order, on generated people with keypoints of their own."""

import glob
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vitpose import SyntheticPeople, ViTPoseForPoseEstimation, get_keypoint_schema
from vitpose.training.config.checks import check_recipe
from vitpose.training.config.recipe import Recipe
from vitpose.training.data.schema_from_coco import schema_from_annotations
from vitpose_cli.main import main

NAMES = ["nose", "left_wrist", "right_wrist", "left_ankle", "right_ankle", "belt_buckle"]
SKELETON = [[2, 1], [3, 1], [4, 6], [5, 6]]


def write_split(folder: Path, split: str, *, count: int, seed: int) -> None:
    """Annotations of generated people as an annotation tool exports them."""
    coco = get_keypoint_schema("coco")
    images, annotations = [], []
    (folder / split).mkdir(parents=True)
    (folder / "annotations").mkdir(exist_ok=True)
    for number, person in enumerate(SyntheticPeople(num_people=count, seed=seed), start=1):
        person["image"].save(folder / split / f"{number}.png")
        width, height = person["image"].size
        images.append({"id": number, "file_name": f"{number}.png", "width": width, "height": height})
        points = dict(zip(coco.keypoints, np.asarray(person["keypoints"]).tolist(), strict=True))
        points["belt_buckle"] = [(a + b) / 2 for a, b in zip(points["left_hip"], points["right_hip"], strict=True)][
            :2
        ] + [2]
        keypoints = [value for name in NAMES for value in points[name]]
        box = [float(value) for value in person["bbox"]]
        own = {"id": number, "image_id": number, "category_id": 1, "bbox": box, "keypoints": keypoints}
        annotations.append({**own, "area": box[2] * box[3], "iscrowd": 0, "num_keypoints": len(NAMES)})
    category = {"id": 1, "name": "dancer", "keypoints": NAMES, "skeleton": SKELETON}
    content = {"images": images, "annotations": annotations, "categories": [category]}
    (folder / "annotations" / f"person_keypoints_{split}.json").write_text(json.dumps(content))


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("guide")
    write_split(folder / "data" / "mine", "train", count=16, seed=1)
    write_split(folder / "data" / "mine", "val", count=4, seed=2)
    return folder


def commands(checkout: Path) -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", (checkout / "docs" / "finetune.md").read_text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if "# not run:" not in line]


def test_every_command_of_the_guide_runs(checkout, workplace, monkeypatch):
    monkeypatch.chdir(workplace)
    done = []
    for line in commands(checkout):
        words = [match for word in shlex.split(line) for match in (sorted(glob.glob(word)) if "*" in word else [word])]
        if words[1] == "train":
            script = [sys.executable, "-m", "vitpose", *words[1:], "--num_workers", "0"]
            result = subprocess.run(script, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
            assert result.returncode == 0, result.stderr[-2000:]
        else:
            assert main(words[1:]) == 0, line
        done.append(words[1])
    assert done == ["schema", "train", "evaluate", "predict", "publish"]
    model = ViTPoseForPoseEstimation.from_pretrained("runs/mine")
    assert list(model.config.get_schema().keypoints) == NAMES
    assert model.config.get_schema().flip_pairs == ((1, 2), (3, 4))
    assert {path.name for path in Path("predictions").iterdir()} >= {"1_pose.png", "predictions.json"}
    assert json.loads(Path("runs/mine-val/metrics.json").read_text())


def test_the_schema_of_a_file(workplace):
    schema = schema_from_annotations(workplace / "data/mine/annotations/person_keypoints_train.json", name="mine")
    assert (schema.name, schema.category) == ("mine", "dancer")
    assert schema.edges == ((1, 0), (2, 0), (3, 5), (4, 5))
    assert schema.sigmas is None


@pytest.mark.parametrize(
    ("categories", "chosen", "message"),
    [
        pytest.param([], None, "found none", id="no category"),
        pytest.param([{"id": 1, "name": "dog"}], None, "found none among 'dog'", id="no keypoints"),
        pytest.param(
            [{"name": name, "keypoints": [name]} for name in ("cat", "dog")],
            None,
            r"found 'cat' \(1\), 'dog' \(1\) with different",
            id="several",
        ),
    ],
)
def test_a_file_without_the_one_schema_is_named(tmp_path, categories, chosen, message):
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"categories": categories}))
    with pytest.raises(ValueError, match=f"a.json: expected one category with keypoints.*{message}"):
        schema_from_annotations(file, category=chosen)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "is no keypoint schema", id="a missing file"),
        pytest.param("[1", "is no keypoint schema", id="damaged"),
        pytest.param("[]", "expected an object, got a list", id="a list"),
        pytest.param('{"name": "mine"}', "missing keys", id="too little"),
    ],
)
def test_a_schema_file_that_is_none_is_named(tmp_path, content, message):
    file = tmp_path / "schema.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ValueError, match=message):
        check_recipe(Recipe.from_fields(data="coco", data_dir="x", schema=str(file)))
