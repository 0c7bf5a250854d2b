"""Which tier judges: --require before --tier before what the snapshot says; which kernel belongs to a snapshot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hornet.host.artifact_store import file_sha256
from hornet.host.workspace import Workspace
from hornet_fixtures.tiers import built_tier, judged_tier
from hornet_fixtures.under_test import kernel_of_snapshot
from tests.support import bundle_samples


class Config:
    """Command-line options, as pytest gives them."""

    def __init__(self, **given: Any) -> None:
        self._options = {"tier": None, "require": None, "snapshot": None, "spec": None, "overlay": [], **given}

    def getoption(self, name: str) -> Any:
        return self._options[name]


@pytest.mark.parametrize(
    ("options", "built", "judged"),
    [
        ({}, "standard", "standard"),
        ({"tier": "micro"}, "micro", "micro"),
        ({"require": "dev"}, "dev", "dev"),
        ({"tier": "micro", "require": "standard"}, "micro", "standard"),
    ],
)
def test_what_is_built_and_whose_rules_judge(options: dict[str, str], built: str, judged: str) -> None:
    config: Any = Config(**options)
    assert (built_tier(config), judged_tier(config)) == (built, judged)


@pytest.mark.parametrize(
    ("options", "judged"), [({}, "dev"), ({"tier": "micro"}, "micro"), ({"require": "standard"}, "standard")]
)
def test_tier_comes_from_the_snapshot_unless_overridden(
    options: dict[str, str], judged: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = bundle_samples.ORIGIN.model_copy(update={"tier": "dev"})
    monkeypatch.setattr(bundle_samples, "ORIGIN", origin)
    bundle = bundle_samples.make_bundle(tmp_path / "v1")
    config: Any = Config(snapshot=str(bundle.directory), **options)
    assert judged_tier(config) == judged


@pytest.mark.parametrize(
    ("options", "named"), [({"require": "mikro"}, "mikro(.|\n)*micro"), ({"snapshot": "/nowhere"}, "/nowhere")]
)
def test_what_can_not_be_judged_is_a_usage_error(options: dict[str, str], named: str) -> None:
    config: Any = Config(**options)
    with pytest.raises(pytest.UsageError, match=named):
        judged_tier(config)


def test_the_kernel_of_a_snapshot_is_its_own_or_none(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    vmlinux = workspace.build / "kernel" / "key" / "vmlinux"
    vmlinux.parent.mkdir(parents=True)
    vmlinux.write_bytes(b"kernel")
    booted = file_sha256(vmlinux)
    assert kernel_of_snapshot(workspace, booted, None) == vmlinux
    assert kernel_of_snapshot(workspace, None, vmlinux) == vmlinux
    with pytest.raises(pytest.UsageError, match="not the kernel that the snapshot booted"):
        kernel_of_snapshot(workspace, "0" * 64, vmlinux)
    with pytest.raises(pytest.skip.Exception, match=r"not judged: .*--kernel=FILE"):
        kernel_of_snapshot(workspace, "0" * 64, None)
