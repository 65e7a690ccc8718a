"""A machine of its own inside this one: systemd as PID 1 in namespaces, over a copy of this machine's files that is thrown
away. For what only systemd does: sandboxes, sockets, watchdogs, restarts. Needs root, unshare, nsenter and overlayfs."""

import ctypes
import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

from .campaign import NotHere, need_tools

CLONE_NEWNET = 0x4000_0000
# Longest that systemd may take to come up, and a command in it to end, in seconds.
BOOT_S, COMMAND_S = 30, 90

# What PID 1 does before it is systemd. $1: a directory; $2: where the hierarchy of control groups is mounted.
BOOT = r"""
set -e
mount --make-rprivate /
mount -t tmpfs machine "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" overlay "$1/root"
cd "$1/root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 dev dev
for name in null zero full random urandom tty; do touch dev/$name; mount --bind /dev/$name dev/$name; done
mkdir dev/shm dev/pts
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=1777 tmp tmp
rm -rf etc/machine-id var/log/journal
echo 5c7ee4e65c7ee4e65c7ee4e65c7ee4e6 > etc/machine-id
cat > etc/systemd/system/machine.target << 'UNIT'
[Unit]
Description=Nothing but what is asked for
DefaultDependencies=no
Requires=systemd-journald.service
UNIT
mkdir -p old
pivot_root . old
umount -l /old
# As systemd makes it by itself where it is not in a container; credentials come by propagation.
mount --make-rshared /
exec env -i container=screener-test "PATH=$PATH" /lib/systemd/systemd --system --unit=machine.target --show-status=no
"""


class Machine:
    """Booted by `with`, and gone with all that it changed at the end."""

    def __init__(self, directory):
        self.directory, self.pid, self.process = Path(directory), None, None
        self.group = None

    def __enter__(self):
        need_tools("unshare", "nsenter", "systemctl")
        if os.geteuid() != 0:
            raise NotHere("namespaces need root")
        self.directory.mkdir()
        self.group = control_groups() / f"screener-{os.getpid()}"
        self.group.mkdir()
        join = f"echo $$ > {shlex.quote(str(self.group / 'cgroup.procs'))}"
        spaces = "unshare --mount --pid --cgroup --uts --ipc --net --fork --kill-child"
        script = f"{join} && exec {spaces} bash -c {shlex.quote(BOOT)} boot {shlex.quote(str(self.directory))}"
        with open(self.directory.with_suffix(".log"), "wb") as log:
            self.process = subprocess.Popen(
                ["bash", "-c", script], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        until = time.monotonic() + BOOT_S
        while time.monotonic() < until and self.process.poll() is None:
            self.pid = self.find_pid_1()
            if self.pid and self.run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded"):
                enter_network(self.pid)
                return self
            time.sleep(0.1)
        said = self.directory.with_suffix(".log").read_text(errors="replace").strip()
        self.__exit__()
        raise NotHere(f"systemd does not come up in namespaces here: {said[-300:] or 'it says nothing'}")

    def find_pid_1(self):
        """The process that is PID 1 inside, once it is systemd."""
        try:
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            return next(int(pid) for pid in children if Path(f"/proc/{pid}/comm").read_text().strip() == "systemd")
        except (OSError, StopIteration):
            return None

    def __exit__(self, *_):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
        if self.process:
            self.process.kill()
            self.process.wait()
        until = time.monotonic() + 10
        while self.group.exists() and time.monotonic() < until:
            for group in sorted(self.group.rglob("*/"), key=lambda path: -len(path.parts)):
                remove_empty(group)
            remove_empty(self.group)
            time.sleep(0.05)

    def enter(self):
        """The words by which a program runs inside."""
        return ["nsenter", f"--target={self.pid}", "--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup", "--root", "--wd"]

    def run(self, *words, text_in=None):
        """A command inside, as root; the completed process with its output as text."""
        return subprocess.run(
            [*self.enter(), *map(str, words)], input=text_in, capture_output=True, text=True, timeout=COMMAND_S
        )

    def succeed(self, *words, text_in=None):
        """The same; what it printed. Anything but success is an error."""
        done = self.run(*words, text_in=text_in)
        if done.returncode:
            told = self.run("journalctl", "--no-pager", "--output=cat", "--lines=8").stdout
            raise RuntimeError(f"{' '.join(map(str, words))}: {done.stderr.strip()} {done.stdout.strip()}\n{told}")
        return done.stdout

    def write(self, path, text):
        """A file inside, 0644, and the directory for it."""
        self.succeed("install", "-D", "-m", "644", "/dev/stdin", path, text_in=text)

    def copy(self, source, path, mode="644"):
        """A file of this machine, copied inside."""
        words = [*self.enter(), "install", "-D", "-m", mode, "/dev/stdin", path]
        # Inside, the temporary directory is another one.
        with open(source, "rb") as file:
            subprocess.run(list(map(str, words)), stdin=file, check=True, timeout=COMMAND_S)

    def show(self, unit, name):
        """A property of a unit, such as `NRestarts`."""
        return self.succeed("systemctl", "show", "--value", f"--property={name}", unit).strip()

    def journal(self, unit):
        """All that a unit has logged."""
        return self.succeed("journalctl", "--no-pager", "--output=cat", "--unit", unit)

    def host_pid(self, inner):
        """The process id out here of a process inside."""
        for path in Path("/proc").glob("[0-9]*/status"):
            try:
                ids = next(line for line in path.read_text().splitlines() if line.startswith("NSpid:")).split()
            except (OSError, StopIteration):
                continue
            if len(ids) > 2 and ids[-1] == str(inner) and same_space(int(ids[1]), self.pid):
                return int(ids[1])
        raise RuntimeError(f"no process out here is {inner} inside")


def same_space(pid, other):
    try:
        return os.readlink(f"/proc/{pid}/ns/pid") == os.readlink(f"/proc/{other}/ns/pid")
    except OSError:
        return False


def enter_network(pid):
    """This thread, and those it starts from now on, connect where that process does."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/proc/{pid}/ns/net") as space:
        if libc.setns(space.fileno(), CLONE_NEWNET):
            raise NotHere(f"its network can't be entered: {os.strerror(ctypes.get_errno())}")


def control_groups():
    """Where the unified hierarchy is mounted."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    raise NotHere("there is no unified hierarchy of control groups")


def remove_empty(group):
    try:
        group.rmdir()
    except OSError:
        # Somebody is in it still.
        pass
