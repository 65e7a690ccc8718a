"""What a running process takes, as Linux tells it. Its descriptors are told to its user alone, and where it can't be looked
into, to root alone."""

import os
from pathlib import Path


def resident_mib(pid):
    """How much of it is in memory."""
    return status(pid, "VmRSS") / 1024


def peak_mib(pid):
    """How much of it was in memory at most."""
    return status(pid, "VmHWM") / 1024


def cpu_s(pid):
    """What it has computed, in seconds of one processor."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def threads(pid):
    return status(pid, "Threads")


def descriptors(pid):
    """What each open descriptor stands for."""
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
        except FileNotFoundError:
            # Closed meanwhile.
            pass
    return found


def status(pid, name):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])
