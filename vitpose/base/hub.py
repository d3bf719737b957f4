"""Models of the Hub, fetched once into the cache that all of Hugging Face's libraries share."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import (
    constants,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    snapshot_download,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

logger = logging.getLogger(__name__)

CONFIG, PROCESSOR = "config.json", "preprocessor_config.json"
# What a model needs of its repository, which may hold other forms of it; weights of torch's old form only if it must.
_FILES = ["*.json", "*.safetensors", "*.onnx", "*.onnx.data", "*.xml", "README.md"]
_OLD_WEIGHTS = "pytorch_model*.bin"
_WEIGHTS = ("*.safetensors", _OLD_WEIGHTS, "*.onnx", "*.xml")


def fetch_model(repo: str, revision: str | None, *, check: Callable[[Path], None], remedy: str) -> str:
    """The folder of a model in the cache, after what is missing of it was fetched.

    A model that was fetched once is used without a network; with one, the Hub is asked whether a branch has moved on.

    Args:
        repo: `owner/name`.
        revision: Branch, tag or commit; None is the main branch.
        check: Called with the folder as soon as it holds the config, before any weights are fetched.
        remedy: What else can be done where the Hub cannot be reached.

    Raises:
        OSError: It cannot be fetched; the message says why, and what to do.
        ValueError: The repository holds no such model, or what `check` raises.
    """
    name = repo if revision is None else f"{repo}@{revision}"
    try:
        with _without_hint_to_log_in():
            folder = Path(_fetch_config(repo, revision)).parent
    except Exception as error:  # of the Hub's client, and of the HTTP library that it is built on
        raise _in_a_sentence(error, repo, revision, remedy) from error
    check(folder)
    if not _is_whole(folder):
        logger.info("Fetching %s, once, into the cache of HF_HOME (%s)", name, constants.HF_HOME)
        try:
            with _without_hint_to_log_in():
                _fetch_files(repo, folder)
        except Exception as error:
            raise _in_a_sentence(error, repo, revision, remedy) from error
    if not _weights(folder):
        raise ValueError(f"{name} has no weights that transformers reads: safetensors, or {_OLD_WEIGHTS}.")
    return str(folder)


def _fetch_config(repo: str, revision: str | None) -> str:
    """The path of a repository's config; with it the cache learns which commit a branch or tag is."""
    cached = try_to_load_from_cache(repo, CONFIG, revision=revision)
    if not isinstance(cached, str):
        # This fails at once, where the download would go on trying for half a minute.
        get_hf_file_metadata(hf_hub_url(repo, CONFIG, revision=revision))
        return hf_hub_download(repo, CONFIG, revision=revision)
    try:
        return hf_hub_download(repo, CONFIG, revision=revision)
    except Exception:  # the client takes what is in the cache by itself, but not for all troubles with the network
        return cached


def _fetch_files(repo: str, folder: Path) -> None:
    """Fetch what is missing in the folder of a commit; no folders inside, which hold other forms of the model."""
    commit = folder.name
    snapshot_download(repo, revision=commit, allow_patterns=_FILES, ignore_patterns=["*/*"])
    more = [_OLD_WEIGHTS] if not _weights(folder) else ["*.bin"] if any(folder.glob("*.xml")) else []
    if more:  # the config is there, and keeps a warning away where nothing else is
        snapshot_download(repo, revision=commit, allow_patterns=[CONFIG, *more], ignore_patterns=["*/*"])


@contextmanager
def _without_hint_to_log_in() -> Iterator[None]:
    """Nobody needs a token for public weights; the Hub warns of each process without one."""

    def keep(record: logging.LogRecord) -> bool:
        return "unauthenticated requests" not in record.getMessage()

    client = logging.getLogger("huggingface_hub.utils._http")
    client.addFilter(keep)
    try:
        yield
    finally:
        client.removeFilter(keep)


def _is_whole(folder: Path) -> bool:
    """Whether the processor and all weights are there."""
    weights = _weights(folder)
    return bool(weights) and all(path.is_file() for path in [folder / PROCESSOR, *weights])


def _weights(folder: Path) -> list[Path]:
    """The files of weights, of a model in several those that its index names."""
    for index in folder.glob("*.index.json"):
        return [folder / name for name in set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())]
    return [path for pattern in _WEIGHTS for path in folder.glob(pattern)]


def _in_a_sentence(error: Exception, repo: str, revision: str | None, remedy: str) -> Exception:
    """What went wrong with the Hub, for the person who named a model."""
    hub = constants.ENDPOINT
    if isinstance(error, GatedRepoError):
        return ValueError(f"{repo} is given to who accepts its terms: do so at {hub}/{repo}, then `hf auth login`.")
    if isinstance(error, RevisionNotFoundError):
        return ValueError(f"{repo} has no revision {revision!r}: {hub}/{repo}/tree/main lists branches and tags.")
    if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
        return ValueError(f"{repo} has no {CONFIG}, so it holds no model of transformers: fetch a file of it by hand.")
    if isinstance(error, OSError) and error.errno is not None:  # of this machine
        return OSError(f"{repo} cannot be kept in HF_HOME ({constants.HF_HOME}): {error.strerror}.")
    command = f"hf download {repo}" + (f" --revision {revision}" if revision else "")
    return OSError(
        f"{repo} is neither a folder nor wholly in the cache of HF_HOME ({constants.HF_HOME}), and {hub} "
        f"{_reason(error)}: fetch it beforehand with `{command}`, {remedy}."
    )


def _reason(error: BaseException) -> str:
    """Why the Hub gave nothing, as the verb of a sentence."""
    while error.__cause__ is not None and not isinstance(error, HfHubHTTPError):
        error = error.__cause__
    if isinstance(error, OfflineModeIsEnabled):
        return "may not be asked, as HF_HUB_OFFLINE is set"
    if isinstance(error, RepositoryNotFoundError):
        return "has no such model, or keeps it private (check the name, or log in with `hf auth login`)"
    if isinstance(error, HfHubHTTPError):
        return f"answers {error.response.status_code}"
    return f"cannot be reached ({str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__})"
