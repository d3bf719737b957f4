"""Photos of annotation files: where they lie, and whether they are as large as the file says."""

import logging
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from vitpose.base.errors import Place, PlacedError

from .images import DAMAGE, SIDEWAYS, read_image_size
from .photo_folder import PhotoFolder

logger = logging.getLogger(__name__)

_MOST_CHECKED = 1000  # photos, about, whose size is compared before all are: a tenth of a second
_BEYOND = 0.02  # share of the longer side by which a keypoint may lie outside its photo and say nothing of its frame


def find_photos(names: Mapping[int, str], image_dir: str | os.PathLike[str], source: Path) -> dict[int, str]:
    """Find the files of photos, by their names in an annotation file.

    A name that leads to no file is that of the tool's own storage, such as `/data/upload/3/0a1b2c3d-street.jpg` or
    `gs://bucket/set/street%201.jpg`: it is looked for by its last parts, see [`PhotoFolder`]. A file is never found for
    two names so. Nor is one read to which a name leads outside the folder, since an annotation file of somebody else
    may name any; links inside the folder are followed.

    Args:
        names: By the number of the image, relative to the folder.
        image_dir: The folder.
        source: The annotation file, for the log and for errors.

    Returns:
        The path of each; of one that is not found the path where its name leads.

    Raises:
        PlacedError: A file is outside the folder; the place is the annotation file and the image.
    """
    there = Listing()
    root = os.fspath(image_dir)
    paths = {number: os.path.join(root, name) for number, name in names.items()}
    leading = [number for number, name in names.items() if ".." in name or os.path.isabs(name)]
    plain = {number: _path_inside(root, paths[number]) for number in leading}
    outside = {number for number, path in plain.items() if path is None}
    paths |= {number: path for number, path in plain.items() if path is not None}
    missing = [number for number, path in paths.items() if number in outside or path not in there]
    if not missing:
        return paths
    photos = PhotoFolder(Path(root))
    meant = {number: photos.look_for(names[number]) for number in missing}
    found = {number: paths_of[0] for number, paths_of in meant.items() if len(paths_of) == 1}
    owners = Counter(found.values()) + Counter(paths[number] for number in paths.keys() - set(missing))
    found = {number: path for number, path in found.items() if owners[path] == 1}
    for number in sorted(outside - found.keys()):
        if paths[number] in there:
            reason = f"{names[number]!r} leads outside the image folder {root}. Put the photo, or a link to it, there."
            raise PlacedError(reason, _place(source, number))
    if found:
        number, path = next(iter(found.items()))
        example = f"{names[number]!r} is {os.path.relpath(path, root)}"
        logger.warning("%s: %d photos have another name in the folder: %s.", source, len(found), example)
    return paths | found


def _path_inside(root: str, path: str) -> str | None:
    """The path without `..`, if it lies below the root; else None."""
    for resolve in (os.path.abspath, os.path.realpath):  # a full path may be that of the folder behind a link
        if Path(resolve(path)).is_relative_to(resolve(root)):
            return os.path.join(root, os.path.relpath(resolve(path), resolve(root)))
    return None


class Listing:
    """Whether files exist, from one listing a folder: fast for 100,000 files."""

    def __init__(self) -> None:
        self.folders: dict[str, set[str]] = {}

    def __contains__(self, path: str) -> bool:
        folder, name = os.path.split(path)
        if folder not in self.folders:
            self.folders[folder] = set(os.listdir(folder or ".")) if os.path.isdir(folder or ".") else set()
        return name in self.folders[folder]


def complete_sizes(
    sizes: Mapping[int, tuple[object, object]], paths: Mapping[int, str], source: Path
) -> dict[int, tuple[int, int]]:
    """Width and height of photos in whole pixels, read from their headers where a file does not state them.

    Args:
        sizes: By the number of the image, as the file has them.
        paths: The files of the same images.
        source: The annotation file, for the log.

    Raises:
        ImageReadError: A photo is missing or damaged.
    """
    complete, absent = dict[int, tuple[int, int]](), 0
    for number, (width, height) in sizes.items():
        if type(width) is int and type(height) is int and width > 0 and height > 0:
            complete[number] = (width, height)
        else:
            absent += 1
            complete[number] = read_image_size({"bytes": None, "path": paths[number]}, row=number)
    if absent:
        logger.warning("%s: the sizes of %d photos are read from the photos: the file has none.", source, absent)
    return complete


def upright_size(path: str) -> tuple[int, int] | None:
    """Width and height of a photo as a viewer shows it, of a PNG too; None for a file that cannot be read.

    [`read_image_size`] does not decode and cannot tell how a PNG is turned.
    """
    try:
        with Image.open(path) as opened:
            turned = opened.format != "TIFF" and opened.getexif().get(ExifTags.Base.Orientation) in SIDEWAYS
            return opened.size[::-1] if turned else opened.size
    except DAMAGE:
        return None


def other_sizes(sizes: Mapping[int, tuple[int, int]], paths: Mapping[int, str]) -> dict[int, tuple[int, int]]:
    """Find the photos that are not as large as their annotations say.

    Of many photos an even sample is looked at first, and all of them once one of the sample differs. Files that cannot
    be read are passed over: whoever decodes them tells.

    Returns:
        The size as a viewer shows the photo, by the number of the image.
    """
    numbers = list(sizes)
    sample = numbers[:: max(1, len(numbers) // _MOST_CHECKED)]
    if not _differing(sample, sizes, paths):
        return {}
    return _differing(numbers, sizes, paths)


def _differing(
    numbers: Sequence[int], sizes: Mapping[int, tuple[int, int]], paths: Mapping[int, str]
) -> dict[int, tuple[int, int]]:
    found = {}
    for number in numbers:
        try:
            if read_image_size({"bytes": None, "path": paths[number]}, row=number) == sizes[number]:
                continue
        except ValueError:
            continue
        size = upright_size(paths[number])
        if size is not None and size != sizes[number]:
            found[number] = size
    return found


def settle_sizes(
    sizes: dict[int, tuple[int, int]],
    paths: Mapping[int, str],
    points: Callable[[], tuple[np.ndarray, np.ndarray]],
    *,
    source: Path,
) -> dict[int, tuple[int, int]]:
    """Compare the stated sizes with the photos, before anybody trains on them.

    A photo that a camera stored lying has its sides exchanged in the files of programs that do not look at its EXIF
    orientation. Coordinates may still be of the upright photo, since browsers show it so: that is known where some of
    them lie outside the stated size and none outside the upright one. Then the size is exchanged. Anything else may
    mean either, and is refused.

    Args:
        sizes: Width and height by the number of the image.
        paths: The files of the same images.
        points: Returns the numbers of images `(m,)` and labeled points `(m, 2)` in them, x and y.
        source: The annotation file, for errors.

    Returns:
        The sizes, some exchanged.

    Raises:
        PlacedError: A photo has another size; the place is the file and the image.
    """
    others = other_sizes(sizes, paths)
    lying = {number for number, size in others.items() if size == sizes[number][::-1]}
    changed = [number for number in others if number not in lying]
    if changed:
        number, more = changed[0], f" (and {len(changed) - 1} more)" if len(changed) > 1 else ""
        reason = (
            f"is {_text(sizes[number])} pixels, {paths[number]} is {_text(others[number])}{more}. Use the photos that "
            "were annotated; if the keypoints fit these, remove width and height from the file's images."
        )
        raise PlacedError(reason, _place(source, number), " ")
    if not lying:
        return sizes
    numbers, xy = points()
    of_lying = np.isin(numbers, list(lying))
    stated = np.array([sizes[number] for number in numbers[of_lying].tolist()], dtype=np.float64).reshape(-1, 2)
    margin = _BEYOND * stated.max(1, keepdims=True, initial=0)
    outside = (xy[of_lying] > stated + margin).any(1)
    outside_upright = (xy[of_lying] > stated[:, ::-1] + margin).any(1)
    if not (outside & ~outside_upright).any() or (outside_upright & ~outside).any():
        raise _lying_error(sorted(lying), sizes, paths, source)
    message = (
        "%s: exchanged the width and height of %d photos, which are turned: the keypoints are of the upright ones."
    )
    logger.warning(message, source, len(lying))
    return sizes | {number: others[number] for number in lying}


def _lying_error(
    lying: Sequence[int], sizes: Mapping[int, tuple[int, int]], paths: Mapping[int, str], source: Path
) -> PlacedError:
    number, more = lying[0], f" (and {len(lying) - 1} more)" if len(lying) > 1 else ""
    reason = (
        f"is {_text(sizes[number])} pixels, but {paths[number]} is shown turned, {_text(sizes[number][::-1])}, as its "
        f"EXIF orientation says{more}. If the keypoints are those of the turned photo, remove width and height from "
        "the file's images; if they are those of the photo as it is stored, remove the orientation from the photos, "
        "such as with exiftool -Orientation=."
    )
    return PlacedError(reason, _place(source, number), " ")


def _place(source: Path, number: int) -> Place:
    return (str(source), f"image {number}")


def _text(size: Sequence[int]) -> str:
    return f"{size[0]} x {size[1]}"
