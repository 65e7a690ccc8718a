"""The admin API over one connection, uploads in pieces (tus) included."""

import base64
import hashlib
import http.client
import json
import time


class Gone(Exception):
    """No answer came: the server was killed or stopped."""


class Hung(Gone):
    """No answer came, though the server is there."""


class Refused(Exception):
    """An answer that is no 2xx."""

    def __init__(self, request, status, text):
        self.request, self.status, self.text = request, status, text
        super().__init__(f"{request}: {status} {text}")

    @property
    def code(self):
        """The code of the error, such as `not_written`; `None` if the body is none of ours."""
        try:
            return json.loads(self.text)["code"]
        except (ValueError, KeyError, TypeError):
            return None


class Admin:
    """The admin API, with an organization's private key. A 2xx is an answer, anything else is raised."""

    def __init__(self, server, key, connection=None):
        self.key, self.connection = key, connection or server.client()

    def send(self, method, path, raw=None, headers=None):
        """The answer, whatever it is, and its body."""
        headers = {"Authorization": f"Bearer {self.key}", **(headers or {})}
        began = time.monotonic()
        try:
            self.connection.request(method, f"/admin/v1{path}", raw, headers)
            answer = self.connection.getresponse()
            return answer, answer.read()
        except TimeoutError as error:
            hung = Hung(f"{method} {path} was not answered within {self.connection.timeout} s")
            hung.began = began
            raise hung from error
        except (OSError, http.client.HTTPException) as error:
            raise Gone(f"{method} {path}: {error!r}") from error

    def succeed(self, method, path, raw=None, headers=None):
        answer, text = self.send(method, path, raw, headers)
        if not 200 <= answer.status < 300:
            raise Refused(f"{method} {path}", answer.status, text.decode(errors="replace"))
        return answer, text

    def call(self, method, path, body=None):
        """A request with a JSON body or none; the answer's JSON."""
        raw, headers = None, {}
        if body is not None:
            raw, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
        text = self.succeed(method, path, raw, headers)[1]
        return json.loads(text) if text else None

    def all(self, path):
        items, query = [], "?limit=100"
        while True:
            page = self.call("GET", path + query)
            items += page["items"]
            if not page["pageInfo"]["nextCursor"]:
                return items
            query = f"?limit=100&cursor={page['pageInfo']['nextCursor']}"

    def put_source(self, video, film, pieces=None):
        """Uploads a film in one request; `pieces` yields its bytes, where they should come slowly."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(len(film))}
        self.succeed("PUT", f"/videos/{video}/source", film if pieces is None else pieces, headers)

    def begin_upload(self, length_bytes, **words):
        """Begins an upload in pieces; its path and the video that it becomes."""
        metadata = ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in words.items())
        headers = {**TUS, "Upload-Length": str(length_bytes), "Upload-Metadata": metadata}
        answer, _ = self.succeed("POST", "/uploads", None, headers)
        return answer.getheader("Location").removeprefix("/admin/v1"), answer.getheader("Screener-Video-Id")

    def add_piece(self, path, offset, piece, is_checked=False):
        headers = {**TUS, "Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
        if is_checked:
            digest = base64.b64encode(hashlib.sha256(piece).digest()).decode()
            headers["Upload-Checksum"] = f"sha256 {digest}"
        self.succeed("PATCH", path, piece, headers)

    def offset(self, path):
        """How far an upload has come."""
        return int(self.succeed("HEAD", path, None, TUS)[0].getheader("Upload-Offset"))


TUS = {"Tus-Resumable": "1.0.0"}
