# SPDX-License-Identifier: Apache-2.0
"""An HTTP server on loopback that passes on what it is asked to a port of this machine. Who counts, changes or refuses what goes through
has its own `forward`. For the end-to-end tests beside this file.
"""

import contextlib
import http.client
import http.server
import sys
import threading

import fleet

HOP_BY_HOP = {"connection", "proxy-connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade"}


class Relay(contextlib.AbstractContextManager):
    def __init__(self, to_port, port=0):
        self.to_port = to_port
        relay = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self):
                relay.forward(self)

            do_GET = do_POST = do_PUT = do_CONNECT = forward

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *which):
                if not isinstance(sys.exc_info()[1], OSError):  # whoever asked may have had enough
                    super().handle_error(*which)

        self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def forward(self, request):
        with self.ask(request, body_of(request)) as answer:
            give(request, answer.status, answer.read(), answer.getheaders())

    @contextlib.contextmanager
    def ask(self, request, body, path=None, **headers):
        """What the other side answers, its body not read yet. Of the request's headers those in `headers` are others."""
        upstream = http.client.HTTPConnection("127.0.0.1", self.to_port, timeout=fleet.PATIENCE_S)
        try:
            upstream.request(request.command, path or request.path, body=body or None,
                             headers={**{k: v for k, v in request.headers.items() if k.lower() not in HOP_BY_HOP and k not in headers}, **headers})
            yield upstream.getresponse()
        finally:
            upstream.close()


def body_of(request):
    return request.rfile.read(int(request.headers.get("Content-Length", 0)))


def give(request, status, data, headers=()):
    request.send_response(status)
    for key, value in headers:
        if key.lower() not in HOP_BY_HOP | {"content-length", "date", "server"}:
            request.send_header(key, value)
    request.send_header("Content-Length", str(len(data)))
    request.end_headers()
    with contextlib.suppress(OSError):  # whoever asked may have had enough
        request.wfile.write(data)
