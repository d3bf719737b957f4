"""Frames a second of videos, and how well people are located between detections.

Run: ``python benchmarks/video.py`` on generated people who walk to and fro, with the packaged tiny model; about ten
minutes on one CPU thread. Prints two Markdown tables.

Two ways to do without a detection in each frame are compared: boxes that follow the keypoints of the frame before, as
for cameras, and boxes that move straight from one detection to the next, which needs no frame's keypoints for another
frame, so that people of many frames share a batch. A stand-in finds the people: boxes as they are but for 3 % of noise,
of which one in fifty is missing. Both ways take turns in one process; the ratio is what to read.
"""

import argparse
import time
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from vitpose import KeypointDetectionPipeline, SyntheticPeople
from vitpose.base.files import TINY_CHECKPOINT
from vitpose.processing.people_vitpose import Detections
from vitpose.processing.prediction_vitpose import PosePredictor
from vitpose.video import people as people_of_video
from vitpose.video.frames import Frame
from vitpose.video.people import VideoPredictor
from vitpose.video.tracking import TrackerName

SIZE = (960, 540)  # width, height of a frame in pixels
RATE = 30  # frames a second
NOISE, MISSES = 0.03, 0.02  # of the stand-in: share of a box's size, and of all boxes
CLOSE = 0.1  # of the root of a box's area; keypoints that are nearer to the truth count as found


class Figure(NamedTuple):
    """Someone who walks to and fro: picture, box `(4,)` and keypoints `(17, 3)` in it, way and its phase."""

    image: Image.Image
    bbox: np.ndarray
    keypoints: np.ndarray
    start: np.ndarray
    phase: float


class Scene:
    """Generated people who walk to and fro.

    Args:
        count: How many there are.
        speed: Box widths per second at their quickest.
        seconds: How long it lasts.
    """

    def __init__(self, count: int, speed: float, seconds: float, *, seed: int = 0) -> None:
        rows, self._random = SyntheticPeople(num_people=count, seed=seed), np.random.default_rng(seed)
        self.speed, self.num_frames = speed, round(seconds * RATE)
        self.figures = [
            Figure(
                image=rows[index]["image"],
                bbox=np.array(rows[index]["bbox"]),
                keypoints=np.reshape(rows[index]["keypoints"], (-1, 3)),
                start=np.array([SIZE[0] * (index + 0.5) / count, SIZE[1] * (0.1 + 0.3 * (index % 2))]),
                phase=self._random.uniform(0, 2 * np.pi),
            )
            for index in range(count)
        ]
        self._frames = [self._frame(index) for index in range(self.num_frames)]
        self._found = [self._noisy(index) for index in range(self.num_frames)]

    def offset(self, figure: Figure, index: int) -> np.ndarray:
        """Where the picture of someone is in a frame: `(2,)`, whole pixels."""
        turns = 0.4  # of a second, to and fro
        reach = self.speed * figure.bbox[2] / (2 * np.pi * turns)
        angle = 2 * np.pi * turns * index / RATE + figure.phase
        return np.round(figure.start + reach * np.array([np.sin(angle), 0.1 * np.cos(angle)]) - figure.bbox[:2])

    def truth(self, index: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Box `(4,)` and keypoints `(17, 3)` of everyone in a frame."""
        offsets = [self.offset(figure, index) for figure in self.figures]
        return [
            (figure.bbox + [*offset, 0, 0], figure.keypoints + [*offset, 0])
            for figure, offset in zip(self.figures, offsets, strict=True)
        ]

    def _frame(self, index: int) -> Frame:
        image = Image.new("RGB", SIZE, (90, 110, 100))
        for figure in self.figures:
            image.paste(figure.image, tuple(self.offset(figure, index).astype(int)))
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        return Frame(index=index, time=index / RATE, pixels=pixels)

    def _noisy(self, index: int) -> Detections:
        boxes = np.array([box for box, _ in self.truth(index)])
        boxes = boxes + NOISE * self._random.normal(size=boxes.shape) * np.tile(boxes[:, 2:], 2)
        is_inside = (boxes[:, 0] < SIZE[0] - 5) & (boxes[:, 0] + boxes[:, 2] > 5)
        is_inside &= self._random.uniform(size=len(boxes)) >= MISSES
        return Detections.given(torch.from_numpy(boxes[is_inside]), "person")

    def find(self, frames: Sequence[Frame]) -> list[Detections]:
        """What a detector would find."""
        return [self._found[frame.index] for frame in frames]


class Result(NamedTuple):
    """Frames a second, share of keypoints that are found, and track ids a person."""

    rate: float
    found: float
    ids: float


def run(scene: Scene, predictor: PosePredictor, detect_every: int, tracker: TrackerName, *, live: bool) -> Result:
    """Predict a scene."""
    video = VideoPredictor(predictor=predictor, find_people=scene.find, detect_every=detect_every, tracker=tracker)
    begin = time.process_time()
    results = list(video.stream(scene._frames, live=live))
    seconds = time.process_time() - begin
    hits, ids = [], [set[int]() for _ in scene.figures]
    for frame, people in results:
        centers = people.boxes_xywh[:, :2] + people.boxes_xywh[:, 2:] / 2
        for own, (box, keypoints) in zip(ids, scene.truth(frame.index), strict=True):
            if not 0 < box[0] + box[2] / 2 < SIZE[0]:
                continue
            labeled, size = keypoints[:, 2] > 0, np.sqrt(box[2] * box[3])
            distances = np.linalg.norm(centers.numpy() - (box[:2] + box[2:] / 2), axis=1)
            if len(people) == 0 or distances.min() > size / 2:
                hits.append(0.0)
                continue
            row = int(distances.argmin())
            errors = np.linalg.norm(people.keypoints_xy[row].numpy() - keypoints[:, :2], axis=1)[labeled]
            hits.append(float((errors < CLOSE * size).mean()))
            own.add(int(people.track_ids[row]))
    return Result(len(results) / seconds, float(np.mean(hits)), float(np.mean([len(own) for own in ids])))


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--tracker", default="bytetrack")
    parser.add_argument("--intervals", type=int, nargs="+", default=[1, 5, 7, 10, 15])
    parser.add_argument("--speeds", type=float, nargs="+", default=[1, 2.5, 5, 10])
    chosen = parser.parse_args()
    people_of_video.LONGEST_INTERVAL = 1000.0  # seconds; so that both ways are seen for each interval
    predictor = KeypointDetectionPipeline.from_pretrained(TINY_CHECKPOINT).predictor()
    print("| widths a second | detect every | found, followed | found, between | ids, followed | ids, between |")
    print("|---:|---:|---:|---:|---:|---:|")
    for speed in chosen.speeds:
        scene = Scene(4, speed, chosen.seconds)
        for interval in chosen.intervals:
            followed, between = (run(scene, predictor, interval, chosen.tracker, live=live) for live in (True, False))
            print(
                f"| {speed:g} | {interval} | {followed.found:.3f} | {between.found:.3f} | {followed.ids:.2f} | "
                f"{between.ids:.2f} |",
                flush=True,
            )
    print("\n| people | detect every | frames a second, one by one | in batches | ratio |\n|---:|---:|---:|---:|---:|")
    for count in (1, 4):
        scene = Scene(count, 2.5, chosen.seconds)
        for interval in (1, 5):
            rounds = [
                [run(scene, predictor, interval, chosen.tracker, live=live).rate for live in (True, False)]
                for _ in range(chosen.rounds)
            ]
            single, batched = (median(rates) for rates in zip(*rounds, strict=True))
            ratio = median(batched / single for single, batched in rounds)
            print(f"| {count} | {interval} | {single:.1f} | {batched:.1f} | {ratio:.2f}x |", flush=True)


if __name__ == "__main__":
    main()
