"""The files that saved models bring along: few, whole, and asking for nothing that transformers does not bring."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers.dynamic_module_utils import get_imports

import vitpose
from vitpose.base.remote_code import FILES, remote_code

MODEL = {"configuration_vitpose.py", "modeling_vitpose.py"}
PIPELINE = {*MODEL, "image_processing_vitpose.py", "keypoint_detection_pipeline.py"}
SMALL = {
    **{"image_size": (64, 48), "patch_size": (8, 8), "hidden_size": 32},
    **{"num_hidden_layers": 2, "num_attention_heads": 2},
}


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    return remote_code("keypoint_detection_pipeline.py")


def test_there_are_four_files_at_most(texts) -> None:
    assert texts.keys() == FILES.keys() == PIPELINE
    assert remote_code("modeling_vitpose.py").keys() == MODEL


def test_every_file_has_licence_and_version_and_says_where_its_parts_are_from(texts) -> None:
    parts = []
    for name, text in texts.items():
        compile(text, name, "exec")
        head = text.partition('"""')[0]
        assert "Apache License, Version 2.0" in head and f"vitpose {vitpose.__version__}" in head
        parts += [line.split()[3] for line in text.splitlines() if line.startswith("# ---- from vitpose.")]
    assert {"vitpose.modeling.saving_vitpose", "vitpose.processing.geometry_vitpose"} <= set(parts)
    assert len(parts) == len(set(parts))


def test_they_need_no_vitpose_and_only_what_transformers_brings(texts, tmp_path) -> None:
    for name, text in texts.items():
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        wanted = set(get_imports(path)) - sys.stdlib_module_names
        assert wanted <= {"PIL", "huggingface_hub", "numpy", "torch", "transformers"}, name
        flat = {node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom) and node.level}
        assert flat <= {other.removesuffix(".py") for other in texts}


def test_no_name_is_unused_unknown_or_there_twice(texts, tmp_path) -> None:
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    if "No module named ruff" in done.stderr:
        pytest.skip("ruff is not installed")
    assert done.returncode == 0, done.stdout


def test_of_several_processes_one_writes_the_code(tmp_path) -> None:
    model = vitpose.ViTPoseForPoseEstimation(vitpose.ViTPoseConfig.from_preset("tiny", **SMALL))
    model.save_pretrained(tmp_path, is_main_process=False)
    assert not list(tmp_path.glob("*.py"))


STRANGER = """
import sys
sys.modules["vitpose"] = None
import torch
from transformers import AutoModel
crops = torch.linspace(-1, 1, 3 * 64 * 48).view(1, 3, 64, 48)
backbone = AutoModel.from_pretrained(sys.argv[1], trust_remote_code=True)
with torch.no_grad():
    print(type(backbone).__name__, *(float(features.abs().sum()) for features in backbone(crops).feature_maps))
"""


def test_a_saved_backbone_loads_without_vitpose(tmp_path) -> None:
    torch.manual_seed(0)
    backbone = vitpose.ViTPoseBackbone(vitpose.ViTPoseBackboneConfig(**SMALL, out_indices=[1, 2])).eval()
    backbone.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.glob("*.py")} == MODEL
    with torch.no_grad():
        maps = backbone(torch.linspace(-1, 1, 3 * 64 * 48).view(1, 3, 64, 48)).feature_maps
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, str(tmp_path)],
        env={**os.environ, "HF_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    name, *sums = done.stdout.split()
    assert name == "ViTPoseBackbone"
    assert [float(value) for value in sums] == pytest.approx([float(found.abs().sum()) for found in maps], rel=1e-5)


AGAIN = """
import sys
sys.modules["vitpose"] = None
from transformers import pipeline
pipe = pipeline("keypoint-detection", model=sys.argv[1], trust_remote_code=True)
pipe.save_pretrained(sys.argv[2])
again = pipeline("keypoint-detection", model=sys.argv[2], trust_remote_code=True)
box = [[5, 5, 40, 60]]
assert pipe(sys.argv[3], boxes=box) == again(sys.argv[3], boxes=box)
"""


def test_what_was_loaded_with_its_code_passes_the_same_files_on(tmp_path) -> None:
    """They may be of another version than any that is installed."""
    from PIL import Image

    config = vitpose.ViTPoseConfig.from_preset("tiny", **SMALL)
    pipe = vitpose.KeypointDetectionPipeline(
        model=vitpose.ViTPoseForPoseEstimation(config),
        image_processor=vitpose.ViTPoseImageProcessor(size={"height": 64, "width": 48}),
    )
    pipe.save_pretrained(tmp_path / "first")
    Image.new("RGB", (60, 80), "gray").save(tmp_path / "photo.png")
    modeling = tmp_path / "first" / "modeling_vitpose.py"
    modeling.write_text(modeling.read_text(encoding="utf-8") + "\n# of another version\n", encoding="utf-8")
    folders = [str(tmp_path / name) for name in ("first", "again", "photo.png")]
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home")}
    done = subprocess.run([sys.executable, "-c", AGAIN, *folders], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert_same_code(tmp_path / "first", tmp_path / "again", PIPELINE)
    assert json.loads((tmp_path / "again" / "config.json").read_text())["custom_pipelines"].keys() == {
        "keypoint-detection"
    }


def assert_same_code(one: Path, other: Path, names: set[str]) -> None:
    assert {path.name for path in other.glob("*.py")} == names
    for name in names:
        assert (one / name).read_text(encoding="utf-8") == (other / name).read_text(encoding="utf-8"), name
