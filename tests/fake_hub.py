"""A Hugging Face Hub on loopback with one repository: what `push` and `from_hub` ask of it."""

import base64
import hashlib
import http.server
import json
import threading

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class FakeHub(http.server.ThreadingHTTPServer):
    """Its `files` by name; `asked` are the paths of all requests."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception):
        self.shutdown()
        self.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, content=b"", status=200, **headers):
        self.server.asked.append(f"{self.command} {self.path}")
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def answer_json(self, value, status=200):
        self.answer(json.dumps(value).encode(), status, Content_Type="application/json")

    def do_GET(self):
        if self.path.startswith("/api/models/"):
            if "/tree/" in self.path:
                entries = [
                    {"type": "file", "path": n, "size": len(c), "oid": hashlib.sha1(c).hexdigest()}
                    for n, c in self.server.files.items()
                ]
                return self.answer_json(entries)
            siblings = [{"rfilename": name} for name in self.server.files]
            return self.answer_json({"id": "me/it", "sha": COMMIT, "siblings": siblings})
        name = self.path.partition(f"/resolve/{COMMIT}/")[2]
        if name not in self.server.files:
            return self.answer(status=404, X_Error_Code="EntryNotFound")
        content = self.server.files[name]
        etag = f'"{hashlib.sha1(content).hexdigest()}"'
        return self.answer(content, ETag=etag, X_Repo_Commit=COMMIT)

    do_HEAD = do_GET

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/api/repos/create":
            return self.answer_json({"url": f"{self.server.endpoint}/me/it", "id": "me/it"})
        if self.path == "/api/validate-yaml":
            return self.answer_json({"errors": [], "warnings": []})
        if "/preupload/" in self.path:
            files = [file["path"] for file in json.loads(body)["files"]]
            modes = [
                {"path": p, "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                for p in files
            ]
            return self.answer_json({"files": modes})
        if "/commit/" in self.path:
            for line in body.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    content = base64.b64decode(entry["value"]["content"])
                    self.server.files[entry["value"]["path"]] = content
            url = f"{self.server.endpoint}/me/it/commit/{COMMIT}"
            return self.answer_json({"commitUrl": url, "commitOid": COMMIT, "hookOutput": ""})
        return self.answer(status=404)
