"""Time the metrics at the size of COCO val2017: 5,000 images, 11,004 people, 22,008 detections, generated.

Run: ``python benchmarks/metrics.py`` (a minute or two). It prints Markdown tables of process CPU time: COCO's ten
figures with both backends, beside the evaluators called without checks, and OKS-NMS beside a plain loop over pairs.
"""

import argparse
import contextlib
import copy
import io
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from faster_coco_eval import COCO as FasterCOCO
from faster_coco_eval import COCOeval_faster
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from vitpose import get_keypoint_schema
from vitpose.metrics import coco_keypoint_metrics, oks_nms

IMAGES, PEOPLE, DETECTIONS = 5_000, 11_004, 22_008
SIGMAS = np.asarray(get_keypoint_schema("coco").sigmas)
EVALUATORS = {"pycocotools": (COCO, COCOeval), "faster_coco_eval": (FasterCOCO, COCOeval_faster)}


def make_data(seed: int = 0) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """COCO results, two for each person, and the ground truth; a third of the people have no keypoints, as in COCO."""
    rng = np.random.default_rng(seed)
    people, results = [], []
    for number in range(1, PEOPLE + 1):
        side = rng.uniform(30, 300)
        x, y = rng.uniform(0, 340, 2)
        keypoints = np.column_stack([rng.uniform(0, side, (17, 2)) + (x, y), rng.integers(0, 3, 17)])
        keypoints *= number % 3 > 0
        place = {"image_id": int(rng.integers(IMAGES)), "category_id": 1}
        size = {"bbox": [x, y, side, side], "area": 0.5 * side * side, "iscrowd": int(number % 100 == 0)}
        people.append({"id": number, **place, **size, "keypoints": keypoints.ravel().tolist()})
        people[-1]["num_keypoints"] = int((keypoints[:, 2] > 0).sum())
        for noise in (0.02, 0.06):
            pose = np.column_stack([keypoints[:, :2] + rng.normal(0, noise * side, (17, 2)), rng.uniform(size=17)])
            results.append({**place, "keypoints": pose.ravel().tolist(), "score": float(rng.uniform())})
    images = [{"id": number} for number in range(IMAGES)]
    return results, {"images": images, "annotations": people, "categories": [{"id": 1, "name": "person"}]}


def unchecked(results: list[dict[str, Any]], truth: dict[str, Any], backend: str) -> None:
    """The evaluator alone, as its own documentation calls it."""
    make_index, make_evaluator = EVALUATORS[backend]
    with contextlib.redirect_stdout(io.StringIO()):
        index = make_index()
        index.dataset = truth
        index.createIndex()
        evaluator = make_evaluator(index, index.loadRes(results), "keypoints")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()


def plain_oks_nms(keypoints: np.ndarray, scores: np.ndarray, areas: np.ndarray, threshold: float = 0.9) -> list[int]:
    """The same rule with a loop over the poses that are left, one NumPy expression a pair."""
    remaining, kept = np.argsort(-scores, kind="stable"), []
    while len(remaining):
        best, remaining = remaining[0], remaining[1:]
        kept.append(int(best))
        similarity = np.zeros(len(remaining))
        for position, other in enumerate(remaining):
            squared = ((keypoints[best] - keypoints[other]) ** 2).sum(axis=1)
            area = (areas[best] + areas[other]) / 2
            similarity[position] = np.exp(-squared / (2 * SIGMAS) ** 2 / (area + np.spacing(1)) / 2).mean()
        remaining = remaining[similarity <= threshold]
    return kept


def cpu_seconds(run: Callable[[], Any], rounds: int) -> float:
    """Median of process CPU time."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return statistics.median(times)


def print_evaluation(rounds: int) -> None:
    results, truth = make_data()
    print("| backend | evaluator alone, s | coco_keypoint_metrics, s |\n|---|---:|---:|")
    for backend in EVALUATORS:
        inputs = [
            copy.deepcopy((results, truth)) for _ in range(rounds)
        ]  # the evaluators write into what they are given
        alone = cpu_seconds(lambda: unchecked(*inputs.pop(), backend), rounds)  # noqa: B023
        checked = cpu_seconds(lambda: coco_keypoint_metrics(results, truth, backend=backend), rounds)  # noqa: B023
        print(f"| {backend} | {alone:.2f} | {checked:.2f} |", flush=True)


def make_scenes(images: int, poses: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Poses of images, two guesses at each person: keypoints (N, 17, 2), scores (N,), areas (N,), image ids (N,)."""
    rng = np.random.default_rng(seed)
    people = images * poses // 2
    clean = rng.uniform(0, 640, (people, 1, 1, 2)) + rng.uniform(0, 120, (people, 1, 17, 2))
    keypoints = (clean + rng.normal(0, 3, (people, 2, 17, 2))).reshape(-1, 17, 2)
    total = len(keypoints)
    return keypoints, rng.uniform(size=total), np.full(total, 120.0 * 120.0), np.arange(total) // poses


def plain_of_images(keypoints: np.ndarray, scores: np.ndarray, areas: np.ndarray, images: np.ndarray) -> list[int]:
    kept: list[int] = []
    for rows in np.split(np.arange(len(images)), np.flatnonzero(np.diff(images)) + 1):
        kept += rows[plain_oks_nms(keypoints[rows], scores[rows], areas[rows])].tolist()
    return kept


def print_suppression(rounds: int) -> None:
    print("\n| images | poses an image | plain loop, s | oks_nms, s | ratio |\n|---:|---:|---:|---:|---:|")
    for count, poses in ((5_502, 4), (1_100, 20), (10, 200)):
        *scene, images = make_scenes(count, poses)
        plain = cpu_seconds(lambda: plain_of_images(*scene, images), rounds)  # noqa: B023
        ours = cpu_seconds(lambda: oks_nms(*scene, sigmas=SIGMAS, image_ids=images), rounds)  # noqa: B023
        assert plain_of_images(*scene, images) == oks_nms(*scene, sigmas=SIGMAS, image_ids=images).tolist()
        print(f"| {count:,} | {poses} | {plain:.3f} | {ours:.3f} | {plain / ours:.1f}x |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print_evaluation(options.rounds)
    print_suppression(options.rounds)
