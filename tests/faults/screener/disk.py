"""An ext4 image behind a loop device, and what can be done to it."""

import os
import signal
import subprocess
import time
from pathlib import Path

from .campaign import NotHere, need_tools

IMAGE_MIB = 64


def sh(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stdout.strip()}")
    return done.stdout


class Disk:
    """An ext4 image, mounted through a loop device."""

    def __init__(self, image, mountpoint, size_mib=IMAGE_MIB):
        self.image, self.mountpoint, self.size_mib, self.mounted = Path(image), Path(mountpoint), size_mib, False
        self.mountpoint.mkdir(exist_ok=True)

    def make(self):
        with open(self.image, "wb") as file:
            file.truncate(self.size_mib << 20)
        sh("mkfs.ext4", "-q", "-F", "-m", "0", self.image)

    def mount(self, *options):
        sh("mount", "-o", ",".join(["loop", *options]), self.image, self.mountpoint)
        self.mounted = True

    def sync(self):
        sh("sync", "-f", self.mountpoint)

    def unmount(self):
        if not self.mounted:
            return
        self.mounted = False
        for _ in range(100):
            if subprocess.run(["umount", self.mountpoint], capture_output=True).returncode == 0:
                return
            time.sleep(0.05)
        subprocess.run(["umount", "-l", self.mountpoint])


def copy_image(source, target):
    """Copies block by block, leaving holes; never syncs."""
    sh("cp", "--sparse=always", "--reflink=never", source, target)


def cut_power(process, source, target):
    """Stops a process, and copies what the disk behind it holds: not one instruction more, in any of its threads. Then
    kills it: no answer can come any more."""
    os.kill(process.pid, signal.SIGSTOP)
    copy_image(source, target)
    process.kill()
    process.wait()


def need_loop_devices(directory):
    if os.geteuid() != 0:
        raise NotHere("mounting a loop device needs root")
    need_tools("mkfs.ext4", "mount", "losetup")
    disk = Disk(directory / "probe.img", directory / "probe")
    try:
        disk.make()
        disk.mount()
    except RuntimeError as error:
        raise NotHere(f"loop devices are not available here ({error})") from error
    finally:
        disk.unmount()
