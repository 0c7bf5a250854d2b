"""The tier's own init runs the guest (guide: HornetOS Tiers)."""

from __future__ import annotations

import pytest

from hornet.checks.init_system import init_problems
from hornet.spec.model import Spec, Tier
from hornet.vm.probes import Facts
from hornet_fixtures.assertions import holds

pytestmark = [pytest.mark.conformance, pytest.mark.guide("tier-init")]


def test_the_tiers_init_brought_it_up(spec: Spec, tier: Tier, facts: Facts) -> None:
    holds(init_problems(tier.init, spec.inits[tier.init], facts))
