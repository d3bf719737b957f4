"""How many functions, files and changes of file a reader meets on three walks: a photo, an annotation, a video.

Run: ``python benchmarks/walks.py [--list]`` in an editable install with the extra `video`; under a minute. Prints a
Markdown table; with `--list` also the functions of each walk in the order of their first calls.

Each walk is taken twice and counted the second time, when everything is imported and cached:

- photo: the path of a JPEG file and one box through a loaded `KeypointDetectionPipeline`.
- annotation: a COCO file with one person, by a recipe, to the losses of a batch: read, augmented, collated, cropped,
  predicted, compared. Recipe, model and accelerator are made before.
- video: `vitpose predict CLIP --boxes FILE --smooth` on two frames with one box each.

The way of counting. `sys.setprofile` reports each "call" of a Python function. Those count whose code lies in a file
of this checkout outside `modeling/` and `benchmarks/`; a name in angle brackets (comprehension, generator expression,
lambda) counts as part of the function around it and not by itself, and code without a file (a dataclass's `__init__`)
not at all.

- functions: distinct code objects.
- files: distinct files of these.
- changes: pairs of calls that follow each other and lie in different files. A generator that is resumed is called
  again, as the reader is back in it; a return is no call. Each thread has its own sequence.

In this way the first building (commit 1e5a6b9) counts 70 / 9 / 35, 88 / 18 / 50 and 151 / 23 / 134, the second one
43 / 7 / 16, 59 / 12 / 26 and 70 / 12 / 44.
"""

import argparse
import json
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import CodeType, FrameType

import torch
from accelerate import Accelerator
from PIL import Image
from transformers import pipeline

import vitpose
from vitpose.training.config.recipe import Recipe
from vitpose.training.engine.objectives import PoseObjective
from vitpose.training.samples.crops import materialize_crops
from vitpose.training.samples.loaders import build_training_loader
from vitpose.training.samples.settings import training_settings
from vitpose.video.writer import VideoWriter
from vitpose_cli.main import main as command_line

CHECKOUT = Path(__file__).resolve().parent.parent
LEFT_OUT = ("modeling", "benchmarks")
NUM_FRAMES = 2


@dataclass(frozen=True)
class Walk:
    """The calls of a walk in their order, one sequence for each thread."""

    threads: list[list[CodeType]]

    @property
    def functions(self) -> list[CodeType]:
        """Distinct functions in the order of their first calls."""
        return list(dict.fromkeys(code for calls in self.threads for code in calls))

    @property
    def num_files(self) -> int:
        return len({code.co_filename for code in self.functions})

    @property
    def num_changes(self) -> int:
        return sum(before.co_filename != code.co_filename for calls in self.threads for before, code in pairwise(calls))


def record(walk: Callable[[], object]) -> Walk:
    """Take a walk and note its calls."""
    threads: dict[int, list[CodeType]] = {}

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and _counts(frame.f_code):
            threads.setdefault(threading.get_ident(), []).append(frame.f_code)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        walk()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return Walk(list(threads.values()))


def _counts(code: CodeType) -> bool:
    path = Path(code.co_filename)
    if code.co_name.startswith("<") or not path.is_relative_to(CHECKOUT):
        return False
    return path.relative_to(CHECKOUT).parts[0] not in LEFT_OUT


def _write_annotations(folder: Path, photo: Image.Image, box_xywh: list[float]) -> None:
    """A folder in COCO's layout with one photo of one person, all of whose keypoints are labelled."""
    names = vitpose.get_keypoint_schema("coco").keypoints
    x, y, width, height = box_xywh
    places = [(x + width * (i + 1) / (len(names) + 1), y + height / 2, 2) for i in range(len(names))]
    person = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": box_xywh, "area": width * height / 2}
    content = {
        "images": [{"id": 1, "file_name": "photo.jpg", "width": photo.width, "height": photo.height}],
        "categories": [{"id": 1, "name": "person", "keypoints": list(names), "skeleton": []}],
        "annotations": [person | {"num_keypoints": len(names), "keypoints": [v for place in places for v in place]}],
    }
    for name in ("annotations", "train2017"):
        (folder / name).mkdir(parents=True)
    photo.save(folder / "train2017" / "photo.jpg")
    (folder / "annotations" / "person_keypoints_train2017.json").write_text(json.dumps(content))


def _write_video(path: Path, boxes_file: Path, photo: Image.Image, box_xywh: list[float]) -> None:
    with VideoWriter(path, frame_rate=Fraction(30), time_base=Fraction(1, 30)) as video:
        for index in range(NUM_FRAMES):
            video.write(photo, index / 30)
    boxes_file.write_text(json.dumps([{"frame": index, "bbox": box_xywh} for index in range(NUM_FRAMES)]))


def walks(folder: Path) -> dict[str, Callable[[], object]]:
    """The three walks by name; `folder` holds their files."""
    photo = vitpose.SyntheticPeople(num_people=1, seed=5)[0]["image"]
    box = [10.0, 20.0, photo.width - 30.0, photo.height - 40.0]
    _write_annotations(folder / "coco", photo, box)
    _write_video(folder / "clip.mp4", folder / "boxes.json", photo, box)
    pipe = pipeline("keypoint-detection", model=vitpose.TINY_CHECKPOINT)
    jpeg = str(folder / "coco" / "train2017" / "photo.jpg")
    chosen = {"data": "coco", "data_dir": str(folder / "coco"), "train_split": "train2017"}
    recipe = Recipe.from_fields(**chosen, batch_size=1, num_workers=0)
    accelerator = Accelerator(cpu=True)
    config = pipe.model.config
    settings = training_settings(recipe, config)

    def walk_annotation() -> torch.Tensor:
        loader, _ = build_training_loader(recipe, accelerator, config, settings)
        batch = materialize_crops(next(iter(loader)), settings)
        return PoseObjective(recipe=recipe, config=config, settings=settings)(pipe.model, batch)

    def walk_video() -> None:
        files = [str(folder / "clip.mp4"), "--boxes", str(folder / "boxes.json"), "--out", str(folder / "out")]
        if command_line(["predict", *files, "--smooth"]):
            raise RuntimeError("vitpose predict failed; its message stands above.")

    return {
        "photo": lambda: pipe(jpeg, boxes=[box]),
        "annotation": walk_annotation,
        "video": walk_video,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Functions, files and changes of file on three walks.")
    parser.add_argument("--list", action="store_true", help="list the functions as well, in order")
    lists = parser.parse_args().list
    torch.set_num_threads(1)
    counted: dict[str, Walk] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, walk in walks(Path(folder)).items():
            walk()
            counted[name] = record(walk)
    print("| walk | functions | files | changes |\n|---|---:|---:|---:|")
    for name, seen in counted.items():
        print(f"| {name} | {len(seen.functions)} | {seen.num_files} | {seen.num_changes} |")
    for name, seen in counted.items() if lists else ():
        print(f"\n### {name}\n")
        for code in seen.functions:
            print(f"- {Path(code.co_filename).relative_to(CHECKOUT)}:{code.co_firstlineno} {code.co_qualname}")


if __name__ == "__main__":
    main()
