"""Names for containers that nobody named: an adjective and a jar, in Docker's form `adjective_noun`."""

from __future__ import annotations

import secrets
from collections.abc import Callable

_ADJECTIVE_TEXT = """
amber ample ashen brave breezy bright calm candid clear clever cosy crisp deft earthy eager early
easy fair fine fond frank fresh gentle glad glazed golden grand happy hardy hazel honest humble
jolly keen kind large light lively loyal lucid lunar mellow merry mild modest neat nimble noble
olive patient placid plain proud quick quiet rapid ready robust round rustic sandy serene sharp
silent simple sleek smooth snug solar solid sound steady stout sturdy sunny swift tawny tidy
tranquil true umber upbeat vivid warm wise witty young
"""
_NOUN_TEXT = """
alabastron amphora askos basin beaker bowl bucket carafe cask chalice churn cistern coffer crock
cruet cup decanter demijohn ewer firkin flagon flask goblet gourd hydria jar jug keg kettle kiln
krater kylix ladle lekythos loutrophoros mug oinochoe olla onggi pail pelike phiale pitcher pot
psykter pyxis qvevri rhyton samovar skyphos stamnos stein tajine tankard teapot tinaja tub tumbler
tureen urn vase vat vial
"""
_ADJECTIVES = _ADJECTIVE_TEXT.split()
_NOUNS = _NOUN_TEXT.split()


def generate(taken: Callable[[str], bool]) -> str:
    """A name that is not taken."""
    for attempt in range(100):
        name = f"{secrets.choice(_ADJECTIVES)}_{secrets.choice(_NOUNS)}"
        if attempt > 5:
            name += str(secrets.randbelow(10 ** min(attempt // 5, 6)))
        if not taken(name):
            return name
    return secrets.token_hex(16)
