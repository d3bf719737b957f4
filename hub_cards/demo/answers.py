"""What was found in a photo, as a picture, a sentence and files to download."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from vitpose.base.files import whole_file
from vitpose.processing.drawing import ColorBy, draw_poses
from vitpose.processing.people_forms_vitpose import CONFIDENCE_THRESHOLD
from vitpose.processing.people_vitpose import People

from .photos import Photo, read_photo

QUICK = 1  # compression of a PNG in full size: three times as fast as usual, a tenth larger


@dataclass(frozen=True, kw_only=True)
class Found:
    """The people of one photo with all of their keypoints, so that another threshold needs no other prediction.

    Args:
        photo: Where they were found.
        people: Their keypoints, in pixels of the photo.
        model: Name of the model that found them.
        dataset: Whose keypoints they are.
    """

    photo: Photo
    people: People
    model: str
    dataset: str


@dataclass(frozen=True, kw_only=True)
class Look:
    """How people are drawn.

    Args:
        threshold: Keypoints that score below it are not drawn.
        boxes: Whether each person's box is drawn.
        ids: Whether their numbers are written, which are those in the files.
        scores: Whether their scores are written.
        color_by: What colors mean.
    """

    threshold: float = CONFIDENCE_THRESHOLD
    boxes: bool = False
    ids: bool = False
    scores: bool = False
    color_by: ColorBy = "side"

    def draw(self, image: Image.Image, people: People) -> Image.Image:
        """The image with the people, whose keypoints are in its pixels."""
        return draw_poses(
            image,
            people,
            min_score=self.threshold,
            boxes=self.boxes,
            ids=self.ids,
            scores=self.scores,
            color_by=self.color_by,
        )


def draw_preview(found: Found, look: Look) -> Image.Image:
    """The people over the photo, in the size of a screen."""
    scale, people = found.photo.scale, found.people
    # the center of the first pixel is (0, 0) in both
    keypoints_xy = (people.keypoints_xy + 0.5) * scale - 0.5
    small = replace(people, keypoints_xy=keypoints_xy, boxes_xywh=people.boxes_xywh * scale)
    return look.draw(found.photo.preview, small)


def draw_full(found: Found, look: Look, path: Path) -> Path:
    """Write the people over the photo in its full size, as PNG."""
    picture = look.draw(read_photo(found.photo.path), found.people)
    with whole_file(path) as partial:
        picture.save(partial, compress_level=QUICK)
    return path


def summarize(found: Found, look: Look) -> str:
    """What is to be seen, in a sentence."""
    scores = found.people.scores  # (N, K)
    if len(scores) == 0:
        return "No people found. Lower the detector's threshold, or mark them with boxes."
    drawn = int(((scores >= look.threshold) & (scores > 0)).sum())
    if not drawn:
        best = scores.max().item()
        advice = "Lower the threshold, or check the boxes."
        return f"No keypoint scores {look.threshold:.2f} or more, the best {best:.2f}. {advice}"
    people = "1 person" if len(scores) == 1 else f"{len(scores)} people"
    return f"{people}, {drawn} of {scores.numel()} keypoints score {look.threshold:.2f} or more."


def write_json(found: Found, path: Path) -> Path:
    """Write all that was found, whatever is drawn of it."""
    width, height = found.photo.size
    content = {
        "model": found.model,
        "dataset": found.dataset,
        "image": {"file_name": found.photo.path.name, "width": width, "height": height},
        "people": found.people.to_dicts(),
    }
    with whole_file(path) as partial:
        partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return path


def write_csv(found: Found, path: Path) -> Path:
    """Write a row for each keypoint, whatever is drawn of them."""
    with whole_file(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["person", "keypoint", "x", "y", "score"])
        for number, person in enumerate(found.people.to_dicts()):
            for point in person["keypoints"]:
                rows.writerow([number, point["label"], point["x"], point["y"], point["score"]])
    return path
