"""Keypoints over time without jitter: the one-euro filter.

G. Casiez, N. Roussel and D. Vogel, "1 Euro Filter: A Simple Speed-based Low-pass Filter for Noisy Input in Interactive
Systems", CHI 2012.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class _State:
    """What is known of one person: smoothed points (K, 2) and speeds (K, 2), in pixels and person sizes a second."""

    time: float
    points: np.ndarray
    speeds: np.ndarray


class OneEuroFilter:
    """A low-pass filter whose cutoff grows with the speed of a keypoint: calm at rest, quick in motion.

    Speeds are measured in the person's size a second, so that the same settings suit near and far people and videos of
    any size. A person who comes back after `memory` seconds starts anew.

    Args:
        min_cutoff: Cutoff in Hz of a keypoint at rest; lower is calmer.
        beta: Hz by which the cutoff grows for each person size a second; higher follows quicker.
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
        self._states: dict[int, _State] = {}

    def __call__(self, points: np.ndarray, *, track_ids: Sequence[int], sizes: np.ndarray, time: float) -> np.ndarray:
        """Smoothed keypoints of one frame.

        Args:
            points: (P, K, 2) of P people, in pixels.
            track_ids: Who they are, P different numbers.
            sizes: (P,) how large each of them is, in pixels.
            time: Seconds; must grow from call to call.

        Returns:
            (P, K, 2); a person seen for the first time is as given.
        """
        self._states = {key: state for key, state in self._states.items() if time - state.time <= self.memory}
        new = {
            key: _State(time=time - 1, points=own, speeds=np.zeros_like(own))  # at rest, so that it stays as given
            for key, own in zip(track_ids, points, strict=True)
        }
        before = [self._states.get(key, new[key]) for key in track_ids]
        if not before:
            return points
        elapsed = np.array([time - state.time for state in before])[:, None, None]  # (P, 1, 1)
        old_points, old_speeds = (np.stack([getattr(state, of) for state in before]) for of in ("points", "speeds"))
        speeds = (points - old_points) / (elapsed * sizes[:, None, None])  # (P, K, 2)
        speeds = old_speeds + _weight(self.speed_cutoff, elapsed) * (speeds - old_speeds)
        cutoff = self.min_cutoff + self.beta * np.linalg.norm(speeds, axis=2, keepdims=True)  # (P, K, 1)
        smooth = old_points + _weight(cutoff, elapsed) * (points - old_points)  # (P, K, 2)
        for key, own_points, own_speeds in zip(track_ids, smooth, speeds, strict=True):
            self._states[key] = _State(time=time, points=own_points, speeds=own_speeds)
        return smooth


def _weight(cutoff: float | np.ndarray, elapsed: np.ndarray) -> np.ndarray:
    """Share of the new value in an exponential average: `cutoff` in Hz, `elapsed` in seconds since the last value."""
    turn = 2 * math.pi * cutoff * elapsed
    return turn / (turn + 1)
