from __future__ import annotations

import pytest

from onggi.errors import InvalidParameter
from onggi.runtime import capabilities


def test_names_and_numbers() -> None:
    assert capabilities.number("CAP_CHOWN") == 0
    assert capabilities.number("sys_admin") == 21
    assert capabilities.number("CAP_CHECKPOINT_RESTORE") == 40
    with pytest.raises(InvalidParameter, match="CAP_FLY"):
        capabilities.number("CAP_FLY")


def test_masks_are_clamped_to_the_kernels_last_capability() -> None:
    assert capabilities.mask(["CAP_CHOWN", "CAP_BPF"], last=37) == 1
    assert capabilities.names(capabilities.mask(capabilities.DOCKER_DEFAULT)) == sorted(
        capabilities.DOCKER_DEFAULT, key=capabilities.number
    )
    assert capabilities.all_names(last=2) == ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH"]


def test_this_kernels_last_capability() -> None:
    assert capabilities.last_cap() >= 37


def test_dockers_set() -> None:
    assert capabilities.mask(capabilities.DOCKER_DEFAULT) == 0xA80425FB  # CapEff of a container of dockerd
