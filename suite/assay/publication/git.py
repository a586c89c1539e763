"""A git checkout of Assay, read and given branches without changing its files or its branch."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from assay.errors import SubmissionError

BASES = ("origin/HEAD", "origin/main", "main", "master", "HEAD")
GIT_SECONDS = 120.0


@dataclass(frozen=True)
class Change:
    """One file that differs between two commits."""

    path: str
    status: str
    """A added, M modified, D deleted, T another type."""
    mode: str
    """Of the newer side: 100644 is an ordinary file, 100755 may be run, 120000 is a link."""


class Checkout:
    """A checkout; its methods call git."""

    def __init__(self, folder: Path) -> None:
        """Find the checkout that `folder` lies in.

        Raises:
            SubmissionError: it lies in none, or not in one of Assay.
        """
        self.root = folder
        try:
            self.root = Path(self.git("rev-parse", "--show-toplevel"))
        except SubmissionError as error:
            raise SubmissionError(
                f"{folder}: is not a git checkout; clone the benchmark's repository, and name the "
                f"clone with --checkout ({error})"
            ) from error
        if not (self.root / "submissions").is_dir() or not (self.root / "suite").is_dir():
            raise SubmissionError(
                f"{self.root}: is not a checkout of Assay; expected the folders submissions and "
                "suite in it"
            )

    def git(self, *arguments: str, stdin: bytes = b"", index: Path | None = None) -> str:
        """What `git arguments` prints, stripped; `index` is used instead of the checkout's index.

        Raises:
            SubmissionError: git is missing or failed, with its message.
        """
        return self._run(*arguments, stdin=stdin, index=index).decode("utf-8", "replace").strip()

    def _run(self, *arguments: str, stdin: bytes = b"", index: Path | None = None) -> bytes:
        extra = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_LITERAL_PATHSPECS": "1"}
        if index is not None:
            extra["GIT_INDEX_FILE"] = str(index)
        try:
            return subprocess.run(
                ["git", "-C", str(self.root), *arguments],
                input=stdin,
                capture_output=True,
                check=True,
                timeout=GIT_SECONDS,
                env={**os.environ, **extra},
            ).stdout
        except subprocess.CalledProcessError as error:
            said = " ".join(error.stderr.decode("utf-8", "replace").split())[:500]
            raise SubmissionError(f"git {arguments[0]}: {said}") from error
        except (OSError, subprocess.SubprocessError) as error:
            raise SubmissionError(f"git cannot be run: {error}") from error

    def commit_of(self, ref: str) -> str | None:
        """The commit that `ref` names, or None."""
        try:
            return self.git("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
        except SubmissionError:
            return None

    def base(self, given: str | None = None) -> str:
        """The branch that submissions start from: the one given, or the main one.

        Raises:
            SubmissionError: it does not exist, or nothing has been committed.
        """
        for name in (given,) if given else BASES:
            if self.commit_of(name):
                return name
        raise SubmissionError(f"no branch is called {given or 'main'}; expected one with --base")

    def file(self, ref: str, path: str) -> bytes | None:
        """The content of a file in a commit, or None."""
        try:
            return self._run("cat-file", "blob", f"{ref}:{path}")
        except SubmissionError:
            return None

    def files(self, ref: str, folder: str) -> list[str]:
        """Paths of the files under `folder` in a commit."""
        listed = self._run("ls-tree", "-r", "-z", "--name-only", ref, "--", f"{folder}/")
        return [name.decode("utf-8", "replace") for name in listed.split(b"\0") if name]

    def blobs(self, ref: str, folder: str) -> dict[str, str]:
        """Git's ids of the files under `folder` in a commit, by path."""
        listed = self._run("ls-tree", "-r", "-z", ref, "--", f"{folder}/")
        lines = [line.decode("utf-8", "replace") for line in listed.split(b"\0") if line]
        return {path: facts.split(" ")[2] for facts, path in (li.split("\t", 1) for li in lines)}

    def changes(self, base: str, head: str) -> list[Change]:
        """Files that `head` changed since it left `base`; a rename is a removal and an addition.

        Raises:
            SubmissionError: one of them is no commit.
        """
        said = self._run("diff", "--raw", "-z", "--no-renames", f"{base}...{head}", "--")
        parts = said.decode("utf-8", "replace").split("\0")
        return [
            Change(path=path, status=facts.split(" ")[4][:1], mode=facts.split(" ")[1])
            for facts, path in zip(parts[::2], parts[1::2], strict=False)
        ]

    def fork(self, base: str, head: str) -> str:
        """The commit at which `head` left `base`.

        Raises:
            SubmissionError: they have none in common.
        """
        return self.git("merge-base", base, head)

    def size(self, ref: str, path: str) -> int:
        """Bytes of a file in a commit.

        Raises:
            SubmissionError: it is not there.
        """
        return int(self.git("cat-file", "-s", f"{ref}:{path}"))

    def changed(self, *folders: str) -> list[str]:
        """Files in `folders` of the working tree that differ from the commit or are untracked."""
        said = self._run("status", "--porcelain", "-z", "--untracked-files=all", "--", *folders)
        return [line[3:].decode("utf-8", "replace") for line in said.split(b"\0") if len(line) > 3]

    def tree(self, base: str, files: Mapping[str, bytes], without: str, index: Path) -> str:
        """Write a tree: `base` with `files` added, and the folder `without` emptied first.

        Args:
            base: a commit.
            files: contents by path.
            without: a folder whose files in `base` are left out.
            index: a file to be made, in an existing folder.
        """
        self.git("read-tree", base, index=index)
        for path in self.files(base, without):
            self.git("update-index", "--force-remove", "--", path, index=index)
        for path, data in files.items():
            blob = self.git("hash-object", "-w", "--stdin", stdin=data)
            self.git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", index=index)
        return self.git("write-tree", index=index)

    def make_branch(self, name: str, tree: str, parent: str, message: str) -> str:
        """Commit `tree` on a new branch, and return the commit.

        Raises:
            SubmissionError: the branch exists, or git does not know who commits.
        """
        commit = self.git("commit-tree", tree, "-p", parent, stdin=message.encode())
        self.git("update-ref", f"refs/heads/{name}", commit, "0" * len(commit))
        return commit
