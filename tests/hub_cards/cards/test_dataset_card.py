"""The card of a converted dataset says how many people it has in the Hub's size categories."""

import pytest

from vitpose.hub_cards.cards.dataset_card import _metadata
from vitpose.training.data.loading import get_known_dataset


@pytest.mark.parametrize(
    ("people", "category"),
    [
        ((500, 499), "n<1K"),
        ((1_000,), "1K<n<10K"),
        ((9_000, 999), "1K<n<10K"),
        ((10_000,), "10K<n<100K"),
        ((100_000,), "100K<n<1M"),
        ((999_999, 1), "1M<n<10M"),
    ],
)
def test_the_size_category_counts_all_splits(people, category) -> None:
    splits = [{"name": f"split{number}", "people": count} for number, count in enumerate(people)]
    assert _metadata(get_known_dataset("coco"), splits).to_dict()["size_categories"] == [category]
