"""The people as the model found them before a run, kept for the picture that shows them before and after."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from vitpose.base.files import whole_file
from vitpose.processing.people_vitpose import People

from ..evaluation.score import Evaluation

START_FILE = "start.json"
MOST_KEPT = 256  # of each dataset, evenly spread: a picture shows a few of them


@dataclass(frozen=True, kw_only=True)
class StartPeople:
    """Some people of one dataset, as the first evaluation of a run found them.

    Args:
        count: Number of people that were evaluated.
        rows: `(n,)` whom of these it holds.
        keypoints: `(n, K, 3)` x and y in image pixels, and score.
        similarity: `(n,)` OKS of each with its own annotation, NaN where there is none.
    """

    count: int
    rows: np.ndarray
    keypoints: np.ndarray
    similarity: np.ndarray

    @classmethod
    def of(cls, evaluation: Evaluation) -> "StartPeople":
        """Those of an evaluation that are kept."""
        people = evaluation.people
        rows = np.linspace(0, len(people) - 1, min(MOST_KEPT, len(people))).round().astype(int)
        keypoints = torch.cat([people.keypoints_xy, people.scores[..., None]], dim=-1)
        return cls(
            count=len(people),
            rows=rows,
            keypoints=keypoints[rows].double().numpy(),
            similarity=np.asarray(evaluation.similarity, dtype=np.float64)[rows],
        )

    def person(self, row: int, after: People) -> tuple[People, float]:
        """A person of these rows before the run, and the OKS.

        Args:
            row: Whom.
            after: The same person as it was found later, alone, for all that stays.
        """
        place = int(np.flatnonzero(self.rows == row)[0])
        keypoints = torch.from_numpy(self.keypoints[place]).float()[None]
        person = replace(after, keypoints_xy=keypoints[..., :2], scores=keypoints[..., 2])
        return person, float(self.similarity[place])


def save_start(evaluations: Mapping[str, Evaluation], folder: Path) -> None:
    """Keep people of the evaluations of the model that a run starts from, in the run's folder."""
    kept = {name: StartPeople.of(evaluation) for name, evaluation in evaluations.items()}
    plain = {
        name: {
            "count": own.count,
            "rows": own.rows.tolist(),
            "keypoints": own.keypoints.round(3).tolist(),
            "similarity": own.similarity.tolist(),
        }
        for name, own in kept.items()
    }
    with whole_file(folder / START_FILE) as path:
        path.write_text(json.dumps(plain), encoding="utf-8")


def read_start(folder: Path, evaluations: Mapping[str, Evaluation]) -> dict[str, StartPeople]:
    """The people that `save_start` kept, of the datasets that are still evaluated on the same number of people."""
    path = folder / START_FILE
    if not path.exists():
        return {}
    kept = json.loads(path.read_text(encoding="utf-8"))
    return {
        name: StartPeople(
            count=own["count"], **{key: np.array(own[key]) for key in ("rows", "keypoints", "similarity")}
        )
        for name, own in kept.items()
        if name in evaluations and own["count"] == len(evaluations[name].people) > 0
    }
