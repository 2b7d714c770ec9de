"""Text to tree, tree to typed instructions: a folder of golden files for each."""

from __future__ import annotations

import pytest

from onggi.builder.dockerfile import tree, typed
from onggi.builder.dockerfile.checks import Checks
from onggi.builder.dockerfile.errors import DockerfileError
from onggi.builder.dockerfile.tree import Node
from tests.unit.builder import golden


def sexp(node: Node, indent: str = "") -> str:
    """(name:1-2 flags (args) heredocs child)"""
    parts = [f"{indent}({node.name.lower()} {node.location.start}-{node.location.end}"]
    parts += [f" {flag}" for flag in node.flags]
    parts += [f"\n{indent}  {golden.line(arg)}" for arg in node.args]
    parts += [" json" if node.json else ""]
    parts += [f"\n{indent}  <<{golden.line(one)}" for one in node.heredocs]
    parts += [f"\n{indent}  #{comment}" for comment in node.comments]
    parts += ["\n" + sexp(node.child, indent + "  ") if node.child else ""]
    return "".join(parts) + ")"


@pytest.mark.parametrize("case", golden.GOOD)
def test_text_to_tree(case: str) -> None:
    parsed = tree.parse(golden.files(case)["Dockerfile"])
    made = [golden.line(parsed.directives), *map(sexp, parsed.nodes)]
    golden.compare(case, "tree.txt", "\n".join(made) + "\n")


@pytest.mark.parametrize("case", golden.GOOD)
def test_tree_to_typed_instructions(case: str) -> None:
    checks = Checks()
    files = golden.files(case)
    made = typed.read(files["Dockerfile"], files=files, checks=checks)
    lines = [golden.line(arg) for arg in made.globals]
    for stage in made.stages:
        body = stage.instructions
        lines.append(f"stage {stage.name!r} from {stage.base!r} platform {stage.platform!r}: {stage.text}")
        lines += ["  " + golden.line(one) for one in body]
    lines += [f"! {one.rule} line {one.location.start}: {one.detail}" for one in checks.found]
    golden.compare(case, "typed.txt", "\n".join(lines) + "\n")


@pytest.mark.parametrize("case", golden.WRONG)
def test_an_error_names_its_line_and_shows_it(case: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        typed.read(golden.files(case)["Dockerfile"])
    golden.compare(case, "error.txt", f"{caught.value.message}\n{caught.value.excerpt}\n")
