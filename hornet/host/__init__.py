"""What this host can really do: tools, capabilities, file system features, and lanes proved by use."""

from hornet.host.facts import fingerprint, host_facts, require_root, require_tools, tool_version
from hornet.host.lanes import LaneState, best_lane, probe_lanes

__all__ = [
    "LaneState",
    "best_lane",
    "fingerprint",
    "host_facts",
    "probe_lanes",
    "require_root",
    "require_tools",
    "tool_version",
]
