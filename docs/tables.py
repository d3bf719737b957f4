"""Write the tables of the docs that say what the code says: `python docs/tables.py`. A test compares them.

A table stands between `<!-- made by docs/tables.py: NAME [WORD ...] -->` and `<!-- end -->`.
"""

import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from vitpose.base.published import DETECTORS, MODELS
from vitpose.data import get_known_dataset, list_known_datasets
from vitpose.modeling.keypoint_schemas import get_keypoint_schema

DOCS = Path(__file__).resolve().parent
RECIPES = DOCS.parent / "training" / "recipes"
MARKED = re.compile(r"(<!-- made by docs/tables\.py: (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)
SCORES = (  # as the comments of recipes put what the papers report
    re.compile(r"Score of (ViTPose-B) then [^.]*?: (AP [\d.]*\d)"),
    re.compile(r"Score in [^.]*?: (AP [\d.]*\d(?: with (?:[^;.]|\.\d)*)?)"),
    re.compile(r"Scores in the ViTPose paper [^:]*: (AP [^;]*);"),
    re.compile(r"Scores in the ViTPose\+\+ paper, (AP: .*?\d)\. "),
    re.compile(r"reports (AP [\d.]*\d after [^.]*)\."),
    re.compile(r"reports an (AUC) of ([\d.]*\d for [^.]*)\."),
)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; a column whose head ends in a colon is set to the right."""
    rules = ["---:" if name.endswith(":") else "---" for name in head]
    names = [name.removesuffix(":") for name in head]
    return "".join(f"| {' | '.join(row)} |\n" for row in [names, rules, *rows]).replace("|  |", "| |")


def datasets() -> str:
    """The datasets that have a name."""
    rows = []
    for known in map(get_known_dataset, list_known_datasets()):
        keypoints = str(get_keypoint_schema(known.schema).num_keypoints)
        title = f"[{known.title}]({known.homepage})"
        rows.append([f"`{known.name}`", title, keypoints, ", ".join(known.metrics), known.license])
    return table(["name", "dataset", "keypoints:", "[metrics](evaluation.md)", "license"], rows)


def files() -> str:
    """Where their splits lie; splits of the same files share a row."""
    rows = []
    for known in map(get_known_dataset, list_known_datasets()):
        for places, splits in groupby(known.splits, key=lambda split: known.splits[split]):
            paths = [[getattr(place, kind) for place in places] for kind in ("annotations", "images")]
            cells = [" or ".join(f"`{path}`" for path in dict.fromkeys(kind)) for kind in paths]
            rows.append([f"`{known.name}`", ", ".join(f"`{split}`" for split in splits), *cells])
    return table(["name", "splits", "annotations", "photos"], rows)


def recipes(*names: str) -> str:
    """What recipes train, by the first sentence of each, and the score that the papers report."""
    rows = []
    for name in names:
        lines = (RECIPES / f"{name}.yaml").read_text("utf-8").splitlines()
        comment = [
            line.removeprefix("#").strip() for line in lines[: next(i for i, s in enumerate(lines) if s[:1] != "#")]
        ]
        first = " ".join(comment[: comment.index("")] if "" in comment else comment)
        sentence = re.split(r"\.(?: |$)", first)[0]
        found = next((match for match in (score.search(" ".join(comment)) for score in SCORES) if match), None)
        rows.append([f"`{name}.yaml`", sentence, " ".join(found.groups()) if found else ""])
    return table(["recipe", "what it trains", "published"], rows)


def published() -> str:
    """The models and detectors that have a short name."""
    rows = [
        [f"`{name}`", f"`{entry.repo}`", f"{entry.megabytes} MB", f"{entry.coco_ap}"] for name, entry in MODELS.items()
    ]
    rows += [
        [f"`{name}`, a detector", f"`{entry.repo}`", f"{entry.megabytes} MB", f"{entry.coco_ap}, of boxes"]
        for name, entry in DETECTORS.items()
    ]
    return table(["name", "on the Hub", "weights:", "AP on COCO:"], rows)


MAKERS = {maker.__name__: maker for maker in (datasets, files, recipes, published)}


def filled(page: str) -> str:
    """A page with its tables as the code has them."""

    def fill(match: re.Match[str]) -> str:
        name, *words = match[2].split()
        return f"{match[1]}{MAKERS[name](*words)}{match[3]}"

    return MARKED.sub(fill, page)


def main() -> None:
    """Write the tables anew."""
    for path in DOCS.glob("*.md"):
        page = path.read_text("utf-8")
        if filled(page) != page:
            path.write_text(filled(page), "utf-8")


if __name__ == "__main__":
    main()
