"""Threads that change things until the server is gone, and note each answer."""

import itertools
import threading

from .api import Admin
from .library import SOURCES


def write_keys(admin, notes):
    """Creates signing keys and revokes every second one."""
    for number in itertools.count():
        key = admin.call("POST", "/signing-keys", {"label": "cut"})
        notes.secrets[key["id"]] = key["secret"]
        notes.is_(notes.keys, key["id"], "active")
        if number % 2 == 0:
            with notes.change(notes.keys, key["id"], "revoked"):
                admin.call("POST", f"/signing-keys/{key['id']}/revoke", {})


def write_member(admin, notes, video, member, values):
    for value in values:
        with notes.change(notes.members, (video, member), value):
            admin.call("PATCH", f"/videos/{video}", {member: value})


def write_sources(admin, notes, library):
    """Uploads in one request each. The disks are small: most replace a source, now and then there is a new video."""
    shown = None
    for number in itertools.count():
        if number % 4 == 0:
            if shown:
                with notes.change(notes.plays, shown["embedId"], None):
                    admin.call("DELETE", f"/videos/{shown['id']}")
            shown = admin.call("POST", "/videos", {"title": "Upload", "visibility": "public"})
            notes.is_(notes.plays, shown["embedId"], "pending")
        source = SOURCES[number % 2]
        with notes.change(notes.plays, shown["embedId"], library.packaged[source]):
            admin.call("PUT", f"/videos/{shown['id']}/source", raw=source)


def start_writers(server, library, notes):
    """Two writers of keys, one each of visibility, title and sources, each on its own connection and thread."""
    setup = Admin(server, library.private_key)
    notes.plays[library.embed] = {"401 playback_token_missing"}
    work = [(write_keys,), (write_keys,), (write_sources, library)]
    titles = (f"Title {number}" for number in itertools.count(1))
    words = itertools.cycle(["private", "public"])
    for member, first, values in [("visibility", "public", words), ("title", "T", titles)]:
        video = setup.call("POST", "/videos", {"title": "T", "visibility": "public"})["id"]
        notes.members[(video, member)] = {first}
        work.append((write_member, video, member, values))
    threads = []
    for writer, *arguments in work:
        arguments = (writer, Admin(server, library.private_key), notes, *arguments)
        threads.append(threading.Thread(target=notes.run, args=arguments, daemon=True))
    for thread in threads:
        thread.start()
    return threads
