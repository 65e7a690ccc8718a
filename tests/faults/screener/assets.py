"""Everything that one playback leads to: playlists, segments, files, poster, captions."""

import hashlib
import http.client
import json
import re
from urllib.parse import urljoin, urlsplit


def ask(connection, path, headers=None):
    """Status and body of a GET."""
    connection.request("GET", path, headers=headers or {})
    answer = connection.getresponse()
    return answer.status, answer.read()


def playback(connection, publishable_key, embed, viewer_token=None):
    """Status and JSON of a playback request."""
    headers = {"Authorization": f"Bearer {publishable_key}"}
    if viewer_token:
        headers["x-moviie-playback-token"] = viewer_token
    status, body = ask(connection, f"/api/v1/embeds/{embed}/playback", headers)
    return status, json.loads(body)


def root(answer):
    """The path that all assets of a playback answer begin with: video and grant."""
    return "/".join(urlsplit(answer["playback"]["uri"]).path.split("/")[:4]) + "/"


def crawl(connection, answer):
    """Name → SHA-256 of every asset that a playback answer leads to, by way of its playlists."""
    first = [answer["playback"]["uri"], answer["posterUrl"]]
    first += [one["uri"] for one in [*answer["variants"], *answer["captions"]]]
    found, base = {}, root(answer)
    waiting = [base + "manifest.mpd", *(urlsplit(uri).path for uri in first if uri)]
    while waiting:
        path = waiting.pop()
        name = path.removeprefix(base)
        if name in found:
            continue
        status, body = ask(connection, path)
        if status != 200:
            raise RuntimeError(f"{name}: {status}")
        found[name] = hashlib.sha256(body).hexdigest()
        if path.endswith(".m3u8"):
            waiting += [urljoin(path, uri) for uri in uris(body.decode())]
    return found


def uris(playlist):
    lines = [line for line in playlist.splitlines() if line]
    return [line for line in lines if not line.startswith("#")] + re.findall(r'URI="([^"]+)"', playlist)


def look_at(server, base, wanted):
    """Asks for each asset of `wanted` (name → SHA-256) below `base`: name → "right", "wrong", or the status."""
    seen, connection = {}, server.client()
    for name, digest in wanted.items():
        try:
            status, body = ask(connection, base + name)
        except TimeoutError:
            seen[name], connection = "no answer", server.client()
        except (OSError, http.client.HTTPException):
            # An answer whose end never comes is cut: its length was promised, so that nobody takes it for the whole.
            seen[name], connection = "cut", server.client()
        else:
            is_right = hashlib.sha256(body).hexdigest() == digest
            seen[name] = status if status != 200 else "right" if is_right else "wrong"
    return seen
