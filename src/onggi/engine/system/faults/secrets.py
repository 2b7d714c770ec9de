"""Secrets and configs: can each be opened with the key that is here?

secret-corrupt     a record that does not decode, or data that does not open: nothing here can mend it
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from onggi.engine.secrets.record import CONFIG, SECRET, all_, data
from onggi.errors import NotFound, OnggiError
from onggi.images.check.fault import Checked, Fault

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


def faults(engine: Engine, checked: Checked) -> Iterator[Fault]:
    """Opens each; what is in it goes nowhere."""
    for kind in (SECRET, CONFIG):
        try:
            known = all_(engine, kind)
        except OnggiError as error:
            yield Fault("secret-corrupt", kind.word, error.message)
            continue
        for record in known:
            checked.secrets += 1
            try:
                data(engine, kind, record)
            except NotFound:
                continue  # removed meanwhile
            except (OnggiError, OSError) as error:
                said = f"{error}: bring the key back, or remove the {kind.word}"
                yield Fault("secret-corrupt", f"{kind.word} {record.name}", said)
