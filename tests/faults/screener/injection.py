"""One failing system call: what strace is told, and what its log says of it."""

import re
import subprocess
import time
from pathlib import Path

# What may happen to a call. A kill and what passes happen once (at the Nth call of each thread), what lasts goes on.
FAULTS = {
    "EIO": "error=EIO:when={number}",
    "ENOSPC": "error=ENOSPC:when={number}+",
    "EDQUOT": "error=EDQUOT:when={number}+",
    "EROFS": "error=EROFS:when={number}+",
    "KILL": "signal=SIGKILL:when={number}",
    # Of too many open files, only what opens one can tell.
    "EMFILE": "error=EMFILE:when={number}",
}
# The calls that change a disk, and the one that opens what is on it.
CALLS = "write pwrite64 fsync fdatasync rename ftruncate fallocate mkdir linkat unlink openat".split()
# 1234  pwrite64(13</srv/state/journal>, ""..., 512, 4096) = -1 EIO (Input/output error) (INJECTED)
LINE = re.compile(r"^(\d+) +(\w+)\((?:\d+<([^>]*)>)?")
# The same of a file, with a mark where it has lost its name.
OF_FILE = re.compile(r"^\d+ +(\w+)\(\d+<([^>]*>(?:\(deleted\))?)")
# What was written in two lines has the columns of two.
RENAMED = re.compile(r'^\d+ +rename\("([^"]*)", "([^"]*)"\) += 0')
# 1234  fsync(13</srv/state/journal> <unfinished ...>, and later 1234  <... fsync resumed>) = 0
UNFINISHED, RESUMED = " <unfinished ...>", re.compile(r"^(\d+) +<\.\.\. \w+ resumed>")
FSYNCS = ("fsync", "fdatasync")


class Injection:
    """The `number`th call of each thread fails, or the process is killed at it."""

    def __init__(self, call, fault, number, state, log):
        self.call, self.fault, self.number, self.state, self.log = call, fault, number, Path(state), Path(log)

    def __str__(self):
        return f"{self.fault} at {self.call} {self.number}"

    def words(self):
        """What strace is told: to write down what matters for this call, and to let it fail."""
        # Of the journal it is seen whether it is written to after a sync that failed, or another file got its name.
        calls = {self.call, "pwrite64", "rename", *FSYNCS} if self.call in FSYNCS else {self.call}
        how = FAULTS[self.fault].format(number=self.number)
        words = [*strace(self.log, calls), "-e", f"inject={self.call}:{how}"]
        if self.call == "write" and self.fault != "KILL":
            # Threads also wake each other and answer by write(), which no disk can make fail.
            words += [word for path in written_files(self.state) for word in ("-P", path)]
        return words

    def text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def writes_on_after_failed_sync(self):
        """Whether the journal was written to after a sync of it had failed: the kernel may have dropped what was not
        synced, and says nothing the next time. Another file that takes its name must have been synced."""
        return writes_on_after_failed_sync(self.text(), str(self.state / "journal"))


def writes_on_after_failed_sync(text, path):
    # Of each name, whether the last sync of that file failed; of the journal, whether any has.
    journal, has_failed = f"{path}>", {}
    for line in whole_lines(text):
        if renamed := RENAMED.match(line):
            old, new = (f"{name}>" for name in renamed.groups())
            has_failed[f"{new}(deleted)"] = has_failed.get(new, False)
            has_failed[new] = has_failed.pop(old, False)
        elif found := OF_FILE.match(line):
            call, name = found.groups()
            if call == "pwrite64" and name.startswith(journal) and has_failed.get(name):
                return True
            if call in FSYNCS:
                has_failed[name] = " = 0" not in line or (name == journal and has_failed.get(name, False))
    return False


def whole_lines(text):
    """What strace has written of one call in two lines, as one."""
    begun = {}
    for line in text.splitlines():
        if line.endswith(UNFINISHED):
            begun[line.split(maxsplit=1)[0]] = line.removesuffix(UNFINISHED)
        elif resumed := RESUMED.match(line):
            yield begun.pop(resumed[1], "") + line[resumed.end():]
        else:
            yield line


def strace(log, calls):
    """Words that come before a program: strace runs apart (-D), so that the process is the program."""
    return [*"strace -D -f -qq -y -s 0 -e signal=none".split(), "-o", log, "-e", f"trace={','.join(sorted(calls))}"]


def written_files(state):
    """Files whose name is known before and that are written by write(): below a state directory, a backup, the log."""
    names = ["format", "master.key", "last-backup.new", "journal.compacting", "journal.restoring", "journal"]
    tls = [f"tls/{name}" for name in ["names", "ca.pem", "certificate.pem", "key.pem"]]
    backup = [state.parent / "backup" / name for name in ["journal", "manifest.json"]]
    return [state / name for name in names + tls] + backup + [state.parent / "log"]


def attach(words, process, limit_s=10):
    """Runs strace on a process that runs already, and waits until it has all its threads."""
    words = [word for word in words if word != "-D"]
    tracer = subprocess.Popen([*words, "-p", str(process.pid)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + limit_s
    while not all(is_traced(task) for task in Path(f"/proc/{process.pid}/task").iterdir()):
        if time.monotonic() > until or tracer.poll() is not None:
            raise RuntimeError("strace did not attach")
        time.sleep(0.002)
    return tracer


def is_traced(task):
    try:
        return "TracerPid:\t0\n" not in (task / "status").read_text()
    except OSError:
        # A thread that has ended.
        return True


def most_calls(log, state):
    """How often the thread that does so most often makes each call, in a run that nothing happened to."""
    counts, named = {}, {str(path) for path in written_files(Path(state))}
    for line in Path(log).read_text(errors="replace").splitlines():
        if found := LINE.match(line):
            thread, call, path = found.groups()
            if call == "write" and path not in named:
                call = "any write"
            counts.setdefault(call, {}).setdefault(thread, 0)
            counts[call][thread] += 1
    return {call: max(of.values()) for call, of in counts.items()}


def possible(log, state):
    """Every (call, fault, number) that may hit in a run such as that one."""
    most = most_calls(log, state)
    for call in CALLS:
        for fault in FAULTS:
            if fault != "EMFILE" or call == "openat":
                count = most.get("any write" if (call, fault) == ("write", "KILL") else call, 0)
                yield from ((call, fault, number) for number in range(1, count + 1))
