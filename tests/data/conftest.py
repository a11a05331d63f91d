import http.server
import threading

import pytest


class Server(http.server.ThreadingHTTPServer):
    """A web server on loopback: `files` by name, `breaks` after so many bytes of a body, `ranges` understood or not.

    `announces` is what it says of a body's length, None for the truth, "" for nothing.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.asked, self.breaks, self.ranges, self.announces = {}, [], [], True, None

    def url(self, name=""):
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.protocol_version = "HTTP/1.0" if self.server.announces is None else "HTTP/1.1"
        self.close_connection = True
        self.server.asked.append(self.headers.get("Range"))
        body = self.server.files.get(self.path.lstrip("/"))
        if body is None:
            return self.send_error(404)
        start = 0
        if self.server.ranges and (wanted := self.headers.get("Range")):
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                return self.send_error(416)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        if self.server.announces is not None:
            self.send_header("Transfer-Encoding", "chunked")
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        if length := (str(len(body) - start) if self.server.announces is None else self.server.announces):
            self.send_header("Content-Length", length)
        self.end_headers()
        rest = body[start:]
        self.wfile.write(rest[: self.server.breaks.pop(0)] if self.server.breaks else rest)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
