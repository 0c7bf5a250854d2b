"""Never bake secrets into rootfs (guide: Phase 4): no key, token, password or history in the image. No VM is needed."""

from __future__ import annotations

import pytest

from hornet.checks import secrets
from hornet.image import ImageTree
from hornet.spec import Spec
from hornet_fixtures.judging import holds
from hornet_fixtures.subject import Image

pytestmark = [pytest.mark.conformance, pytest.mark.guide("no-baked-secrets")]


@pytest.mark.parametrize("check", secrets.CHECKS, ids=lambda check: check.__name__.removesuffix("_problems"))
def test_the_image_holds_no_secret(check, spec: Spec, image_tree: ImageTree) -> None:
    holds(check(spec.secrets, image_tree))


def test_deleted_files_left_no_secret(spec: Spec, image: Image, image_tree: ImageTree) -> None:
    holds(secrets.remnant_problems(spec.secrets, image_tree, image.path))
