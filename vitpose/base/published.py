"""Models by name: the published checkpoints, the one inside the package, folders, and repositories of the Hub."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .files import TINY_CHECKPOINT, WEIGHT_FILES, read_json
from .hub import fetch_model
from .names import unknown_name


@dataclass(frozen=True, kw_only=True)
class Published:
    """A checkpoint on the Hub that has a short name.

    Args:
        repo: Its repository.
        license: Of the weights.
        megabytes: Size of the file of weights, which is fetched once.
        coco_ap: Published AP on COCO val2017, in percent: of keypoints for a pose model, of all 80 classes' boxes for a
            detector.
    """

    repo: str
    license: str
    megabytes: int
    coco_ap: float


# ViTPose++ of the paper's authors, in transformers' format: six experts, and the head of COCO's 17 keypoints.
# AP: the authors' release, with the boxes of a person detector of 56 AP and the flip test.
MODELS: dict[str, Published] = {
    "small": Published(repo="usyd-community/vitpose-plus-small", license="apache-2.0", megabytes=133, coco_ap=75.8),
    "base": Published(repo="usyd-community/vitpose-plus-base", license="apache-2.0", megabytes=502, coco_ap=77.0),
    "large": Published(repo="usyd-community/vitpose-plus-large", license="apache-2.0", megabytes=1738, coco_ap=78.6),
    "huge": Published(repo="usyd-community/vitpose-plus-huge", license="apache-2.0", megabytes=3598, coco_ap=79.4),
}

# D-FINE, pre-trained on Objects365 and fine-tuned on COCO: of the detectors that transformers loads with neither timm
# nor torchvision under a license that lets everybody use them (Apache-2.0), the most accurate at its size, and without
# non-maximum suppression, which loses people who overlap. By the authors' tables S takes 25 and X 202 GFLOPs a photo.
# RF-DETR's permissive sizes end at 56.5 AP, RT-DETRv2 and RT-DETR at 54.3 and 56.2; YOLOS, which is a plain ViT, is at
# 42.0 AP.
DETECTORS: dict[str, Published] = {
    "light": Published(repo="ustc-community/dfine-small-obj2coco", license="apache-2.0", megabytes=42, coco_ap=50.7),
    "accurate": Published(
        repo="ustc-community/dfine-xlarge-obj2coco", license="apache-2.0", megabytes=252, coco_ap=59.3
    ),
}

_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
TINY = "tiny"
EXPORTED = "vitpose_exported"
POSE_TYPES = ("vitpose", "vitpose_plus", EXPORTED)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What a name is to be the name of.

    Args:
        word: As in "expected a pose model".
        published: The short names.
        inside: Short names of folders inside the package.
        types: Values of `model_type` in `config.json` that will do; None takes whatever comes.
        remedy: What to do where the Hub cannot be reached.
    """

    word: str
    published: Mapping[str, Published]
    inside: Mapping[str, str] = field(default_factory=dict)
    types: tuple[str, ...] | None = None
    remedy: str = ""


POSE = Kind(
    word="a pose model",
    published=MODELS,
    inside={TINY: TINY_CHECKPOINT},
    types=POSE_TYPES,
    remedy="or try the one inside the package, --model tiny, which knows drawn people only",
)
ANY = Kind(word=POSE.word, published=MODELS, inside=POSE.inside, remedy=POSE.remedy)


def resolve_model(name: str, kind: Kind = POSE) -> str:
    """Where a model lies on this machine; one of the Hub is fetched, unless it has been.

    Args:
        name: A folder, a file of weights, a published name such as `base`, `tiny` for the model inside the package, or
            the id of a repository. `NAME@REVISION` takes a branch, tag or commit of a repository. Where there is a
            folder of an id's name, the folder is meant.
        kind: What is looked for.

    Returns:
        The path of a folder or file.

    Raises:
        FileNotFoundError: The name is that of a file that is not there.
        OSError: The repository cannot be fetched, and was not before; the message says what to do.
        ValueError: It is no name of a model, or the model is of another kind.
    """
    if name in kind.inside:
        return kind.inside[name]
    if name not in kind.published and Path(name).exists():
        _check_kind(name, Path(name), kind)
        return name
    if name.endswith(WEIGHT_FILES):
        raise FileNotFoundError(f"There is no file {name}. Check the path.")
    repo, revision = _parse(name, kind)
    return fetch_model(repo, revision, check=lambda folder: _check_kind(name, folder, kind), remedy=kind.remedy)


def repository_of(name: str, kind: Kind = POSE) -> str | None:
    """The repository on the Hub that a name means, without its revision; None where it means a folder or a file."""
    if name in kind.inside or (name not in kind.published and Path(name).exists()):
        return None
    short = name.partition("@")[0]
    repo = kind.published[short].repo if short in kind.published else short
    return repo if _HUB_ID.fullmatch(repo) else None


def _parse(name: str, kind: Kind) -> tuple[str, str | None]:
    """Repository and revision of `NAME` or `NAME@REVISION`."""
    short, at, revision = name.partition("@")
    if at and not revision:
        raise ValueError(f"{name}: expected a branch, tag or commit behind the @.")
    if at and short in kind.inside:
        raise ValueError(f"{name}: {short} is inside the package and has no revisions. Leave @{revision} out.")
    if short in kind.published:
        return kind.published[short].repo, revision or None
    if not _HUB_ID.fullmatch(short):
        if "/" in name or "\\" in name:
            raise FileNotFoundError(f"There is no folder or file {name}. Check the path.")
        remedy = "Or give a folder, or the OWNER/NAME of a repository on the Hub."
        raise ValueError(unknown_name("model", short, [*kind.inside, *kind.published], remedy=remedy))
    return short, revision or None


def _check_kind(name: str, folder: Path, kind: Kind) -> None:
    """Refuse a folder whose config says that it is another kind of model; one without a config is left to its reader.

    Raises:
        ValueError: It is of another kind.
    """
    if kind.types is None or not (folder / "config.json").is_file():
        return
    config: Any = read_json(folder / "config.json")
    found = config.get("model_type") if isinstance(config, dict) else None
    if found is not None and found not in kind.types:
        names = ", ".join([*kind.inside, *kind.published])
        raise ValueError(f"{name} is a model of type {found!r}, expected {kind.word}, such as {names}.")
