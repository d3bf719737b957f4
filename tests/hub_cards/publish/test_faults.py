"""Broken connections and refusals of the Hub: tried again without duplicates, or told plainly with nothing visible."""

import logging

import huggingface_hub
import pytest
from hub_interface import TOKEN
from publishing_help import REPO, change_weights

from vitpose import publish

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of huggingface_hub itself

FAULTS = [
    ("the upload of the weights is cut in the middle", "PUT", "/lfs/", "before"),
    ("the upload of the weights gets no answer", "PUT", "/lfs/", "after"),
    ("the commit is cut in the middle", "POST", "/commit/", "before"),
    ("the commit is made, but its answer is lost", "POST", "/commit/", "after"),
    ("the Hub is busy", "POST", "/commit/", 503),
    ("the check of the card is cut", "POST", "/api/validate-yaml", "before"),
    ("the repository is made, but the answer is lost", "POST", "/api/repos/create", "after"),
    ("the card on the Hub cannot be read at first", "HEAD", "/resolve/", "before"),
    ("the tag is made, but the answer is lost", "POST", "/tag/", "after"),
]


@pytest.mark.parametrize(("why", "method", "path", "how"), FAULTS, ids=[row[0] for row in FAULTS])
def test_a_failure_that_passes_is_tried_again_without_duplicates(why, method, path, how, hub, checkpoint):
    hub.fail(method, path, how)
    publish(checkpoint, REPO, tag="v1")
    assert hub.faults[0].times == 0, "it did fail once"
    assert len(hub.repos[REPO].branches["main"]) == 2, "the initial commit and ours"
    assert "model.safetensors" in hub.paths(REPO) and hub.repos[REPO].tags == {"v1": hub.head(REPO).oid}


def test_after_a_failure_nothing_is_visible_and_the_next_call_resumes(hub, checkpoint):
    hub.fail("POST", "/commit/", "before", times=99)
    with pytest.raises(ConnectionError, match="cannot be reached.*sends only what is still missing"):
        publish(checkpoint, REPO)
    assert hub.paths(REPO) == {".gitattributes"}
    hub.faults.clear()
    publish(checkpoint, REPO)
    assert len(hub.uploads()) == 1, "the weights were there already"


def test_some_shards_up_before_a_failure_are_not_sent_again(hub, checkpoint):
    hub.fail("PUT", "/lfs/[0-7]", "before", times=99)
    with pytest.raises(ConnectionError):
        publish(checkpoint, REPO, max_shard_size="20KB")
    assert hub.paths(REPO) == {".gitattributes"}
    there = set(hub.objects)
    assert there, "some of them arrived"
    hub.faults.clear()
    hub.requests.clear()
    publish(checkpoint, REPO, max_shard_size="20KB")
    sent = {path.split("/")[-1] for method, path, _ in hub.requests if method == "PUT"}
    assert sent and not sent & there


def test_a_lost_answer_to_a_pull_request_opens_no_second_one(hub, checkpoint):
    hub.add_repo(REPO)
    hub.fail("POST", "/commit/", "after")
    with pytest.raises(ConnectionError):
        publish(checkpoint, REPO, create_pr=True)
    assert [name for name in hub.repos[REPO].branches if name.startswith("refs/pr/")] == ["refs/pr/1"]


REFUSALS = [
    ("a token that the Hub does not know", ("GET", "/whoami", 401), PermissionError, "does not know the token"),
    ("a token that may not write", ("POST", "/api/repos/create", 403), PermissionError, "may not write to ada/my-pose"),
    ("somebody else commits", ("POST", "/commit/", 412), OSError, "has changed meanwhile.*publish again"),
    ("a conflict", ("POST", "/commit/", 409), OSError, "has changed meanwhile.*publish again"),
    ("an upload is refused", ("PUT", "/lfs/", 400), OSError, "answered 400"),
    ("the Hub stays down", ("GET", "/whoami", 503), OSError, "answered 503"),
]


@pytest.mark.parametrize(("why", "fault", "error", "message"), REFUSALS, ids=[row[0] for row in REFUSALS])
def test_a_refusal_of_the_hub_is_told_plainly(why, fault, error, message, hub, checkpoint):
    hub.fail(*fault, times=99)
    with pytest.raises(error, match=f"(?s){message}"):
        publish(checkpoint, REPO)
    assert hub.committed == []


def test_a_change_between_reading_and_committing_is_not_overwritten(hub, checkpoint, monkeypatch):
    publish(checkpoint, REPO)
    change_weights(checkpoint)
    create_commit = huggingface_hub.HfApi.create_commit

    def somebody_first(api, *args, **kwargs):
        hub.repos[REPO].branches["main"].append(hub.repos[REPO].branches["main"][0])
        return create_commit(api, *args, **kwargs)

    monkeypatch.setattr(huggingface_hub.HfApi, "create_commit", somebody_first)
    with pytest.raises(OSError, match="has changed meanwhile"):
        publish(checkpoint, REPO)


def test_the_token_is_in_no_log(hub, checkpoint, caplog, capfd):
    hub.fail("GET", "/whoami", 401)
    with caplog.at_level(logging.DEBUG), pytest.raises(PermissionError) as refusal:
        publish(checkpoint, REPO)
    with caplog.at_level(logging.DEBUG):
        publish(checkpoint, REPO)
    out, err = capfd.readouterr()
    assert TOKEN not in caplog.text + out + err + str(refusal.value)
