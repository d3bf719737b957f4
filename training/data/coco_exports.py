"""Files in COCO's layout that lie as an annotation tool exported them, and not as COCO's own download does."""

import re
from pathlib import Path
from typing import NoReturn

from .photo_folder import PHOTO_SUFFIXES
from .registry import Place
from .tools.forms import AnnotationForm, files_of_form, find_source

_COCO = "coco"
_LISTS = re.compile(r'"(?:images|annotations|categories)"\s*:\s*\[')


def _is_coco(path: Path, head: str) -> bool:
    return path.suffix.lower() == ".json" and head.lstrip("\ufeff \r\n\t").startswith("{") and bool(_LISTS.search(head))


def _has_its_own_reader(*_: object) -> NoReturn:
    raise NotImplementedError("read_coco reads the files that are found")


_EXPORT = AnnotationForm(
    name=_COCO,
    title="COCO keypoints",
    homepage="https://cocodataset.org",
    reads=_has_its_own_reader,
    knows=_is_coco,
    patterns=("*.json",),
)


def has_coco_files(folder: Path) -> bool:
    """Whether any JSON file in COCO's layout lies below a folder."""
    return bool(files_of_form(_EXPORT, folder))


def find_export(data: Path, split: str) -> Place:
    """Find a split of an export: CVAT's `annotations/person_keypoints_default.json`, Roboflow's `train/`, or a file.

    Which file is of which split is decided as for the tools' own forms, see [`find_source`]. Photos lie beside the
    file, or anywhere below the data folder.

    Raises:
        ValueError: There is no such file, or there are several; the message names what was found.
    """
    source = find_source(_EXPORT, data, split)
    file = source.files[0]
    beside = any(path.suffix.lower() in PHOTO_SUFFIXES for path in file.parent.iterdir())
    return Place(annotations=str(file), images=str(file.parent if beside else source.root))
