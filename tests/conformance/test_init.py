"""The tier's own init runs the guest (guide: HornetOS Tiers)."""

from __future__ import annotations

import pytest

from hornet.checks.init_system import init_problems
from hornet.spec.model import Spec
from hornet.spec.tiers import Tier
from hornet.vm.probes import ProbeResults
from hornet_fixtures.assertions import assert_no_problems

pytestmark = [pytest.mark.conformance, pytest.mark.requirement("tier-init")]


def test_tier_init_is_running(spec: Spec, tier: Tier, facts: ProbeResults) -> None:
    assert_no_problems(init_problems(tier.init, spec.inits[tier.init], facts))
