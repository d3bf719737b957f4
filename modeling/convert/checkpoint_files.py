"""Files of checkpoints: what is in them, without running code that is stored in them."""

import io
import logging
import pickle
import pickletools
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from .names import StateDict

logger = logging.getLogger(__name__)

_LEGACY_HEADER = 3  # pickles before the content in torch's older format: a magic number, a version, the byte order
_DEEPEST = 3  # entries inside entries, such as ema / module / the weights
_NEWEST_PROTOCOL = 3  # of pickle, for torch's reader that runs no code; it writes protocol 2
_UNREADABLE = (pickle.UnpicklingError, AttributeError, IndexError, KeyError, TypeError, ValueError)


class _NotRead:
    """Stands for an object of another program: takes what the file says of it and does nothing."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


class _Pickle(NamedTuple):
    """A pickle that was not loaded: the protocol, and full names of the classes and functions it refers to."""

    protocol: int
    names: list[str]


def _no_items(*_: object) -> dict[Any, Any]:
    """Stands for a dictionary with a default, which is filled after it was made."""
    return {}


def read_checkpoint(path: str | Path) -> Any:
    """The content of a checkpoint: tensors, numbers, texts, and dictionaries and lists of these.

    Training programs store more beside the weights, such as their settings and the history of the loss. Objects of
    their own classes are left unread, as reading them would run code: something empty takes their place, and the log
    names the programs.

    Args:
        path: A file, or a folder that holds `model.safetensors`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is broken, of another kind, or holds objects that cannot be passed over.
    """
    path = Path(path)
    file = path / "model.safetensors" if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(f"No checkpoint at {file}: expected a .safetensors or .pth file, or a folder with one.")
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except _UNREADABLE:  # also what torch raises on a file of text
            return _load_tensors_alone(file)
    except (RuntimeError, EOFError, SafetensorError) as error:  # of torch and safetensors, about broken files
        raise ValueError(f"{file} cannot be read as a checkpoint: {error}. Get or save it again.") from error


def weight_sets(content: Any, *, depth: int = _DEEPEST) -> dict[str, StateDict]:
    """Every dictionary with tensors in the content of a file, by the entries that lead to it, joined by dots."""
    if not isinstance(content, Mapping):
        return {}
    own = {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, torch.Tensor)}
    found: dict[str, StateDict] = {"": own} if own else {}
    for entry, value in content.items() if depth else ():
        if isinstance(entry, str):
            inside = weight_sets(value, depth=depth - 1)
            found |= {".".join(part for part in (entry, name) if part): weights for name, weights in inside.items()}
    return found


def _load_tensors_alone(file: Path) -> Any:
    """Load a file with something empty in the place of each object that torch does not take as safe."""
    try:
        protocol, names = _look_into(file)
    except (ValueError, StopIteration) as error:  # no pickle at all
        raise ValueError(f"{file} cannot be read as a checkpoint of PyTorch. Get or save it again.") from error
    # torch looks into its own list of safe names first: these stand only for what that list does not have
    stand_ins: list[Any] = [(_no_items if name == "collections.defaultdict" else _NotRead, name) for name in names]
    programs = sorted({name.partition(".")[0] for name in names} - {"torch", "collections", "builtins", "_codecs"})
    try:
        with torch.serialization.safe_globals(stand_ins):
            content = torch.load(file, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        if protocol > _NEWEST_PROTOCOL:
            raise ValueError(
                f"{file} is a pickle of protocol {protocol}, which PyTorch does not read without running code from the "
                "file. Load it where you trust it, and save it again with torch.save, without pickle_protocol."
            ) from error
        raise ValueError(
            f"{file} holds more than tensors, and reading that would run code from the file: objects of "
            f"{', '.join(programs) or 'torch'}. Save its state dict alone, where you trust the file: "
            "torch.save({'state_dict': ...}, path)."
        ) from error
    logger.info("%s: objects of %s beside the tensors are left unread.", file, ", ".join(programs) or "torch")
    return content


def _look_into(file: Path) -> _Pickle:
    """What the pickle of a checkpoint says without being loaded."""
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            content = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            return _look_into_pickle(io.BytesIO(archive.read(content)))
    with open(file, "rb") as stream:
        first = _look_into_pickle(stream)
        if first.protocol > _NEWEST_PROTOCOL:  # refused in any case, and a plain pickle has no further parts
            return first
        for _ in range(_LEGACY_HEADER - 1):
            _look_into_pickle(stream)
        return _look_into_pickle(stream)


def _look_into_pickle(stream: BinaryIO) -> _Pickle:
    """What one pickle says, its names as Python 3 has them; the stream then stands behind it."""
    names, protocol = set(), 0
    for operation, argument, _ in pickletools.genops(stream):
        if operation.name == "PROTO":
            protocol = int(argument or 0)
        if operation.name == "GLOBAL":
            module, name = str(argument).split(" ", 1)
            module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
            names.add(f"{module}.{name}")
    return _Pickle(protocol, sorted(names))
