"""Which files of a saved model's folder make up a repository on the Hub, and whether they are fit to be seen."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

import torch
from huggingface_hub import save_torch_state_dict
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from .remote_code import CONFIG, PROCESSOR, code_files

CARD = "README.md"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
COMPANIONS = ("metrics.json", "results.json", "LICENSE", "NOTICE")  # published where the folder has them
EVAL_RESULTS = ".eval_results/*.yaml"
EXAMPLES = re.compile(r"example.*\.(png|jpe?g|webp)", re.IGNORECASE)  # photos for the widget of the model page
PICTURE = re.compile(r"!\[[^\]]*\]\((?P<path>[^)\s]+)\)")
PICKLES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"}
# Weights in a repository, of this package or another: old ones must go, since they may be loaded instead of the new
REPO_WEIGHTS = re.compile(
    r"(?P<torch>(model|pytorch_model)(-\d+-of-\d+)?\.(safetensors|bin)(\.index\.json)?)"
    r"|(?P<onnx>model\.onnx(\.data)?)|(?P<openvino>openvino_model\.(xml|bin))"
)


def checkpoint_files(folder: Path) -> dict[str, Path]:
    """Path in the repository -> file, for everything of the folder that is published; the card only if there is one.

    Raises:
        FileNotFoundError: The folder, or a file that a checkpoint cannot do without, is missing.
        ValueError: There are pickled weights.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")
    refuse_pickles(folder)
    names = [CONFIG, PROCESSOR, *weight_files(folder), *code_files(folder)]
    for name in names:
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} lacks {name}: {_remedy(name)}")
    return {name: folder / name for name in [*names, *companions(folder)]}


def companions(folder: Path) -> list[str]:
    """Names of what is published with a model where the folder has it: card, figures, licence, pictures.

    Raises:
        FileNotFoundError: The card shows a picture that is not there.
    """
    names = [name for name in (CARD, *COMPANIONS) if (folder / name).is_file()]
    names += sorted(str(path.relative_to(folder)) for path in folder.glob(EVAL_RESULTS))
    return [*names, *example_pictures(folder), *_card_pictures(folder)]


def left_out(folder: Path, files: Iterable[str]) -> list[str]:
    """What else the folder holds; a folder in it, such as `checkpoints/`, is one entry."""
    published = {name.split("/")[0] for name in files}
    return sorted(path.name + "/" * path.is_dir() for path in folder.iterdir() if path.name not in published)


def refuse_pickles(folder: Path, *, known: Iterable[str] = ()) -> None:
    """Raise if weights are pickled: reading such a file runs whatever code is in it, so nobody should have to.

    Args:
        folder: Of a model.
        known: Names of files that are no pickles, whatever they end in.
    """
    found = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES and path.name not in known)
    if found:
        raise ValueError(
            f"{folder} holds pickled files: {', '.join(found)}. Reading a pickle runs the code in it, so they are not "
            "published. Delete them if the safetensors files hold the same weights; else load the model and save it "
            "with save_pretrained."
        )


def weight_kind(name: str) -> str | None:
    """What a file of a repository is weights for: "torch", "onnx" or "openvino"; None where it is something else."""
    match = REPO_WEIGHTS.fullmatch(name)
    return None if match is None else match.lastgroup


def weight_files(folder: Path) -> list[str]:
    """Names of the safetensors files, and of their index where there are several.

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
        shards = set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder / INDEX} is no index of shards: {error!r}. Save the model again.") from error
    return [INDEX, *sorted(shards)]


def example_pictures(folder: Path) -> list[str]:
    """Names of the photos that the model page offers to try the model on."""
    return sorted(path.name for path in folder.iterdir() if EXAMPLES.fullmatch(path.name))


def check_weights(files: Iterable[Path], *, force: bool) -> None:
    """Read every tensor once, and raise if one holds NaN or infinite values.

    Args:
        files: Safetensors files.
        force: Let such values pass; files that cannot be read are refused all the same.
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
                "predicts nothing: publish an earlier checkpoint, or pass --force (force=True) if it is meant."
            )


def reshard(files: Iterable[Path], folder: Path, max_shard_size: str) -> dict[str, Path]:
    """Write the tensors of some safetensors files into shards of at most this size; name -> file of what was written.

    Raises:
        ValueError: The size is none, such as "500MB".
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
    """Names of the pictures that the card shows from the folder.

    Raises:
        FileNotFoundError: One of them is not there.
    """
    if not (folder / CARD).is_file():
        return []
    shown = [match["path"] for match in PICTURE.finditer((folder / CARD).read_text(encoding="utf-8"))]
    shown = [path for path in dict.fromkeys(shown) if "://" not in path]
    missing = [path for path in shown if ".." in Path(path).parts or not (folder / path).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder / CARD} shows {', '.join(missing)}, absent from the folder: add or unlink it."
        )
    return shown


def _remedy(name: str) -> str:
    if name == PROCESSOR:
        return "save the image processor there with ViTPoseImageProcessor.save_pretrained."
    return "save the model there again with save_pretrained."
