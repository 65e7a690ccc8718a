"""A second process on a state directory that another one serves (K33)."""

import time

from .api import Admin
from .damages import READY, REFUSED
from .judge import Verdict
from .original import AS_USER, UserServer, copy, own_directory
from .server import HANG_S, Server

# Longest that the second may take to see that it is one.
SECOND_S = 5


class Second(UserServer):
    """A configuration of its own, and another's state directory."""

    def __init__(self, first, directory, state=None, mount=()):
        super().__init__(first.binary, directory, directory / "log")
        self.shared, self.mount = state or first.state, mount
        own_directory(directory)

    @property
    def state(self):
        return self.shared

    def start(self, *more, under=(), **other):
        # Mounting takes root, serving does not.
        return Server.start(self, *more, under=(*self.mount, *AS_USER, *under), **other)


def by_the_same_path(first, directory):
    return Second(first, directory)


def by_a_link(first, directory):
    link = directory.with_name("link")
    link.symlink_to(first.state)
    return Second(first, directory, link)


def by_a_bind_mount(first, directory):
    """In a mount namespace of its own, as a second container has it."""
    mountpoint = directory.with_name("mounted")
    mountpoint.mkdir()
    script = f'mount --bind "{first.state}" "{mountpoint}" && exec "$@"'
    return Second(first, directory, mountpoint, ("unshare", "--mount", "sh", "-c", script, "sh"))


def after_the_lock_was_deleted(first, directory):
    (first.state / "lock").unlink()
    return Second(first, directory)


WAYS = [by_the_same_path, by_a_link, by_a_bind_mount, after_the_lock_was_deleted]


def judge_second(original, directory, way):
    """Serves a copy in `directory`, and starts another server on it: that one must refuse, and the first go on."""
    first, verdict = UserServer(original.server.binary, directory / "first", directory / "first.log"), Verdict()
    own_directory(first.directory)
    first.write_config()
    copy(original.bases["stopped"], first.state)
    if not first.start():
        first.kill()
        raise RuntimeError(f"the first does not start: {first.last_words()}")
    second = way(first, directory / "second")
    second.write_config()
    try:
        began = time.monotonic()
        if second.start(limit_s=HANG_S):
            verdict.outcome = READY
            verdict.blame("believed", "two processes serve one state directory")
        elif second.process.poll() is None:
            verdict.outcome = "hanging"
            verdict.blame("hangs", f"the second neither serves nor ends: {second.last_words()}")
        else:
            verdict.outcome, verdict.message = REFUSED, second.last_words()
            if "in use" not in verdict.message:
                verdict.blame("unnamed", f"the second does not say that it is one: {verdict.message}")
            if time.monotonic() - began > SECOND_S:
                verdict.blame("slow", f"refused only after {time.monotonic() - began:.1f} s")
        admin = Admin(first, original.keys["privateKey"])
        key = admin.call("POST", "/signing-keys", {})
        admin.call("POST", f"/signing-keys/{key['id']}/revoke", {})
        if first.run("status").returncode:
            verdict.blame("lost", "the first can no longer be asked over its socket")
    finally:
        first.kill()
        second.kill()
    return verdict
