"""The team's own checks of a restored guest: fixtures come from the suite's pytest plugin."""

from hornet.vm.fleet import VM

TIMEOUT_S = 60


def test_the_agent_finds_its_shell(restored_vm: VM) -> None:
    result = restored_vm.guest.run("command -v bash", TIMEOUT_S)
    assert result.exit_code == 0, "the image has no bash"


def test_the_guest_has_memory_left(restored_vm: VM) -> None:
    result = restored_vm.guest.run("sed -n 's/^MemAvailable: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo", TIMEOUT_S)
    assert int(result.stdout) > 64 * 1024, "less than 64 MiB for the agent"
