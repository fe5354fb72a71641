"""What a process took."""

from pathlib import Path


def peak_mib() -> float:
    """This process's own peak; getrusage would count what its parent had when it started this one."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024
