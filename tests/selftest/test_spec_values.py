"""The specification: a value or key that would break something later is rejected when it is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from hornet.errors import SpecError
from hornet.spec.model import load_spec


def overlay(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "team.toml"
    path.write_text(text)
    return path


# Key, value as written in TOML, and words of the refusal besides key and file.
REJECTED_VALUES = [
    ("network.guest_address", "'10.0.0.1/24'", "both '10.0.0.1'"),
    ("network.guest_address", "'10.0.0.0/24'", "broadcast address of 10.0.0.0/24"),
    ("network.guest_address", "'10.0.0.255/24'", "broadcast address of 10.0.0.0/24"),
    ("network.guest_address", "'10.0.0.2'", "at least two hosts"),
    ("network.guest_address", "'224.0.0.2/24'", "not multicast"),
    ("network.guest_address", "167772162", "as text, found 167772162"),
    ("network.gateway_address", "'127.0.0.1/24'", "loopback"),
    ("network.dns", "['255.255.255.255']", "reserved"),
    ("network.dns", "['1.1.1.1', '1.1.1.2', '1.1.1.3', '1.1.1.4']", "at most 3"),
    ("network.uplink_base", "'224.0.0.0/8'", "not multicast"),
    ("network.uplink_base", "'10.0.0.1/8'", "valid IPv4 network"),
    ("network.hostname", "'a b'", "'a b'"),
    ("network.hostname", "'-hornet'", "'-hornet'"),
    ("network.guest_mac", "'ff:ff:ff:ff:ff:ff'", "multicast or broadcast"),
    ("network.guest_mac", "'01:00:5e:00:00:01'", "multicast or broadcast"),
    ("network.guest_mac", "'00:00:00:00:00:00'", "the all-zero address"),
    ("network.guest_mac", "'02:48:4f:00:00:01'", "gateway_mac and guest_mac are both '02:48:4f:00:00:01'"),
    ("network.host_veth_mac", "'02:48:4f:00:00:04'", "host_veth_mac and namespace_veth_mac are both"),
    ("network.bridge_name", "'tap0'", "bridge_name and tap_name are both 'tap0'"),
    ("network.bridge_name", "'veth-vm7'", "the namespace_veth_name of VM 7"),
    ("network.bridge_name", "'lo'", "'lo'"),
    ("network.bridge_name", "'a\"; drop'", "string_pattern|match pattern"),
    ("network.tap_name", "'tap%d'", "match pattern"),
    ("network.tap_name", "'..'", "match pattern"),
    ("network.guest_interface", "'sixteen-bytes-xx'", "at most 15"),
    ("network.uplink_name", "'veth-vm9-br'", "the host_veth_name of VM 9"),
    ("network.host_veth_name", "'veth-vm{n}'", "namespace_veth_name and host_veth_name are both 'veth-vm{n}'"),
    ("network.host_veth_name", "'veth-vm{n}-bridge'", "longer than the kernel's limit of 15"),
    ("network.namespace_name", "'vm'", "must contain {n}"),
    ("network.namespace_name", "'{x}{n}'", "must contain {n}"),
    ("network.namespace_name", "'../{n}'", "must contain {n}"),
    ("network.namespace_name", "'hornet-1-{n}'", "test runs"),
    ("network.max_vm_id", "4194305", "less than or equal to"),
    ("network.host_tcp_ports", "[65536]", "65536"),
    ("network.host_tcp_ports", "[0]", "found 0"),
    ("network.host_tcp_ports", "[22, 22]", "duplicate port"),
    ("network.interface_group", "2147483648", "2147483648"),
    ("network.egress_url", "'https://a/$(reboot)'", "match pattern"),
    ("tools.node.version_accepted", "'v18.20.0'", "does not match version_accepted"),
    ("tools.node.version_rejected", "'v20.1.1'", "matches version_rejected"),
    ("snapshot.rootfs_file", "'vm.mem'", "rootfs_file and memory_file are both 'vm.mem'"),
    ("snapshot.state_file", "'rootfs.ext4'", "rootfs_file and state_file are both 'rootfs.ext4'"),
    ("snapshot.state_file", "'manifest.json'", "'manifest.json'"),
    ("snapshot.state_file", "'seal.json'", "'seal.json'"),
    ("snapshot.memory_file", "'a/b'", "match pattern"),
    ("snapshot.memory_file", "'..'", "match pattern"),
    ("snapshot.memory_file", "''", "match pattern"),
    ("snapshot.memory_file", "'.mem'", "match pattern"),
    ("snapshot.memory_file", '"a\\u0000b"', "match pattern"),
    ("snapshot.memory_file", '"a\\u001bb"', "match pattern"),
    ("snapshot.production_link", "'../link'", "match pattern"),
    ("snapshot.state_max_mb", "-1", "greater than 0"),
    ("snapshot.thaw_after_s", "0", "greater than or equal to 1"),
    ("machine.memory_mib", "true", "valid integer"),
    ("machine.memory_mib", "'256'", "valid integer"),
    ("machine.memory_mib", "0x1" + "f" * 200, "bits"),
    ("machine.boot_args", '"a\\nb"', "match pattern"),
    ("machine.boot_args", "'" + "x" * 1501 + "'", "at most 1500"),
    ("machine.boot_timeout_s", "nan", "finite number"),
    ("machine.boot_timeout_s", "inf", "finite number"),
    ("machine.boot_timeout_s", "1e308", "less than or equal to 86400"),
    ("machine.ssh_timeout_s", "-5", "greater than 0"),
    ("metrics.kernel_size.target", "nan", "finite number"),
    ("metrics.kernel_size.target", "1e300", "less than or equal to"),
    ("metrics.rootfs_size.title", '"a\\u001b[2Jb"', "printable"),
    ("metrics.rootfs_size.title", '"a\\u202Eb"', "printable"),
    ("capacity.work_mb", "[]", "at least 1"),
    ("perf.kvm.restore", "10001", "less than or equal to 10000"),
    ("metrics.kernel_size.target_tier", "'micro'", "kernel_size: Value error, expected either target or target_tier"),
    ("metrics.rootfs_size.target_tier", "'tiny'", "target_tier: no 'tiny'"),
    ("tiers.micro.kernel_component", "'none'", "'none' is not in components"),
    ("tiers.micro.root", "'shared'", 'root = "shared" needs layout = "plain"'),
    ("tiers.micro.root", "'none'", "'disk' or 'shared'"),
    ("tiers.micro.shell", "'bin/sh'", "absolute path"),
    ("tiers.micro.exempt_from_removals", "['rust']", "no 'rust'"),
    ("tools.git.needs", "['git; reboot']", "match pattern"),
    ("tools.git.use", '"a\\u0000"', "printable"),
    ("tools.git.version_pattern", "'('", "not a regular expression"),
    ("tools.git.version_pattern", "'a{99999999999}'", "not a regular expression"),
    ("tools.git.version_pattern", "'" + "(" * 1900 + ")" * 90 + "'", "not a regular expression"),
    ("tools.git.version_pattern", "'" + "x" * 2001 + "'", "2001 characters"),
    ("secrets.patterns.'npm token'.pattern", r"'\N{DIGIT ONE}'", "over bytes"),
    ("secrets.patterns.x", "{ pattern = 'ghp_[a-z]+', example = ['ghp_', '1'] }", "does not match its example"),
    ("boot.bad_lines", "[{ pattern = 'panic', example = 'Panic' }]", "does not match its example 'Panic'"),
    ("boot.bad_lines", "['panic']", "bad_lines"),
    ("secrets.path", "'/{vm_id}/{other}'", "match pattern"),
    ("secrets.port", "65536", "less than or equal to 65535"),
    ("health.unhealthy", "'HEALTHY'", "both 'HEALTHY'"),
    ("health.daemons", "[]", "at least 1"),
    ("files.healthcheck.path", "'/opt/../../etc'", "without . and .."),
    ("files.healthcheck.owner", "'0:٣'", "match pattern"),
    ("rootfs.alpine.cleanup", "['/../../home']", "without . and .."),
    ("rootfs.alpine.mirror", "'ftp://x'", "match pattern"),
    ("rootfs.alpine.services", "{'../x' = ['sshd']}", "match pattern"),
    ("rootfs.debian.suite", "'--help'", "match pattern"),
    ("rootfs.toolbox", "['-o', 'x']", "match pattern"),
    ("rootfs.npm.'Claude Code'.package", "'../../x'", "match pattern"),
    ("rootfs.npm.'Claude Code'.entry", "'../../x'", "match pattern"),
    ("rootfs.npm.'Claude Code'.keep", "['/etc/*']", "match pattern"),
    ("rootfs.baseline.npm", "['yarn']", "no 'yarn'"),
    ("rootfs.source_date_epoch", "-1", "greater than or equal to 0"),
    ("rootfs.inodes_spare", "-1", "greater than or equal to 0"),
    ("rootfs.journal_mib", "1", "greater than or equal to 4"),
    ("kernel.min_version", "'5.123456'", "match pattern"),
    ("kernel.sources.guide.sha256", "'x'", "match pattern"),
    ("kernel.kernel_org_mirror", "'file:///a b'", "match pattern"),
    ("slim.removals.logs.paths", "['/var/../*']", "without . and .."),
]


@pytest.mark.parametrize(("key", "value", "words"), REJECTED_VALUES)
def test_unusable_value_is_rejected(key: str, value: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=words) as caught:
        load_spec(overlays=[overlay(tmp_path, f"{key} = {value}\n")])
    assert key.split(".")[0] in caught.value.message or "bits" in words
    assert key.split(".")[-1] in caught.value.message or "bits" in words
    assert len(caught.value.message.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[tools.'a b']\ntitle = 'x'\n", ["tools.a b", "match pattern"]),
        ('[tools."a\\u0027; x"]\ntitle = "x"\n', ["tools.a'; x", "match pattern"]),
        ("[tiers.tiny]\ntitle = 'Tiny'\n", ["tiers.tiny.max_mb"]),
        ("[secrets.patterns.\"\\u001b[2J\"]\npattern = 'x'\nexample = ['x']\n", ["secrets.patterns", "printable"]),
    ],
)
def test_unusable_key_is_rejected(text: str, words: list[str], tmp_path: Path) -> None:
    path = overlay(tmp_path, text)
    with pytest.raises(SpecError) as caught:
        load_spec(overlays=[path])
    for word in words:
        assert word in caught.value.message
    assert str(path) in caught.value.message
