"""Columns, ages, sizes, templates without an engine, and the start-up budget of imports."""

# ruff: noqa: E501 (tables of cases)
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from onggi.cli import color, flags, help, human, inspection, main, table, tree, trust
from onggi.cli.errors import CommandError
from onggi.cli.template import Template, TemplateError
from onggi.spec import age

SRC = Path(__file__).parents[3] / "src"
FORBIDDEN = {"typing", "enum", "re", "json", "dataclasses", "pathlib", "subprocess", "logging", "contextlib",
             "collections.abc", "argparse", "socket", "selectors", "asyncio"}  # fmt: skip


def test_columns() -> None:
    assert table.align([["A", "B", "C"], ["a long cell here", "", "end"]]) == [
        "A                  B         C",
        "a long cell here             end",
    ]


def test_colours_leave_the_columns_as_they_are() -> None:
    lines = [["A", "B"], ["cell", "end"]]
    painted = table.align(lines, paint=lambda row, column, cell: color.paint(color.RED if row else "", cell))
    assert painted == ["A         B", "\x1b[31mcell\x1b[0m      \x1b[31mend\x1b[0m"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (60, "About a minute"), (3599, "59 minutes"),
     (3600, "About an hour"), (47 * 3600, "47 hours"), (48 * 3600, "2 days"), (15 * 86400, "2 weeks"),
     (61 * 86400, "2 months"), (800 * 86400, "2 years")],
)  # fmt: skip
def test_ages(seconds: float, words: str) -> None:
    assert age.words(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0B"), (999, "999B"), (1984172, "1.98MB"), (10**6, "1MB"), (123456789, "123MB")]
)
def test_sizes(count: int, words: str) -> None:
    assert human.size(count, 3) == words


def test_binary_sizes() -> None:
    assert human.binary_size(450560) == "440KiB"


def test_times() -> None:
    assert human.parse_time("1970-01-02T00:00:01.5+01:00") == (82801, 500_000_000)
    assert human.parse_time("2024-02-29T12:00:00Z")[0] == 1709208000


def test_indentation_keeps_every_token() -> None:
    text = '{"a":[],"b":{},"c":[1,2.50,"x, \\" {"],"d":{"e":null}}'
    assert inspection.indent(text).startswith(
        '{\n    "a": [],\n    "b": {},\n    "c": [\n        1,\n        2.50,\n'
    )


def test_variables_reach_the_block_that_declared_them() -> None:
    assert Template("{{$x := 1}}{{range .}}{{$x = .}}{{end}}{{$x}}").execute([5, 6]) == "6"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ('{{printf "%99999999999d" 1}}', "%!(NOVERB)%!(EXTRA int=1)"),
        ('{{printf "%.99999999999f|" 1.5}}', "%!(NOVERB)%!(EXTRA float64=1.5)"),
        ('{{printf "%c" 99999999}}', "\ufffd"),
        ('{{printf "%05d|%-4d|%4d" 7 7 7}}', "00007|7   |   7"),
        ("{{range 3}}{{.}}{{end}}", "012"),
        (r'{{"\101\x41\u0041\xc3\xa9\U0001f600"}}', "AAA\u00e9\U0001f600"),
        (r"{{'a'}}{{'\n'}}{{'\x41'}}{{'\u00e9'}}", "971065233"),
        ("{{range 99999999999}}{{break}}{{end}}", ""),
        (
            '{{define "a"}}{{if .}}{{template "a" slice . 1}}{{end}}{{len .}}{{end}}{{template "a" "xxxxx"}}',
            "012345",
        ),
    ],
)
def test_odd_forms_are_gos(source: str, text: str) -> None:
    assert Template(source).execute(None) == text


@pytest.mark.parametrize(
    "source", ['{{define "a"}}{{template "a"}}{{end}}{{template "a"}}', "{{if .}}" * 5000 + "{{end}}" * 5000]
)
def test_what_does_not_end_is_an_error(source: str) -> None:
    with pytest.raises(TemplateError, match=r"exceeded maximum template depth|nested too deeply"):
        Template(source).execute(1)


@pytest.mark.parametrize(
    "source",
    [
        "{{range .}}",
        "{{.a",
        '{{template "x"}}',
        "{{else}}",
        "{{/* a",
        "{{'a}}",
        "{{(1}}",
        r'{{"\u{{"}}',
        r'{{"\q"}}',
        r'{{"\x4"}}',
        r'{{"\U00110000"}}',
        r'{{"\777"}}',
        r'{{"\ud800"}}',
        r"{{'\q'}}",
        r"{{'ab'}}",
        "{{break}}",
        "{{continue}}",
        "{{range .}}{{else}}{{break}}{{end}}",
        '{{range .}}{{block "a" .}}{{continue}}{{end}}{{end}}',
    ],
)
def test_faults_are_template_errors(source: str) -> None:
    with pytest.raises(TemplateError, match="template: :1"):
        Template(source).execute({})


def test_every_command_of_the_tree_has_its_page() -> None:
    for path in tree.COMMANDS:
        page = help.command_page(path, path)
        assert page.startswith(f"Usage:  onggi {path}"), path
        module = main.load(path)
        names = [row[0] for row in module.FLAGS]
        assert names == sorted(names), path
        assert len(names) == len(set(names)), path
    assert set(tree.ALIASES.values()) <= set(tree.COMMANDS)


def test_ps_imports_nothing_dear() -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(SRC)!r}); from onggi.cli.main import run; "
        "run(['-H', 'unix:///nonexistent', 'ps']); import onggi.cli.commands.container.run, onggi.cli.attached, "
        "onggi.cli.commands.container.inspect, onggi.cli.inspection; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-IS", "-c", program], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & FORBIDDEN == set()
    assert "Cannot connect to the Docker daemon at unix:///nonexistent." in done.stderr


def test_content_trust_is_refused_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = (trust.FLAG,)
    trust.refuse(flags.parse(rows, [])[0])
    with pytest.raises(CommandError, match="signature policy"):
        trust.refuse(flags.parse(rows, ["--disable-content-trust=false"])[0])
    monkeypatch.setenv("DOCKER_CONTENT_TRUST", "1")
    with pytest.raises(CommandError, match="signature policy"):
        trust.refuse(flags.parse(rows, [])[0])
    trust.refuse(flags.parse(rows, ["--disable-content-trust"])[0])
