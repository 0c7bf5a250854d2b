"""What a process has cost the host: page faults, bytes read from a disk (proc_pid_stat(5), proc_pid_io(5))."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hornet.errors import HostError

BYTES_PER_MB = 1_000_000
# Places in /proc/PID/stat after the name, which ends with the last ")".
MINOR_FAULTS, MAJOR_FAULTS = 7, 9


@dataclass(frozen=True)
class ProcessCost:
    """Of all threads since the start. A major fault waits for the disk. read_mb: what the kernel fetched from a disk on
    behalf of the process, read-ahead included; what the page cache held is not in it."""

    minor_faults: int
    major_faults: int
    read_mb: float

    def since(self, earlier: ProcessCost) -> ProcessCost:
        """What came after an earlier reading."""
        return ProcessCost(
            self.minor_faults - earlier.minor_faults,
            self.major_faults - earlier.major_faults,
            self.read_mb - earlier.read_mb,
        )


def process_cost(pid: int) -> ProcessCost:
    """Read it now. Raises HostError if the process has ended or may not be read."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    except OSError as error:
        raise HostError(f"process {pid}: its cost can't be read: {error.strerror}", "run as root") from error
    read_bytes = next(int(line.split()[1]) for line in lines if line.startswith("read_bytes:"))
    return ProcessCost(int(fields[MINOR_FAULTS]), int(fields[MAJOR_FAULTS]), read_bytes / BYTES_PER_MB)
