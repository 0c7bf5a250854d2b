"""`hornetos net`: create, list, check and remove the guide's namespaces vm1 … vmN on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from hornet.host.facts import require_root
from hornet.network import HostNet
from hornet.network.egress import Egress
from hornet_cli.context import settings
from hornet_cli.printer import AsJson, say, say_answer

net = typer.Typer(
    help="""Networks for VMs that all use the address 10.0.0.2.

    VM N gets a namespace vmN with the bridge br-vm (10.0.0.1) and tap0 for its VMM, and a veth pair to the host
    (10.0.N.1 inside, 10.0.N.254 outside). It reaches only destinations behind the host's default route.

    Start a VMM in its namespace: `ip netns exec vm3 …`. Reach its guest from there too:
    `ip netns exec vm3 ssh root@10.0.0.2`. The suite's interfaces are in a group: `ip link show group 18511`.""",
    no_args_is_help=True,
)

Count = Annotated[int, typer.Option(min=1, help="VMs 1 … COUNT.")]
First = Annotated[int, typer.Option(min=1, help="The first VM's id, instead of 1.")]
Private = Annotated[
    str | None,
    typer.Option(
        metavar="PREFIX",
        envvar="HORNET_NET_PRIVATE",
        help="Use a namespace PREFIXhost as the host, with PREFIXvm1 …, instead of the machine's own network.",
    ),
]


@net.command()
def up(ctx: typer.Context, count: Count = 1, first: First = 1, private: Private = None) -> None:
    """Create the networks of VMs and repair existing ones.

    It does not touch correct networks, so you can run it again at any time, even while VMs run. If the network of VM k
    cannot be created, the networks created before it are removed, and the error names k. It prints what still keeps
    guests from the Internet, such as another firewall.
    """
    from hornet.network.reconcile import bring_up, egress, remarks

    host = _host(ctx, private)
    changes = bring_up(host, range(first, first + count))
    unchanged = count - len(changes.made) - len(changes.repaired)
    say(f"{len(changes.made)} created, {len(changes.repaired)} repaired, {unchanged} were already correct")
    _say_egress(egress(host, first))
    for remark in remarks(host, range(first, first + count)):
        say(f"note: {remark}")


@net.command()
def down(
    ctx: typer.Context,
    count: Annotated[
        int | None, typer.Option(min=1, help="Only VMs 1 … COUNT (default: all that `list` shows).")
    ] = None,
    first: First = 1,
    private: Private = None,
) -> None:
    """Remove exactly what `hornetos net list` shows.

    Namespaces, interfaces and rules that do not belong to the suite stay, whatever their names. ip_forward stays
    enabled, because other programs may rely on it. Missing ids are not an error.
    """
    from hornet.network.ownership import remove_found, remove_leftovers, take_inventory

    host = _host(ctx, private)
    found = take_inventory(host)
    if count is not None:
        found = found.only(host, range(first, first + count))
    remove_found(host, found)
    if count is None:
        host.remove_host_side()
        for name in [] if private else remove_leftovers(host.network):
            say(f"removed {name}, left by a test run that was killed")
    say(f"{len(found.vm_ids)} VM networks removed")


@net.command("list")
def show(ctx: typer.Context, private: Private = None, as_json: AsJson = False) -> None:
    """List everything that the suite owns: VM networks, remains of broken ones, rules, leftovers of killed runs."""
    from hornet.network.ownership import list_owned

    found = list_owned(_host(ctx, private))
    if as_json:
        say_answer(found)
        return
    for vm in found.vms:
        say(f"{vm.name}  {vm.subnet}  {vm.interface or 'no interface on the host'}")
    for name in found.orphans:
        say(f"{name}  an orphaned interface on the host: its namespace is gone")
    for name in found.names_only:
        say(f"{name}  a name without a namespace")
    if found.rules:
        say("table inet hornetos  the host's rules")
    for pid, names in found.leftovers.items():
        say(f"{', '.join(names)}  left by process {pid}, which has ended")
    if not found.vms:
        say("no VM networks")


@net.command()
def check(
    ctx: typer.Context, count: Count = 1, first: First = 1, private: Private = None, as_json: AsJson = False
) -> None:
    """Compare each VM's network with the guide's topology: exit code 0 if all are correct, 1 if not.

    It compares interfaces, addresses, routes, forwarding and rules, inside the namespaces and on the host; `up`
    repairs them. It also asks the kernel by which way packets of the first VM leave the host, and reads the rules of
    every other firewall that may drop them. Those are yours to change.
    """
    from hornet.network.reconcile import NetCheck, egress, host_problems, vm_problems

    host = _host(ctx, private)
    problems = host_problems(host)
    by_vm = vm_problems(host, range(first, first + count)) if not (private and problems) else {}
    problems += [problem for found in by_vm.values() for problem in found]
    right = sum(not found for found in by_vm.values())
    way_out = egress(host, first) if by_vm and not by_vm[first] else Egress()
    if as_json:
        say_answer(NetCheck(right, count, problems, way_out))
    else:
        for problem in problems:
            say(problem)
        say(f"{right} of {count} VM networks are correct")
        _say_egress(way_out)
    if problems or way_out.problems:
        raise typer.Exit(1)


def _say_egress(found: Egress) -> None:
    for problem in found.problems:
        say(problem)
    for mend in found.mends:
        say(f"  to let guests through: {mend}")
    for remark in found.remarks:
        say(f"note: {remark}")


def _host(ctx: typer.Context, private: str | None) -> HostNet:
    require_root()
    network = settings(ctx).spec.network
    return HostNet.private(network, private) if private else HostNet.machine(network)
