"""A library of many records, made by the admin API over many connections at once, and looked at page by page."""

import threading
import time

from .api import Admin

# What the server writes down with one sync at most (GROUP_COMMITS).
CONNECTIONS = 64
# What an answer may take while all changes wait for a large journal to be compacted, in seconds.
PATIENCE_S = 120
# Of ten keys: so many of each kind.
KEYS = ["signing-keys"] * 8 + ["publishable-keys", "private-keys"]


def things(videos, keys):
    """Path and body of each thing to be made, keys among the videos."""
    for number in range(max(videos, keys)):
        if number < videos:
            visibility = "private" if number % 2 else "public"
            yield "/videos", {"title": f"Video {number} of a large library", "visibility": visibility}
        if number < keys:
            yield f"/{KEYS[number % len(KEYS)]}", {"label": f"Key {number} of a large library"}


def populate(server, key, videos, keys):
    """Path → ids of what was made there, and how long the slowest answer took in seconds."""
    waiting, lock, made, faults, slowest_s = things(videos, keys), threading.Lock(), {}, [], [0.0]

    def work():
        try:
            admin = Admin(server, key)
            admin.connection.sock.settimeout(PATIENCE_S)
            while not faults:
                with lock:
                    path, body = next(waiting, (None, None))
                if path is None:
                    return
                began = time.monotonic()
                record = admin.call("POST", path, body)
                with lock:
                    slowest_s[0] = max(slowest_s[0], time.monotonic() - began)
                    made.setdefault(path, set()).add(record["id"])
        except Exception as error:  # noqa: BLE001 - of any kind: it is raised again where it is seen
            faults.append(error)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
    return made, slowest_s[0]


def pages(admin, path):
    """Every page of a list: its items, and how long it took in seconds."""
    query = "?limit=100"
    while True:
        began = time.monotonic()
        page = admin.call("GET", path + query)
        yield page["items"], time.monotonic() - began
        if not page["pageInfo"]["nextCursor"]:
            return
        query = f"?limit=100&cursor={page['pageInfo']['nextCursor']}"
