"""The checkpoint that ships inside the package: a tiny ViTPose trained on generated people."""

from importlib.resources import files
from pathlib import Path

TINY_CHECKPOINT = str(files("vitpose") / "checkpoints" / "tiny")
_WEIGHT_FILES = (".pth", ".pt", ".bin", ".safetensors")


def resolve_model(name: str) -> str:
    """Where to load a model from: the folder of the packaged checkpoint for `tiny`, else the name itself.

    Raises:
        FileNotFoundError: The name is that of a file that is not there; it is not looked for on the Hub.
    """
    if name.endswith(_WEIGHT_FILES) and not Path(name).exists():
        raise FileNotFoundError(f"There is no file {name}. Check the path.")
    return TINY_CHECKPOINT if name == "tiny" else name
