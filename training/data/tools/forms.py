"""The forms in which annotation tools write keypoints: how their files are found, known and read.

A split is a file or a folder that is called by it; nothing is ever divided. COCO's form is not among them: a file in it
belongs to a dataset of the registry.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets import Dataset

from vitpose.base.names import first_of
from vitpose.modeling.keypoint_schemas import KeypointSchema

from .annotated import Annotations, Source, annotated_table, schema_of
from .cvat import is_cvat, read_cvat
from .deeplabcut import is_deeplabcut, read_deeplabcut
from .label_studio import is_label_studio, read_label_studio
from .labelme import is_labelme, read_labelme
from .sleap import is_sleap, read_sleap
from .yolo import NOTES, SPLITS, is_yolo, read_yolo

_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")
_HEAD = 1 << 16  # bytes by which a file is known
TRAIN = "train"
_SPLIT_NAMES = {name for names in SPLITS.values() for name in names}


@dataclass(frozen=True, kw_only=True)
class AnnotationForm:
    """A form that is read by its name.

    Args:
        name: Its name, for `read_dataset` and recipes.
        title: The tool and its file.
        homepage: Address of the tool.
        reads: Makes annotations of the files of a split.
        knows: Whether a file, by its path and its first characters, is of the form.
        patterns: Names of its files.
        many: A split is a folder of such files; else one file.
    """

    name: str
    title: str
    homepage: str
    reads: Callable[[Source], Annotations]
    knows: Callable[[Path, str], bool]
    patterns: tuple[str, ...]
    many: bool = False


_FORMS = (
    AnnotationForm(
        name="yolo",
        title="Ultralytics YOLO pose, data.yaml and text files",
        homepage="https://docs.ultralytics.com/datasets/pose",
        reads=read_yolo,
        knows=is_yolo,
        patterns=("*.yaml", "*.yml", NOTES),
    ),
    AnnotationForm(
        name="label_studio",
        title="Label Studio, JSON or JSON-MIN",
        homepage="https://labelstud.io",
        reads=read_label_studio,
        knows=is_label_studio,
        patterns=("*.json",),
    ),
    AnnotationForm(
        name="cvat",
        title="CVAT for images 1.1, XML",
        homepage="https://www.cvat.ai",
        reads=read_cvat,
        knows=is_cvat,
        patterns=("*.xml",),
    ),
    AnnotationForm(
        name="labelme",
        title="labelme, a JSON file for each photo",
        homepage="https://github.com/wkentaro/labelme",
        reads=read_labelme,
        knows=is_labelme,
        patterns=("*.json",),
        many=True,
    ),
    AnnotationForm(
        name="deeplabcut",
        title="DeepLabCut, CollectedData as CSV or H5",
        homepage="https://www.mackenziemathislab.org/deeplabcut",
        reads=read_deeplabcut,
        knows=is_deeplabcut,
        patterns=("CollectedData*.csv", "CollectedData*.h5"),
        many=True,
    ),
    AnnotationForm(
        name="sleap",
        title="SLEAP, .slp or .pkg.slp",
        homepage="https://sleap.ai",
        reads=read_sleap,
        knows=is_sleap,
        patterns=("*.slp",),
    ),
)
ANNOTATION_FORMS = {form.name: form for form in _FORMS}


def find_source(form: AnnotationForm, data: Path, split: str) -> Source:
    """Find the annotation files of a split.

    A file is taken as it is, whatever the split is called. In a folder, the split is taken from the folder or file
    name, as in `val/annotations.xml` or `cvat_val.xml`. What names no split is `train`, where nothing is called so.

    Args:
        form: The form of the files.
        data: The data folder, or a file of it.
        split: Such as `"train"`.

    Raises:
        ValueError: There is no such file, or there are several; the message names what was found.
    """
    if data.suffix.lower() in _ARCHIVES:
        raise ValueError(f"{data} is an archive: unpack it, photos included, and give its folder.")
    if data.is_file():
        return Source(root=data.parent, split=split, files=(data,))
    if not data.is_dir():
        raise ValueError(f"There is no data folder {data}. Check data_dir.")
    found = files_of_form(form, data)
    if tells_splits(form, found):
        return Source(root=data, split=split, files=(_only(found, form, data, split),))
    names = {file: _names(file.relative_to(data), form) for file in found}
    called = set(SPLITS.get(_split_name(split), (split.lower(),)))
    chosen = [file for file in found if names[file] & called]
    if not chosen and split == TRAIN:
        chosen = [file for file in found if not names[file] & _SPLIT_NAMES]
    if not chosen:
        have = first_of([str(file.relative_to(data)) for file in found]) or "nothing of it"
        raise ValueError(
            f"{data}: expected {' or '.join(form.patterns)} of {form.title} for the split {split!r}, found {have}. "
            f"Call the file or its folder {split}, or give the file itself; what has no split in its name is train."
        )
    files = tuple(chosen) if form.many else (_only(chosen, form, data, split),)
    return Source(root=data, split=split, files=files)


def files_of_form(form: AnnotationForm, folder: Path) -> list[Path]:
    """All files of a form in a folder, the CSV alone where DeepLabCut has written H5 beside it."""
    found = sorted({path for pattern in form.patterns for path in folder.rglob(pattern) if path.is_file()})
    found = [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    twice = {path.with_suffix(".h5") for path in found if path.suffix == ".csv"}
    found = [path for path in found if path not in twice and "training-datasets" not in path.parts]
    return [path for path in found if form.knows(path, _head(path))]


def _only(found: Sequence[Path], form: AnnotationForm, data: Path, split: str) -> Path:
    if len(found) != 1:
        have = first_of([str(path.relative_to(data)) for path in found]) or "none"
        raise ValueError(
            f"{data}: expected one file of {form.title} for the split {split!r}, found {have}. Give the file itself, "
            "or call it or its folder by its split."
        )
    return found[0]


def tells_splits(form: AnnotationForm, found: Sequence[Path]) -> bool:
    """Whether the files themselves say what is in which split: YOLO's YAML, and CVAT's export of a project."""
    if form.name == "yolo":
        return any(path.name != NOTES for path in found)
    project = form.name == "cvat" and len(found) == 1
    return project and re.search(r'<image [^>]*subset="', _head(found[0], 1 << 20)) is not None


def _split_name(split: str) -> str:
    return next((name for name, others in SPLITS.items() if split.lower() in others), split)


def _names(relative: Path, form: AnnotationForm) -> set[str]:
    """What a file may be of: its folders, and the words of its own name, which is a photo's where there are many."""
    words = [] if form.many else re.split(r"[^a-z0-9]+", relative.stem.lower())
    words += [part.lower() for part in relative.parent.parts]
    return {*words, *(word.rstrip("0123456789") for word in words)}  # val2017 is of val, too


def _head(path: Path, count: int = _HEAD) -> str:
    with path.open("rb") as file:
        return file.read(count).decode("utf-8", errors="replace")


def read_form(
    form: AnnotationForm,
    data: Path,
    *,
    split: str,
    schema: KeypointSchema | None,
    min_keypoints: int,
    everyone: bool,
    category: str | None = None,
) -> Dataset:
    """Read a split, with the keypoints that the files themselves have where `schema` is None.

    Raises:
        ValueError: A file or an entry is unusable; the message names it.
    """
    source, annotations = parse_form(form, data, split)
    return annotated_table(
        annotations,
        source,
        schema=schema or schema_of(annotations, source, category),
        dataset=form.name,
        min_keypoints=min_keypoints,
        everyone=everyone,
        category=category,
    )


def parse_form(form: AnnotationForm, data: Path, split: str) -> tuple[Source, Annotations]:
    """The files of a split and what they say."""
    source = find_source(form, data, split)
    return source, form.reads(source)


def recognize_form(data: Path) -> AnnotationForm | None:
    """The form of a file or of the files in a folder, by their content; None where it is none of them.

    Raises:
        ValueError: A folder has files of several forms.
    """
    if data.is_file():
        head = _head(data)
        return next((form for form in _FORMS if form.knows(data, head)), None)
    forms = [form for form in _FORMS if files_of_form(form, data)] if data.is_dir() else []
    if len(forms) > 1:
        titles = "; ".join(form.title for form in forms)
        raise ValueError(f"{data} has files of several forms: {titles}. Give the file itself.")
    return forms[0] if forms else None


def list_annotation_forms() -> list[str]:
    """Names of the forms, in the order of docs/annotations.md."""
    return list(ANNOTATION_FORMS)
