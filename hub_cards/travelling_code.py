"""The code that a repository carries besides the model's own: its pipeline, and what an Inference Endpoint runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers.dynamic_module_utils import get_relative_import_files, get_relative_imports

from vitpose.processing import keypoint_detection_pipeline

HERE = Path(__file__).parent
CONFIG, PROCESSOR = "config.json", "preprocessor_config.json"
PIPELINE_FILE = Path(keypoint_detection_pipeline.__file__)
# As `pipeline(...).save_pretrained` writes it
PIPELINE_ENTRY = {
    "keypoint-detection": {
        "impl": f"{PIPELINE_FILE.stem}.{keypoint_detection_pipeline.KeypointDetectionPipeline.__name__}",
        "pt": ["AutoModel"],
        "type": "image",
    }
}


def add_pipeline(folder: Path, scratch: Path) -> dict[str, Path]:
    """Path in the repository -> file, of what a folder needs for `pipeline(..., trust_remote_code=True)`.

    Empty where the folder has it already, and for a model of transformers' own, whose config knows no keypoints.

    Args:
        folder: Of a saved model.
        scratch: Empty folder to write the changed config into.
    """
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    if "custom_pipelines" in config or "auto_map" not in config:
        return {}
    (scratch / CONFIG).write_text(json.dumps(config | {"custom_pipelines": PIPELINE_ENTRY}, indent=2), encoding="utf-8")
    code = [PIPELINE_FILE, *map(Path, get_relative_import_files(PIPELINE_FILE))]
    return {CONFIG: scratch / CONFIG} | {path.name: path for path in code}


def endpoint_files(folder: Path) -> dict[str, Path]:
    """Path in the repository -> file, of what an Inference Endpoint needs; the folder's own go before ours."""
    ours = {"handler.py": HERE / "handler.py", "requirements.txt": HERE / "templates" / "requirements.txt"}
    return {name: folder / name if (folder / name).is_file() else path for name, path in ours.items()}


def code_files(folder: Path) -> list[str]:
    """Names of the modules that the folder's configs refer to, and of all that these import from the folder."""
    waiting = {reference.split("--")[-1].split(".")[0] for reference in _references(folder)}
    found: set[str] = set()
    while waiting - found:
        module = sorted(waiting - found)[0]
        found.add(module)
        if (folder / f"{module}.py").is_file():
            waiting |= set(get_relative_imports(folder / f"{module}.py"))
    return sorted(f"{module}.py" for module in found)


def _references(folder: Path) -> list[str]:
    """The classes, as `module.Class`, that transformers loads from the folder."""
    found: list[str] = []
    for name in (CONFIG, PROCESSOR):
        if (folder / name).is_file():
            config: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
            found += config.get("auto_map", {}).values()
            found += [entry["impl"] for entry in config.get("custom_pipelines", {}).values()]
    return found
