"""Troubleshooting: the diagnosis names what was made wrong in a guest of this snapshot."""

from __future__ import annotations

import pytest

from hornet.checks.procedures import disk_full_problems, ext4_problems
from hornet.procedures.trials.troubles import TroubleTrial
from hornet_fixtures.assertions import assert_no_problems
from hornet_fixtures.procedures import read_only_root

pytestmark = pytest.mark.procedures


@pytest.mark.requirement("phase1-environment")
def test_network_of_a_vm_is_set_up(troubles: TroubleTrial) -> None:
    assert_no_problems(troubles.network)


@pytest.mark.requirement("trouble-disk-full")
def test_full_disk_is_named_and_cleaned(troubles: TroubleTrial) -> None:
    assert_no_problems(disk_full_problems(troubles.disk_full))


@pytest.mark.requirement("trouble-ext4")
def test_damaged_disk_is_named(troubles: TroubleTrial) -> None:
    if troubles.ext4 is None:
        read_only_root()
    else:
        assert_no_problems(ext4_problems(troubles.ext4))
