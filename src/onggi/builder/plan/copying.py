"""COPY and ADD: file actions on the stage's tree, out of the context, stages, images, URLs and
repositories.

With `--link` the files go into a tree of their own, which is laid over the stage's: nothing of it is
read, so a new base changes nothing about the copy.
"""

from __future__ import annotations

import posixpath
import re
from urllib.parse import urlsplit

import msgspec

from onggi.builder.dockerfile import gitrefs, heredocs
from onggi.builder.dockerfile.errors import DockerfileError
from onggi.builder.dockerfile.gitrefs import GitRef
from onggi.builder.dockerfile.words import quoted
from onggi.builder.graph import CopyAction, FileOp, GitSource, HttpSource, MakeFile, Merge, Meta, Owner
from onggi.builder.instructions import Add, Copy, Heredoc
from onggi.builder.plan.configuration import owner_of
from onggi.builder.plan.context import Building
from onggi.builder.plan.drafts import Draft, Out
from onggi.builder.plan.stage import StageDraft
from onggi.errors import InvalidParameter
from onggi.spec import digest as digests

MODE_MAX = 0o7777
_OCTAL = re.compile(r"[0-7]+\Z")
_SYMBOLIC = re.compile(r"[ugoa]*(?:[-+=](?:[rwxXst]+|[ugo]|))+(?:,[ugoa]*(?:[-+=](?:[rwxXst]+|[ugo]|))+)*\Z")


def copy(building: Building, stage: StageDraft, one: Copy) -> None:
    source = (stage.copies.get(stage.place) or [None])[0]
    if source is not None and not source.planned:
        raise DockerfileError(
            f"cannot copy from stage {quoted(one.from_)}, it needs to be defined before current stage "
            f"{quoted(stage.label)}",
            one.location,
        )
    _Copying(building, stage, one, source).plan()


def add(building: Building, stage: StageDraft, one: Add) -> None:
    _Copying(building, stage, one, None).plan()


class _Copying:
    """One COPY or ADD: its words expanded, then an action for each source."""

    def __init__(
        self, building: Building, stage: StageDraft, one: Copy | Add, source: StageDraft | None
    ) -> None:
        self.building = building
        self.stage = stage
        self.one = one
        self.source = source
        self.platform = stage.platform or building.platform
        self.target = _target(stage.directory, self._expand(one.target))
        self.chown = self._expand(one.chown)
        self.owner: Owner | None = owner_of(self.chown) if self.chown else None
        self.mode = self._mode(self._expand(one.chmod))
        self.checksum = self._expand(one.checksum) if isinstance(one, Add) else ""
        self.sources = [self._expand(text) for text in one.sources]
        self.linked = one.link and not one.chmod
        self.inputs: list[Out] = []
        self.actions: list[CopyAction] = []
        if stage.out is not None and not self.linked:
            self.inputs.append(stage.out)

    def _expand(self, word: str) -> str:
        return self.building.expand(word, self.stage, self.one)

    def _wrong(self, message: str) -> DockerfileError:
        return DockerfileError(message, self.one.location)

    def _mode(self, text: str) -> str:
        """Octal, or chmod(1)'s symbols."""
        if not text or _SYMBOLIC.match(text):
            return text
        if not _OCTAL.match(text) or int(text[:12], 8) > MODE_MAX:
            raise self._wrong(
                f"invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777"
            )
        return text

    def plan(self) -> None:
        name = self.building.words.shown(self.one.text, self.stage.variables)
        meta = self.stage.meta(name, self.one)
        self._check_checksum()
        for text in self.sources:
            self._source(text, meta)
        for document in self.one.heredocs:
            self._document(document)
        self._finish(meta)
        self.stage.remember(self._history(), layer=True)

    def _check_checksum(self) -> None:
        if not self.checksum:
            return
        if len(self.sources) != 1:
            raise self._wrong("checksum can't be specified for multiple sources")
        if not _is_http(self.sources[0]) and self._git(self.sources[0]) is None:
            raise self._wrong("checksum requires HTTP(S) or Git sources")

    def _git(self, text: str) -> GitRef | None:
        try:
            return gitrefs.parse(text)
        except InvalidParameter as error:
            raise self._wrong(error.message) from None

    def _source(self, text: str, meta: Meta) -> None:
        git = self._git(text)
        if git is not None:
            if not isinstance(self.one, Add):
                raise self._wrong("source can't be a git ref for COPY")
            self._from_git(git, self.one, meta)
        elif _is_http(text):
            if not isinstance(self.one, Add):
                raise self._wrong("source can't be a URL for COPY")
            self._from_http(text, self.one, meta)
        else:
            self._from_tree(text)

    def _action(self, tree: Out | None, **fields: object) -> None:
        """One more copy, on top of the one before."""
        number = -1
        if tree is not None:
            self.inputs.append(tree)
            number = len(self.inputs) - 1
        self.actions.append(
            CopyAction(
                from_input=number,
                target=self.target,
                owner=self.owner,
                mode=self.mode,
                excludes=self.one.excludes,
                **fields,  # type: ignore[arg-type]
            )
        )

    def _from_git(self, git: GitRef, one: Add, meta: Meta) -> None:
        if None not in (one.keep_git_dir, git.keep_git_dir) and one.keep_git_dir != git.keep_git_dir:
            raise self._wrong("inconsistent keep-git-dir configuration")
        if self.checksum and git.checksum and self.checksum != git.checksum:
            raise self._wrong(f"checksum mismatch {quoted(self.checksum)} != {quoted(git.checksum)}")
        source = git_source(
            git, keep_git_dir=bool(git.keep_git_dir or one.keep_git_dir), checksum=self.checksum
        )
        draft = Draft(source, (), self.building.options.build_platform, Meta(name=meta.name))
        self._action(draft.out(), source="/", follow=False, contents_only=True, wildcard=False)

    def _from_http(self, url: str, one: Add, meta: Meta) -> None:
        if self.checksum:
            try:
                digests.check(self.checksum)
            except InvalidParameter as error:
                raise self._wrong(error.message) from None
        name = posixpath.basename(posixpath.normpath(urlsplit(url).path))
        name = name if name not in ("", ".", "/") else "__unnamed__"
        source = HttpSource(url=url, filename=name, checksum=self.checksum)
        draft = Draft(source, (), self.building.options.build_platform, Meta(name=meta.name))
        self._action(
            draft.out(),
            source="/" + name,
            follow=False,
            contents_only=False,
            wildcard=False,
            unpack=bool(one.unpack),
        )

    def _from_tree(self, text: str) -> None:
        """Out of the context, a stage or an image."""
        if self.source is None:
            self._check_ignored(text)
        includes: tuple[str, ...] = ()
        required: tuple[str, ...] = ()
        path = text
        if self.one.parents:
            path, includes, required = _with_parents(text)
        path = _normal(path)
        if self.source is None:
            tree = self.building.context(text if self.one.parents else path)
        else:
            self.source.uses(text if self.one.parents else path)
            tree = self.source.out
        unpack = isinstance(self.one, Add) and self.one.unpack is not False
        self._action(
            tree,
            source=path,
            follow=True,
            contents_only=True,
            wildcard=True,
            allow_empty=True,
            unpack=unpack,
            includes=includes,
            required=required,
        )

    def _check_ignored(self, text: str) -> None:
        ignored = self.building.ignored
        if ignored is None or ignored.takes_back:
            return
        path = posixpath.normpath(text)
        everything = {one.text for one in ignored.patterns} & {"*", "**", "**/*"}
        if path in (".", "/") and not everything:
            return
        if ignored.excludes(path.lstrip("/") or "."):
            verb = "Add" if isinstance(self.one, Add) else "Copy"
            detail = f"Attempting to {verb} file {quoted(path)} that is excluded by .dockerignore"
            self.stage.checks.report("CopyIgnoredFile", self.one.location, detail)

    def _document(self, document: Heredoc) -> None:
        data = heredocs.without_tabs(document.data) if document.chomp else document.data
        if document.expand:
            found = self.building.words.here_document(data, self.stage.variables, self.one.location)
            self.building.report_undefined(found.unmatched, self.stage, self.one)
            data = found.text
        path = "/" + document.name.lstrip("/")
        file = MakeFile(input=-1, output=0, path=path, data=data.encode("utf-8", "surrogateescape"))
        meta = Meta(name="[internal] preparing inline document")
        draft = Draft(FileOp((file,)), (), self.platform, meta)
        self._action(draft.out(), source=path, follow=False, contents_only=False, wildcard=False)

    def _finish(self, meta: Meta) -> None:
        count = len(self.inputs)
        base = -1 if self.linked or self.stage.out is None else 0
        last = len(self.actions) - 1
        chained = [
            msgspec.structs.replace(
                action, input=base if number == 0 else count + number - 1, output=0 if number == last else -1
            )
            for number, action in enumerate(self.actions)
        ]
        copied = Draft(FileOp(tuple(chained)), self.inputs, self.platform, meta)
        if self.linked and self.stage.out is not None:
            below = self.stage.out
            link = msgspec.structs.replace(meta, name=meta.name.replace("] ", "] LINK ", 1))
            self.stage.draft(Draft(Merge((0, 1)), (below, copied.out()), self.platform, link))
        else:
            self.stage.draft(copied)

    def _history(self) -> str:
        words = ["ADD" if isinstance(self.one, Add) else "COPY"]
        words += ["--parents"] if self.one.parents else []
        words += [f"--chown={self.chown}"] if self.chown else []
        words += [f"--chmod={self.mode}"] if self.mode else []
        words += [*self.sources, *(f"<<{document.name}" for document in self.one.heredocs)]
        words += [self._expand(self.one.target)]
        return " ".join(words) + " # buildkit"


def git_source(git: GitRef, *, keep_git_dir: bool, checksum: str = "") -> GitSource:
    return GitSource(
        remote=git.remote,
        ref=git.ref,
        subdir=git.subdir,
        keep_git_dir=keep_git_dir,
        checksum=checksum or git.checksum,
        submodules=git.submodules is not False,
        mtime=git.mtime,
        fetch_by_commit=git.fetch_by_commit,
    )


def _is_http(text: str) -> bool:
    return text.startswith(("http://", "https://"))


def _normal(path: str) -> str:
    """Absolute and clean: a source is below its tree's root whatever it says."""
    return "/" + posixpath.normpath("/" + path).lstrip("/")


def _target(directory: str, text: str) -> str:
    """Absolute; a slash at the end stays, since it says that the target is a directory."""
    text = text if text not in ("", ".") else "./"
    path = "/" + posixpath.normpath(posixpath.join("/", directory, text)).lstrip("/")
    if text.endswith("/") and not path.endswith("/"):
        return path + "/"
    if text.endswith("/."):
        return path.rstrip("/") + "/."
    return path


def _with_parents(text: str) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """`--parents`: what is before `/./` is where it begins, the rest is kept as directories. A path without
    wildcards has to exist.
    """
    begin, pivot, pattern = text.partition("/./")
    begin, pattern = (begin, pattern) if pivot else ("/", text)
    pattern = _normal(pattern)
    plain = not (_has_wildcards(begin) or _has_wildcards(pattern))
    required = (_normal(posixpath.join(begin, pattern.lstrip("/"))),) if plain else ()
    return begin, (pattern.lstrip("/"),), required


def _has_wildcards(path: str) -> bool:
    return re.search(r"(?:^|[^\\])(?:\\\\)*[*?\[]", path) is not None
