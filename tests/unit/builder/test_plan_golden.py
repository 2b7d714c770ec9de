"""Tree to graph: a golden file for each folder."""

from __future__ import annotations

import pytest

from onggi.builder.dockerfile import typed
from onggi.builder.dockerfile.checks import Checks
from onggi.builder.graph import Plan
from onggi.builder.options import Options
from onggi.builder.plan.planner import plan
from tests.unit.builder import golden
from tests.unit.builder.planning import LINUX, Images


def dump(made: Plan) -> str:
    """Vertices with their inputs by number, so that a changed digest does not change every line."""
    numbers = {one.digest: number for number, one in enumerate(made.graph)}
    lines = []
    for one in made.graph:
        inputs = [f"{numbers[ref.vertex]}:{ref.output}" if ref else "-" for ref in one.inputs]
        lines.append(f"{numbers[one.digest]} {one.meta.name} [{' '.join(inputs)}] {one.platform}")
        lines.append("    " + golden.line(one.op))
    for step in made.steps:
        result = numbers[step.result.vertex] if step.result else "-"
        own = [numbers[digest] for digest in step.vertices]
        lines.append(f"step {step.number}/{step.total} ({step.stage}) {step.text!r} -> {result} {own}")
    lines += [f"layer {numbers[ref.vertex]}" for ref in made.layers]
    lines.append(f"result {numbers[made.result.vertex] if made.result else '-'} {made.platform}")
    lines.append("config " + golden.line(made.image.config))
    lines += ["history " + golden.line(entry) for entry in made.image.history or []]
    lines += [f"! {one.rule} line {one.location.start}: {one.detail}" for one in made.warnings]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("case", golden.GOOD)
async def test_tree_to_graph(case: str) -> None:
    files = golden.files(case)
    checks = Checks()
    read = typed.read(files["Dockerfile"], files=files, checks=checks)
    options = Options(build_platform=LINUX, build_args={"HTTP_PROXY": "http://proxy"})
    made = await plan(read, options, LINUX, Images(), checks=checks)
    golden.compare(case, "plan.txt", dump(made))
