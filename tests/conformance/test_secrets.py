"""Never bake secrets into rootfs (guide: Phase 4): none in the image; given at run time, gone from the disk after."""

from __future__ import annotations

import pytest

from hornet.checks import injection, secrets
from hornet.image import ImageTree
from hornet.spec import Spec
from hornet_fixtures.guests import Scratch
from hornet_fixtures.guide import check_cases
from hornet_fixtures.judging import holds
from hornet_fixtures.subject import Image

pytestmark = pytest.mark.conformance


@pytest.mark.parametrize("check", check_cases(dict.fromkeys(secrets.CHECKS, ("no-baked-secrets",))))
def test_the_image_holds_no_secret(check, spec: Spec, image_tree: ImageTree) -> None:
    holds(check(spec.secrets, image_tree))


@pytest.mark.guide("no-baked-secrets")
def test_deleted_files_left_no_secret(spec: Spec, image: Image, image_tree: ImageTree) -> None:
    holds(secrets.remnant_problems(spec.secrets, image_tree, image.path))


@pytest.mark.parametrize("check", check_cases(dict.fromkeys(injection.CHECKS, ("secrets-injected",))))
def test_secrets_come_at_run_time(check, scratch: Scratch) -> None:
    holds(check(scratch.trial, scratch.facts))


@pytest.mark.guide("secrets-injected")
def test_the_disk_never_saw_them(scratch: Scratch) -> None:
    holds(injection.disk_problems(scratch.trial, scratch.vm.disk))
