"""SLEAP: `.slp` projects whose frames are image files, and `.pkg.slp` packages with the frames inside.

sleap-io reads the files. Instances that a person labeled are read, predicted ones are counted. Frames in a package are
written as PNG files into the cache of `datasets`, once. Frames of a video would have to be decoded: a project with
videos is to be exported as a package.
"""

import hashlib
import logging
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from PIL import Image

from vitpose.base.errors import Place, PlacedError
from vitpose.base.files import whole_file

from .annotated import Annotations, Category, Person, Photo, Source

logger = logging.getLogger(__name__)


def read_sleap(source: Source) -> Annotations:
    """Read labeled frames; a node that is not visible in SLEAP is not labeled.

    Raises:
        ImportError: sleap-io is not installed.
        ValueError: The file is damaged, or its frames cannot be had; the message names it.
    """
    (path,) = source.files
    labels = _load(path)
    skeletons = {_skeleton_name(skeleton): skeleton for skeleton in labels.skeletons}
    annotations = Annotations(categories={name: _category(skeleton) for name, skeleton in skeletons.items()})
    cache = _cache_folder(path)
    for frame in labels.labeled_frames:
        place = (str(path), f"video {labels.videos.index(frame.video)}", f"frame {frame.frame_idx}")
        annotations.remarks["predicted instances not read"] += len(frame.predicted_instances)
        annotations.photos.append(_photo(frame, cache, place))
        annotations.people += _people(frame, len(annotations.photos) - 1, place)
    return annotations


def _load(path: Path) -> Any:
    try:
        import sleap_io
    except ImportError as error:
        raise ImportError(f'{path} needs sleap-io: pip install "vitpose[sleap]".') from error
    try:
        return sleap_io.load_slp(str(path))
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{path} is not a file of SLEAP, or it is damaged: {error}.") from error


def _skeleton_name(skeleton: Any) -> str:
    return str(skeleton.name or "animal")


def _category(skeleton: Any) -> Category:
    return Category(keypoints=tuple(skeleton.node_names), edges=tuple((a, b) for a, b in skeleton.edge_inds if a != b))


def _people(frame: Any, photo: int, place: Place) -> Iterator[Person]:
    for number, instance in enumerate(frame.user_instances):
        points = zip(instance.skeleton.node_names, instance.numpy().tolist(), strict=True)
        keypoints = {name: (x, y, 2.0) for name, (x, y) in points if np.isfinite([x, y]).all()}
        own, category = (*place, f"instance {number}"), _skeleton_name(instance.skeleton)
        yield Person(photo=photo, place=own, category=category, keypoints=keypoints)


def _photo(frame: Any, cache: Path, place: Place) -> Photo:
    """The frame: one of image files, or one that is kept in the package; else asking for it is refused."""
    filename = frame.video.filename
    if isinstance(filename, list):
        return Photo(name=str(filename[frame.frame_idx]), place=place)
    name = f"{place[1]}_frame_{frame.frame_idx:06d}.png".replace(" ", "_")
    return Photo(name=name, place=place, locate=partial(_extract, frame, cache / name, place))


def _extract(frame: Any, file: Path, place: Place) -> str:
    """Write a frame of a package as PNG, where that was not done before."""
    if file.is_file():
        return str(file)
    if not str(frame.video.filename).lower().endswith((".slp", ".h5", ".hdf5")):
        raise PlacedError(
            f"it is a frame of the video {frame.video.filename}, which is not decoded. Save the project as a package "
            "with its frames (.pkg.slp).",
            place,
        )
    try:
        pixels = np.asarray(frame.image)
    except (OSError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise PlacedError(f"its frame is not in the package: {error}. Export the package again.", place) from error
    if not file.parent.exists():
        logger.info("%s: frames of the package are written to %s.", place[0], file.parent)
    with whole_file(file) as partial_file:
        Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(partial_file)
    return str(file)


def _cache_folder(path: Path) -> Path:
    """A folder for the frames of this state of the file."""
    state = os.stat(path)
    key = hashlib.sha256(f"{path.resolve()} {state.st_mtime_ns} {state.st_size}".encode()).hexdigest()[:16]
    return Path(datasets.config.HF_DATASETS_CACHE) / "sleap_frames" / f"{path.name.split('.')[0]}-{key}"


def is_sleap(path: Path, head: str) -> bool:
    """Whether a file is one of SLEAP, by its name."""
    return path.suffix == ".slp"
