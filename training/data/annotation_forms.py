"""Annotation files of other forms by their names, for those who give one to a reader of COCO's layout."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

Item = dict[str, Any]

_BY_SUFFIX = {
    ".xml": "XML, as CVAT exports it: read it as the dataset 'cvat'",
    ".yaml": "YAML, as YOLO's data.yaml is: read it as the dataset 'yolo'",
    ".yml": "YAML, as YOLO's data.yaml is: read it as the dataset 'yolo'",
    ".csv": "a table, as DeepLabCut keeps its labels: read it as the dataset 'deeplabcut'",
    ".h5": "HDF5, as DeepLabCut keeps its labels: read it as the dataset 'deeplabcut'",
    ".slp": "a project of SLEAP: read it as the dataset 'sleap'",
    ".zip": "an archive: unpack it and give the JSON file in it",
}


def _has(*fields: str) -> Callable[[Any], bool]:
    return lambda item: isinstance(item, dict) and set(fields) <= item.keys()


# of the entries of a file that is a list
_LISTS: tuple[tuple[Callable[[Any], bool], str], ...] = (
    (_has("image_id", "score", "keypoints"), "COCO results, what a model predicted: give the annotations"),
    (_has("image_id", "score", "bbox"), "COCO results of a detector: give the annotations, and this file as boxes"),
    (_has("data", "annotations"), "JSON of Label Studio: read it as the dataset 'label_studio'"),
    (_has("data", "predictions"), "JSON of Label Studio: read it as the dataset 'label_studio'"),
    (_has("annotation_id", "lead_time"), "JSON-MIN of Label Studio: read it as the dataset 'label_studio'"),
    (_has("human_annotations", "keypoint_annotations"), "a list of AI Challenger: read it as the dataset 'aic'"),
    (_has("joints", "joints_vis", "center"), "a list of MPII: read it as the dataset 'mpii'"),
)
# of the whole of a file that is an object
_OBJECTS: tuple[tuple[Callable[[Any], bool], str], ...] = (
    (_has("shapes", "imagePath"), "JSON of labelme or X-AnyLabeling: read its folder as the dataset 'labelme'"),
    (_has("data", "annotations"), "JSON of Label Studio: read it as the dataset 'label_studio'"),
    (_has("keypoint_names", "images"), "OCHuman's own file: read it as the dataset 'ochuman'"),
    (_has("_via_img_metadata"), "a project of VIA: export COCO"),
    (_has("people", "version"), "JSON of OpenPose, what a model predicted: give the annotations"),
    (_has("meta_info", "instance_info"), "predictions of MMPose: give the annotations"),
    (_has("objects", "size"), "JSON of Supervisely: export COCO keypoints"),
    (_has("item", "annotations"), "JSON of V7 Darwin: export COCO"),
    (_has("items", "categories"), "Datumaro's own JSON: export coco_person_keypoints"),
    (_has("nodes", "links"), "a skeleton of SLEAP: read the .slp file as the dataset 'sleap'"),
    (_has("skeletons", "videos"), "labels of SLEAP: read the .slp file as the dataset 'sleap'"),
)
# of the annotations of a file that is in COCO's layout
_ANNOTATIONS: tuple[tuple[Callable[[Any], bool], str], ...] = (
    (_has("segments_info"), "COCO panoptic segmentation, without keypoints: give a keypoint file"),
    (_has("caption"), "COCO captions, without keypoints: give a keypoint file"),
)


def check_suffix(path: Path) -> None:
    """Raise a ValueError that names the form of a file that is no JSON by its name, or is a folder."""
    if path.is_dir():
        raise ValueError(
            f"{path} is a folder, as labelme, YOLO and DeepLabCut have: read it as the dataset 'labelme', 'yolo' or "
            "'deeplabcut'. Expected JSON in COCO layout."
        )
    form = _BY_SUFFIX.get(path.suffix.lower())
    if form is not None and path.is_file():
        raise ValueError(f"{path} is {form}. Expected JSON in COCO layout.")


def check_coco_layout(content: Any, path: Path) -> Item:
    """Return the content of a file in COCO's layout.

    Raises:
        ValueError: It is something else; the message calls a known form by its name, and says how that is read.
    """
    lists = [content.get("images"), content.get("annotations", [])] if isinstance(content, dict) else [None]
    in_layout = all(isinstance(items, list) for items in lists) and "annotations" in content
    form = _name_of(content["annotations"], _ANNOTATIONS) if in_layout else other_form(content)
    if form is not None:
        raise ValueError(f"{path} is {form}. Expected an object with the lists images and annotations.")
    if not in_layout:
        raise ValueError(f"{path} is not in COCO layout: expected an object with the lists images and annotations.")
    return dict(content)


def other_form(content: Any) -> str | None:
    """The form of a JSON file that is in another layout than COCO's, and how it is read; None for an unknown one."""
    return _name_of(content, _LISTS) if isinstance(content, list) else _name_of([content], _OBJECTS)


def _name_of(items: list[Any], forms: tuple[tuple[Callable[[Any], bool], str], ...]) -> str | None:
    """The form of the first entry."""
    return next((name for fits, name in forms if items and fits(items[0])), None)
