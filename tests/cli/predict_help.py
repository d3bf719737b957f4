"""What the tests of `vitpose predict` share."""

import json
from pathlib import Path

from vitpose_cli import main as cli

SIZE = (80, 100)  # width, height of the photos in pixels
RECORD = {"predictions.jsonl", "run.json"}  # what every run of photos keeps


def predict(sources: list[Path | str], *arguments: object) -> int:
    return cli.main(["predict", *map(str, sources), *map(str, arguments)])


def read_results(out: Path) -> list[dict]:
    return json.loads((out / "predictions.json").read_text())


def write_boxes(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def files_in(out: Path) -> set[str]:
    return {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
