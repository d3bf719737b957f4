"""What the stand-in for the Hub answers: repositories, commits, large files, tags, collections and benchmarks."""

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import unquote

import yaml
from huggingface_hub.repocard import REGEX_YAML_BLOCK

TOKEN = "hf_" + "s" * 34
USER = "ada"
# Requests that need no token, where the repository is public.
OPEN_TO_ALL = ("validate", "resolve", "store", "benchmark", "info", "refs", "tree")
LICENSES = {"apache-2.0", "mit", "other"}  # the Hub knows more


@dataclass
class Commit:
    """A state of a repository: path -> content, and the oid of those in large-file storage."""

    oid: str
    message: str
    files: dict[str, bytes]
    lfs: dict[str, str]


@dataclass
class Repo:
    """Branches and pull requests by revision, each a list of commits; tags by name."""

    private: bool
    branches: dict[str, list[Commit]]
    tags: dict[str, str] = field(default_factory=dict)

    def find(self, revision: str) -> Commit | None:
        if revision in self.branches:
            return self.branches[revision][-1]
        oid = self.tags.get(revision, revision)
        return next((commit for branch in self.branches.values() for commit in branch if commit.oid == oid), None)


class Answer(Exception):
    def __init__(self, status: int, content: Any = None, **headers: str) -> None:
        self.status, self.headers = status, headers
        self.body = (
            content if isinstance(content, bytes) else json.dumps(content if content is not None else {}).encode()
        )


def refuse(status: int, message: str, code: str = "", **headers: str) -> Answer:
    headers |= {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
    return Answer(status, {"error": message}, **headers)


def new_commit(message: str, files: dict[str, bytes], lfs: dict[str, str], parent: str) -> Commit:
    oid = hashlib.sha1(repr((message, sorted(files), sorted(lfs.items()), parent)).encode()).hexdigest()
    return Commit(oid, message, files, lfs)


def blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class HubInterface:
    """The routes; mixed into a request handler, which gives `server`, `headers` and the `body` of the request."""

    server: Any
    headers: Any
    body: bytes
    ROUTES: ClassVar[list[tuple[str, str, str]]] = [
        ("GET", r"/api/whoami-v2", "whoami"),
        ("POST", r"/api/validate-yaml", "validate"),
        ("POST", r"/api/repos/create", "create"),
        ("GET", r"/datasets/(?P<dataset>[^/]+/[^/]+)/resolve/main/eval\.yaml", "benchmark"),
        ("POST", r"/api/collections", "collect"),
        ("POST", r"/api/collections/(?P<slug>.+)/items", "collect_item"),
        ("GET", r"/api/models/(?P<repo>[^/]+/[^/]+)/refs", "refs"),
        ("GET", r"/api/models/(?P<repo>[^/]+/[^/]+)/tree/(?P<revision>[^/]+)(/.*)?", "tree"),
        ("GET", r"/api/models/(?P<repo>[^/]+/[^/]+)(/revision/(?P<revision>[^/]+))?", "info"),
        ("POST", r"/api/models/(?P<repo>[^/]+/[^/]+)/preupload/(?P<revision>[^/]+)", "preupload"),
        ("POST", r"/api/models/(?P<repo>[^/]+/[^/]+)/commit/(?P<revision>[^/]+)", "commit"),
        ("POST", r"/api/models/(?P<repo>[^/]+/[^/]+)/branch/(?P<branch>[^/]+)", "branch"),
        ("POST", r"/api/models/(?P<repo>[^/]+/[^/]+)/tag/(?P<revision>[^/]+)", "tag"),
        ("POST", r"/(?P<repo>[^/]+/[^/]+)\.git/info/lfs/objects/batch", "batch"),
        ("PUT", r"/lfs/(?P<oid>[0-9a-f]{64})", "store"),
        ("GET", r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)", "resolve"),
    ]

    def route(self, method: str, path: str, query: str) -> Answer:
        for verb, pattern, name in self.ROUTES:
            match = re.fullmatch(pattern, path)
            if match and verb == method.replace("HEAD", "GET"):
                found = {key: unquote(value) for key, value in match.groupdict().items() if value is not None}
                if name not in OPEN_TO_ALL or self._is_private(found.get("repo")):
                    self._authorise()
                with self.server.lock:
                    return getattr(self, f"_{name}")(**found, **({"query": query} if name == "commit" else {}))
        return refuse(404, f"no route for {method} {path}")

    def _is_private(self, repo: str | None) -> bool:
        """Of one that does not exist the Hub does not tell it."""
        return repo is not None and (repo not in self.server.repos or self.server.repos[repo].private)

    def _authorise(self) -> None:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise refuse(401, "Invalid credentials in Authorization header")

    def _repo(self, repo: str) -> Repo:
        if repo not in self.server.repos:
            raise refuse(404, "Repository not found", "RepoNotFound")
        return self.server.repos[repo]

    def _at(self, repo: str, revision: str) -> Commit:
        commit = self._repo(repo).find(revision)
        if commit is None:
            raise refuse(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    def _content(self, commit: Commit, path: str) -> bytes:
        return self.server.objects[commit.lfs[path]] if path in commit.lfs else commit.files[path]

    def _whoami(self) -> Answer:
        return Answer(200, {"type": "user", "name": USER, "orgs": []})

    def _validate(self) -> Answer:
        match = REGEX_YAML_BLOCK.search(json.loads(self.body)["content"])
        licence = (yaml.safe_load(match[2]) or {}).get("license") if match else None
        if licence is not None and licence not in LICENSES:
            return Answer(
                400, {"errors": [{"message": f'"license" must be one of {sorted(LICENSES)}'}], "warnings": []}
            )
        return Answer(200, {"errors": [], "warnings": []})

    def _create(self) -> Answer:
        wanted = json.loads(self.body)
        repo_id = f"{wanted.get('organization') or USER}/{wanted['name']}"
        if not repo_id.startswith((f"{USER}/", "org/")):
            return refuse(403, f"You don't have the rights to create a model under {repo_id.split('/')[0]}")
        url = {"url": f"{self.server.endpoint}/{repo_id}"}
        if repo_id in self.server.repos:
            return Answer(409, url | {"error": "You already created this model repo"})
        self.server.add_repo(repo_id, private=wanted.get("visibility") == "private" or bool(wanted.get("private")))
        return Answer(200, url)

    def _info(self, repo: str, revision: str = "main") -> Answer:
        commit = self._at(repo, revision)
        siblings = [{"rfilename": path} for path in (*commit.files, *commit.lfs)]
        private = self._repo(repo).private
        return Answer(200, {"id": repo, "sha": commit.oid, "private": private, "siblings": siblings, "tags": []})

    def _refs(self, repo: str) -> Answer:
        found = self._repo(repo)
        branches = [
            {"name": name, "ref": f"refs/heads/{name}", "targetCommit": commits[-1].oid}
            for name, commits in found.branches.items()
        ]
        tags = [{"name": name, "ref": f"refs/tags/{name}", "targetCommit": oid} for name, oid in found.tags.items()]
        return Answer(200, {"branches": branches, "tags": tags, "converts": []})

    def _tree(self, repo: str, revision: str) -> Answer:
        commit = self._at(repo, revision)
        paths = sorted({*commit.files, *commit.lfs})
        sizes = {path: len(self._content(commit, path)) for path in paths}
        return Answer(200, [{"type": "file", "path": path, "size": sizes[path], "oid": "0" * 40} for path in paths])

    def _preupload(self, repo: str, revision: str) -> Answer:
        commit = self._at(repo, revision)
        answers = []
        for file in json.loads(self.body)["files"]:
            path = file["path"]
            is_large = path.endswith((".safetensors", ".onnx", ".onnx.data", ".bin"))
            oid = commit.lfs.get(path) if is_large else blob_id(commit.files[path]) if path in commit.files else None
            mode = "lfs" if is_large else "regular"
            answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False} | ({"oid": oid} if oid else {}))
        return Answer(200, {"files": answers})

    def _batch(self, repo: str) -> Answer:
        self._repo(repo)
        objects = []
        for wanted in json.loads(self.body)["objects"]:
            entry = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self.server.objects:
                entry["actions"] = {"upload": {"href": f"{self.server.endpoint}/lfs/{wanted['oid']}"}}
            objects.append(entry)
        return Answer(200, {"transfer": "basic", "objects": objects})

    def _store(self, oid: str) -> Answer:
        if hashlib.sha256(self.body).hexdigest() != oid:
            return refuse(400, "content does not match its oid")
        self.server.objects[oid] = self.body
        return Answer(200)

    def _commit(self, repo: str, revision: str, query: str) -> Answer:
        found, parent = self._repo(repo), self._at(repo, revision)
        header, *entries = [json.loads(line) for line in self.body.splitlines()]
        if header["value"].get("parentCommit", parent.oid) != parent.oid:
            return refuse(412, "A commit has happened since. Please refresh and try again.")
        files, lfs = dict(parent.files), dict(parent.lfs)
        for entry in entries:
            self._apply(entry["key"], entry["value"], files, lfs)
        commit = new_commit(header["value"]["summary"], files, lfs, parent.oid)
        answer = {"commitUrl": f"{self.server.endpoint}/{repo}/commit/{commit.oid}", "commitOid": commit.oid}
        if "create_pr=1" in query:
            number = sum(name.startswith("refs/pr/") for name in found.branches) + 1
            found.branches[f"refs/pr/{number}"] = [commit]
            answer["pullRequestUrl"] = f"{self.server.endpoint}/{repo}/discussions/{number}"
        else:
            found.branches[revision].append(commit)
        self.server.committed.append([entry["value"]["path"] for entry in entries])
        return Answer(200, answer)

    def _apply(self, key: str, value: dict[str, Any], files: dict[str, bytes], lfs: dict[str, str]) -> None:
        path = value["path"]
        if key == "file":
            files[path] = base64.b64decode(value["content"])
        elif key == "lfsFile":
            if value["oid"] not in self.server.objects:
                raise refuse(400, f"{path} was never uploaded")
            lfs[path] = value["oid"]
        elif key == "deletedFile" and (path in files or path in lfs):
            files.pop(path, None)
            lfs.pop(path, None)
        else:
            raise refuse(400, f"cannot do {key} of {path}")

    def _branch(self, repo: str, branch: str) -> Answer:
        found = self._repo(repo)
        if branch in found.branches:
            return refuse(409, "Reference already exists")
        found.branches[branch] = [found.branches["main"][-1]]
        return Answer(200)

    def _tag(self, repo: str, revision: str) -> Answer:
        name, commit = json.loads(self.body)["tag"], self._at(repo, revision)
        if name in self._repo(repo).tags:
            return refuse(409, "Tag reference exists already")
        self._repo(repo).tags[name] = commit.oid
        return Answer(200)

    def _benchmark(self, dataset: str) -> Answer:
        if dataset not in self.server.benchmarks:
            return refuse(404, "Entry not found", "EntryNotFound")
        return Answer(200, b"tasks:\n- id: poses\n", ETag='"0"', X_Repo_Commit="0" * 40)

    def _collect(self) -> Answer:
        wanted = json.loads(self.body)
        slug = f"{wanted['namespace']}/{wanted['title'].lower().replace(' ', '-')}-{'0' * 24}"
        self.server.collections.setdefault(slug, [])
        return Answer(200, self._collection(slug, wanted["title"]))

    def _collect_item(self, slug: str) -> Answer:
        self.server.collections[slug].append(json.loads(self.body)["item"]["id"])
        return Answer(200, self._collection(slug, slug))

    def _collection(self, slug: str, title: str) -> dict[str, Any]:
        fixed = {"lastUpdated": "2026-01-01T00:00:00.000Z", "position": 0, "theme": "blue", "upvotes": 0}
        return fixed | {"slug": slug, "title": title, "owner": {"name": USER}, "items": [], "private": False}

    def _resolve(self, repo: str, revision: str, path: str) -> Answer:
        commit = self._at(repo, revision)
        if path not in commit.files and path not in commit.lfs:
            return refuse(404, "Entry not found", "EntryNotFound", X_Repo_Commit=commit.oid)
        content = self._content(commit, path)
        headers = {"ETag": f'"{commit.lfs.get(path, blob_id(content))}"', "X_Repo_Commit": commit.oid}
        part = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if part is None:
            return Answer(200, content, **headers)
        start = int(part[1])
        place = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return Answer(206, content[start:], Content_Range=place, **headers)
