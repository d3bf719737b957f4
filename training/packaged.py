"""The checkpoint that ships inside the package: a tiny ViTPose trained on generated people."""

from importlib.resources import files

TINY_CHECKPOINT = str(files("vitpose") / "checkpoints" / "tiny")


def resolve_model(name: str) -> str:
    """Where to load a model from: the folder of the packaged checkpoint for `tiny`, else the name itself."""
    return TINY_CHECKPOINT if name == "tiny" else name
