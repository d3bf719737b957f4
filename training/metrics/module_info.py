"""What the `evaluate` modules say of themselves."""

from __future__ import annotations

from typing import Any

import evaluate
from datasets import Features

INTERHAND_CITATION = """
@inproceedings{moon2020interhand,
  title={InterHand2.6M: A Dataset and Baseline for 3D Interacting Hand Pose Estimation from a Single RGB Image},
  author={Moon, Gyeongsik and Yu, Shoou-I and Wen, He and Shiratori, Takaaki and Lee, Kyoung Mu},
  booktitle={ECCV},
  year={2020}
}
"""


def metric_info(
    description: str, usage: str, citation: str, *, predictions: Any, references: Any, url: str | None = None
) -> evaluate.MetricInfo:
    """Describe a module.

    Args:
        description: One sentence.
        usage: Its `Args:` and `Returns:`.
        citation: BibTeX of the paper that it comes from.
        predictions: Type of a row of predictions.
        references: Type of a row of the ground truth.
        url: Page of the benchmark.
    """
    return evaluate.MetricInfo(
        description=description,
        citation=citation,
        inputs_description=usage,
        features=Features({"predictions": predictions, "references": references}),
        reference_urls=[url] if url else [],
    )
