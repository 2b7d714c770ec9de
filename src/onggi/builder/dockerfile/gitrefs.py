"""Git repositories as sources: `https://host/repo.git#ref:dir`, `git@host:repo.git?branch=x`, `git://`,
`ssh://`.

Source: docs.docker.com "ADD", "Adding files from a Git repository" and "Build context", "URL queries". An
http(s) address is a repository only when its path ends in .git; `github.com/a/b` without a scheme only as
a build context.
"""

from __future__ import annotations

import posixpath
import re
from urllib.parse import parse_qs, urlsplit, urlunsplit

import msgspec

from onggi.errors import InvalidParameter
from onggi.spec.truth import FALSE, TRUE

_SCHEME = re.compile(r"([a-zA-Z0-9]+)://")
_SCP = re.compile(
    r"(?P<user>[a-zA-Z0-9_-]+)@(?P<host>[a-zA-Z0-9._-]+):(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?:#(?P<fragment>.*))?\Z"
)
_SCHEMES = ("http", "https", "ssh", "git")


class GitRef(msgspec.Struct, frozen=True, kw_only=True):
    """A repository and what of it. None: the address does not say."""

    remote: str
    ref: str = ""
    subdir: str = ""
    checksum: str = ""
    keep_git_dir: bool | None = None
    submodules: bool | None = None
    mtime: str = ""
    fetch_by_commit: bool = False


def parse(text: str, *, context: bool = False) -> GitRef | None:
    """A source that is a repository; None for any other. `context`: also `github.com/...`. Raises
    InvalidParameter for a repository whose query makes no sense.
    """
    if text.startswith(("./", "../")):
        return None
    if text.startswith("github.com/"):
        return _from_url("https://" + text, any_path=True) if context else None
    scheme = _SCHEME.match(text)
    if scheme is None:
        return _from_scp(text)
    if scheme[1].lower() not in _SCHEMES:
        return None
    return _from_url(text)


def _from_url(text: str, *, any_path: bool = False) -> GitRef | None:
    try:
        url = urlsplit(text)
    except ValueError:
        return None
    if (
        url.scheme.lower() in ("http", "https")
        and not url.path.endswith(".git")
        and "github.com/" not in text[:19]
    ):
        return None
    remote = urlunsplit((url.scheme, url.netloc, url.path, "", ""))
    return _with_query(remote, url.fragment, url.query)


def _from_scp(text: str) -> GitRef | None:
    match = _SCP.match(text)
    if match is None:
        return None
    remote = f"{match['user']}@{match['host']}:{match['path']}"
    return _with_query(remote, match["fragment"] or "", match["query"] or "")


def _with_query(remote: str, fragment: str, query: str) -> GitRef:
    ref, _, subdir = fragment.partition(":")
    subdir = posixpath.normpath(posixpath.join("/", subdir)).lstrip("/")
    fields: dict[str, str] = {"ref": ref, "subdir": subdir}
    switches: dict[str, bool] = {}
    kept: dict[str, str] = {"tag": "", "branch": ""}
    for name, values in parse_qs(query, keep_blank_values=True).items():
        if len(values) > 1:
            raise InvalidParameter(f'query "{name}" has multiple values')
        value = values[0]
        if name in ("submodules", "keep-git-dir", "fetch-by-commit"):
            switches[name] = _switch(name, value)
            continue
        if not value:
            raise InvalidParameter(f'query "{name}" has no value')
        if name in ("ref", "subdir"):
            _set(fields, name, value)
        elif name in kept:
            prefix = {"tag": "refs/tags/", "branch": "refs/heads/"}[name]
            kept[name] = value if value.startswith(prefix) else prefix + value
        elif name in ("checksum", "commit"):
            fields["checksum"] = value
        elif name == "mtime":
            if value not in ("checkout", "commit"):
                raise InvalidParameter(f'invalid mtime value: "{value}" (must be "checkout" or "commit")')
            fields["mtime"] = value
        else:
            raise InvalidParameter(f'unexpected query "{name}"')
    if kept["tag"] and kept["branch"]:
        raise InvalidParameter("branch conflicts with tag")
    if kept["tag"] or kept["branch"]:
        _set(fields, "ref", kept["tag"] or kept["branch"])
    return GitRef(
        remote=remote,
        ref=fields["ref"],
        subdir=fields["subdir"],
        checksum=fields.get("checksum", ""),
        keep_git_dir=switches.get("keep-git-dir"),
        submodules=switches.get("submodules"),
        mtime=fields.get("mtime", ""),
        fetch_by_commit=switches.get("fetch-by-commit", False),
    )


def _set(fields: dict[str, str], name: str, value: str) -> None:
    if fields[name] and fields[name] != value:
        raise InvalidParameter(f'{name} conflicts: "{fields[name]}" vs "{value}"')
    fields[name] = value


def _switch(name: str, value: str) -> bool:
    if value and value not in TRUE + FALSE:
        raise InvalidParameter(f'invalid {name} value: "{value}"')
    return value not in FALSE
