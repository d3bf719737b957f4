"""The One Euro filter: smooth at rest, quick in motion, each person for themselves."""

import math

import numpy as np
import pytest
import torch

from vitpose.processing.people_vitpose import People, numbered_schema
from vitpose.video.smoothing import OneEuroFilter

RATE = 30.0
SIZE = 200.0  # pixels of a person


def smooth_frame(
    smoother: OneEuroFilter, points: np.ndarray, *, track_ids: list[int], time: float, size: float = SIZE
) -> np.ndarray:
    """Smooth the points (P, K, 2) of the people of one frame."""
    count = len(track_ids)
    people = People(
        keypoints_xy=torch.from_numpy(points),
        scores=torch.ones(points.shape[:2]),
        boxes_xywh=torch.tensor([[0.0, 0.0, size, size]] * count).reshape(-1, 4),
        box_scores=torch.ones(count),
        labels=("person",) * count,
        schema=numbered_schema(points.shape[1]),
        track_ids=torch.tensor(track_ids, dtype=torch.long),
    )
    return smoother(people, time).numpy()


def run(smoother: OneEuroFilter, points: np.ndarray, *, size: float = SIZE, rate: float = RATE) -> np.ndarray:
    """Smooth the points (T, K, 2) of one person."""
    return np.concatenate(
        [
            smooth_frame(smoother, own[None], track_ids=[1], time=index / rate, size=size)
            for index, own in enumerate(points)
        ]
    )


def noise(count: int, *, keypoints: int = 17, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, keypoints, 2))


def test_a_person_at_rest_trembles_less():
    points = 100 + noise(300)
    smooth = run(OneEuroFilter(), points)
    assert smooth[30:].std(axis=0).mean() < points[30:].std(axis=0).mean() / 2
    assert np.abs(smooth[30:].mean(axis=0) - 100).max() < 0.3


@pytest.mark.parametrize("speed", [0.2, 1.0, 3.0], ids=lambda speed: f"{speed} person sizes a second")
def test_a_moving_person_is_followed(speed):
    """The lag is bounded by that of a constant speed: one over 2 pi times the cutoff."""
    points = np.broadcast_to(np.arange(150)[:, None, None] * speed * SIZE / RATE, (150, 17, 2)) * (1, 0)
    lag = np.abs(run(OneEuroFilter(), points) - points)[60:].max()
    assert lag <= 1.05 * speed * SIZE / (2 * math.pi * (1 + 10 * speed))
    assert lag < 0.02 * SIZE


def one_euro_in_one_dimension(
    values: list[float], *, min_cutoff: float, beta: float, speed_cutoff: float
) -> list[float]:
    """The algorithm as its paper writes it down, value by value; speeds in person sizes."""

    def weight(cutoff: float) -> float:
        return 1 / (1 + RATE / (2 * math.pi * cutoff))

    smooth, speed = [values[0]], 0.0
    for value in values[1:]:
        speed += weight(speed_cutoff) * ((value - smooth[-1]) * RATE / SIZE - speed)
        smooth.append(smooth[-1] + weight(min_cutoff + beta * abs(speed)) * (value - smooth[-1]))
    return smooth


@pytest.mark.parametrize("settings", [{}, {"min_cutoff": 1.5, "beta": 7.0, "speed_cutoff": 0.8}], ids=["usual", "own"])
def test_it_is_the_filter_of_the_paper(settings):
    """The paper, too, smooths speeds with a cutoff of 1 Hz."""
    values = (50 + 3 * noise(100, keypoints=1)[:, 0, 0].cumsum()).tolist()
    points = np.stack([values, np.zeros(100)], axis=1)[:, None]  # (T, 1, 2)
    smooth = run(OneEuroFilter(**settings), points)[:, 0, 0]
    expected = one_euro_in_one_dimension(values, **({"min_cutoff": 1.0, "beta": 10.0, "speed_cutoff": 1.0} | settings))
    assert smooth == pytest.approx(expected, abs=1e-9)


def test_people_do_not_mix():
    first, second = 100 + noise(40), 300 + noise(40, seed=1)
    together = OneEuroFilter()
    for index in range(40):
        ids = [1, 2] if index % 3 else [2, 1]  # whatever their order
        by_id = {1: first[index], 2: second[index]}
        points = np.stack([by_id[number] for number in ids])
        smooth = smooth_frame(together, points, track_ids=ids, time=index / RATE)
    assert smooth[ids.index(1)] == pytest.approx(run(OneEuroFilter(), first)[-1])
    assert smooth[ids.index(2)] == pytest.approx(run(OneEuroFilter(), second)[-1])


@pytest.mark.parametrize(
    ("pause", "is_new"), [(0.5, False), (3.0, True)], ids=["still known after half a second", "forgotten after three"]
)
def test_someone_who_was_away(pause, is_new):
    smoother, elsewhere = OneEuroFilter(), np.full((1, 17, 2), 500.0)
    run(smoother, np.zeros((10, 17, 2)))
    back = smooth_frame(smoother, elsewhere, track_ids=[1], time=9 / RATE + pause)
    assert np.array_equal(back, elsewhere) == is_new


def test_people_who_are_gone_take_no_memory():
    smoother = OneEuroFilter()
    for number in range(500):
        smooth_frame(smoother, np.zeros((1, 17, 2)), track_ids=[number], time=float(number))
    assert len(smoother._states) <= 2


def test_a_frame_without_people():
    empty = np.empty((0, 17, 2))
    assert smooth_frame(OneEuroFilter(), empty, track_ids=[], time=0.0).shape == (0, 17, 2)


def test_a_larger_picture_is_smoothed_alike():
    points = 100 + noise(50)
    assert run(OneEuroFilter(), 4 * points, size=4 * SIZE) == pytest.approx(4 * run(OneEuroFilter(), points))
