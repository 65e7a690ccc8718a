"""The journal as it lies on disk: frames of length, checksum and JSON (`src/store/journal.rs`)."""

import json
import struct

HEAD = struct.Struct("<II")


def frames(content):
    """(begin, end) of each record of a whole journal."""
    found, at = [], 0
    while at < len(content):
        end = at + HEAD.size + HEAD.unpack_from(content, at)[0]
        found.append((at, end))
        at = end
    return found


def records(path):
    """The latest state of every record: (kind, key) → row."""
    content, rows = path.read_bytes(), {}
    for begin, end in frames(content):
        for operation in json.loads(content[begin + HEAD.size:end])["ops"]:
            target = operation["kind"], operation["key"]
            if operation["op"] == "put":
                rows[target] = operation["row"]
            else:
                rows.pop(target, None)
    return rows


def last_audit(path, organization):
    """(number, hash) of the newest entry of an organization's audit log."""
    content = path.read_bytes()
    for begin, end in reversed(frames(content)):
        for operation in reversed(json.loads(content[begin + HEAD.size:end])["ops"]):
            if operation["kind"] == "audit" and operation["row"]["organization"] == organization:
                return operation["row"]["number"], operation["row"]["hash"]
    return 0, None
