"""A folder of photos through `vitpose predict`, some of them damaged, the run killed with SIGKILL and resumed.

Run: ``python benchmarks/predict_folder.py FOLDER --photos 10000``. The photos are generated, named alike in folder
after folder, and one in a hundred of them is cut short, empty, no image or larger than memory. The command is killed at
random moments and given again with ``--resume``. Prints what each part of the run did and the memory that it took, and
fails if a photo is missing, there twice, or not reported.
"""

import argparse
import csv
import json
import os
import random
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from PIL import Image

import vitpose

IN_A_FOLDER = 1000
DAMAGED_EVERY = 100
NUM_PEOPLE = 24  # that all photos are made of
ENDINGS = (".jpg", ".png", ".webp")


class Part(NamedTuple):
    """What happened between two kills."""

    done: int  # photos when it ended
    seconds: float
    memory: list[tuple[int, int]]  # photos that were done, and the memory of the process in bytes


def make_photos(folder: Path, count: int, *, seed: int = 0) -> tuple[set[str], set[str]]:
    """Generated people on photos of 64 to 128 pixels; returns the names of the whole and of the damaged ones."""
    rng = random.Random(seed)
    rows = vitpose.SyntheticPeople(num_people=NUM_PEOPLE, seed=seed)
    people = [cut_out(rows[index]) for index in range(NUM_PEOPLE)]
    whole, damaged = set[str](), set[str]()
    for number in range(count):
        name = f"{number // IN_A_FOLDER}/{number % IN_A_FOLDER}{rng.choice(ENDINGS)}"
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        photo = people[rng.randrange(NUM_PEOPLE)].resize((rng.randrange(64, 97), rng.randrange(96, 129)))
        photo.save(path)
        if number % DAMAGED_EVERY == DAMAGED_EVERY // 2:
            content = path.read_bytes()
            path.write_bytes(rng.choice(DAMAGES)(content))
            damaged.add(name)
        else:
            whole.add(name)
    return whole, damaged


def cut_out(row: dict) -> Image.Image:
    left, top, width, height = map(int, row["bbox"])
    return row["image"].crop((left, top, left + width, top + height))


def bomb(_: bytes) -> bytes:
    """A PNG of 60,000 x 60,000 pixels in less than 100 bytes."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunks = (header, b"IDAT" + zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks
    )


DAMAGES: Sequence[Callable[[bytes], bytes]] = (
    lambda content: content[: len(content) // 2],
    lambda content: b"",
    lambda content: b"<html>404 Not Found</html>",
    bomb,
)


def command(photos: Path, out: Path, *, resume: bool) -> list[str]:
    people = ["--model", "tiny", "--whole-image", "--recursive", "--skip-bad"]
    saved = ["--save", "pictures,json,csv", "--out", str(out)]
    return [sys.executable, "-m", "vitpose", "predict", str(photos), *people, *saved, *["--resume"][: int(resume)]]


def run_part(photos: Path, out: Path, *, kill_after: int | None, rng: random.Random) -> Part:
    """Run the command to its end, or kill it some moments after so many photos are done."""
    begun, memory = time.perf_counter(), list[tuple[int, int]]()
    with (out.parent / "stderr.txt").open("a", encoding="utf-8") as errors:
        # a run that was killed before its first line is resumed as well
        process = subprocess.Popen(command(photos, out, resume=out.exists()), stderr=errors, stdout=errors)
    while process.poll() is None:
        time.sleep(0.05)
        done = count_lines(out)
        memory.append((done, resident(process.pid)))
        if kill_after is not None and done >= kill_after:
            time.sleep(rng.uniform(0, 0.2))
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode not in (0, -signal.SIGKILL):
        sys.exit((out.parent / "stderr.txt").read_text(encoding="utf-8"))
    return Part(count_lines(out), time.perf_counter() - begun, [point for point in memory if point[1]])


_counted: dict[Path, tuple[int, int]] = {}  # bytes and lines of journals


def count_lines(out: Path) -> int:
    """Lines of the journal; those that were counted are not read again."""
    path = out / "predictions.jsonl"
    if not path.exists():
        return 0
    size, lines = _counted.get(path, (0, 0))
    with path.open("rb") as file:
        file.seek(size)
        new = file.read()
    _counted[path] = (size + len(new), lines + new.count(b"\n"))
    return _counted[path][1]


def resident(pid: int) -> int:
    """Memory of a process in bytes; 0 where it has ended or the system does not say."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0
    sizes = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")]
    return 1024 * sizes[0] if sizes else 0


def mistakes(out: Path, whole: set[str], damaged: set[str]) -> list[str]:
    """What is missing, twice or too much in what a run left."""
    lines = [json.loads(line)["file_name"] for line in (out / "predictions.jsonl").read_text("utf-8").splitlines()]
    results = [result["file_name"] for result in json.loads((out / "predictions.json").read_text("utf-8"))]
    with (out / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = Counter(row["image"] for row in csv.DictReader(file))
    with (out / "failed.csv").open(encoding="utf-8", newline="") as file:
        failed = [row["image"] for row in csv.DictReader(file)]
    found = []
    for name, names, expected in (
        ("predictions.jsonl", lines, whole),
        ("predictions.json", results, whole),
        ("predictions.csv", list(rows), whole),
        ("failed.csv", failed, damaged),
    ):
        twice = len(names) - len(set(names))
        missing, more = len(expected - set(names)), len(set(names) - expected)
        if twice or missing or more:
            found.append(f"{name}: {missing} missing, {twice} twice, {more} too many")
    if set(rows.values()) - {17}:
        found.append("predictions.csv: photos with other than 17 keypoints")
    pictures = {path.relative_to(out).as_posix() for path in out.rglob("*.png")}
    if pictures != {f"{Path(name).with_suffix('').as_posix()}_pose.png" for name in whole}:
        found.append("pictures: not one a photo")
    for picture in pictures:
        with Image.open(BytesIO((out / picture).read_bytes())) as image:
            image.load()
    return found


def run_all(photos: Path, out: Path, count: int, *, kills: int, rng: random.Random) -> list[Part]:
    parts = []
    for step in sorted(rng.sample(range(count // 10, count * 9 // 10), kills)):
        parts.append(run_part(photos, out, kill_after=step, rng=rng))
    return [*parts, run_part(photos, out, kill_after=None, rng=rng)]


def draw(parts: Sequence[Part], path: Path) -> None:
    """Memory over photos, a line for each part."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
    for number, part in enumerate(parts, start=1):
        axes.plot(*zip(*((done, size / 2**20) for done, size in part.memory), strict=True), label=f"start {number}")
    axes.set(xlabel="photos done", ylabel="memory of the process, MiB", ylim=(0, None))
    axes.legend()
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for the photos and all that is made of them")
    parser.add_argument("--photos", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    rng = random.Random(chosen.seed)
    whole, damaged = make_photos(chosen.folder / "photos", chosen.photos, seed=chosen.seed)
    out = chosen.folder / "out"
    parts = run_all(chosen.folder / "photos", out, len(whole), kills=chosen.kills, rng=rng)
    print("| ended by | photos done | seconds | most memory in its first half, MiB | in its second half, MiB |")
    print("|---|---:|---:|---:|---:|")
    for number, part in enumerate(parts):
        ended = "SIGKILL" if number < len(parts) - 1 else "its end"
        sizes = [size / 2**20 for _, size in part.memory]
        middle = len(sizes) // 2
        halves = max(sizes[:middle], default=0), max(sizes[middle:], default=0)  # a short part may have no sample
        print(f"| {ended} | {part.done} | {part.seconds:.0f} | {halves[0]:.0f} | {halves[1]:.0f} |")
    draw(parts, chosen.folder / "memory.png")
    found = mistakes(out, whole, damaged)
    print("\n".join(found) or f"{len(whole)} photos complete and once each, {len(damaged)} reported as damaged")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
