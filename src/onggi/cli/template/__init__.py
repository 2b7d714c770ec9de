"""Go templates as `--format` uses them: text/template of the Go library with Docker's functions.

    lexer.py      text -> tokens                parser.py     tokens -> nodes
    evaluate.py   nodes + a value -> text       functions.py  what templates may call
    values.py     how Go prints, compares and calls empty

Not here: the fields that a command offers (its own file), tables (cli/table.py). Source: the documentation
of Go's text/template, and the docker client's answers in tests/conformance/cli.
"""

from __future__ import annotations

from onggi.cli.template.evaluate import Template as Template
from onggi.cli.template.evaluate import TemplateError as TemplateError
