"""The bundled checkpoint: a tiny ViTPose trained on generated people."""

from importlib.resources import files
from pathlib import Path

TINY_CHECKPOINT = str(files("vitpose") / "checkpoints" / "tiny")
_WEIGHT_FILES = (".pth", ".pt", ".bin", ".safetensors")


def resolve_model(name: str) -> str:
    """Resolve `tiny` to the folder of the bundled checkpoint; other names stay as they are.

    Raises:
        FileNotFoundError: The name is that of a weights file that does not exist; the Hub is not asked for it.
    """
    if name.endswith(_WEIGHT_FILES) and not Path(name).exists():
        raise FileNotFoundError(f"There is no file {name}. Check the path.")
    return TINY_CHECKPOINT if name == "tiny" else name
