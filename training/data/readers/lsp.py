"""Leeds Sports Pose and its extension: joints.mat beside a folder of photos, one person a photo."""

import os
from pathlib import Path

import numpy as np
from datasets import Dataset

from vitpose.modeling.keypoint_schemas import KeypointSchema

from ..columns import people_table, photo_sizes
from ..matlab import load_mat

_MARGIN = 0.12  # of the longer side of the box around the joints, added on each side: there are no boxes in the data


def read_lsp(
    annotation_file: Path,
    image_dir: Path,
    *,
    schema: KeypointSchema,
    min_keypoints: int,
    everyone: bool,
    dataset: str = "lsp",
    first: int = 0,
    last: int | None = None,
) -> Dataset:
    """Read Leeds Sports Pose, 14 keypoints; sizes of photos come from their headers.

    In the first dataset `joints` is 3 x 14 x 2,000 and its flag says hidden; in the extension it is 14 x 3 x 10,000 and
    the flag says labeled.

    Args:
        annotation_file: `joints.mat`.
        image_dir: Folder of the photos, `im0001.jpg` or `im00001.jpg` and so on.
        schema: The 14 keypoints.
        min_keypoints: People with fewer labeled keypoints are left out.
        everyone: Keep everyone.
        dataset: Name for the column.
        first: Index of the first photo.
        last: Index after the last photo; None for all.
    """
    keypoints, digits = _joints(annotation_file)
    numbers = np.arange(1, len(keypoints) + 1)[first:last]
    files = [os.path.join(image_dir, f"im{number:0{digits}d}.jpg") for number in numbers]
    width, height = photo_sizes(files).T
    columns = {
        "image_id": numbers,
        "person_id": numbers,
        "width": width,
        "height": height,
        "bbox": np.array([_box(person) for person in keypoints[first:last]]).reshape(-1, 4),
        "keypoints": keypoints[first:last],
    }
    return people_table(
        columns,
        files,
        schema=schema,
        dataset=dataset,
        source=annotation_file,
        place_of=lambda row: (str(annotation_file), f"image {numbers[row]}"),
        min_keypoints=min_keypoints,
        everyone=everyone,
    )


def _joints(path: Path) -> tuple[np.ndarray, int]:
    """Read keypoints (n, 14, 3) with COCO's visibility, and the number of digits in the photos' names."""
    variables = load_mat(path)
    joints = np.asarray(variables.get("joints", []), dtype=np.float64)
    if joints.ndim == 3 and joints.shape[:2] == (3, 14):
        keypoints, digits = joints.transpose(2, 1, 0).copy(), 4
        keypoints[..., 2] = 2 - (keypoints[..., 2] != 0)
    elif joints.ndim == 3 and joints.shape[:2] == (14, 3):
        keypoints, digits = joints.transpose(2, 0, 1).copy(), 5
        keypoints[..., 2] = 2 * (keypoints[..., 2] != 0)
    else:
        raise ValueError(f"{path} has joints of shape {joints.shape}: expected (3, 14, people) or (14, 3, people).")
    return keypoints, digits


def _box(keypoints: np.ndarray) -> list[float]:
    """Box around the labeled joints with its margin; of size 0 where none is labeled."""
    points = keypoints[keypoints[:, 2] > 0, :2]
    if not len(points):
        return [0.0, 0.0, 0.0, 0.0]
    low, high = points.min(0), points.max(0)
    margin = _MARGIN * (high - low).max()
    return [*(low - margin), *(high - low + 2 * margin)]
