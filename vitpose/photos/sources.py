"""What `vitpose predict` takes, told apart in one place: photos, folders, globs, addresses, videos and cameras."""

import glob
import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TypeAlias
from urllib.parse import urlsplit

from PIL import Image, ImageFile, UnidentifiedImageError

from .source_names import address_names, common_folder, name_below, natural_order, numbered, stems_of

logger = logging.getLogger(__name__)

SourceName: TypeAlias = str | Path | int
"""A path, a glob, an address, or the number of a camera."""

VIDEO_SUFFIXES = frozenset(
    [".3g2", ".3gp", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".h264", ".h265", ".hevc", ".insv", ".lrv"]
    + [".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg", ".mk3d", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf"]
    + [".ogv", ".qt", ".ts", ".vob", ".webm", ".wmv", ".y4m"]
)
STREAM_SCHEMES = frozenset(["rtmp", "rtmps", "rtsp", "rtsps", "srt", "tcp", "udp"])
STREAM_SUFFIXES = frozenset([".m3u8", ".mpd"])  # lists of parts, of HLS and DASH
JOURNAL = "predictions.jsonl"  # what a folder of predictions is known by
PICTURE_ENDING = "_pose.png"
DRAWN_ENDINGS = (PICTURE_ENDING, "_pose.mp4")

_NO_PHOTOS = ("EPS", "MPEG")  # formats that Pillow opens, of drawings and of videos


@dataclass(frozen=True, kw_only=True, slots=True)
class PhotoSource:
    """A photo that is still to be read.

    Args:
        place: Its file, or its http(s) address.
        name: What it is called: its path below the common folder of all sources, with `/`. No two have the same.
        stem: What files made of it are called, with the same folders. No two have the same, also where the file system
            takes capital letters for small ones.
    """

    place: Path | str
    name: str
    stem: str


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoSource:
    """A video, a camera or a stream.

    Args:
        place: A file, the address of a video or a stream, or the number of a camera.
        stem: What files made of it are called, below the folders of its path; no two have the same.
    """

    place: Path | str | int
    stem: str


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Everything that was given, in its order.

    Args:
        photos: All photos.
        videos: All videos, cameras and streams.
        folder: The common folder of the files; None where there are only addresses and cameras.
        left_out: What folders and globs had beside these, each kind with its number: endings of files, and in words.
    """

    photos: list[PhotoSource] = field(default_factory=list)
    videos: list[VideoSource] = field(default_factory=list)
    folder: Path | None = None
    left_out: Counter[str] = field(default_factory=Counter)


def find_sources(
    given: SourceName | Iterable[SourceName], *, recursive: bool = False, out: Path | None = None
) -> Sources:
    """Find the photos and videos that are meant; no file is opened that has the ending of one.

    A whole number is a camera; what begins with `rtsp://` and the like or ends in `.m3u8` a stream; an http(s) address
    a video where it has a video's ending, else a photo. A folder gives its photos and videos, in natural order (2
    before 10), and so does a glob with `*`, `?` or `[` that is not the name of a file. Hidden files are left out, as
    are folders of predictions and the drawn pictures in `out`. What is given twice is taken once.

    Args:
        given: One or several.
        recursive: Look into folders of folders too. Links are followed.
        out: Folder that results are written to.

    Raises:
        FileNotFoundError: There is no such file or folder, or nothing fits a glob.
        ValueError: An address is of another kind, or there is no photo or video at all; the message says what there is.
    """
    names = [given] if isinstance(given, (str, Path, int)) else list(given)
    finder = _Finder(recursive=recursive, out=None if out is None else Path(os.path.abspath(out)))
    for name in names:
        finder.add(name)
    if not (finder.files or finder.addresses or finder.cameras):
        raise ValueError(_nothing(names, finder))
    found = finder.sources()
    if finder.empty:
        logger.warning("There are no photos or videos in %s.", ", ".join(finder.empty))
    if found.left_out:
        logger.info("Left out: %s.", _counted(found.left_out))
    return found


def is_address(name: SourceName) -> bool:
    """Whether it is the address of something, and no path."""
    return isinstance(name, str) and "://" in name


@cache
def photo_suffixes() -> frozenset[str]:
    """Endings of photos that Pillow can read here, in small letters."""
    return frozenset(
        suffix
        for suffix, kind in Image.registered_extensions().items()
        if kind in Image.OPEN and kind not in _NO_PHOTOS and suffix not in VIDEO_SUFFIXES and not _is_stub(kind)
    ) | {".mpo"}  # JPEG files of several photos, which Pillow has no opener of their own for


def _is_stub(kind: str) -> bool:
    """Whether Pillow knows the format by name alone."""
    opener = Image.OPEN[kind][0]
    return isinstance(opener, type) and issubclass(opener, ImageFile.StubImageFile)


class _Finder:
    """Collects sources as they are given."""

    def __init__(self, *, recursive: bool, out: Path | None) -> None:
        self.recursive = recursive
        self.out = out
        self.files: dict[str, bool] = {}  # absolute paths in their order, and whether each is a video
        self.addresses: dict[str, bool] = {}
        self.cameras: dict[int, None] = {}
        self.roots: list[str] = []  # folders that names are relative to
        self.left_out: Counter[str] = Counter()
        self.num_folders = 0  # that were not looked into
        self.empty: list[str] = []  # folders that gave nothing

    def add(self, name: SourceName) -> None:
        """Add what one of the words on a command line means."""
        text = str(name)
        if isinstance(name, int) or (text.isdecimal() and not os.path.exists(text)):  # folders may be called by years
            self.cameras[int(text)] = None
        elif is_address(name):
            self._add_address(text)
        elif os.path.isdir(text):
            self._add_folder(text)
        elif os.path.exists(text):
            self._add_file(text, is_named=True)
        elif glob.has_magic(text):
            self._add_glob(text)
        else:
            raise FileNotFoundError(f"There is no file or folder {text}. Check the path.")

    def _add_address(self, address: str) -> None:
        scheme, suffix = urlsplit(address).scheme.lower(), PurePosixPath(urlsplit(address).path).suffix.lower()
        if scheme not in STREAM_SCHEMES | {"http", "https"}:
            known = ", ".join(sorted(STREAM_SCHEMES | {"http", "https"}))
            raise ValueError(f"sources: expected an address of {known} or a path, got {address!r}. Download it first.")
        self.addresses[address] = scheme in STREAM_SCHEMES or suffix in STREAM_SUFFIXES | VIDEO_SUFFIXES

    def _add_file(self, path: str, *, is_named: bool) -> bool:
        """Add a file if it is a photo or a video by its ending; of one that was named the content counts too."""
        suffix = os.path.splitext(path)[1].lower()
        is_video = suffix in VIDEO_SUFFIXES
        if not (is_video or suffix in photo_suffixes() or (is_named and _holds_an_image(path))):
            self.left_out[suffix or "without an ending"] += 1
            return False
        absolute = os.path.abspath(path)
        self.files.setdefault(absolute, is_video)
        if is_named or not any(Path(absolute).is_relative_to(root) for root in self.roots):
            self.roots.append(os.path.dirname(absolute))  # so that every name leads into the folder of results
        return True

    def _add_folder(self, path: str) -> None:
        self.roots.append(os.path.abspath(path))
        count = sum(self._add_file(file, is_named=False) for file in self._files_below(path, set()))
        if count == 0:
            self.empty.append(path)

    def _add_glob(self, pattern: str) -> None:
        found = sorted(glob.glob(pattern, recursive=True), key=natural_order)
        if not found:
            raise FileNotFoundError(f"Nothing fits {pattern}. Check the path.")
        fixed = re.split(r"[*?[]", pattern, maxsplit=1)[0]
        root = os.path.abspath(os.path.dirname(fixed) or ".")
        self.roots.append(root)
        real = {os.path.realpath(path): path for path in reversed(found)}  # links may lead back to where they are
        for path in reversed(real.values()):
            if os.path.isdir(path):
                if "**" not in pattern:  # which lists what is in folders itself
                    self._add_folder(path)
            elif self._is_below_predictions(path, root):
                self.left_out["files in folders of predictions"] += 1
            elif not self._is_drawn(path):
                self._add_file(path, is_named=False)

    def _is_below_predictions(self, path: str, root: str) -> bool:
        """Whether a file is in a folder of predictions that is itself below the root."""
        folders = [folder for folder in Path(os.path.abspath(path)).parents if Path(root) in folder.parents]
        return any(self._has_predictions(str(folder)) for folder in folders)

    def _files_below(self, folder: str, seen: set[tuple[int, int]]) -> Iterator[str]:
        """Files of a folder in natural order, without what a former run wrote; links may lead back to where we are."""
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            return
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as listed:
            entries = sorted(
                (entry for entry in listed if not entry.name.startswith(".")),
                key=lambda entry: natural_order(entry.name),
            )
        for entry in entries:
            if not entry.is_dir():
                if not self._is_drawn(entry.path):
                    yield entry.path
            elif not self.recursive:
                self.num_folders += 1
            elif self._has_predictions(entry.path):
                self.left_out["folders of predictions"] += 1
            else:
                try:
                    yield from self._files_below(entry.path, seen)
                except PermissionError:
                    self.left_out["folders that cannot be read"] += 1

    def _has_predictions(self, folder: str) -> bool:
        path = Path(os.path.abspath(folder))
        return self.out in (path, path.parent if path.name == "picked" else path) or (path / JOURNAL).exists()

    def _is_drawn(self, path: str) -> bool:
        if self.out is None or not path.endswith(DRAWN_ENDINGS):
            return False
        is_ours = Path(os.path.abspath(path)).is_relative_to(self.out)
        self.left_out["drawn pictures"] += is_ours
        return is_ours

    def sources(self) -> Sources:
        """All of them, with names that keep them apart."""
        folder = common_folder(self.roots)
        names = {path: name_below(path, folder) for path in self.files} | address_names(list(self.addresses))
        kinds = self.files | self.addresses
        photos, videos = ([path for path in kinds if kinds[path] is is_video] for is_video in (False, True))
        photo_names = numbered([names[path] for path in photos])
        rows = zip(photos, photo_names, stems_of(photo_names), strict=True)
        places: list[Path | str | int] = [*map(self._place, videos), *self.cameras]
        stems = stems_of([*(names[path] for path in videos), *(f"camera{number}" for number in self.cameras)])
        return Sources(
            photos=[PhotoSource(place=self._place(path), name=name, stem=stem) for path, name, stem in rows],
            videos=[VideoSource(place=place, stem=stem) for place, stem in zip(places, stems, strict=True)],
            folder=None if folder is None else Path(folder),
            left_out=self.left_out,
        )

    def _place(self, name: str) -> Path | str:
        return name if name in self.addresses else Path(name)


def _holds_an_image(path: str) -> bool:
    """Whether Pillow knows the content, of a file that its name says nothing of."""
    try:
        with Image.open(path):
            return True
    except (UnidentifiedImageError, IsADirectoryError):
        return False
    except Exception:  # an image after all, if a damaged one
        return True


def _counted(left_out: Counter[str]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in left_out.most_common())


def _nothing(names: Sequence[SourceName], finder: _Finder) -> str:
    """Why there is nothing to predict."""
    text = f"There are no photos or videos in {', '.join(map(str, names[:3])) or 'no source at all'}"
    if finder.left_out:
        text += f", but other files: {_counted(finder.left_out)}"
    hint = f"--recursive looks into its folders: {finder.num_folders}." if finder.num_folders else ""
    known = "Photos are known by endings such as .jpg and .png, videos by .mp4 and .mov: convert others, such as .heic."
    return f"{text}. {hint or known}"
