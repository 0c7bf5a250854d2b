"""Waits until a started guest can be used: its sshd after a boot, its first sign of life after a restore."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hornet.errors import GuestError, VMError
from hornet.host.phases import timed
from hornet.spec.model import Spec

if TYPE_CHECKING:
    from hornet.vm.fleet import VM


def await_sshd(vm: VM, spec: Spec, *, ready_signal: bool) -> None:
    """Wait until a booted guest's sshd listens. ready_signal: the console says so; else its port must answer.

    Raises VMError after machine.boot_timeout_s.
    """
    if not ready_signal:
        with timed(vm.phases_ms, "sshd_ms"):
            _await_port(vm, spec)
        return
    for phase, line in (("userland_ms", "userland"), ("sshd_ms", "ready")):
        with timed(vm.phases_ms, phase):
            vm.vmm.console.wait_for(rf"^hornetos: {line} ", spec.machine.boot_timeout_s)
        vm.mark(phase.removesuffix("_ms"))


def _await_port(vm: VM, spec: Spec) -> None:
    try:
        vm.guest.await_port(spec.machine.boot_timeout_s)
    except GuestError as error:
        raise VMError(
            f"VM {vm.name}: {error.message}\n{vm.vmm.console.tail()}",
            "an image made elsewhere must bring up eth0 with its address, and sshd, by itself",
            timed_out=error.timed_out,
        ) from error


def await_reply(vm: VM, spec: Spec, *, frozen: bool) -> None:
    """Wait for a clone's first sign of life on the network, unless the agent's answer, which comes next, is enough.

    Raises GuestError, VMError.
    """
    signs = spec.snapshot.ready_by
    if frozen and "agent" in signs:
        return
    on_the_network = [sign for sign in signs if sign != "agent"]
    if not on_the_network:
        raise VMError(
            f"VM {vm.name}: snapshot.ready_by is only the agent, but no agent runs in a guest that was not frozen",
            "add ping, port or ssh to it, or take the snapshot with the suite's agent",
        )
    with timed(vm.phases_ms, "first_reply_ms"):
        vm.guest.await_reply(spec.snapshot.restore_timeout_s, on_the_network)
