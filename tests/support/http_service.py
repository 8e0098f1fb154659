"""
A CacheKit service of our own, over TLS, as its documents say: values under keys, tokens, times to live. It can be late, cut its answers, lie about their
length, flood, compress, redirect and refuse. `HttpService` is that; `Writer` is the package's own backend, which finds it by a name of these tests.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import shutil
import socket
import ssl
import tempfile
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from certificates import Authority

TOKEN = "ck_sdk_test.0123456789"
NAME = "service.ckfs.test"  # what the package takes for a host elsewhere: in this process it is here
VALUE_MAX = 25_000_000
RESERVED = {"", ".", "..", "health", "ttl", "lock"}

_getaddrinfo = socket.getaddrinfo
socket.getaddrinfo = lambda host, *args, **kwargs: _getaddrinfo("127.0.0.1" if host == NAME else host, *args, **kwargs)


def is_key(key: str) -> bool:
    """Whether the service takes a key, after it was decoded once."""
    if key in RESERVED or len(key) > 400 or ".." in key or not re.fullmatch(r"[A-Za-z0-9_.:-]+", key):
        return False
    return not key.startswith(("ns:", "nsapi:")) or bool(re.fullmatch(r"ns(?:api)?:[A-Za-z0-9_-]{1,64}:.+", key))


@dataclass
class Stored:
    value: bytes
    expires: float | None = None
    freshness: str | None = "fresh"
    headers: dict[str, str] = field(default_factory=dict)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    service: HttpService

    def setup(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request = self.service.context.wrap_socket(self.request, server_side=True)
        self.service.clients.append(self.request)
        super().setup()

    def finish(self) -> None:
        super().finish()
        self.request.close()

    def log_message(self, format: str, *args) -> None:
        pass

    def reply(self, status: int, body: bytes = b"", *, length: int | None = None, **headers: str) -> None:
        """One answer; `length`: what it claims, if that is not so."""
        shown = {"Cache-Control": "no-store", "Vary": "Authorization", **{name.replace("_", "-"): value for name, value in headers.items()}}
        if status != 204 and "Transfer-Encoding" not in shown:
            shown["Content-Length"] = str(len(body) if length is None else length)
        head = f"HTTP/1.1 {status} X\r\n" + "".join(f"{name}: {value}\r\n" for name, value in shown.items() if value is not None)
        self.wfile.write(head.encode() + b"\r\n" + body)

    def handle_any(self) -> None:
        service, path = self.service, self.path
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if len(body) < length:  # what was cut off is no request
            self.close_connection = True
            return
        key, what = service.parse(path)
        service.requests.append((self.command, path))
        service.seen.append(dict(self.headers))
        with service.counting():
            for act in (service.on_any, service.on_key.get(key) if what == "" else None):
                if act and act(self):
                    return
            self.answer(key, what, body)

    do_GET = do_HEAD = do_PUT = do_DELETE = do_PATCH = do_POST = handle_any

    def answer(self, key: str | None, what: str, body: bytes) -> None:
        service = self.service
        if self.headers.get("Authorization", "").removeprefix("Bearer ") not in service.tokens:
            self.reply(401)
        elif "X-CacheKit-L1-Status" not in self.headers:
            self.reply(400, b'{"error": "missing X-CacheKit-L1-Status"}')
        elif what == "health":
            self.reply(200, b'{"status": "healthy", "version": "1.0"}', Content_Type="application/json")
        elif key is None:
            self.reply(404)
        elif not is_key(key):
            self.reply(400)
        elif what == "ttl":
            self.answer_ttl(key, body)
        elif self.command == "PUT":
            self.put(key, body)
        elif self.command == "DELETE":
            service.data.pop(key, None)
            self.reply(200)
        elif (stored := service.find(key)) is None:
            self.reply(404)
        else:
            freshness = {} if stored.freshness is None else {"X_CacheKit_Freshness": stored.freshness}
            self.reply(200, stored.value, **freshness, **stored.headers)

    def put(self, key: str, body: bytes) -> None:
        ttl = self.headers.get("X-CacheKit-TTL")
        if len(body) > VALUE_MAX:
            self.reply(413)
        elif ttl is not None and not 1 <= int(ttl) <= 2_592_000:
            self.reply(400)
        else:
            self.service.data[key] = Stored(body, None if ttl is None else time.time() + int(ttl))
            self.reply(201)

    def answer_ttl(self, key: str, body: bytes) -> None:
        stored = self.service.find(key)
        if self.command == "PATCH":
            if stored and stored.freshness == "stale":
                self.reply(409)
                return
            if stored:
                stored.expires = time.time() + json.loads(body)["ttl"]
            self.reply(200)
        elif stored is None:
            self.reply(404)
        else:
            left = None if stored.expires is None else max(1, math.ceil(stored.expires - time.time()))
            self.reply(200, json.dumps({"ttl": left}).encode(), Content_Type="application/json")


class HttpService:
    """`on_any` and `on_key` answer in its place: they get the handler, and say whether they have."""

    def __init__(self, pki: Pki, prefix: str = ""):
        self.pki, self.prefix = pki, prefix
        self.tokens = {TOKEN}
        self.data: dict[str, Stored] = {}
        self.on_any = None
        self.on_key: dict = {}
        self.requests: list[tuple[str, str]] = []
        self.seen: list[dict[str, str]] = []  # their headers
        self.connections = 0
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        self.use(pki.good)
        self.port = 0
        self.start()

    def use(self, certificate) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate.cert, certificate.key)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}{self.prefix}"

    def start(self) -> None:
        """At the same port as before, with the data it had."""
        self.listening = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self.port = self.listening.getsockname()[1]
        self.clients: list[socket.socket] = []
        threading.Thread(target=self._accept, args=(self.listening,), daemon=True).start()

    def kill(self) -> None:
        for s in [self.listening, *self.clients]:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = listening.accept()[0]
                self.connections += 1
                self.clients.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        handler = type("Handler", (Handler,), {"service": self})
        with contextlib.suppress(OSError, ValueError):
            handler(client, client.getpeername(), None)
        client.close()

    @contextlib.contextmanager
    def counting(self):
        with self.lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            yield
        finally:
            with self.lock:
                self.at_once -= 1

    def parse(self, path: str) -> tuple[str | None, str]:
        """(key, "" or "ttl" or "health") of a request's path, decoded once."""
        found = re.fullmatch(re.escape(self.prefix) + r"/v1/cache/([^/?]*)(/ttl)?", path)
        if not found:
            return None, ""
        return (None, "health") if found[1] == "health" else (urllib.parse.unquote(found[1]), "ttl" if found[2] else "")

    def find(self, key: str) -> Stored | None:
        stored = self.data.get(key)
        if stored and stored.expires is not None and stored.expires <= time.time():
            return None
        return stored

    def asked(self, key: str | None = None) -> list[str]:
        """What was asked of a key, or of all: `GET`, `GET ttl`."""
        all_ = [(method, *self.parse(path)) for method, path in self.requests]
        return [f"{method} {what}".strip() for method, of, what in all_ if key is None or of == key]


class Pki:
    """`ca` signs what is good; nobody trusts `foreign`."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="ckfs-pki-"))
        self.ca, self.foreign = Authority(self.directory, "ca"), Authority(self.directory, "foreign")
        self.good = self.ca.issue("good", f"DNS:localhost,IP:127.0.0.1,DNS:{NAME}")

    def remove(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def env(self) -> dict[str, str]:
        """What lets ckfs in."""
        return {"CACHEKIT_API_KEY": TOKEN, "SSL_CERT_FILE": str(self.ca.pem)}


@contextlib.contextmanager
def environment(**values: str):
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def writer(service: HttpService, wrap=lambda backend: backend):
    """The package's backend, unchanged but for whom it trusts while it connects. `wrap`: makes another class of its class."""
    from cachekit.backends.cachekitio import CachekitIOBackend

    class Backend(wrap(CachekitIOBackend)):
        def _send(self, *args, **kwargs):
            with environment(SSL_CERT_FILE=str(service.pki.ca.pem)):
                return super()._send(*args, **kwargs)

    with environment(CACHEKIT_ALLOW_CUSTOM_HOST="true"):
        return Backend(api_url=f"https://{NAME}:{service.port}{service.prefix}", api_key=TOKEN, timeout=30)
