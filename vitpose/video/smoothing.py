"""Keypoints smoothed over time."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vitpose.processing.people_vitpose import People


@dataclass(frozen=True, kw_only=True)
class _Smoothed:
    """A person's smoothed points and speeds `(K, 2)`, in pixels and person sizes per second."""

    time: float
    points: Tensor
    speeds: Tensor


class OneEuroFilter:
    """A low-pass filter whose cutoff grows with the speed of a keypoint: smooth at rest, quick in motion.

    G. Casiez, N. Roussel and D. Vogel, "1 Euro Filter", CHI 2012.

    Speeds are measured in the person's size per second, so that the same settings suit near and far people and videos
    of any size. A person who comes back after `memory` seconds starts anew.

    Args:
        min_cutoff: Cutoff in Hz of a keypoint at rest; lower is smoother.
        beta: Hz by which the cutoff grows for each person size per second; higher follows quicker.
        speed_cutoff: Cutoff in Hz of the speeds themselves.
        memory: Seconds for which a person is remembered without being seen.
    """

    def __init__(
        self, *, min_cutoff: float = 1.0, beta: float = 10.0, speed_cutoff: float = 1.0, memory: float = 1.0
    ) -> None:
        self.min_cutoff = min_cutoff
        self.beta = beta
        self.speed_cutoff = speed_cutoff
        self.memory = memory
        self._states: dict[int, _Smoothed] = {}

    def __call__(self, people: People, time: float) -> Tensor:
        """Smooth the keypoints of one frame.

        Args:
            people: With track ids; the size of each is that of their box.
            time: Seconds; must grow from call to call.

        Returns:
            Keypoints `(P, K, 2)` float64; those of a person who is seen for the first time are as given.
        """
        assert people.track_ids is not None
        track_ids, points = people.track_ids.tolist(), people.keypoints_xy.double()  # (P, K, 2)
        self._states = {key: state for key, state in self._states.items() if time - state.time <= self.memory}
        if not track_ids:
            return points
        before = [
            # at rest, so that it stays as given
            self._states.get(key) or _Smoothed(time=time - 1, points=own, speeds=torch.zeros_like(own))
            for key, own in zip(track_ids, points, strict=True)
        ]
        elapsed = points.new_tensor([time - state.time for state in before])[:, None, None]  # (P, 1, 1)
        sizes = people.boxes_xywh[:, 2:].double().prod(1).sqrt()[:, None, None]
        old_points = torch.stack([state.points for state in before])
        old_speeds = torch.stack([state.speeds for state in before])
        speeds = (points - old_points) / (elapsed * sizes)  # (P, K, 2)
        # shares of the new values in exponential averages, (P, 1, 1) and (P, K, 1)
        weight = 1 - 1 / (1 + 2 * math.pi * self.speed_cutoff * elapsed)
        speeds = old_speeds + weight * (speeds - old_speeds)
        cutoff = self.min_cutoff + self.beta * speeds.norm(dim=2, keepdim=True)
        weight = 1 - 1 / (1 + 2 * math.pi * cutoff * elapsed)
        smooth = old_points + weight * (points - old_points)  # (P, K, 2)
        for key, own_points, own_speeds in zip(track_ids, smooth, speeds, strict=True):
            self._states[key] = _Smoothed(time=time, points=own_points, speeds=own_speeds)
        return smooth
