"""Upload to the Hub: one commit, or nothing visible."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi, ModelCard, get_token
from huggingface_hub.errors import (
    HfHubHTTPError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
)

from ..cards.user_edits import keep_user_edits
from .checkpoint_folder import CARD, weight_format

logger = logging.getLogger(__name__)

WAITS_S = (1.0, 4.0)  # before the second and the third try
TRANSIENT_STATUS = (408, 429, 500, 502, 503, 504)
AGAIN = "Nothing of this is visible there; the same command sends only what is still missing."

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Repository, branch and labels to upload to; fields as the arguments of `publish`.

    Raises:
        ValueError: Two of the arguments exclude each other.
    """

    repo_id: str
    private: bool = False
    create_pr: bool = False
    revision: str | None = None
    tag: str | None = None
    collection: str | None = None

    def __post_init__(self) -> None:
        excluded = [name for name in ("revision", "tag") if self.create_pr and getattr(self, name) is not None]
        if excluded:
            raise ValueError(
                f"create_pr excludes {' and '.join(excluded)}: a pull request is merged before it is named."
            )

    @property
    def owner(self) -> str:
        """User or organisation."""
        return self.repo_id.split("/")[0]


def upload(
    files: Mapping[str, Path | bytes], destination: Destination, *, message: str, benchmark_id: str | None = None
) -> str:
    """Commit the files and return the address of the commit or pull request.

    Args:
        files: Path in the repository -> file or content; with a card.
        destination: Where they go.
        message: The commit's first line.
        benchmark_id: Dataset that must be a benchmark, because a file lists a metric for it.

    Raises:
        OSError: PermissionError, ConnectionError or plain; the message says what to do.
        ValueError: The Hub refuses the card's metadata, the dataset is not a benchmark, there is no such repository to
            open a pull request in, or it holds another format of model.
    """
    if get_token() is None:
        raise PermissionError("There is no token for the Hub: log in with `hf auth login`, or set HF_TOKEN.")
    api = HfApi(library_name="vitpose")
    with _translate_errors(api.endpoint, destination.repo_id):
        with_retries(api.whoami)
        _check_with_hub(_text(files[CARD]))
        if benchmark_id is not None:
            _check_benchmark(api, benchmark_id)
        head = _prepare(api, destination)
        _check_format(api, destination, head, files)
        files = {**files, CARD: _merged_card(api, destination, head, _text(files[CARD])).encode()}
        commit = _commit(api, files, destination, message, head)
    if destination.create_pr:
        return str(commit.pr_url)
    _tag_and_collect(api, commit, destination)
    return commit.commit_url


def with_retries(action: Callable[[], Result]) -> Result:
    """Result of an idempotent action, tried again after transient failures."""
    for wait in WAITS_S:
        try:
            return action()
        except (HTTPError, OSError, RuntimeError) as error:
            if not _is_transient(error):
                raise
            logger.warning("%s: trying again in %g s", error, wait)
            time.sleep(wait)
    return action()


def _check_with_hub(card: str) -> None:
    try:
        with_retries(ModelCard(card).validate)
    except ValueError as error:
        raise ValueError(f"The Hub refuses the card's metadata, so nothing was published: {error}") from error


def _check_benchmark(api: HfApi, dataset_id: str) -> None:
    if not with_retries(lambda: api.file_exists(dataset_id, "eval.yaml", repo_type="dataset")):
        raise ValueError(f"{dataset_id} is not a benchmark: the Hub has no eval.yaml in a dataset of that name.")


def _prepare(api: HfApi, destination: Destination) -> str:
    """Create repository and branch where they are new; returns the commit to build on."""
    repo_id, revision = destination.repo_id, destination.revision
    if with_retries(lambda: api.repo_exists(repo_id)):
        if destination.tag is not None:
            _check_tag(api, destination)
    elif destination.create_pr:
        raise ValueError(f"There is no repository {repo_id} to open a pull request in: publish without create_pr.")
    else:
        with_retries(lambda: api.create_repo(repo_id, private=destination.private or None, exist_ok=True))
    if revision is not None:
        with_retries(lambda: api.create_branch(repo_id, branch=revision, exist_ok=True))
    return str(with_retries(lambda: api.model_info(repo_id, revision=revision)).sha)


def _check_tag(api: HfApi, destination: Destination) -> None:
    tags = {reference.name for reference in with_retries(lambda: api.list_repo_refs(destination.repo_id)).tags}
    if destination.tag in tags:
        raise ValueError(f"{destination.repo_id} has a tag {destination.tag} already: choose another name.")


def _check_format(api: HfApi, destination: Destination, head: str, files: Mapping[str, Path | bytes]) -> None:
    """Raise if the repository holds another format of model, whose weights would be removed."""
    present = with_retries(lambda: api.list_repo_files(destination.repo_id, revision=head))
    there, ours = _formats(present), _formats(files)
    if there and not there & ours:
        raise ValueError(
            f"{destination.repo_id} holds a model for {' and '.join(sorted(there))}, this one is for "
            f"{' and '.join(sorted(ours))}: give it a repository of its own, such as {destination.repo_id}-{min(ours)}."
        )


def _formats(names: Iterable[str]) -> set[str]:
    return {kind for kind in map(weight_format, names) if kind is not None}


def _merged_card(api: HfApi, destination: Destination, head: str, card: str) -> str:
    """The card with the user edits of the one on the Hub."""
    with tempfile.TemporaryDirectory() as cache:
        try:
            path = with_retries(lambda: api.hf_hub_download(destination.repo_id, CARD, revision=head, cache_dir=cache))
        except RemoteEntryNotFoundError:
            return card
        merged, kept = keep_user_edits(card, Path(path).read_text(encoding="utf-8"))
    if kept:
        logger.warning("The card keeps the user edits of the one on the Hub: %s", ", ".join(kept))
    return merged


def _commit(
    api: HfApi, files: Mapping[str, Path | bytes], destination: Destination, message: str, head: str
) -> CommitInfo:
    """Commit on top of `head`; unchanged files are skipped, and weights of other names are removed.

    A commit whose answer was lost can be tried again: its files count as unchanged then. A pull request cannot, so only
    the upload before it is.
    """

    def additions() -> list[CommitOperationAdd]:
        return [CommitOperationAdd(path_in_repo=name, path_or_fileobj=source) for name, source in files.items()]

    def attempt() -> CommitInfo:
        present = api.list_repo_files(destination.repo_id, revision=destination.revision)
        stale = [name for name in present if weight_format(name) in _formats(files) and name not in files]
        return api.create_commit(
            destination.repo_id,
            [*additions(), *map(CommitOperationDelete, stale)],
            commit_message=message,
            revision=destination.revision,
            create_pr=destination.create_pr,
            parent_commit=head,
        )

    if not destination.create_pr:
        return with_retries(attempt)
    with_retries(lambda: api.preupload_lfs_files(destination.repo_id, additions(), create_pr=True, free_memory=False))
    return attempt()


def _tag_and_collect(api: HfApi, commit: CommitInfo, destination: Destination) -> None:
    """Tag the commit and add the repository to its collection."""
    repo_id, tag, title = destination.repo_id, destination.tag, destination.collection
    try:
        if tag is not None:
            with_retries(lambda: api.create_tag(repo_id, tag=tag, revision=commit.oid, exist_ok=True))
        if title is not None:
            owner, private = destination.owner, destination.private
            made = with_retries(lambda: api.create_collection(title, namespace=owner, private=private, exists_ok=True))
            with_retries(lambda: api.add_collection_item(made.slug, repo_id, "model", exists_ok=True))
    except HTTPError as error:
        raise OSError(f"{commit.commit_url} is published, but has not got its tag or collection: {error}") from error


@contextmanager
def _translate_errors(endpoint: str, repo_id: str) -> Iterator[None]:
    """Raise errors of the Hub and the connection as sentences with a remedy."""
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise ConnectionError(f"HF_HUB_OFFLINE is set, so nothing can be published to {repo_id}: unset it.") from error
    except (HTTPError, OSError, RuntimeError) as error:
        cause = _root_cause(error)
        if not isinstance(cause, HTTPError | ConnectionError):
            raise
        if not isinstance(cause, HfHubHTTPError):
            raise ConnectionError(f"{endpoint} cannot be reached: {cause}. {AGAIN}") from error
        raise _translate_status(cause, repo_id) from error


def _translate_status(error: HfHubHTTPError, repo_id: str) -> OSError:
    status = error.response.status_code
    if status == 401:
        return PermissionError(f"The Hub does not know the token (401): log in again with `hf auth login`. {error}")
    if status == 403:
        return PermissionError(f"The token may not write to {repo_id} (403): use one that may. {error}")
    if status in (409, 412):
        return OSError(f"{repo_id} has changed meanwhile ({status}): publish again. {AGAIN} {error}")
    return OSError(f"The Hub answered {status}: {error}. {AGAIN}")


def _is_transient(error: BaseException) -> bool:
    cause = _root_cause(error)
    if isinstance(cause, HfHubHTTPError):
        return cause.response.status_code in TRANSIENT_STATUS
    return isinstance(cause, HTTPError | ConnectionError) and not isinstance(cause, OfflineModeIsEnabled)


def _root_cause(error: BaseException) -> BaseException:
    """The connection's error below those that only say what was being transferred."""
    while isinstance(error, RuntimeError | LocalEntryNotFoundError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _text(source: Path | bytes) -> str:
    return source.decode() if isinstance(source, bytes) else source.read_text(encoding="utf-8")
