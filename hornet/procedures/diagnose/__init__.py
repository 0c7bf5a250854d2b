"""Why a VM can't be used: what can be seen of it, walked as a decision tree (guide: Troubleshooting)."""

from hornet.procedures.diagnose.observe import find_vm, observe
from hornet.procedures.diagnose.tree import State, Step, walk

__all__ = ["State", "Step", "find_vm", "observe", "walk"]
