"""Never bake secrets into rootfs (guide: Phase 4): none in the image; given at run time, gone from the disk after."""

from __future__ import annotations

import pytest

from hornet.checks import baked_secrets, runtime_secrets
from hornet.checks.catalog import label
from hornet.procedures.judge_image import REMNANT, ImageProblems
from hornet_fixtures.assertions import holds
from hornet_fixtures.guests import Scratch
from hornet_fixtures.requirement_markers import check_cases

pytestmark = pytest.mark.conformance


@pytest.mark.guide("no-baked-secrets")
@pytest.mark.parametrize("check", [label(check) for check in baked_secrets.CHECKS])
def test_the_image_holds_no_secret(check: str, image_problems: ImageProblems) -> None:
    holds(image_problems[f"secret.{check}"])


@pytest.mark.guide("no-baked-secrets")
def test_deleted_files_left_no_secret(image_problems: ImageProblems) -> None:
    holds(image_problems[REMNANT])


@pytest.mark.parametrize("check", check_cases(dict.fromkeys(runtime_secrets.CHECKS, ("secrets-injected",))))
def test_secrets_come_at_run_time(check, scratch: Scratch) -> None:
    holds(check(scratch.trial, scratch.facts))


@pytest.mark.guide("secrets-injected")
def test_the_disk_never_saw_them(scratch: Scratch) -> None:
    holds(runtime_secrets.disk_problems(scratch.trial, scratch.vm.disk))
