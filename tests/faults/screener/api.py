"""The admin API over one connection."""

import http.client
import json


class Gone(Exception):
    """No answer came: the server was killed or stopped."""


class Refused(Exception):
    """An answer that is no 2xx."""

    def __init__(self, request, status, text):
        self.request, self.status, self.text = request, status, text
        super().__init__(f"{request}: {status} {text}")

    @property
    def code(self):
        try:
            return json.loads(self.text).get("code")
        except (ValueError, AttributeError):
            return None


class Admin:
    """The admin API, with an organization's private key. A 2xx is an answer, anything else is raised."""

    def __init__(self, server, key):
        self.connection, self.key = server.client(), key

    def send(self, method, path, raw=None, headers=None):
        """The answer, whatever it is, with its body read: (answer, body)."""
        headers = {"Authorization": f"Bearer {self.key}", **(headers or {})}
        try:
            self.connection.request(method, f"/admin/v1{path}", raw, headers)
            answer = self.connection.getresponse()
            return answer, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Gone from error

    def call(self, method, path, body=None, raw=None, headers=None):
        headers = dict(headers or {})
        if raw is not None:
            headers.setdefault("Content-Type", "application/octet-stream")
        elif body is not None:
            headers["Content-Type"], raw = "application/json", json.dumps(body).encode()
        answer, text = self.send(method, path, raw, headers)
        if not 200 <= answer.status < 300:
            raise Refused(f"{method} {path}", answer.status, text.decode(errors="replace"))
        return json.loads(text) if text else None

    def all(self, path):
        items, query = [], "?limit=100"
        while True:
            page = self.call("GET", path + query)
            items += page["items"]
            if not page["pageInfo"]["nextCursor"]:
                return items
            query = f"?limit=100&cursor={page['pageInfo']['nextCursor']}"
