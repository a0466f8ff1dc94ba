"""A real S3 interface on a free loopback port: moto's server, with a count of what is asked of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from maskloop.blobs.s3 import S3Blobs, open_s3

KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}


@dataclass(frozen=True)
class Asked:
    """One request: its method, path with query, and the bytes of its answer's body."""

    method: str
    path: str
    answered_bytes: int


@dataclass
class S3Server:
    """A server that runs. While ``refusal`` is set it answers everything with that status and code."""

    port: int
    host: str = "127.0.0.1"
    asked: list[Asked] = field(default_factory=list)
    refusal: tuple[int, str] | None = None
    _numbers: Iterator[int] = field(default_factory=count)

    @property
    def endpoint(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        return {**KEYS, "AWS_ENDPOINT_URL_S3": self.endpoint}

    def open_files(self) -> Any:
        options = {"key": "testing", "secret": "testing", "endpoint_url": self.endpoint}
        return open_s3(**options, client_kwargs={"region_name": "us-east-1"}, skip_instance_cache=True)

    def new_bucket(self) -> str:
        name = f"bucket-{next(self._numbers)}"
        self.open_files().call_s3("create_bucket", Bucket=name)
        return name

    def blobs(self, prefix: str = "") -> S3Blobs:
        return S3Blobs(self.new_bucket(), prefix, self.open_files)


@contextmanager
def s3_server(host: str = "127.0.0.1", port: int = 0) -> Iterator[S3Server]:
    server = S3Server(port, host)
    dispatcher = DomainDispatcherApplication(create_backend_app)
    http = make_server(host, port, _counted(dispatcher, server), threaded=True, request_handler=_Quiet)
    server.port = http.server_port
    thread = threading.Thread(target=http.serve_forever, name="s3", daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        pass


def _counted(application: Any, server: S3Server) -> Callable[..., Iterable[bytes]]:
    def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = b"".join(_refuse(server.refusal, start_response)) if server.refusal else b""
        if not server.refusal:
            body = b"".join(application(environ, start_response))
        query = f"?{environ['QUERY_STRING']}" if environ["QUERY_STRING"] else ""
        server.asked.append(Asked(environ["REQUEST_METHOD"], environ["PATH_INFO"] + query, len(body)))
        return [body]

    return answer


def _refuse(refusal: tuple[int, str], start_response: Any) -> Iterable[bytes]:
    status, code = refusal
    start_response(f"{status} refused", [("Content-Type", "application/xml")])
    return [f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>refused</Message></Error>".encode()]
