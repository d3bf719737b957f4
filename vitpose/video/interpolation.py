"""People between two detections, for videos that can be read ahead: their boxes move from the one to the other.

No frame waits for the keypoints of the one before, so that people of many frames share a batch of the model.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from .frames import FindPeople, Frame, Seen, scale_to, some
from .tracking import PeopleTracker

MAX_WAITING = 8  # frames that are looked at together


@dataclass(frozen=True, kw_only=True)
class Interpolation:
    """People of frame after frame; between detections [`boxes_between`] says where.

    The last frame is always one of those that people are looked for in. Who is missing in the next detection is looked
    for where they would be if they went on as before.

    Args:
        find_people: Finds boxes in frames.
        tracker: Numbers people.
        detect_every: Frames from one detection to the next.
    """

    find_people: FindPeople
    tracker: PeopleTracker
    detect_every: int

    def __call__(self, frames: Iterable[Frame]) -> Iterator[Seen]:
        """The people of each frame."""
        before: Seen | None = None
        now: Seen | None = None
        between: list[Frame] = []
        for frame, seen in self._detections(frames):
            if seen is None:
                between.append(frame)
                continue
            if now is not None:
                yield from self._since(before, now, seen, between)
            before, now, between = now, seen, []
        if now is not None:
            yield now

    def _detections(self, frames: Iterable[Frame]) -> Iterator[tuple[Frame, Seen | None]]:
        """Each frame, and those whom a detection finds in it; None for frames in between."""
        num_detections = max(1, MAX_WAITING // self.detect_every)
        first_size: tuple[int, int] | None = None
        for read, is_last in _chunks(frames, num_detections * self.detect_every):
            first_size = first_size or read[0].size
            chosen = [
                frame for frame in read if frame.index % self.detect_every == 0 or (is_last and frame is read[-1])
            ]
            found = dict(zip([frame.index for frame in chosen], self.find_people(chosen), strict=True))
            for frame in read:
                own = found.get(frame.index)
                if own is None:
                    yield frame, None
                    continue
                scale = scale_to(first_size, frame)
                rows, track_ids = self.tracker.update(own, frame, scale=scale)
                is_guess = torch.zeros(len(rows), dtype=torch.bool)
                yield (
                    frame,
                    Seen(frame=frame, scale=scale, found=some(own, rows), track_ids=track_ids, is_guess=is_guess),
                )

    @staticmethod
    def _since(before: Seen | None, now: Seen, after: Seen, frames: list[Frame]) -> Iterator[Seen]:
        """The people of a detection, and where they are in the frames up to the next one."""
        yield now
        first_size = now.frame.size[0] * now.scale[0].item(), now.frame.size[1] * now.scale[1].item()
        for frame in frames:
            boxes, is_guess = boxes_between(before, now, after, frame.time)
            yield now.moved(boxes, is_guess, frame, (round(first_size[0]), round(first_size[1])))


def boxes_between(before: Seen | None, now: Seen, after: Seen, time: float) -> tuple[Tensor, Tensor]:
    """Where the P people of a detection are at a time until the next one.

    Args:
        before: The detection before, where there is one.
        now: The detection.
        after: The next one.
        time: Seconds.

    Returns:
        Boxes `(P, 4)` in the first frame's pixels: on the straight way to the next detection, or for those who are
        missing there, straight on from the one before; and which they are, `(P,)`.
    """
    boxes = now.found.boxes_xywh * now.scale.repeat(2)
    then, is_there = _of_the_same(now.track_ids, after)
    share = (time - now.frame.time) / (after.frame.time - now.frame.time)
    moved = boxes + share * (then - boxes)
    straight_on = boxes
    if before is not None:
        earlier, was_there = _of_the_same(now.track_ids, before)
        share = (time - now.frame.time) / (now.frame.time - before.frame.time)
        straight_on = (boxes + share * (boxes - earlier)).where(was_there[:, None], boxes)
    return moved.where(is_there[:, None], straight_on), ~is_there


def _of_the_same(track_ids: Tensor, seen: Seen) -> tuple[Tensor, Tensor]:
    """Boxes `(P, 4)` of people with these ids in another detection, and who is there `(P,)`; others have zeros."""
    is_same = track_ids[:, None] == seen.track_ids[None]  # (P, Q)
    return is_same.double() @ (seen.found.boxes_xywh * seen.scale.repeat(2)), is_same.any(1)


def _chunks(frames: Iterable[Frame], size: int) -> Iterator[tuple[list[Frame], bool]]:
    """So many frames at a time, and whether they are the last ones."""
    source = iter(frames)
    read = list(islice(source, size))
    while read:
        following = list(islice(source, 1))
        yield read, not following
        read = following + list(islice(source, size - 1)) if following else []
