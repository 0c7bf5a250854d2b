"""Files that must be present or absent in an image: [files] of the spec and of overlays. No VM is needed."""

from __future__ import annotations

import pytest

from hornet.checks.compressed_usr import kernel_problems
from hornet.formats.kconfig import read_config
from hornet.host.workspace import Workspace
from hornet.procedures.image_files import is_compressed
from hornet.procedures.judge_image import ImageProblems
from hornet_fixtures.assertions import assert_no_problems
from hornet_fixtures.under_test import Image

# Each case carries the requirement of its rule, if the guide has it, as in requirement("file-healthcheck").
pytestmark = pytest.mark.conformance


def test_file_rule_holds(file_rule: str, image_problems: ImageProblems) -> None:
    assert_no_problems(image_problems[f"file.{file_rule}"])


@pytest.mark.requirement("usr-layers")
def test_changes_belong_to_the_compressed_usr(image_problems: ImageProblems) -> None:
    assert_no_problems(image_problems["usr.image"])


@pytest.mark.requirement("usr-layers")
def test_kernel_can_mount_the_compressed_usr(
    request: pytest.FixtureRequest, image: Image, workspace: Workspace
) -> None:
    """A plain image needs nothing of its kernel, and the guest of a snapshot has /usr mounted (test_boot.py)."""
    if request.config.getoption("snapshot") or not is_compressed(image.source, workspace.run):
        return
    assert_no_problems(kernel_problems(read_config(request.getfixturevalue("kernel"))))


@pytest.mark.requirement("image-crossable")
def test_other_users_can_cross_the_image(image_problems: ImageProblems) -> None:
    assert_no_problems(image_problems["access.crossing"])
