"""Secrets (guide: Phase 4): the image contains none; injected ones never reach the disk."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hornet.checks import runtime_secrets
from hornet.checks.catalog import checks_in
from hornet.procedures.judge_image import REMNANT, ImageProblems
from hornet.vm.probes import ProbeResults
from hornet_fixtures.assertions import assert_no_problems
from hornet_fixtures.guests import MutableVM
from hornet_fixtures.requirement_markers import check_cases
from hornet_fixtures.under_test import Image

pytestmark = pytest.mark.conformance


@pytest.mark.requirement("no-baked-secrets")
@pytest.mark.parametrize("check", [check.name for check in checks_in("secret")])
def test_image_contains_no_secret(check: str, image_problems: ImageProblems) -> None:
    assert_no_problems(image_problems[check])


@pytest.mark.requirement("no-baked-secrets")
def test_deleted_files_leave_no_secret(image: Image, image_problems: ImageProblems) -> None:
    if REMNANT not in image_problems:
        pytest.skip(f"not judged: {image.source} has no deleted files: judge the image that is made of it")
    assert_no_problems(image_problems[REMNANT])


@pytest.mark.parametrize("check", check_cases("injection"))
def test_secrets_are_injected_at_run_time(
    check: Callable[[runtime_secrets.SecretTrial, ProbeResults], list[str]], mutable_vm: MutableVM
) -> None:
    assert_no_problems(check(mutable_vm.trial, mutable_vm.facts))


@pytest.mark.requirement("secrets-injected")
def test_injected_secrets_never_reach_the_disk(mutable_vm: MutableVM) -> None:
    assert_no_problems(runtime_secrets.disk_problems(mutable_vm.trial, mutable_vm.vm.disk))
