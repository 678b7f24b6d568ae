"""A server that takes events: `webhook_server.py PORT FILE SECRET`, beside a `verify.py` with what the documentation shows.

It refuses every third request, and writes down each event that it takes, or what was wrong.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from verify import is_from_tambo

PORT, FILE, SECRET = int(sys.argv[1]), sys.argv[2], sys.argv[3].encode()
asked = 0


class Server(BaseHTTPRequestHandler):
    def do_POST(self):
        global asked
        asked += 1
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not is_from_tambo(self.headers, body, SECRET):
            self.write([{"wrong": "signature"}])
        elif is_from_tambo(self.headers, body + b" ", SECRET):
            self.write([{"wrong": "verification"}])
        elif asked % 3 == 0:
            self.send_response(500)
            self.end_headers()
            return
        else:
            self.write(json.loads(body))
        self.send_response(204)
        self.end_headers()

    def write(self, rows):
        with open(FILE, "a") as file:
            for row in rows:
                file.write(json.dumps(row) + "\n")

    def log_message(self, *_):
        pass


HTTPServer(("127.0.0.1", PORT), Server).serve_forever()
