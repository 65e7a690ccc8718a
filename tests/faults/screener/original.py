"""State directories that are whole, to be damaged, and what a server that starts on one of them must still know."""

import json
import os
import shutil
import ssl
import subprocess
import threading
import time

from . import assets, journal
from .api import Admin
from .campaign import ROOT, NotHere, need_tools
from .library import SOURCES, Library
from .notes import Notes
from .server import Server
from .viewer import token
from .writers import write_keys

# nobody: root could read and write whatever a file's mode says.
USER = 65534
# Much more than it needs: a file without end must not fill the machine's memory.
MEMORY_BYTES = 4 << 30
AS_USER = ("prlimit", f"--as={MEMORY_BYTES}", "setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups")
# sled writes out every half second what it holds back: after this long the index knows of everything.
INDEX_WRITTEN_S = 1.5
VIDEOS = 40
MANY_VIDEOS = 3_000
# A journal of this size is compacted (`limits::JOURNAL_COMPACT_BYTES`).
COMPACTED_BYTES = 16 << 20
LISTS = ["signing-keys", "publishable-keys", "private-keys", "videos", "embeds", "uploads"]
# Said anew by each process: liveness, the last use that is written down once a minute, the port.
PASSING = {"liveSessions", "lastUsedAt", "url"}


class UserServer(Server):
    """A server that an ordinary user runs, who owns its directory."""

    def run(self, *words, under=(), **more):
        return super().run(*words, under=(*AS_USER, *under), **more)

    def start(self, *more, under=(), **other):
        return super().start(*more, under=(*AS_USER, *under), **other)

    def trust(self):
        """Whoever answers on its port: its certificate is damaged like anything else."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context


def need_users():
    if os.geteuid() != 0:
        raise NotHere("files that the server may not read take another user: run it as root")
    need_tools("setpriv", "prlimit")


def own_directory(path):
    path.mkdir(exist_ok=True)
    os.chown(path, USER, USER)


def copy(source, target):
    """As it is, owners and modes included."""
    if target.exists():
        shutil.rmtree(target)
    subprocess.run(["cp", "-a", source, target], check=True)


class Original:
    """What the server made, and stood when it was stopped or killed.

    `bases` are state directories: `stopped`, `killed`; `many`, with thousands of videos; `older`, from before anything
    was revoked; `copied`, made by `cp -r` while keys were being made and revoked; and `compacted`, whose journal is, if
    it is asked for (`compact`). `told` is what they must tell.
    """

    def __init__(self, binary, directory):
        self.directory, self.bases, self.told = directory, {}, {}
        own_directory(directory)
        self.server = UserServer(binary, directory, directory.with_suffix(".log"))
        self.keys = self.server.init()
        try:
            self.make()
        finally:
            self.server.kill()

    def make(self):
        server = self.server
        self.start()
        self.library = Library(server, self.keys)
        self.make_content(Admin(server, self.keys["privateKey"]))
        self.stop()
        self.keep("older")
        self.start()
        self.revoke(Admin(server, self.keys["privateKey"]))
        self.told["stopped"] = self.tell(server)
        self.stop()
        self.keep("stopped")
        self.rows = journal.records(self.bases["stopped"] / "journal")
        self.start()
        time.sleep(INDEX_WRITTEN_S)
        # What follows is not in the index when the server is killed, only in the journal.
        for video in self.videos[:20]:
            self.admin().call("PATCH", f"/videos/{video}", {"title": "Renamed before the kill"})
        self.told["killed"] = self.tell(server)
        server.kill()
        self.keep("killed")
        self.make_many()
        self.copy_while_written_to()

    def admin(self):
        return Admin(self.server, self.keys["privateKey"])

    def start(self):
        if not self.server.start():
            raise RuntimeError(f"the original does not start: {self.server.last_words()}")

    def stop(self):
        if not self.server.stop():
            raise RuntimeError("the original does not stop")

    def keep(self, name):
        self.bases[name] = self.directory.with_name(f"base-{name}")
        copy(self.server.state, self.bases[name])

    def make_content(self, admin):
        self.videos = [admin.call("POST", "/videos", {"title": f"Video {n}"})["id"] for n in range(VIDEOS)]
        for number, video in enumerate(self.videos):
            admin.call("PATCH", f"/videos/{video}", {"title": f"Renamed {number}"})
        self.active, self.revoked = [admin.call("POST", "/signing-keys", {}) for _ in range(2)]
        # Video → embed of what is watched: the private video, and a public one with all that a video may have.
        self.embeds = {self.library.video: self.library.embed, **self.add_video(admin, SOURCES[0])}
        self.shown = list(self.embeds)[-1]
        for what, name in [("poster", "poster.jpg"), ("captions/en", "captions.vtt")]:
            content = (ROOT / "tests/fixtures" / name).read_bytes()
            admin.succeed("PUT", f"/videos/{self.shown}/{what}", content)
        (self.turned, self.turned_embed), = self.add_video(admin, SOURCES[1]).items()
        (self.deleted, self.deleted_embed), = self.add_video(admin, SOURCES[1]).items()
        self.publishable_key = admin.call("POST", "/publishable-keys", {"label": "other"})
        self.private_key = admin.call("POST", "/private-keys", {"label": "other"})
        self.make_upload(admin)
        connection, self.assets = self.server.client(), {}
        for video in self.embeds:
            self.assets[video] = assets.crawl(connection, self.play(connection, video))

    def add_video(self, admin, source):
        video = admin.call("POST", "/videos", {"title": "Shown", "visibility": "public"})
        admin.put_source(video["id"], source)
        return {video["id"]: video["embedId"]}

    def make_upload(self, admin):
        """One that has come half its way."""
        source = SOURCES[0]
        self.upload_offset, self.upload_length = len(source) // 2, len(source)
        path, self.upload_video = admin.begin_upload(len(source), title="Upload")
        self.upload = path.removeprefix("/uploads/")
        admin.add_piece(path, 0, source[:self.upload_offset])

    def revoke(self, admin):
        """Each way to take a right away, with what it took away."""
        connection = self.server.client()
        playing = {video: self.play(connection, video) for video in [*self.embeds, self.turned, self.deleted]}
        url_of = {video: assets.root(answer) + next(iter(self.assets.get(video, ["master.m3u8"])))
                  for video, answer in playing.items()}
        for path in [f"signing-keys/{self.revoked['id']}", f"publishable-keys/{self.publishable_key['id']}",
                     f"private-keys/{self.private_key['id']}"]:
            admin.call("POST", f"/{path}/revoke", {})
        self.server.run("key", "rotate-asset", "--drop-old").check_returncode()
        newer = self.play(connection, self.shown)
        admin.call("POST", f"/sessions/{newer['session']['id']}/end", {})
        admin.call("PATCH", f"/videos/{self.turned}", {"visibility": "private"})
        admin.call("DELETE", f"/videos/{self.deleted}")
        for video in self.videos[:10]:
            admin.call("PATCH", f"/videos/{video}", {"visibility": "private"})
        self.dead_urls = {
            "signed by a dropped asset key": url_of[self.shown],
            "of a video made private": url_of[self.turned],
            "of a deleted video": url_of[self.deleted],
            "of an ended session": assets.root(newer) + "master.m3u8",
        }

    def play(self, connection, video):
        status, answer = assets.playback(
            connection, self.keys["publishableKey"], self.embed_of(video), self.token(self.active, video)
        )
        if status != 200:
            raise RuntimeError(f"playback of {video}: {status} {answer}")
        return answer

    def embed_of(self, video):
        others = {self.turned: self.turned_embed, self.deleted: self.deleted_embed}
        return self.embeds.get(video) or others[video]

    @staticmethod
    def token(key, video):
        return token(key["id"], key["secret"], video)

    def tell(self, server):
        """All that the admin API has to say, but for the audit log, of which the newest entries stand for the rest."""
        admin = Admin(server, self.keys["privateKey"])
        told = {name: [without_passing(item) for item in admin.all(f"/{name}")] for name in LISTS}
        told["organization"] = [admin.call("GET", "/organization")]
        told["audit"] = admin.call("GET", "/audit?limit=100")["items"]
        return told

    def copy_while_written_to(self):
        """What an operator gets who copies the directory of a running server."""
        copy(self.bases["killed"], self.server.state)
        self.start()
        notes = Notes()
        arguments = [(write_keys, self.admin(), notes, ["signing key"]) for _ in range(2)]
        threads = [threading.Thread(target=notes.run, args=one) for one in arguments]
        for thread in threads:
            thread.start()
        while notes.count < 200 and not notes.faults:
            time.sleep(0.005)
        noted = list(notes.allowed.items())
        self.revoked_before_copy = [key for (_, key), status in noted if status == {"revoked"}]
        self.keep("copied")
        self.told["copied"] = self.told["killed"]
        self.server.kill()
        for thread in threads:
            thread.join(timeout=15)
        if notes.faults:
            raise RuntimeError(f"a writer was refused: {notes.faults}")


    def make_many(self):
        """Of the stopped one: an index large enough for sled to hang on."""
        copy(self.bases["stopped"], self.server.state)
        journal.add_videos(self.server.state / "journal", MANY_VIDEOS)
        self.start()
        self.told["many"] = self.tell(self.server)
        self.stop()
        self.keep("many")

    def compact(self):
        """Of the stopped one, by a change too many; with changes behind it."""
        copy(self.bases["stopped"], self.server.state)
        journal.grow(self.server.state / "journal", COMPACTED_BYTES)
        self.start()
        for number in range(10):
            self.admin().call("PATCH", f"/videos/{self.videos[0]}", {"title": f"Compacted {number}"})
        self.told["compacted"] = self.tell(self.server)
        is_compacted = self.server.says("journal compacted")
        self.stop()
        if not is_compacted:
            raise RuntimeError(f"a journal of {COMPACTED_BYTES} bytes is not compacted")
        self.keep("compacted")


def without_passing(item):
    return {name: value for name, value in item.items() if name not in PASSING}


def first_difference(name, found, wanted):
    """A sentence, or `None` if they are the same."""
    if found == wanted:
        return None
    if len(found) != len(wanted):
        return f"{name}: {len(found)} instead of {len(wanted)}"
    one, other = next((one, other) for one, other in zip(found, wanted) if one != other)
    return f"{name}: {json.dumps(one)[:300]} instead of {json.dumps(other)[:300]}"
