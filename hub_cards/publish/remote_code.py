"""The code that a repository carries besides weights: model and pipeline, and what an Inference Endpoint runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel
from transformers.dynamic_module_utils import get_relative_imports

from vitpose.modeling.modeling_vitpose import ViTPoseForPoseEstimation
from vitpose.processing.image_processing_vitpose import ViTPoseImageProcessor
from vitpose.processing.keypoint_detection_pipeline import KeypointDetectionPipeline

ENDPOINT = Path(__file__).parents[1] / "endpoint"
CONFIG, PROCESSOR = "config.json", "preprocessor_config.json"


def add_pipeline(folder: Path, scratch: Path) -> dict[str, Path]:
    """Path in the repository -> file, of what a folder lacks for `pipeline(..., trust_remote_code=True)`.

    Empty where it was saved with its pipeline; else configs and code, saved anew.

    Args:
        folder: Of a saved model.
        scratch: Folder to save into.

    Raises:
        ValueError: The weights are not those of the config.
    """
    model = load_whole(folder, ViTPoseForPoseEstimation)
    if read_json(folder / CONFIG).get("custom_pipelines"):
        return {}
    processor = ViTPoseImageProcessor.from_pretrained(folder)
    KeypointDetectionPipeline(model=model, image_processor=processor, device="cpu").save_pretrained(scratch)
    return {path.name: path for path in scratch.iterdir() if ".safetensors" not in path.name}


def load_whole(folder: Path, kind: type[PreTrainedModel]) -> Any:
    """The model of a folder; raises `ValueError` where its weights are not those of the config."""
    loaded: Any = kind.from_pretrained(folder, output_loading_info=True)
    model, info = loaded
    wrong = [*info["missing_keys"], *info["mismatched_keys"]]
    if wrong:
        raise ValueError(
            f"{folder}: {len(wrong)} weights that the config asks for are missing or of another shape, the first is "
            f"{sorted(map(str, wrong))[0]}. Save the model again, config and weights together."
        )
    return model


def endpoint_files(folder: Path) -> dict[str, Path]:
    """Path in the repository -> file, of what an Inference Endpoint needs; the folder's own go before ours."""
    ours = {"handler.py": ENDPOINT / "handler.py", "requirements.txt": ENDPOINT / "requirements.txt"}
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
    for config in map(read_json, filter(Path.is_file, (folder / CONFIG, folder / PROCESSOR))):
        found += (config.get("auto_map") or {}).values()
        found += [entry["impl"] for entry in (config.get("custom_pipelines") or {}).values()]
    return found


def read_json(path: Path) -> dict[str, Any]:
    """What a JSON file of a model's folder holds; raises `ValueError` where it is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}. Save the model again.") from error
