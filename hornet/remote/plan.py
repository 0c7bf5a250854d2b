"""What every host of a fleet is to run: the options of `hornetos run`, and how long it may take."""

from __future__ import annotations

from collections.abc import Sequence

from hornet.remote.hosts import RemoteHost, RemotePath
from hornet.results.collected import IMAGE_SUITES
from hornet.spec.types import Line, Positive, Table, Token

# Between the two signals with which timeout(1) ends a run: its VMs and networks are removed meanwhile.
CLEAN_UP_S = 120
# From the end of a run there to the end of waiting for it here.
GRACE_S = CLEAN_UP_S + 60


class Plan(Table):
    """The options of `hornetos run` on each host. snapshot, image, kernel: paths there. limit_minutes: of the run."""

    tier: Token | None = None
    lane: Line | None = None
    snapshot: RemotePath | None = None
    image: RemotePath | None = None
    kernel: RemotePath | None = None
    quick: bool = False
    require_kvm: bool = False
    limit_minutes: Positive

    def given(self) -> list[str]:
        """The options that name what is judged."""
        paths = {"snapshot": self.snapshot, "image": self.image, "kernel": self.kernel}
        return [f"--{name}={path}" for name, path in paths.items() if path]

    def run_words(self, host: RemoteHost, run: str) -> list[str]:
        """The words of `hornetos run` on a host. run: the name of the run there."""
        chosen = {"tier": self.tier, "lane": self.lane, "name": run}
        words = [f"--{name}={value}" for name, value in chosen.items() if value]
        if not self.quick and set(host.suites) != set(IMAGE_SUITES):
            words += [f"--suite={suite}" for suite in host.suites]
        flags = {"--quick": self.quick, "--require-kvm": self.require_kvm}
        return [*_global(host), "run", *words, *self.given(), *(flag for flag, wanted in flags.items() if wanted)]

    def here_words(self, host: RemoteHost, runs: Sequence[str]) -> list[str]:
        """The words with which a host describes what it has, and these runs of it."""
        return [*_global(host), "fleet", "here", *self.given(), *(f"--run={run}" for run in runs)]


def _global(host: RemoteHost) -> list[str]:
    return [f"--overlay={overlay}" for overlay in host.overlays]
