"""The firewall rules of a VM are loaded in any process, however many files it has open."""

from __future__ import annotations

import os
import sys

import pytest

from hornet.host.proc import run
from hornet.installation import SOURCE
from tests.support.network_samples import TIMEOUT_S

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="not judged: only root makes network namespaces")

# The library of nftables waits with select(2): a higher descriptor ends the process.
MANY_FILES = """
import os, resource
from hornet.network import nft
from hornet.spec.model import load_spec
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
for _ in range(1100):
    os.open("/dev/null", os.O_RDONLY)
nft.load_rules(nft.namespace_rules(load_spec().network), replace=False)
print(nft.is_ours(nft.listed_rules()), nft.run_commands("list tables", nft.JSON)[:12])
"""


def test_rules_are_loaded_by_a_process_with_many_open_files() -> None:
    """As a process with 300 VMs has them."""
    words = ["unshare", "--net", sys.executable, "-c", MANY_FILES]
    done = run(words, timeout_s=TIMEOUT_S, cwd=SOURCE)
    assert done.output.strip() == 'True {"nftables":'
