"""Videos of the demo: predicted step by step, so that their progress is seen and they can be stopped."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

from transformers import Pipeline

from vitpose.processing.prediction_vitpose import PosePredictor

Progress = tuple[int, int | None]
"""How many frames are done, and of how many where that is known."""


@dataclass(frozen=True, kw_only=True)
class DrawnVideo:
    """What was made of a video.

    Args:
        video: The drawn video.
        lines: A line of JSON a frame.
        num_frames: How many frames they have.
        mistake: What ended it before its end; empty if nothing did.
    """

    video: Path
    lines: Path
    num_frames: int
    mistake: str = ""


def predict_clip(
    predictor: PosePredictor,
    detector: Pipeline | None,
    clip: Path,
    folder: Path,
    detect_every: int,
    smooth: bool,
    threshold: float,
    detector_threshold: float,
) -> Generator[Progress, None, None]:
    """Predict a video into a folder; closing the iterator ends it early, with whole files up to there.

    Args:
        predictor: Finds keypoints.
        detector: Finds people; without one, one person fills each frame.
        clip: The video.
        folder: Where the files go.
        detect_every: Look for people in every so many frames.
        smooth: Smooth keypoints over time.
        threshold: Keypoints that score below it are not drawn.
        detector_threshold: Least score of a person.

    Raises:
        ValueError: It is no video, or damaged.
        ModuleNotFoundError: The extra `video` is not installed.
    """
    from vitpose.video.detector import people_finder  # these need the extra `video`
    from vitpose.video.files import predict_video
    from vitpose.video.people import VideoPredictor

    people = VideoPredictor(
        predictor=predictor,
        find_people=people_finder(detector, threshold=detector_threshold, category=predictor.schema.category),
        min_score=detector_threshold,
        detect_every=detect_every if detector else 1,
        smooth=smooth,
    )
    return steps(lambda progress: predict_video(people, clip, folder, min_score=threshold, progress=progress))


def drawn_video(folder: Path, *, mistake: str = "") -> DrawnVideo | None:
    """What lies in the folder after [`predict_clip`]; None where it ended before the first frame."""
    video, lines = next(folder.glob("*_pose.mp4"), None), folder / "predictions.jsonl"
    num_frames = len(lines.read_bytes().splitlines()) if lines.is_file() else 0
    if video is None or not num_frames:
        return None
    return DrawnVideo(video=video, lines=lines, num_frames=num_frames, mistake=mistake)


def steps(work: Callable[[Callable[[int, int | None], bool]], None]) -> Generator[Progress, None, None]:
    """Turn work that tells of its progress into an iterator over that.

    Args:
        work: Called in a thread of its own with a function that takes the progress, and answers False where the work is
            to end: once the iterator was closed.

    Raises:
        Exception: What the work raises.
    """
    told: queue.SimpleQueue[Progress | None] = queue.SimpleQueue()
    closed = threading.Event()
    mistakes: list[BaseException] = []

    def progress(done: int, total: int | None) -> bool:
        told.put((done, total))
        return not closed.is_set()

    def run() -> None:
        try:
            work(progress)
        except BaseException as error:  # raised again where the steps are read
            mistakes.append(error)
        told.put(None)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        while (step := told.get()) is not None:
            yield step
    finally:
        closed.set()
        thread.join()
    if mistakes:
        raise mistakes[0]
