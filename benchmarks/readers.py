"""Time and memory of indexing an annotation file as large as COCO's train2017, which is generated.

    python benchmarks/readers.py

118,287 photos, 262,465 people, 149,813 of them with keypoints, outlines of 30 points: the numbers of
`person_keypoints_train2017.json`. The photos are empty files: indexing lists their folder and opens none.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

PHOTOS, PEOPLE, LABELLED = 118_287, 262_465, 149_813
KINDS = 500  # different people, each written many times
PARTS = {"foot": 6, "face": 68, "lefthand": 21, "righthand": 21}


def write_annotations(root: Path, *, wholebody: bool) -> Path:
    """A file of that size, and an empty file for every photo."""
    rng = np.random.default_rng(0)
    (root / "photos").mkdir()
    file = root / "annotations.json"
    with file.open("w") as stream:
        stream.write('{"images": [')
        for number in range(PHOTOS):
            name = f"{number:012d}.jpg"
            (root / "photos" / name).touch()
            url = f"http://images.cocodataset.org/train2017/{name}"
            photo = {"license": 1, "file_name": name, "coco_url": url, "height": 480, "width": 640, "id": number}
            stream.write(", " * (number > 0) + json.dumps(photo))
        stream.write('], "annotations": [')
        kinds = {flag: [_person(rng, wholebody, labelled=flag) for _ in range(KINDS)] for flag in (True, False)}
        for number in range(PEOPLE):
            person, photo = kinds[number < LABELLED][number % KINDS], rng.integers(PHOTOS)
            stream.write(", " * (number > 0) + f'{person[:-1]}, "id": {number}, "image_id": {photo}}}')
        stream.write('], "categories": [{"id": 1, "name": "person"}]}')
    return file


def _person(rng: np.random.Generator, wholebody: bool, *, labelled: bool) -> str:
    """An annotation without its ids, as JSON."""
    box = rng.uniform(10, 200, 4).round(2).tolist()
    person = {
        "segmentation": [rng.uniform(0, 480, 60).round(2).tolist()],
        "num_keypoints": 17 * labelled,
        "area": round(box[2] * box[3] / 2, 4),
        "iscrowd": 0,
        "keypoints": _keypoints(17, rng, labelled),
        "bbox": box,
        "category_id": 1,
    }
    for part, count in PARTS.items() if wholebody else ():
        person |= {f"{part}_kpts": _keypoints(count, rng, labelled), f"{part}_valid": labelled}
    return json.dumps(person)


def _keypoints(count: int, rng: np.random.Generator, labelled: bool) -> list[float]:
    points = np.c_[rng.integers(0, 480, (count, 2)), np.full(count, 2)] * labelled
    return points.ravel().tolist()


def index(file: Path, *, wholebody: bool) -> None:
    """Read the file and print the figures of this process."""
    from vitpose.modeling.keypoint_schemas import get_keypoint_schema
    from vitpose.training.data.readers.coco import read_coco
    from vitpose.training.data.readers.wholebody import read_wholebody

    before = _peak_gib()
    start, start_cpu = time.perf_counter(), time.process_time()
    if wholebody:
        schema = get_keypoint_schema("coco_wholebody")
        people = read_wholebody(file, file.parent / "photos", schema=schema, min_keypoints=1, everyone=False)
    else:
        people = read_coco(file, file.parent / "photos", schema=get_keypoint_schema("coco"))
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - start_cpu
    kind = "COCO-WholeBody, 133" if wholebody else "COCO, 17"
    size = file.stat().st_size / 2**20
    print(f"| {kind} | {size:.0f} | {len(people):,} | {seconds:.1f} | {cpu_seconds:.1f}", end="")
    print(f" | {_peak_gib():.2f} | {before:.2f} |")


def _peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wholebody", action="store_true", help="133 keypoints a person instead of 17")
    parser.add_argument(
        "--index", type=Path, help="only index this file, as the benchmark does in a process of its own"
    )
    chosen = parser.parse_args()
    if chosen.index is not None:
        index(chosen.index, wholebody=chosen.wholebody)
        return
    print("| keypoints | file, MiB | people read | seconds | CPU seconds | peak memory, GiB | of it imports, GiB |")
    print("|---|---:|---:|---:|---:|---:|---:|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        file = write_annotations(Path(folder), wholebody=chosen.wholebody)
        flags = ["--wholebody"] if chosen.wholebody else []
        subprocess.run([sys.executable, __file__, "--index", str(file), *flags], check=True)


if __name__ == "__main__":
    main()
