"""What a viewer is given: tokens as a backend signs them, and what an embed plays."""

import base64
import hashlib
import hmac
import json
import time


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def token(kid, secret, video, now=None):
    now = int(time.time() if now is None else now)
    head = base64url(json.dumps({"alg": "HS256", "kid": kid}).encode())
    claims = base64url(json.dumps({"sub": video, "iat": now, "exp": now + 300}).encode())
    signed = head + b"." + claims
    return (signed + b"." + base64url(hmac.new(secret.encode(), signed, hashlib.sha256).digest())).decode()


def play(server, publishable_key, embed, viewer_token=None, connection=None):
    """Status, code and the SHA-256 of the file that an embed plays; over a new connection unless one is given."""
    connection = connection or server.client()
    headers = {"Authorization": f"Bearer {publishable_key}"}
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
