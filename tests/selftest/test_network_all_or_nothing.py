"""The networks of VMs are made whole or not at all, one by one and in pools; an error names what is missing."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from hornet.errors import NetworkError
from hornet.host.proc import run
from hornet.host.workspace import Workspace
from hornet.installation import SOURCE
from hornet.network import HostNet, NamespacePool, VMIds, netns, nft, tap
from hornet.network.ownership import take_inventory
from hornet.network.reconcile import vm_problems
from tests.support.command_samples import require_readable
from tests.support.namespace_samples import in_user_namespace
from tests.support.network_samples import NETWORK, TIMEOUT_S, host, in_namespace, interfaces, prefix

__all__ = ["host", "prefix"]


# --- All or nothing ---------------------------------------------------------------------------------------------------


def test_taken_name_is_reported_and_everything_rolled_back(host: HostNet) -> None:
    foreign = f"{host.prefix}vm3"
    netns.create(foreign, lambda: None)
    try:
        with pytest.raises(NetworkError) as caught:
            host.create_many(range(1, 6))
        assert f"VM 3, number 3 of 5: namespace {foreign}: already exists (the 2 created before it are removed)" in str(
            caught.value
        )
        assert take_inventory(host).vm_ids == []
        assert interfaces(host) == {"lo"}
        assert netns.exists(foreign)
    finally:
        netns.remove(foreign)


def test_an_interface_that_is_taken_stays(host: HostNet) -> None:
    in_namespace(host.namespace or "", "ip link add veth-vm2-br type bridge")
    with pytest.raises(NetworkError, match=r"VM 2, number 2 of 3: add veth .*: File exists"):
        host.create_many([1, 2, 3])
    assert interfaces(host) == {"lo", "veth-vm2-br"}
    assert take_inventory(host).vm_ids == []


def test_an_id_out_of_range_makes_nothing(host: HostNet) -> None:
    with pytest.raises(NetworkError, match="VM id 65536: expected 1 … 65535"):
        host.create_many([1, NETWORK.max_vm_id + 1])
    assert interfaces(host) == {"lo"}


def test_overlapping_host_network_is_rejected_by_name(host: HostNet) -> None:
    in_namespace(host.namespace or "", "ip link add lan0 up type bridge; ip addr add 10.0.2.7/24 dev lan0")
    in_namespace(host.namespace or "", "ip route add 10.1.0.0/16 dev lan0")
    host.start()
    host.create(1)
    with pytest.raises(NetworkError, match=r"VM 2: veth-vm2-br: 10.0.2.0/24 overlaps the address 10.0.2.7/24 of lan0"):
        host.create(2)
    with pytest.raises(NetworkError, match=r"VM 300: .* overlaps the route 10.1.0.0/16 dev lan0"):
        host.create(300)


def test_a_missing_library_is_named(host: HostNet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library is installed: an unknown name simulates a missing one."""
    monkeypatch.setattr(nft, "LIBRARY", "libnftables-absent.so")
    nft._library.cache_clear()
    try:
        with pytest.raises(NetworkError, match=r"libnftables-absent.so.*\n.*install nftables"):
            host.create(1)
    finally:
        nft._library.cache_clear()
    assert interfaces(host) == {"lo"}


def test_a_missing_tun_is_named(host: HostNet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tap, "TUN", "/dev/net/absent")
    with pytest.raises(NetworkError, match=r"/dev/net/absent: No such file or directory\n.*modprobe tun"):
        host.create(1)
    assert interfaces(host) == {"lo"}


CREATE = """
import sys
from hornet.errors import HornetError
from hornet.network import HostNet
from hornet.spec.model import load_spec
try:
    with HostNet.private(load_spec().network, sys.argv[1]) as host:
        host.create_many(range(1, 9))
except HornetError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("without", "said"),
    [
        (["--bounding-set=-sys_admin", "--inh-caps=-sys_admin"], "Operation not permitted"),
        (["--bounding-set=-net_admin", "--inh-caps=-net_admin"], "Operation not permitted"),
        (["--reuid=65534", "--regid=65534", "--clear-groups"], "ermi"),
    ],
)
def test_missing_rights_are_named(without: list[str], said: str, prefix: str) -> None:
    require_readable(["setpriv", *without])
    argv = ["setpriv", *without, sys.executable, "-c", CREATE, prefix]
    output = run(argv, timeout_s=TIMEOUT_S, env={"PYTHONPATH": str(SOURCE)}, cwd=Path("/")).output
    assert said in output
    assert "next: run as root" in output


def test_the_kernels_limit_names_k(prefix: str) -> None:
    """A real limit, set in a user namespace so that it affects nothing else."""
    script = f"echo 5 >/proc/sys/user/max_net_namespaces; exec {sys.executable} -c '{CREATE}' {prefix}"
    output = in_user_namespace("sh", "-ec", script).stdout
    assert re.search(r"VM (\d), number \1 of 8: namespace \S+vm\1: the kernel's limit is reached", output), output
    assert "user.max_net_namespaces" in output


# --- Pools ------------------------------------------------------------------------------------------------------------


def test_a_pool_hands_out_finished_ones(host: HostNet, tmp_path: Path) -> None:
    ids = VMIds(Workspace(tmp_path), 10)
    pool = NamespacePool(host, ids)
    pool.fill(3)
    assert len(pool) == 3
    taken = [pool.take() for _ in range(4)]  # the fourth is made now
    assert [vm.vm_id for vm in taken] == [1, 2, 3, 4]
    assert not any(vm_problems(host, [1, 2, 3, 4]).values())
    pool.fill(3)
    assert take_inventory(host).vm_ids == [1, 2, 3, 4, 5, 6, 7]
    pool.close()
    assert take_inventory(host).vm_ids == [1, 2, 3, 4]
    assert ids.take() == 5


def test_a_pool_that_can_not_be_filled_gives_its_ids_back(host: HostNet, tmp_path: Path) -> None:
    in_namespace(host.namespace or "", "ip link add veth-vm2-br type bridge")
    ids = VMIds(Workspace(tmp_path), 10)
    with pytest.raises(NetworkError, match="VM 2, number 2 of 3"):
        NamespacePool(host, ids).fill(3)
    assert ids.take() == 1
