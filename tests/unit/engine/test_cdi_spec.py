"""Spec files of devices: what is read, and what is refused in which words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onggi.cli.options.request import is_cdi_name
from onggi.engine.cdi import yaml_text
from onggi.engine.cdi.spec import is_qualified, parse

NODE = {"path": "/dev/x"}


def spec(
    version: str = "0.7.0", kind: str = "vendor.com/class", name: str = "x", **edits: Any
) -> dict[str, Any]:
    device = {"name": name, "containerEdits": edits or {"env": ["A=b"]}}
    return {"cdiVersion": version, "kind": kind, "devices": [device]}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (None, "failed to unmarshal"),
        ([], "failed to unmarshal"),
        ({**spec(), "extra": 1}, "unknown field `extra`"),
        (spec("1.2.3"), 'invalid version "1.2.3"'),
        (spec("0.3.0", deviceNodes=[{**NODE, "hostPath": "/dev/null"}]), "at least v0.5.0"),
        (spec("0.4.0", name="0"), "at least v0.5.0"),
        (
            spec("0.3.0", mounts=[{"hostPath": "/a", "containerPath": "/b", "type": "bind"}]),
            "at least v0.4.0",
        ),
        (spec("0.5.0", kind="vendor.com/a.b"), "at least v0.6.0"),
        (spec("0.6.0", additionalGids=[1]), "at least v0.7.0"),
        (spec(kind="class"), "invalid vendor"),
        (spec(kind="0vendor/class"), "invalid vendor"),
        (spec(kind="vendor.com/class/x"), "invalid class"),
        (spec(name="a b"), "invalid device name"),
        (spec(name="-a"), "invalid device name"),
        ({**spec(), "devices": []}, "no devices"),
        ({**spec(), "devices": spec()["devices"] * 2}, 'multiple device "x"'),
        ({**spec(), "devices": [{"name": "x", "containerEdits": {}}]}, "empty device edits"),
        (spec(env=["=x"]), 'invalid environment variable "=x"'),
        (spec(env=["A"]), 'invalid environment variable "A"'),
        (spec(deviceNodes=[{"path": ""}]), "invalid device"),
        (spec(deviceNodes=[{"path": "dev/x"}]), "invalid device"),
        (spec(deviceNodes=[{"path": "/dev/../../x"}]), "invalid device"),
        (spec(deviceNodes=[{**NODE, "type": "x"}]), 'invalid type "x"'),
        (spec(deviceNodes=[{**NODE, "permissions": "rx"}]), 'invalid permissions "rx"'),
        (spec(deviceNodes=[{**NODE, "major": -1}]), "out of range"),
        (spec(deviceNodes=[{**NODE, "uid": 1 << 40}]), "out of range"),
        (spec(hooks=[{"hookName": "never", "path": "/x"}]), 'invalid hook name "never"'),
        (spec(hooks=[{"hookName": "poststop", "path": "x"}]), "not absolute"),
        (spec(hooks=[{"hookName": "poststop", "path": "/x", "timeout": 0}]), "timeout 0"),
        (spec(mounts=[{"hostPath": "", "containerPath": "/b"}]), "empty host path"),
        (spec(mounts=[{"hostPath": "/a", "containerPath": "/"}]), "invalid mount"),
        (spec(mounts=[{"hostPath": "/a", "containerPath": "/x/../.."}]), "invalid mount"),
        (spec(additionalGids=[1 << 32]), "invalid additional gid"),
    ],
)
def test_refused(document: object, words: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        parse(document)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"a: &x 1\nb: *x", "aliases are not read"),
        (b"a: !!python/object:os.system x", "tag"),
        (b"a: 1\na: 2", 'key "a" already set'),
        (b"a: 1\n---\nb: 1", "second document"),
        (b"[" * 1000, "levels"),
        (b"? [a]\n: b", "a key must be"),
        (b"a: [", "line"),
    ],
)
def test_yaml_refused(text: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        yaml_text.loads(text)
    assert words in str(refused.value)


def test_yaml_keeps_texts() -> None:
    found = yaml_text.loads(
        b"name: 0\nother: yes\nmajor: 0x10\nfileMode: 0660\nadditionalGids: [1, 2]\nx: '~'\ny: ~"
    )
    assert (found["name"], found["other"], found["x"], found["y"]) == ("0", "yes", "~", None)
    assert (found["major"], found["fileMode"], found["additionalGids"]) == (16, 0o660, [1, 2])
    assert yaml_text.loads(b"") is None


@given(st.binary(max_size=200))
def test_yaml_of_any_bytes(data: bytes) -> None:
    try:
        yaml_text.loads(data)
    except ValueError:
        return


@given(
    st.one_of(st.text(max_size=30), st.from_regex(r"[a-z0-9./=:_-]{1,12}/[a-z0-9._-]{1,6}=[a-z0-9:._-]{1,6}"))
)
def test_the_command_line_and_the_engine_know_the_same_names(text: str) -> None:
    assert is_cdi_name(text) == is_qualified(text)
