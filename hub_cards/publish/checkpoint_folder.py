"""The files of a saved model's folder that are published, and checks of their content."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import torch
from huggingface_hub import save_torch_state_dict
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from vitpose.base.files import read_json

from .remote_code import CONFIG, PROCESSOR, code_files

CARD = "README.md"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
COMPANIONS = ("metrics.json", "results.json", "LICENSE", "NOTICE")  # published where the folder has them
EVAL_RESULTS = ".eval_results/*.yaml"
EXAMPLES = re.compile(r"example.*\.(png|jpe?g|webp)", re.IGNORECASE)  # photos for the widget of the model page
PICTURE = re.compile(r"!\[[^\]]*\]\((?P<path>[^)\s]+)\)")
PICKLES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"}
# What transformers' Trainer leaves beside the weights; pickled, but none of the weights, and never published
TRAINER_STATE = re.compile(r"training_args\.bin|(optimizer|scheduler|scaler)\.(pt|bin)|rng_state(_\d+)?\.pth")
# Weights in a repository, of this package or another: old ones must go, since they may be loaded instead of the new
REPO_WEIGHTS = re.compile(
    r"(?P<torch>(model|pytorch_model)(-\d+-of-\d+)?\.(safetensors|bin)(\.index\.json)?)"
    r"|(?P<onnx>model\.onnx(\.data)?)|(?P<openvino>openvino_model\.(xml|bin))"
)


def checkpoint_files(folder: Path) -> dict[str, Path]:
    """List what is published: path in the repository -> file; the card only if there is one.

    Raises:
        FileNotFoundError: The folder, or a file that a checkpoint cannot do without, is missing.
        ValueError: There are pickled weights.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")
    refuse_pickles(folder, known=[path.name for path in folder.iterdir() if TRAINER_STATE.fullmatch(path.name)])
    names = [CONFIG, PROCESSOR, *weight_files(folder), *code_files(folder)]
    for name in names:
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} lacks {name}: {_remedy(name)}")
    return {name: folder / name for name in [*names, *companions(folder)]}


def companions(folder: Path) -> list[str]:
    """List the optional files that are published with a model: card, metrics, licence, pictures.

    Raises:
        FileNotFoundError: The card shows a picture that is not there.
    """
    names = [name for name in (CARD, *COMPANIONS) if (folder / name).is_file()]
    names += sorted(str(path.relative_to(folder)) for path in folder.glob(EVAL_RESULTS))
    return [*names, *example_pictures(folder), *_card_pictures(folder)]


def left_out(folder: Path, files: Iterable[str]) -> list[str]:
    """List what is not uploaded; a folder in it, such as `checkpoints/`, is one entry."""
    published = {name.split("/")[0] for name in files}
    return sorted(path.name + "/" * path.is_dir() for path in folder.iterdir() if path.name not in published)


def refuse_pickles(folder: Path, *, known: Iterable[str] = ()) -> None:
    """Raise if weights are pickled: loading such a file runs the code in it.

    Args:
        folder: Of a model.
        known: Names of files that are not pickles in spite of their suffix.
    """
    found = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES and path.name not in known)
    if found:
        raise ValueError(
            f"{folder} holds pickled files: {', '.join(found)}. Reading a pickle runs the code in it, so they are not "
            "published. Delete them if the safetensors files hold the same weights; else load the model and save it "
            "with save_pretrained."
        )


def weight_format(name: str) -> str | None:
    """Format of a weights file in a repository: "torch", "onnx" or "openvino"; None for other files."""
    match = REPO_WEIGHTS.fullmatch(name)
    return None if match is None else match.lastgroup


def weight_files(folder: Path) -> list[str]:
    """List the safetensors files, and their index where there are several.

    Raises:
        FileNotFoundError: There are no weights.
        ValueError: The index cannot be read.
    """
    if (folder / WEIGHTS).is_file():
        return [WEIGHTS]
    if not (folder / INDEX).is_file():
        raise FileNotFoundError(
            f"{folder} holds no weights: expected {WEIGHTS}, or {INDEX} and its shards. Save the model there with "
            "save_pretrained."
        )
    try:
        shards = set(read_json(folder / INDEX)["weight_map"].values())
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder / INDEX} is not an index of shards: {error!r}. Save the model again.") from error
    return [INDEX, *sorted(shards)]


def example_pictures(folder: Path) -> list[str]:
    """List the photos that the model page offers to try the model on."""
    return sorted(path.name for path in folder.iterdir() if EXAMPLES.fullmatch(path.name))


def check_weights(files: Iterable[Path], *, force: bool) -> None:
    """Read every tensor once, and raise if one holds NaN or infinite values.

    Args:
        files: Safetensors files.
        force: Accept such values; files that cannot be read are refused all the same.
    """
    for path in files:
        try:
            with safe_open(path, framework="pt") as tensors:
                names = [] if force else tensors.keys()
                broken = [name for name in names if not _is_finite(tensors.get_tensor(name))]
        except SafetensorError as error:
            raise ValueError(f"{path} cannot be read as safetensors: {error}. Save the model again.") from error
        if broken:
            raise ValueError(
                f"{path}: {len(broken)} tensors hold NaN or infinite values, the first is {broken[0]}. Such a model "
                "predicts nothing: publish an earlier checkpoint, or pass --force (force=True) if this is intended."
            )


def reshard(files: Iterable[Path], folder: Path, max_shard_size: str) -> dict[str, Path]:
    """Write the tensors of safetensors files into shards of at most this size.

    Returns:
        Name -> file of each shard, and of their index.

    Raises:
        ValueError: Invalid size; expected one such as "500MB".
    """
    tensors: dict[str, torch.Tensor] = {}
    for path in files:
        tensors |= load_file(path)
    folder.mkdir()
    try:
        save_torch_state_dict(tensors, folder, max_shard_size=max_shard_size, metadata={"format": "pt"})
    except ValueError as error:
        raise ValueError(f"max_shard_size must be a size such as '500MB' or '2GB', got {max_shard_size!r}.") from error
    return {path.name: path for path in sorted(folder.glob("model*"))}


def _is_finite(tensor: torch.Tensor) -> bool:
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor.float()).all())


def _card_pictures(folder: Path) -> list[str]:
    """List the pictures of the folder that the card shows.

    Raises:
        FileNotFoundError: One of them is not there.
    """
    if not (folder / CARD).is_file():
        return []
    pictures = [match["path"] for match in PICTURE.finditer((folder / CARD).read_text(encoding="utf-8"))]
    pictures = [path for path in dict.fromkeys(pictures) if "://" not in path]
    missing = [path for path in pictures if ".." in Path(path).parts or not (folder / path).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder / CARD} shows {', '.join(missing)}, absent from the folder: add or unlink it."
        )
    return pictures


def _remedy(name: str) -> str:
    if name == PROCESSOR:
        return "save the image processor there with ViTPoseImageProcessor.save_pretrained."
    return "save the model there again with save_pretrained."
