"""Hosts on which a command once went wrong: tests/cases/hosts, each a simulated machine in namespaces of its own."""

from __future__ import annotations

import re
from pathlib import Path

from hornet.installation import SOURCE
from tests.selftest.test_network_egress import on_a_machine
from tests.support.cases import each_case, opened

# For `given`: the checkout in another place; nothing to do where it is there already.
SHELL = f"""
CHECKOUT={SOURCE}
move_checkout_to() {{
    case $CHECKOUT in $1/*) return;; esac
    mount -t tmpfs none $1; mkdir $1/checkout; mount --bind $CHECKOUT $1/checkout; PYTHONPATH=$1/checkout
}}
"""


@each_case("hosts")
def test_host_case_comes_out_right(file: Path, tmp_path: Path) -> None:
    """`given` makes the machine what it is; then `runs` is what hornetos is asked to do."""
    with opened(file) as case:
        run = f'$HORNETOS {case.pop("runs")} 2>&1 && echo "exit code 0" || echo "exit code $?"'
        output = on_a_machine(f"{SHELL}{case.pop('given')}\n{run}", tmp_path)
        assert output.endswith(f"exit code {case.pop('exit_code')}\n"), output
        assert re.search(case.pop("says"), output), output
