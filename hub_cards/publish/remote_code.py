"""The remote code of a repository: model and pipeline, and the handler of an Inference Endpoint."""

from __future__ import annotations

from pathlib import Path

from transformers.dynamic_module_utils import get_relative_imports

from vitpose.base.files import read_json
from vitpose.modeling.convert.complete import load_complete
from vitpose.modeling.modeling_vitpose import ViTPoseForPoseEstimation
from vitpose.processing.image_processing_vitpose import ViTPoseImageProcessor
from vitpose.processing.keypoint_detection_pipeline import KeypointDetectionPipeline

ENDPOINT = Path(__file__).parents[1] / "endpoint"
CONFIG, PROCESSOR = "config.json", "preprocessor_config.json"


def add_pipeline(folder: Path, scratch: Path) -> dict[str, Path]:
    """Add what a folder lacks for `pipeline(..., trust_remote_code=True)`: path in the repository -> file.

    Empty where it was saved with its pipeline; else configs and code, saved anew.

    Args:
        folder: Of a saved model.
        scratch: Folder to save into.

    Raises:
        ValueError: The weights are not those of the config.
    """
    model = load_complete(ViTPoseForPoseEstimation, folder)
    if read_json(folder / CONFIG).get("custom_pipelines"):
        return {}
    processor = ViTPoseImageProcessor.from_pretrained(folder)
    KeypointDetectionPipeline(model=model, image_processor=processor, device="cpu").save_pretrained(scratch)
    return {path.name: path for path in scratch.iterdir() if ".safetensors" not in path.name}


def endpoint_files(folder: Path) -> dict[str, Path]:
    """Path in the repository -> file, for an Inference Endpoint; the folder's own files take precedence."""
    ours = {"handler.py": ENDPOINT / "handler.py", "requirements.txt": ENDPOINT / "requirements.txt"}
    return {name: folder / name if (folder / name).is_file() else path for name, path in ours.items()}


def code_files(folder: Path) -> list[str]:
    """List the modules that the folder's configs refer to, and all that these import from the folder."""
    waiting = {reference.split("--")[-1].split(".")[0] for reference in _references(folder)}
    found: set[str] = set()
    while waiting - found:
        module = sorted(waiting - found)[0]
        found.add(module)
        if (folder / f"{module}.py").is_file():
            waiting |= set(get_relative_imports(folder / f"{module}.py"))
    return sorted(f"{module}.py" for module in found)


def _references(folder: Path) -> list[str]:
    """Classes, as `module.Class`, that transformers loads from the folder."""
    found: list[str] = []
    for config in map(read_json, filter(Path.is_file, (folder / CONFIG, folder / PROCESSOR))):
        found += (config.get("auto_map") or {}).values()
        found += [entry["impl"] for entry in (config.get("custom_pipelines") or {}).values()]
    return found
