#!/usr/bin/env python3
"""R2: simulated power cuts. Every write that was answered must be on the disk.

    sudo tests/power-cut/run.py [--cuts 50] [--seed N] [--binary target/release/screener] [--control | --without-fsync]

Prints one line, `R2 PASS cuts=50 lost=0 failed_starts=0 …`, and exits 0 only on PASS; 2 where it can't run (no root, no
loop devices). Needs Linux, python3, mkfs.ext4, mount and losetup. Python's standard library alone.

How a cut is made
    The state directory lies on ext4 (64 MiB, default options, so commit=5: metadata reach the disk every five seconds
    unless somebody syncs) in an image file behind a loop device. Writers create and revoke keys, switch visibility,
    rename and upload, and note every answer. At a random moment the server is stopped (SIGSTOP) and the image file is
    copied: that is what the disk holds. Then the server is killed, the copy is mounted, a server is started on it, and
    every noted answer is compared with what it says.

Why the copy is what the disk holds
    The file system inside keeps dirty pages in the page cache of *its own* files. They reach the loop device, and by
    it the image file, only when ext4 writes them back: on fsync, at a journal commit, or under memory pressure. What
    was written but not synced is in no block of the image file, so it is not in the copy. The copy is read through the
    page cache of the image file, which is where the loop device has put every block that ext4 has written so far; that
    one need not be on a real platter, since it stands for the platter. So nothing is synced before the copy is taken:
    that would be the very mercy a power cut does not have (nor is the file system frozen, since freezing syncs it).
    An fsync that was under way when the server was stopped goes on in the kernel while the copy is made, some tens of
    milliseconds: the copy may hold a part of it, as a disk may after a cut in the midst of a write. Nothing of it was
    answered yet.

Why a store that does not fsync fails this
    `--control` runs the same cuts against a small writer that appends each record to a file and calls write() and
    flush() but never fsync(), and answers at once. Its records wait in the page cache for up to 30 s
    (dirty_expire_centisecs) and are in no copy: it loses nearly all of them. `--without-fsync` runs this very server
    under strace with fsync and fdatasync turned into nothing, which must FAIL for the same reason. sled alone, whose flush() ends in
    sync_file_range and never in fsync, lost acknowledged writes in 40 of 58 cuts of one writer and would not open
    again after 10 of them.
"""

import argparse
import base64
import hashlib
import hmac
import http.client
import json
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = (ROOT / "tests/fixtures/h264_aac.mp4").read_bytes()
OTHER_SOURCE = (ROOT / "tests/fixtures/moov_last.mp4").read_bytes()
# SHA-256 of the file that each is packaged into, once it is known.
PACKAGED = {}
IMAGE_MIB = 64


def sh(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stdout.strip()}")
    return done.stdout


def give_up(why):
    print(f"R2 NOT RUN: {why}", file=sys.stderr)
    sys.exit(2)


class Disk:
    """An ext4 image, mounted through a loop device."""

    def __init__(self, image, mountpoint):
        self.image, self.mountpoint, self.mounted = Path(image), Path(mountpoint), False
        self.mountpoint.mkdir(exist_ok=True)

    def make(self):
        with open(self.image, "wb") as file:
            file.truncate(IMAGE_MIB << 20)
        sh("mkfs.ext4", "-q", "-F", "-m", "0", self.image)

    def mount(self):
        sh("mount", "-o", "loop", self.image, self.mountpoint)
        self.mounted = True

    def unmount(self):
        if not self.mounted:
            return
        for _ in range(100):
            if subprocess.run(["umount", self.mountpoint], capture_output=True).returncode == 0:
                self.mounted = False
                return
            time.sleep(0.05)
        subprocess.run(["umount", "-l", self.mountpoint])
        self.mounted = False


def copy_image(source, target):
    """Copies block by block, leaving holes; never syncs (see above)."""
    sh("cp", "--sparse=always", "--reflink=never", source, target)


class Server:
    """The real binary on a state directory."""

    def __init__(self, binary, directory, log):
        self.binary, self.directory, self.process = binary, Path(directory), None
        self.config = self.directory / "config.toml"
        self.log = Path(log)
        self.context = None
        self.port = None

    def init(self):
        # The floor of free space is off: the disk is smaller than the usual one.
        self.write_config()
        made = subprocess.run(
            [self.binary, "init", "--json", "--config", self.config], stdout=subprocess.PIPE, check=True
        )
        return json.loads(made.stdout)

    def write_config(self):
        self.config.write_text(
            '[server]\nlisten = "127.0.0.1:0"\n[media]\nmin_free_mib = 0\n[log]\nlevel = "info"\n'
            f'[state]\ndir = "{self.directory}/state"\nindex_open_timeout_s = 2\n'
        )

    # A server whose fsync does nothing and says that it did: strace runs apart (-D), so that the process is the server.
    WITHOUT_FSYNC = [
        *("strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"),
        *("-e", "inject=fsync,fdatasync:retval=0"),
    ]

    def start(self, limit_s=15, under=()):
        """Whether it serves within the limit; how long that took is in `started_s`."""
        began = time.monotonic()
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([*under, self.binary, "serve", "--config", self.config], stderr=log)
        while time.monotonic() - began < limit_s:
            for line in self.log.read_text(errors="replace").splitlines():
                if '"message":"serving"' in line and line.endswith("}"):
                    self.port = int(json.loads(line)["base_url"].rsplit(":", 1)[1])
                    self.context = ssl.create_default_context(cafile=self.directory / "state/tls/ca.pem")
                    self.started_s = time.monotonic() - began
                    return True
            if self.process.poll() is not None:
                return False
            time.sleep(0.005)
        return False

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()

    def client(self):
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=10, context=self.context)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


class Gone(Exception):
    """No answer came: the server is stopped."""


class Admin:
    """The admin API over one connection. A 2xx counts as an answer, anything else but silence is a fault."""

    def __init__(self, server, key):
        self.connection, self.key = server.client(), key

    def call(self, method, path, body=None, raw=None):
        headers = {"Authorization": f"Bearer {self.key}"}
        if raw is not None:
            headers["Content-Type"] = "application/octet-stream"
        elif body is not None:
            headers["Content-Type"], raw = "application/json", json.dumps(body).encode()
        try:
            self.connection.request(method, f"/admin/v1{path}", raw, headers)
            answer = self.connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Gone from error
        if not 200 <= answer.status < 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text.decode(errors='replace')}")
        return json.loads(text) if text else None

    def all(self, path):
        items, query = [], "?limit=100"
        while True:
            page = self.call("GET", path + query)
            items += page["items"]
            if not page["pageInfo"]["nextCursor"]:
                return items
            query = f"?limit=100&cursor={page['pageInfo']['nextCursor']}"


class Notes:
    """What was answered, and what was under way and may or may not have happened."""

    def __init__(self):
        self.lock, self.count = threading.Lock(), 0
        self.keys = {}  # id → "active" | "revoked" | "revoking", and the secret
        self.members = {}  # (video, member) → the values it may have
        self.sources = {}  # embed → SHA-256 values it may play
        self.faults = []

    def answered(self):
        with self.lock:
            self.count += 1


def write_keys(admin, notes):
    number = 0
    while True:
        key = admin.call("POST", "/signing-keys", {"label": "cut"})
        notes.keys[key["id"]] = ["active", key["secret"]]
        notes.answered()
        number += 1
        if number % 2:
            notes.keys[key["id"]][0] = "revoking"
            admin.call("POST", f"/signing-keys/{key['id']}/revoke", {})
            notes.keys[key["id"]][0] = "revoked"
            notes.answered()


def write_member(admin, notes, video, member, values):
    for value in values:
        acknowledged = notes.members[(video, member)][-1]
        notes.members[(video, member)] = [acknowledged, value]
        admin.call("PATCH", f"/videos/{video}", {member: value})
        notes.members[(video, member)] = [value]
        notes.answered()


def write_uploads(admin, notes):
    shown = None
    for number in range(1 << 30):
        source = [SOURCE, OTHER_SOURCE][number % 2]
        digest = PACKAGED[source]
        if number % 4 == 0:
            # Now and then a new video; the disk is small, so most uploads replace a source.
            if shown:
                # Gone or there: while it is under way, either is right.
                notes.sources[shown["embedId"]] |= {None}
                admin.call("DELETE", f"/videos/{shown['id']}")
                notes.sources[shown["embedId"]] = {None}
                notes.answered()
            shown = admin.call("POST", "/videos", {"title": "Upload", "visibility": "public"})
            notes.sources[shown["embedId"]] = {"pending"}
            notes.answered()
        notes.sources[shown["embedId"]] |= {digest}
        admin.call("PUT", f"/videos/{shown['id']}/source", raw=source)
        notes.sources[shown["embedId"]] = {digest}
        notes.answered()


def words(first):
    """Visibilities in turn, beginning with the other one."""
    at = ["public", "private"].index(first)
    while True:
        at += 1
        yield ["public", "private"][at % 2]


def titles():
    number = 0
    while True:
        number += 1
        yield f"Title {number}"


def run_until_gone(work, notes):
    try:
        work()
    except Gone:
        pass
    except Exception as error:  # noqa: BLE001 - a fault of any kind must be seen
        notes.faults.append(repr(error))


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def token(kid, secret, video):
    now = int(time.time())
    head = base64url(json.dumps({"alg": "HS256", "kid": kid}).encode())
    claims = base64url(json.dumps({"sub": video, "iat": now, "exp": now + 300}).encode())
    signed = head + b"." + claims
    return (signed + b"." + base64url(hmac.new(secret.encode(), signed, hashlib.sha256).digest())).decode()


def play(server, keys, embed, viewer_token=None):
    """Status, code and the SHA-256 of the file that an embed plays."""
    connection = server.client()
    headers = {"Authorization": f"Bearer {keys['publishableKey']}"}
    if viewer_token:
        headers["x-moviie-playback-token"] = viewer_token
    connection.request("GET", f"/api/v1/embeds/{embed}/playback", headers=headers)
    answer = connection.getresponse()
    body = json.loads(answer.read())
    if answer.status != 200:
        return answer.status, body["code"], None
    connection.request("GET", "/media/" + body["variants"][0]["uri"].split("/media/", 1)[1])
    media = connection.getresponse()
    data = media.read()
    if media.status != 200:
        return media.status, "media", None
    return 200, "", hashlib.sha256(data).hexdigest()


def compare(server, keys, private, notes):
    """What was lost, a sentence each."""
    lost, admin = [], Admin(server, keys["privateKey"])
    try:
        stored = {key["id"]: key["status"] for key in admin.all("/signing-keys")}
    except RuntimeError as refused:
        return [f"nothing can be asked: {refused}"]
    for key, (status, secret) in notes.keys.items():
        found = stored.get(key)
        if found is None:
            lost.append(f"signing key {key} is forgotten")
        elif status != "revoking" and found != status:
            lost.append(f"signing key {key} is {found}, answered {status}")
    # The gate itself, not only the list: the last few of each kind.
    for key, (status, secret) in list(notes.keys.items())[-6:]:
        answer = play(server, keys, private["embedId"], token(key, secret, private["id"]))
        if status == "revoked" and answer[:2] != (401, "playback_token_revoked"):
            lost.append(f"a token of revoked key {key} is answered {answer}")
        if status == "active" and answer[0] != 200:
            lost.append(f"a token of active key {key} is answered {answer}")
    for (video, member), values in notes.members.items():
        try:
            found = admin.call("GET", f"/videos/{video}")[member]
        except RuntimeError as refused:
            found = str(refused)
        if found not in values:
            lost.append(f"{member} of {video} is {found}, answered {values}")
    for embed, allowed in notes.sources.items():
        status, code, digest = play(server, keys, embed)
        found = {404: None, 409: "pending"}.get(status, digest or f"{status} {code}")
        if found not in allowed:
            lost.append(f"embed {embed} plays {found}, answered {allowed}")
    return lost


def cut(number, options, directory, dice):
    """One power cut; what was lost, whether it started again, and what was answered before."""
    disk = Disk(directory / "disk.img", directory / "disk")
    after = Disk(directory / "after.img", directory / "after")
    server = Server(options.binary, disk.mountpoint, directory / "before.log")
    restarted = Server(options.binary, after.mountpoint, directory / "after.log")
    try:
        disk.make()
        disk.mount()
        keys = server.init()
        if not server.start(under=Server.WITHOUT_FSYNC if options.without_fsync else ()):
            raise RuntimeError(f"the first start failed: {server.log.read_text()}")
        admin = Admin(server, keys["privateKey"])
        admin.call("PATCH", "/organization", {"tokenAccess": True})
        private = admin.call("POST", "/videos", {"title": "Private", "visibility": "private"})
        admin.call("PUT", f"/videos/{private['id']}/source", raw=SOURCE)
        # What packaging makes of a source is the same each time.
        for source in (SOURCE, OTHER_SOURCE):
            if source not in PACKAGED:
                shown = admin.call("POST", "/videos", {"title": "Sample", "visibility": "public"})
                admin.call("PUT", f"/videos/{shown['id']}/source", raw=source)
                PACKAGED[source] = play(server, keys, shown["embedId"])[2]
        notes, work = Notes(), []
        notes.sources[private["embedId"]] = {"401 playback_token_missing"}
        for _ in range(2):
            work.append(lambda admin=Admin(server, keys["privateKey"]): write_keys(admin, notes))
        for member, first, values in [("visibility", "public", words("public")), ("title", "T", titles())]:
            video = admin.call("POST", "/videos", {"title": "T", "visibility": "public"})["id"]
            notes.members[(video, member)] = [first]
            work.append(
                lambda admin=Admin(server, keys["privateKey"]), video=video, member=member, values=values: write_member(
                    admin, notes, video, member, values
                )
            )
        work.append(lambda admin=Admin(server, keys["privateKey"]): write_uploads(admin, notes))
        threads = [threading.Thread(target=run_until_gone, args=(step, notes), daemon=True) for step in work]
        for thread in threads:
            thread.start()
        # Mostly early: later than commit=5 ext4 itself has synced what a store forgot to.
        time.sleep(dice.choice([dice.uniform(0.02, 0.5), dice.uniform(0.2, 1.5)]))
        os.kill(server.process.pid, signal.SIGSTOP)
        copy_image(disk.image, after.image)
        # No answer can come any more: what is noted now was answered before the cut.
        server.kill()
        for thread in threads:
            thread.join(timeout=15)
        if notes.faults:
            raise RuntimeError(f"a writer was refused before the cut: {notes.faults}")
        after.mount()
        restarted.write_config()
        if not restarted.start():
            log = restarted.log.read_text(errors="replace").strip().splitlines()
            return [], False, notes.count, 0.0, f"cut {number}: did not start: {' '.join(log[-2:])[:600]}"
        lost = compare(restarted, keys, private, notes)
        restarted.kill()
        checked = subprocess.run(
            [options.binary, "store", "verify", "--json", "--config", restarted.config], stdout=subprocess.PIPE
        )
        if checked.returncode:
            lost.append(f"store verify: {checked.stdout.decode(errors='replace')}")
        return lost, True, notes.count, restarted.started_s, None
    finally:
        server.kill()
        restarted.kill()
        disk.unmount()
        after.unmount()


CONTROL = """
import os, sys
with open(sys.argv[1], "ab", buffering=0) as log:
    for number in range(1 << 30):
        log.write(b"%08d\\n" % number)
        # Answered without fsync: this is the fault that the script must be able to see.
        print(number, flush=True)
        sys.stdin.readline()
"""


def control(directory, dice):
    """The same cut against a writer that never syncs: answered records, and those that the copy lacks."""
    disk = Disk(directory / "disk.img", directory / "disk")
    after = Disk(directory / "after.img", directory / "after")
    writer = None
    try:
        disk.make()
        disk.mount()
        path = disk.mountpoint / "log"
        path.touch()
        os.sync()
        writer = subprocess.Popen(
            [sys.executable, "-c", CONTROL, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        until, answered = time.monotonic() + dice.uniform(0.1, 1.0), 0
        while time.monotonic() < until:
            answered = int(writer.stdout.readline()) + 1
            writer.stdin.write("\n")
            writer.stdin.flush()
        os.kill(writer.pid, signal.SIGSTOP)
        copy_image(disk.image, after.image)
        writer.kill()
        after.mount()
        found = (after.mountpoint / "log").read_bytes().count(b"\n")
        return answered, max(0, answered - found)
    finally:
        if writer:
            writer.kill()
            writer.wait()
        disk.unmount()
        after.unmount()


def check_possible(directory):
    if os.geteuid() != 0:
        give_up("mounting a loop device needs root")
    for tool in ["mkfs.ext4", "mount", "losetup"]:
        if not shutil.which(tool):
            give_up(f"{tool} is not installed")
    disk = Disk(directory / "probe.img", directory / "probe")
    try:
        disk.make()
        disk.mount()
    except RuntimeError as error:
        give_up(f"loop devices are not available here ({error})")
    finally:
        disk.unmount()


def main():
    parser = argparse.ArgumentParser(description="Simulated power cuts (R2).")
    parser.add_argument("--cuts", type=int, default=50)
    parser.add_argument("--seed", type=int, default=20261123)
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/screener")
    parser.add_argument("--limit-s", type=float, default=240, help="fail when the cuts are not made within this time")
    parser.add_argument("--control", action="store_true", help="a writer without fsync instead, which must lose writes")
    parser.add_argument("--without-fsync", action="store_true", help="the server with fsync made a lie, which must FAIL")
    parser.add_argument("--keep", action="store_true", help="leave the images of the last cut in place")
    options = parser.parse_args()
    options.binary = options.binary.resolve()
    directory, dice = Path(tempfile.mkdtemp(prefix="power-cut-")), random.Random(options.seed)
    try:
        check_possible(directory)
        if not options.control and not options.binary.exists():
            give_up(f"{options.binary} is not built; run cargo build --release")
        began = time.monotonic()
        if options.control:
            outcomes = [control(directory, dice) for _ in range(options.cuts)]
            answered, lost = (sum(column) for column in zip(*outcomes))
            hit = sum(1 for _, missing in outcomes if missing)
            print(f"R2-control without fsync: cuts={options.cuts} cuts_with_losses={hit} answered={answered} lost={lost}")
            return 0 if lost else 1
        lost, failed, answered, slowest, made = 0, 0, 0, 0.0, 0
        for number in range(1, options.cuts + 1):
            if time.monotonic() - began > options.limit_s:
                print(f"stopped after {made} cuts: {options.limit_s:.0f} s are over", file=sys.stderr)
                break
            missing, started, count, start_s, why = cut(number, options, directory, dice)
            made += 1
            lost, failed, answered = lost + len(missing), failed + (not started), answered + count
            slowest = max(slowest, start_s)
            for sentence in missing:
                print(f"cut {number}: {sentence}", file=sys.stderr)
            if why:
                print(why, file=sys.stderr)
        is_passed = made == options.cuts and not lost and not failed
        print(
            f"R2 {'PASS' if is_passed else 'FAIL'} cuts={made} lost={lost} failed_starts={failed} answered={answered} "
            f"slowest_start_s={slowest:.2f} seed={options.seed} took_s={time.monotonic() - began:.0f}"
        )
        return 0 if is_passed else 1
    finally:
        if not options.keep:
            shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
