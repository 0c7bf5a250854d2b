"""Virtual machine monitors behind one protocol: see base.py. Which one runs is the lane's choice."""

from hornet.vmm.base import MachineConfig, MicroVM
from hornet.vmm.console import Console

__all__ = ["Console", "MachineConfig", "MicroVM"]
