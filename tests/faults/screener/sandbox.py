"""What a unit's sandbox lets through, from the unit itself; and a server's thread that is held, as a system call that does
not return would hold it."""

import ctypes
import os
import re
import subprocess
import threading
from pathlib import Path

PTRACE_SEIZE, PTRACE_INTERRUPT = 0x4206, 0x4207
# For waitpid: threads, too.
WALL = 0x4000_0000
# strace apart from what it watches (-D), with all that it starts, and little of each call.
EVERY_CALL = ["strace", "-D", "-f", "-qq", "-s", "32", "-e", "signal=none"]


def settings(unit, name):
    """The values that a unit gives a setting, in order; an empty one takes back those before it."""
    values = []
    for value in re.findall(rf"^{name}=(.*)$", unit, re.MULTILINE):
        values = values + [value.strip()] if value.strip() else []
    return values


def group(name):
    """The system calls of a group of systemd's, such as `@system-service`."""
    listed = subprocess.run(
        ["systemd-analyze", "syscall-filter", "--no-pager", name], capture_output=True, text=True, check=True
    ).stdout
    names = [line.strip() for line in listed.splitlines()[1:] if line.strip() and not line.strip().startswith("#")]
    return set().union(*(group(each) if each.startswith("@") else {each} for each in names))


def allowed_calls(unit):
    """The system calls that `SystemCallFilter=` of a unit lets through: the first line makes it a list of what may."""
    allowed = set()
    for line in settings(unit, "SystemCallFilter"):
        calls = set().union(
            *(group(word) if word.startswith("@") else {word} for word in line.removeprefix("~").split())
        )
        allowed = allowed - calls if line.startswith("~") else allowed | calls
    return allowed


def traced_calls(trace, program):
    """Names of the system calls in a trace of strace's: of `program` and all that it starts, and of all others. A process
    belongs to the others until it becomes `program`."""
    calls, parents, became = [], {}, {}
    for number, line in enumerate(Path(trace).read_text(errors="replace").splitlines()):
        found = re.match(r"(\d+) +(?:(\w+)\(|<\.\.\. (\w+) resumed>)", line)
        if not found:
            continue
        thread, call = found[1], found[2] or found[3]
        calls.append((number, thread, call))
        if call in ("clone", "clone3", "fork", "vfork") and (child := re.search(r"= (\d+)$", line)):
            parents[child[1]] = (number, thread)
        if call == "execve" and f'/{program}"' in line:
            became[thread] = number

    def is_of_program(number, thread):
        while thread in parents and thread not in became:
            number, thread = parents[thread]
        return number > became.get(thread, number)

    of_program = {call for number, thread, call in calls if is_of_program(number, thread)}
    return of_program, {call for number, thread, call in calls if not is_of_program(number, thread)}


def hold_thread(pid, name):
    """Stops one thread of another process, by the beginning of its name, until this process ends."""
    thread = next(
        int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()
        if (task / "comm").read_text().startswith(name)
    )
    libc = ctypes.CDLL(None, use_errno=True)
    for request in (PTRACE_SEIZE, PTRACE_INTERRUPT):
        if libc.ptrace(request, thread, None, None) == -1:
            raise OSError(ctypes.get_errno(), f"ptrace: {os.strerror(ctypes.get_errno())}")
    # The end of a thread that is held is told to its holder first, and to nobody else before that is heard.
    threading.Thread(target=hear_end, args=(thread,), daemon=True).start()


def hear_end(thread):
    while os.WIFSTOPPED(os.waitpid(thread, WALL)[1]):
        pass
