"""The card of a converted dataset: a README.md with the Hub's metadata, counts, columns and licence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from datasets import Features, Image, List
from huggingface_hub import DatasetCard, DatasetCardData

from vitpose.base.files import whole_file
from vitpose.modeling.keypoint_schemas import KeypointSchema, get_keypoint_schema
from vitpose.training.data.registry import KnownDataset

TEMPLATE = Path(__file__).with_name("templates") / "dataset_card.md"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def write_dataset_card(folder: Path, known: KnownDataset, own_schema: KeypointSchema | None = None) -> Path:
    """Write the `README.md` of a folder that holds a folder of Parquet files for each split.

    Args:
        folder: The folder; its name stands for the data in the snippets.
        known: The dataset it was made from.
        own_schema: Its keypoints, where they have no name to be looked up by; the folder has them as `schema.json`.

    Raises:
        ValueError: There are no Parquet files.
    """
    files = {path.name: sorted(path.glob("*.parquet")) for path in sorted(folder.iterdir()) if path.is_dir()}
    splits = [_describe_split(name, paths) for name, paths in files.items() if paths]
    if not splits:
        raise ValueError(f"{folder} holds no folder of Parquet files: convert a split into it first.")
    first = next(paths[0] for paths in files.values() if paths)
    schema = own_schema or get_keypoint_schema(known.schema)
    card = DatasetCard.from_template(
        _metadata(known, splits),
        template_str=TEMPLATE.read_text(encoding="utf-8"),
        name=known.name,
        title=known.title,
        homepage=known.homepage,
        schema_name=schema.name,
        schema_choice=f"{folder.resolve().name}/schema.json" if own_schema else schema.name,
        keypoints=", ".join(schema.keypoints),
        license_words=known.license[0].upper() + known.license[1:],
        folder=folder.resolve().name,
        splits=splits,
        columns=_columns(first),
    )
    with whole_file(folder / "README.md") as partial:
        partial.write_text(str(card), encoding="utf-8")
    return folder / "README.md"


def _metadata(known: KnownDataset, splits: list[dict[str, Any]]) -> DatasetCardData:
    people = sum(split["people"] for split in splits)
    return DatasetCardData(
        pretty_name=known.title,
        license="other",
        license_name="terms-of-the-original-dataset" if known.splits else "terms-of-the-photos-and-annotations",
        license_link=known.homepage if known.splits else None,  # one's own annotations state theirs nowhere yet
        task_categories=["keypoint-detection"],
        size_categories=[next((name for bound, name in _SIZES if people < bound), "1M<n<10M")],
        tags=["vitpose", "pose-estimation", known.name],
        configs=[
            {
                "config_name": "default",
                "data_files": [{"split": split["name"], "path": f"{split['name']}/*.parquet"} for split in splits],
            }
        ],
    )


def _describe_split(folder: str, paths: list[Path]) -> dict[str, Any]:
    """Count the people, photos and bytes of a split's files."""
    numbers = [pq.read_table(path, columns=["image_id"])["image_id"].to_pylist() for path in paths]
    return {
        "name": folder,
        "people": sum(map(len, numbers)),
        "photos": len({number for shard in numbers for number in shard}),
        "files": len(paths),
        "megabytes": f"{sum(path.stat().st_size for path in paths) / 1e6:.1f}",
    }


def _columns(path: Path) -> list[tuple[str, str]]:
    features = Features.from_arrow_schema(pq.read_schema(path))
    return [(name, _type_name(feature)) for name, feature in features.items()]


def _type_name(feature: Any) -> str:
    if isinstance(feature, Image):
        return "image"
    return f"list of {_type_name(feature.feature)}" if isinstance(feature, List) else feature.dtype
