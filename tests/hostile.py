"""Hostile requests, each with the status that a server gives it. <WORDS> are filled in by whoever sends them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from wan_animate_blender.wire import WIRE_HEADER

HEADERS = f"Host: <HOST>\r\nAuthorization: Bearer <TOKEN>\r\n{WIRE_HEADER}: 1\r\n"


def ask(method: str, path: str, more: str = "", headers: str = HEADERS, version: str = "HTTP/1.1") -> str:
    """A request without a body, or its head."""
    return f"{method} {path} {version}\r\n{headers}{more}\r\n"


def send(method: str, path: str, body: str, more: str = "") -> str:
    return ask(method, path, f"{more}Content-Length: {len(body)}\r\n") + body


# --- shots ----------------------------------------------------------------------------------------

ROW = {"shot": 1001, "timeline": 1.0, "source": 0.0, "rig": 1.0}
FILE = {"sha256": "0" * 64, "size": 1}
PATHS = ("plate/1001.png", "matte/1001.png", "pose.npz", "character.png")
SHOT = {
    "name": "SH010", "mode": "replace", "frames": [ROW], "cut_in": 1001, "cut_out": 1001, "fps": "24/1",
    "raster": {"kind": "source", "width": 64, "height": 48}, "files": dict.fromkeys(PATHS, FILE),
}  # fmt: skip


def order(**changes: Any) -> str:
    """A request to render a shot of which nothing is here, with `changes`."""
    return send("POST", "/v1/jobs", json.dumps(SHOT | changes))


def order_file(path: str) -> str:
    return order(files=SHOT["files"] | {path: FILE})


def raw_order(text: str) -> str:
    return send("POST", "/v1/jobs", text)


def written(old: str, new: str) -> str:
    """The same where JSON has no object of Python's for it."""
    text = json.dumps(SHOT)
    assert old in text
    return raw_order(text.replace(old, new, 1))


# --- uploads --------------------------------------------------------------------------------------

BLOB = b"twenty bytes of blob"
NAME = hashlib.sha256(BLOB).hexdigest()


def put(body: bytes, more: str = "", name: str = NAME) -> str:
    return send("PUT", f"/v1/blobs/{name}", body.decode("latin-1"), more)


def placed(place: str) -> str:
    return put(BLOB, f"Content-Range: {place}\r\n")


# --- the table ------------------------------------------------------------------------------------

FRAMES = "/v1/jobs/<JOB>/frames"
PREFLIGHT = "Origin: http://evil.example\r\nAccess-Control-Request-Method: POST\r\n"
NO_TOKEN = f"Host: <HOST>\r\n{WIRE_HEADER}: 1\r\n"


def with_token(text: str) -> str:
    return f"{NO_TOKEN}Authorization: {text}\r\n"


def with_host(text: str) -> str:
    return HEADERS.replace("<HOST>", text)


HOSTILE = {
    # Paths that lead elsewhere.
    "traversal": (404, ask("GET", f"{FRAMES}/../../../../../token")),
    "traversal, encoded": (404, ask("GET", f"{FRAMES}/%2e%2e%2f%2e%2e%2f%2e%2e%2f%2e%2e%2ftoken")),
    "traversal, encoded twice": (404, ask("GET", f"{FRAMES}/%252e%252e%252ftoken")),
    "traversal, backslashes": (404, ask("GET", f"{FRAMES}/..%5c..%5c..%5ctoken")),
    "absolute path": (404, ask("GET", f"{FRAMES}//etc/passwd")),
    "null byte in a path": (404, ask("GET", f"{FRAMES}/comp/1001.png%00.txt")),
    "broken UTF-8 in a path": (404, ask("GET", f"{FRAMES}/comp/%ff%fe.png")),
    "traversal out of the page": (404, ask("GET", "/page/static/..%2f..%2fentry.py")),
    "blob that is a path": (404, put(BLOB, name="..%2f..%2ftoken")),
    "blob with a null byte": (400, put(BLOB, name="0" * 63 + "%00")),
    "blob in capitals": (400, put(BLOB, name=NAME.upper())),
    # Jobs that are not there.
    "forged job": (404, ask("GET", "/v1/jobs/<NOBODY>")),
    "forged job, cancelled": (404, ask("DELETE", "/v1/jobs/<NOBODY>")),
    "forged job, retake": (404, send("POST", "/v1/jobs/<NOBODY>/retake", '{"first": 1, "last": 2}')),
    "job with SQL": (404, ask("GET", "/v1/jobs/'%20OR%20'1'='1")),
    "job with a null byte": (404, ask("GET", "/v1/jobs/<JOB>%00")),
    "huge number of jobs": (422, ask("GET", "/v1/jobs?newest=99999999999999999999999")),
    "number of jobs that is none": (422, ask("GET", "/v1/jobs?newest=NaN")),
    # Who asks.
    "no token": (401, ask("GET", "/v1/jobs", headers=NO_TOKEN)),
    "empty token": (401, ask("GET", "/v1/jobs", headers=with_token("Bearer "))),
    "token as a password": (401, ask("GET", "/v1/jobs", headers=with_token("Basic <TOKEN>"))),
    "token and more": (401, ask("GET", "/v1/jobs", headers=with_token("Bearer <TOKEN>x"))),
    "token in Latin": (401, ask("GET", "/v1/jobs", headers=with_token("Bearer \xe9\xff"))),
    "revoked token": (401, ask("GET", "/v1/jobs", headers=with_token("Bearer <REVOKED>"))),
    "expired token": (401, ask("GET", "/v1/jobs", headers=with_token("Bearer <EXPIRED>"))),
    "two tokens": (400, ask("GET", "/v1/jobs", "Authorization: Bearer <TOKEN>\r\n")),
    "token in the query": (400, ask("GET", "/v1/jobs?token=<TOKEN>", headers=NO_TOKEN)),
    "token in the query under any name": (400, ask("GET", "/v1/jobs?a=<TOKEN>")),
    "token in the path": (400, ask("GET", "/v1/jobs/<TOKEN>")),
    "token in a cookie": (401, ask("GET", "/v1/jobs", "Cookie: token=<TOKEN>\r\n", NO_TOKEN)),
    # From where.
    "another host": (421, ask("GET", "/v1/jobs", headers=with_host("evil.example"))),
    "a host that begins as ours": (421, ask("GET", "/v1/jobs", headers=with_host("127.0.0.1.evil.example"))),
    "a host that is no name": (421, ask("GET", "/v1/jobs", headers=with_host("localhost:80@evil.example"))),
    "two hosts": (400, ask("GET", "/v1/jobs", "Host: <HOST>\r\n")),
    "no host": (400, ask("GET", "/v1/jobs", headers="")),
    "another page": (403, ask("GET", "/v1/jobs", "Origin: http://evil.example\r\n")),
    "a page of another port": (403, ask("GET", "/v1/jobs", "Origin: http://127.0.0.1:1\r\n")),
    "a page of nobody": (403, send("POST", "/v1/jobs", "{}", "Origin: null\r\n")),
    "may I": (403, ask("OPTIONS", "/v1/jobs", PREFLIGHT)),
    "may I, from here": (405, ask("OPTIONS", "/v1/jobs")),
    # HTTP that is none, or strange.
    "HTTP/1.0": (200, ask("GET", "/v1/health", version="HTTP/1.0")),
    "HTTP/1.0 without a host": (421, ask("GET", "/v1/health", headers="", version="HTTP/1.0")),
    "HTTP/0.9": (400, "GET /v1/health\r\n\r\n"),
    "HTTP/2": (505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "TLS": (400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    "TRACE": (405, ask("TRACE", "/v1/jobs")),
    "CONNECT": (404, ask("CONNECT", "evil.example:443")),
    "a method of its own": (405, ask("BREW", "/v1/jobs")),
    "a method in a header": (200, ask("GET", "/v1/jobs/<JOB>", "X-HTTP-Method-Override: DELETE\r\n")),
    "the address of another server": (404, ask("GET", "http://evil.example/v1/jobs")),
    "another protocol": (200, ask("GET", "/v1/jobs", "Connection: Upgrade\r\nUpgrade: websocket\r\n")),
    "huge header": (431, ask("GET", "/v1/jobs", f"X-Much: {'x' * 20_000}\r\n")),
    "many headers": (431, ask("GET", "/v1/jobs", "".join(f"X-{i}: y\r\n" for i in range(3000)))),
    "long address": (414, ask("GET", f"/v1/jobs?{'a' * 4000}")),
    "longer address": (414, ask("GET", f"/v1/jobs?{'a' * 20_000}")),
    "null byte in a header": (400, ask("GET", "/v1/jobs", "X-Null: a\0b\r\n")),
    "space before a colon": (400, ask("GET", "/v1/jobs", "X-Space : a\r\n")),
    "no colon": (400, ask("GET", "/v1/jobs", "nothing\r\n")),
    "length below zero": (400, ask("POST", "/v1/jobs", "Content-Length: -1\r\n")),
    "length without end": (400, ask("POST", "/v1/jobs", f"Content-Length: {'9' * 40}\r\n")),
    "two lengths": (400, ask("POST", "/v1/jobs", "Content-Length: 1\r\nContent-Length: 2\r\n") + "{}"),
    "length and chunks": (400, ask("POST", "/v1/jobs", "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n") + "{}"),
    "chunks that are none": (400, ask("POST", "/v1/jobs", "Transfer-Encoding: chunked\r\n") + "zz\r\n{}\r\n"),
    "chunk longer than anything": (400, ask("POST", "/v1/jobs", "Transfer-Encoding: chunked\r\n") + "f" * 40 + "\r\n"),
    "another encoding of the body": (501, ask("POST", "/v1/jobs", "Transfer-Encoding: gzip\r\n")),
    "packed body": (422, send("POST", "/v1/jobs", "\x1f\x8b\x08\0\0\0\0\0", "Content-Encoding: gzip\r\n")),
    "no wire version": (426, ask("GET", "/v1/jobs", headers="Host: <HOST>\r\nAuthorization: Bearer <TOKEN>\r\n")),
    "two wire versions": (400, ask("GET", "/v1/jobs", f"{WIRE_HEADER}: 2\r\n")),
    "a range": (206, ask("GET", f"{FRAMES}/comp/1001.png", "Range: bytes=5-9\r\n")),
    "500 ranges": (200, ask("GET", f"{FRAMES}/comp/1001.png", f"Range: bytes=0-0{',9-9' * 500}\r\n")),
    "range that is none": (200, ask("GET", f"{FRAMES}/comp/1001.png", "Range: bytes=z-\r\n")),
    # Uploads.
    "wrong hash": (400, put(BLOB[::-1])),
    "upload": (201, put(BLOB)),
    "upload again": (201, put(BLOB)),
    "other bytes under a known name": (201, put(BLOB[::-1])),
    "piece in the middle of nothing": (416, put(BLOB, "Content-Range: bytes 20-39/60\r\n", "a" * 64)),
    "range backwards": (400, placed("bytes 9-1/20")),
    "range beyond its end": (400, placed("bytes 0-20/20")),
    "range below zero": (400, placed("bytes -1-19/20")),
    "range without a total": (400, placed("bytes 0-19/*")),
    "range of pages": (400, placed("pages 0-19/20")),
    "range in other digits": (400, placed("bytes 0-1\xb2/20")),
    "two ranges": (400, placed("bytes 0-19/20\r\nContent-Range: bytes 0-9/20")),
    "range larger than anything": (413, put(BLOB, "Content-Range: bytes 0-19/999999999999\r\n", "b" * 64)),
    "body larger than anything": (413, ask("PUT", f"/v1/blobs/{'c' * 64}", "Content-Length: 99999999999\r\n")),
    "faces of no blob": (404, ask("GET", f"/v1/blobs/{'d' * 64}/faces")),
    # Shots.
    "shot larger than any": (413, ask("POST", "/v1/jobs", "Content-Length: 99999999999\r\n")),
    "nothing at all": (422, raw_order("")),
    "no text": (422, raw_order("\xff\xfe\x00\xd8")),
    "100,000 lists deep": (422, raw_order("[" * 100_000)),
    "900 lists deep": (422, raw_order("[" * 900 + "]" * 900)),
    "30 objects deep": (422, raw_order('{"name":' * 30 + "1" + "}" * 30)),
    "not a number": (422, written('"timeline": 1.0', '"timeline": NaN')),
    "infinity": (422, written('"timeline": 1.0', '"timeline": Infinity')),
    "a number beyond all": (422, written('"timeline": 1.0', f'"timeline": 1{"0" * 400}')),
    "a number of 5,000 digits": (422, written('"cut_in": 1001', f'"cut_in": 1{"0" * 5000}')),
    "a frame beyond 64 bits": (422, written('"shot": 1001', f'"shot": 1{"0" * 30}')),
    "a fraction of nothing": (422, order(fps="24/0")),
    "half a character": (422, order(strip="\ud800")),
    "half a character in bytes": (422, written('"cut_in"', '"strip": "\xed\xa0\x80", "cut_in"')),
    "a name that climbs": (422, order(name="../../x")),
    "a name with a null byte": (422, order(name="SH\0")),
    "a name that is no ASCII": (422, order(name="\u0448\u043e\u0442")),
    "a file that climbs": (422, order_file("../../../../.ssh/authorized_keys")),
    "a file that climbs later": (422, order_file("plate/../../x")),
    "a file at the root": (422, order_file("/etc/passwd")),
    "a file on a disk": (422, order_file("C:/x")),
    "a file with backslashes": (422, order_file("..\\x")),
    "a file with a null byte": (422, order_file("a\0b")),
    "a file with a line break": (422, order_file("a\nb")),
    "a file with a long name": (422, order_file("x" * 300)),
    "a file in 500 folders": (422, order_file("x/" * 600 + "y")),
    "a file in a file": (422, order_file("pose.npz/x")),
    "a file that is the shot": (422, order_file("shot.json")),
    "a file with half a character": (422, order_file("\udcff")),
    "a file in another script": (409, order_file("\u202eexe.\u043f\u043b\u0430\u0442\u0435/\U0001f98a")),
    "a hash that is a path": (422, order(files=SHOT["files"] | {"x": FILE | {"sha256": "../" * 21 + "x"}})),
    "a folder of this machine": (422, raw_order('{"folder": "/etc"}')),
    "a field that nobody knows": (422, order(__class__="os.system")),
    "a frame table that runs backwards": (422, order(frames=[ROW, ROW])),
}  # fmt: skip
