"""YOLO-pose, as Ultralytics has it: a YAML file of the data set, and a text file of people for each photo.

Label Studio's export of YOLO has `notes.json` in place of the YAML, and one folder of photos.

A line is `class x y width height` and then x, y and perhaps v of each keypoint, in shares of the photo's width and
height; x, y of a box are its center.
"""

import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from vitpose.base.errors import Place, PlacedError
from vitpose.base.files import read_json
from vitpose.modeling.keypoint_schemas import flip_index_of, get_keypoint_schema
from vitpose.modeling.keypoint_sides import mirror_pairs

from ..photo_folder import PHOTO_SUFFIXES, inside, photos_below
from .annotated import PERSON_WORDS, Annotations, Category, Person, Photo, Source

logger = logging.getLogger(__name__)

NOTES = "notes.json"
_NO_LABELS = ("classes.txt", "train.txt", "val.txt", "test.txt")
SPLITS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}


def read_yolo(source: Source) -> Annotations:
    """Read the photos that `data.yaml` names for the split, and the text files of their people.

    Raises:
        ValueError: The data set has no keypoints, a path leads outside its folder, the photos are those of the split
            train, or a line is unusable; the message names the file and the line.
    """
    (path,) = source.files
    config = _config(path, source.split)
    count, numbers = _shape(config, path)
    classes = _classes(config, path)
    skeletons = {name: _category(config, count, key, name, path) for key, name in classes.items()}
    annotations = Annotations(relative=True, categories=skeletons)
    files: list[Path] = []
    photos = _photos(config, source.split, source.root, path)
    _compare_with_train(photos, config, source, path)
    for photo in photos:
        place, labels = (str(path), str(photo.relative_to(source.root))), _labels_of(photo, source.root)
        annotations.photos.append(Photo(name=place[1], place=place, locate=photo.__str__))
        files += [labels] if labels else []
        annotations.remarks["photos without a text file"] += labels is None
        for line, text in enumerate(labels.read_text(encoding="utf-8").splitlines() if labels else (), start=1):
            if text.split():
                where = (str(labels), f"line {line}")
                values = _values(text, count, numbers, where)
                annotations.people.append(_person(values, classes, skeletons, len(annotations.photos) - 1, where))
    beside = {other for folder in {file.parent for file in files} for other in folder.glob("*.txt")}
    lost = [file for file in beside - set(files) if file.name not in _NO_LABELS]
    annotations.remarks["text files without a photo not read"] += len(lost)
    if not annotations.people:
        raise ValueError(f"{path}: none of the {len(photos)} photos of {source.split!r} has a text file of people.")
    return annotations


def _config(path: Path, split: str) -> dict[str, Any]:
    if path.suffix == ".json":
        return _config_of_notes(read_json(path), path, split)
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"{path} is not valid YAML: {error}.") from error
    if not isinstance(config, dict) or not {"train", "val", "names", "kpt_shape"} & config.keys():
        raise ValueError(f"{path} does not describe YOLO data: expected names, kpt_shape, and photos of train and val.")
    return config


def _config_of_notes(notes: Any, path: Path, split: str) -> dict[str, Any]:
    """What a YAML file would say, from the `notes.json` of Label Studio."""
    categories = notes.get("categories") if isinstance(notes, dict) else None
    if not isinstance(categories, list) or not all(isinstance(entry, dict) and "id" in entry for entry in categories):
        raise ValueError(f"{path} is not of Label Studio's YOLO export: expected categories with ids.")
    names = {entry["id"]: list(map(str, entry.get("keypoints") or ())) for entry in categories}
    counts = {len(found) for found in names.values() if found}
    shape = {"kpt_shape": [counts.pop(), 3]} if len(counts) == 1 else {}
    classes = {entry["id"]: str(entry.get("name")) for entry in categories if names[entry["id"]] or not shape}
    return {split: "images", "names": classes, "kpt_names": names, **shape}


def _shape(config: dict[str, Any], path: Path) -> tuple[int, int]:
    """Number of keypoints, and of figures for each."""
    if "kpt_shape" not in config:
        raise ValueError(
            f"{path} has no kpt_shape, so it is YOLO data for detection or segmentation, without keypoints. Export "
            "YOLO pose, or add kpt_shape: [keypoints, 2 or 3]."
        )
    shape = config["kpt_shape"]
    whole = isinstance(shape, (list, tuple)) and len(shape) == 2 and all(type(side) is int for side in shape)
    if not whole or shape[0] < 1 or shape[1] not in (2, 3):
        raise ValueError(f"{path}: expected kpt_shape: [keypoints, 2 or 3], got {shape!r}.")
    return shape[0], shape[1]


def _classes(config: dict[str, Any], path: Path) -> dict[int, str]:
    names = config.get("names", config.get("nc", 1))
    if isinstance(names, dict) and all(type(key) is int for key in names):
        return {key: str(name) for key, name in names.items()}
    if isinstance(names, list):
        return {key: str(name) for key, name in enumerate(names)}
    if type(names) is int:
        return {key: f"class_{key}" for key in range(names)}
    raise ValueError(f"{path}: expected names as a list or by number, got {names!r}.")


def _category(config: dict[str, Any], count: int, key: int, name: str, path: Path) -> Category:
    """Keypoints of a class: by their names where the file has them, COCO's where a person has 17, else numbered."""
    pairs, names = _flip_pairs(config, count, path), _names(config, count, key, path)
    if names is not None:
        if pairs is not None and (own := mirror_pairs(names)) and set(own) != set(pairs):
            message = "%s: flip_idx exchanges other keypoints than the names do, which would be %s. flip_idx counts."
            logger.warning(message, path, ", ".join(f"{names[a]} - {names[b]}" for a, b in own))
        return Category(keypoints=names, edges=_edges(config, count), flip_pairs=pairs)
    coco = get_keypoint_schema("coco")
    if count == coco.num_keypoints and pairs in (None, coco.flip_pairs):
        if name.strip().casefold() in PERSON_WORDS:
            return Category(keypoints=coco.keypoints, flip_pairs=pairs, numbered=True)
        message = (
            "%s: the %d keypoints of the class %r are numbered, since they have no names and need not be COCO's of a "
            "person. Give kpt_names, or a schema."
        )
        logger.warning(message, path, count, name)
    return Category(keypoints=tuple(f"keypoint_{n}" for n in range(count)), flip_pairs=pairs or (), numbered=True)


def _flip_pairs(config: dict[str, Any], count: int, path: Path) -> tuple[tuple[int, int], ...] | None:
    """Pairs that `flip_idx` exchanges; None without one, or where it exchanges nothing, as programs write it too."""
    flip = config.get("flip_idx")
    if flip is None:
        return None
    if not isinstance(flip, list) or sorted(map(str, flip)) != sorted(map(str, range(count))):
        raise ValueError(f"{path}: expected flip_idx to hold each number from 0 to {count - 1} once, got {flip!r}.")
    pairs = tuple((i, j) for i, j in enumerate(flip) if i < j)
    if list(flip_index_of(pairs, count)) != flip:
        raise ValueError(f"{path}: flip_idx exchanges keypoints in rings, expected pairs, got {flip!r}.")
    return pairs or None


def _names(config: dict[str, Any], count: int, key: int, path: Path) -> tuple[str, ...] | None:
    """Names of the keypoints of a class, where there are any: `kpt_names` by class, or `node_names` of SLEAP."""
    given = config.get("kpt_names", config.get("node_names"))
    names = given.get(key) if isinstance(given, dict) else given
    if names is None:
        return None
    if not isinstance(names, list) or len(names) != count or len(set(map(str, names))) != count:
        raise ValueError(f"{path}: expected {count} different kpt_names of class {key}, got {names!r}.")
    return tuple(map(str, names))


def _edges(config: dict[str, Any], count: int) -> tuple[tuple[int, int], ...]:
    """Lines between keypoints, which SLEAP writes beside its names; counted from 0."""
    lines = config.get("skeleton") if "node_names" in config else None
    pairs = [tuple(line) for line in lines if isinstance(line, list)] if isinstance(lines, list) else []
    return tuple(
        (ends[0], ends[1]) for ends in pairs if len(set(ends)) == 2 == len(ends) and set(ends) <= set(range(count))
    )


def _compare_with_train(photos: list[Path], config: dict[str, Any], source: Source, path: Path) -> None:
    """Refuse another split whose photos are those of train, as in a file with one folder for both; warn of a few."""
    if source.split in SPLITS["train"] or not config.get("train"):
        return
    try:
        trained = set(_photos(config, "train", source.root, path))
    except ValueError:  # whoever reads train is told
        return
    shared = len(trained.intersection(photos))
    if shared == len(photos):
        raise PlacedError(
            f"the photos of train and {source.split} are the same, so a model would be evaluated on what it was "
            "trained on. Give each its own photos, or read the split train (eval_split: train) where that is meant.",
            (str(path), source.split),
        )
    if shared:
        message = "%s: %d of %d photos of %s are photos of train too: they are in both."
        logger.warning(message, path, shared, len(photos), source.split)


def _photos(config: dict[str, Any], split: str, root: Path, path: Path) -> list[Path]:
    """Photos of the split: of folders, or lists of photos, one or several."""
    key = next((key for key in SPLITS.get(split, (split,)) if config.get(key)), None)
    if key is None:
        have = ", ".join(name for name in (*SPLITS, "valid") if config.get(name)) or "none"
        raise ValueError(f"{path} has the splits {have}: expected one of them, got {split!r}.")
    entries = config[key] if isinstance(config[key], list) else [config[key]]
    photos: list[Path] = []
    for entry in entries:
        place = (str(path), key)
        found = _located(str(entry), config, root, path.parent, place)
        if found.is_dir():
            photos += [found / photo for photo in photos_below(found)]
        elif found.suffix.lower() in PHOTO_SUFFIXES:
            photos.append(found)
        else:
            photos += _listed(found, root)
    if not photos:
        raise PlacedError(f"no photos in {entries}. Check the folders.", (str(path), key))
    return list(dict.fromkeys(photos))


def _located(entry: str, config: dict[str, Any], root: Path, folder: Path, place: Place) -> Path:
    """A folder or list of the YAML file, which may be relative to `path`, or be of the machine that it was made on.

    Ultralytics looks for `../train/images` beside the file too, since some exports write it so.
    """
    base = str(config.get("path") or ".")
    plain = entry.removeprefix("../")
    tried = [folder / base / entry, folder / entry, folder / plain]
    for candidate in tried:
        normal = Path(os.path.normpath(candidate))
        if normal.exists() and normal.is_relative_to(os.path.normpath(root)):
            return normal
    inside(root, tried[0] if Path(entry).is_absolute() or Path(base).is_absolute() else tried[2], place)
    raise PlacedError(f"there is no {plain} in {folder}. Check path and the folders of the splits.", place)


def _listed(file: Path, root: Path) -> list[Path]:
    """Photos of a list, one a line, relative to the list or to the data folder."""
    photos = []
    for line, text in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        if name := text.strip():
            place = (str(file), f"line {line}")
            candidates = [Path(os.path.normpath(folder / name)) for folder in (file.parent, root)]
            found = next((path for path in candidates if path.is_file()), candidates[0])
            photos.append(inside(root, found, place))
            if not found.is_file():
                raise PlacedError(f"there is no photo {name}. Put it there, or remove the line.", place)
    return photos


def _labels_of(photo: Path, root: Path) -> Path | None:
    """The text file of a photo: where the path's last folder `images` is called `labels`, or beside it."""
    parts = list(photo.relative_to(root).parts)
    folders = [place for place, part in enumerate(parts[:-1]) if part == "images"]
    beside = photo.with_suffix(".txt")
    if folders:
        parts[folders[-1]] = "labels"
        usual = root.joinpath(*parts).with_suffix(".txt")
        return usual if usual.is_file() else beside if beside.is_file() else None
    return beside if beside.is_file() else None


def _values(text: str, count: int, numbers: int, place: Place) -> np.ndarray:
    """The figures of a line."""
    try:
        values = np.array([float(word) for word in text.split()])
    except ValueError:
        raise PlacedError(f"expected numbers, got {text!r}. Correct or remove the line.", place) from None
    expected = 5 + count * numbers
    if len(values) != expected:
        looks = {5: " It is a line for detection."}.get(len(values), "")
        if not looks and len(values) % 2 and len(values) >= 7 and (len(values) - 5) % count:
            looks = " It may be a polygon for segmentation."
        raise PlacedError(
            f"expected {expected} figures (class, box and {count} keypoints of {numbers}), got {len(values)}.{looks} "
            "Export YOLO pose, or correct kpt_shape.",
            place,
        )
    if not np.isfinite(values).all():
        raise PlacedError(f"expected finite numbers, got {text!r}. Correct or remove the line.", place)
    return values


def _person(
    values: np.ndarray, classes: dict[int, str], skeletons: dict[str, Category], photo: int, place: Place
) -> Person:
    if values[0] not in classes:
        known = ", ".join(f"{key} {name}" for key, name in classes.items())
        raise PlacedError(f"expected a class of {known}, got {values[0]:g}. Add it to names.", place)
    category, (x, y, width, height) = classes[int(values[0])], values[1:5]
    names = skeletons[category].keypoints
    points = values[5:].reshape(len(names), -1)
    # without flags a keypoint that is not labeled is at 0, 0; what is below 0 is not labeled for Ultralytics either
    labeled = (points > 0).any(1) & (points >= 0).all(1)
    flags = points[:, 2] if points.shape[1] == 3 else np.where(labeled, 2.0, 0.0)
    farthest = np.abs(np.concatenate([values[1:5], points[flags > 0, :2].ravel()])).max()
    if farthest > 2:
        reason = f"expected shares of the photo's sides, from 0 to 1, got {farthest:g}. Divide pixels by the sides."
        raise PlacedError(reason, place)
    return Person(
        photo=photo,
        place=place,
        category=category,
        keypoints={name: (*xy, flag) for name, xy, flag in zip(names, points[:, :2], flags, strict=True) if flag != 0},
        box=(x - width / 2, y - height / 2, width, height),
    )


def is_yolo(path: Path, head: str) -> bool:
    """Whether a file looks like the one that describes YOLO data, by its name and first characters."""
    if path.name == NOTES:
        return head.startswith("{") and '"categories"' in head
    lines = [line.split(":")[0].strip() for line in head.splitlines()]
    return path.suffix in (".yaml", ".yml") and bool({"train", "val", "kpt_shape"} & set(lines)) and "names" in lines
