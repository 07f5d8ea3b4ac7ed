"""What the cases work with: a server of their own, AWS as ministack plays it, and a bucket that misbehaves on request."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BINARY = os.environ["PINYON_BINARY"]
WORK = Path(os.environ["PINYON_WORK"])
REGION = "us-east-1"
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(ready, what, seconds=60):
    deadline = time.monotonic() + seconds
    while True:
        if (found := ready()) is not None and found is not False:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds} s: {what}")
        time.sleep(0.1)


def answers(url):
    def ask():
        try:
            OPENER.open(url, timeout=2)
            return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return None

    return ask


class Server:
    """A Pinyon server on free ports and a directory that outlives it."""

    def __init__(self, name, sts, s3, credentials, *arguments):
        self.folder = WORK / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.data, self.log = self.folder / "data", self.folder / "server.log"
        self.port = free_port()
        kept = {k: v for k, v in os.environ.items() if not k.upper().startswith(("AWS_", "PINYON_", "PINECONE_")) and not k.lower().endswith("_proxy")}
        self.environment = kept | credentials | {"HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder / "config"), "AWS_EC2_METADATA_DISABLED": "true"}
        self.arguments = [BINARY, "serve", "--port", str(self.port), "--bind", "127.0.0.1", "--data-dir", str(self.data)]
        self.arguments += ["--root-key-file", str(self.folder / "root.key"), "--domain", "example.test"]
        self.arguments += ["--audit-sts-endpoint", sts, "--audit-s3-endpoint", s3, *arguments]
        self.process = None

    def start(self):
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(self.arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment)
        url = f"http://127.0.0.1:{self.port}/readyz"
        try:
            until(lambda: self.process.poll() is not None or answers(url)(), f"the server starts:\n{self.log.read_text()}")
        except AssertionError:
            self.stop(signal.SIGKILL)
            raise
        assert self.process.poll() is None, self.log.read_text()
        return self

    def stop(self, how=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(60)
        self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def command(self, *words, fails=False):
        """What a command prints; with `fails`, what it complains of."""
        command = [BINARY, *words, "--data-dir", str(self.data), "--root-key-file", str(self.folder / "root.key")]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=self.environment, timeout=120)
        assert (done.returncode != 0) == fails, f"{words}: {done.returncode}: {done.stdout}{done.stderr}"
        return done.stderr if fails else done.stdout

    def sink(self, *words, **kinds):
        return self.command("audit", "sink", *words, **kinds)

    def export(self):
        return [json.loads(line) for line in self.command("audit", "export").splitlines()]

    def own_events(self):
        """The organization's events from the set-up of its sink on, as the export has them."""
        organization = self.organization()
        own = [e for e in self.export() if e["organization_id"] == organization]
        begin = next(n for n, e in enumerate(own) if (e["event"]["action"], e["event"]["resource_type"], e["event"]["outcome"]["result"]) == ("update", "audit-log", "success"))
        return own[begin:]

    def organization(self):
        return json.loads(self.command("org", "list", "--json"))["organizations"][0]["id"]

    def owner(self, role="OrgOwner"):
        """A token of a service account with this role."""
        made = json.loads(self.command("service-account", "create", "--name", f"a {role}", "--role", role, "--json"))
        form = {"client_id": made["service_account"]["client_id"], "client_secret": made["client_secret"], "grant_type": "client_credentials", "audience": "https://api.pinecone.io/"}
        return self.call("POST", "/oauth/token", form)[1]["access_token"]

    def call(self, method, path, body=None, token=None):
        """Status and body of a request to the API."""
        headers = {"Content-Type": "application/json", "X-Pinecone-Api-Version": "2026-07"} | ({"Authorization": f"Bearer {token}"} if token else {})
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers, method=method)
        try:
            with OPENER.open(request, timeout=120) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")


class Ministack:
    """S3, STS and IAM that ask for signatures and hold to policies, on a port of their own."""

    def __enter__(self):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        environment |= {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(self.port), "AUTH": "true"}
        self.log = WORK / "ministack.log"
        program = Path(sys.executable).with_name("ministack")
        with open(self.log, "w") as log:
            self.process = subprocess.Popen([program], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=WORK)
        until(answers(self.url), f"ministack starts:\n{self.log.read_text()}")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)


class Trouble:
    """A small STS and S3 of our own, which do what `mood` says: `up`, a status with a code such as `503 SlowDown`, `lost` (stored, and
    the connection closed without an answer), `silent` (no answer), `elsewhere` (a redirect)."""

    def __init__(self):
        self.mood, self.objects, self.seen, self.redirected = "up", {}, [], []
        self.roles = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def body(self):
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))

            def answer(self, status, text, **headers):
                data = text.encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_POST(self):
                form = self.body().decode()
                outer.seen.append(("STS", form, dict(self.headers)))
                if outer.mood.startswith("sts "):
                    _, status, code = outer.mood.split()
                    return self.answer(int(status), f"<ErrorResponse><Error><Code>{code}</Code><Message>not &lt;now&gt;</Message></Error></ErrorResponse>")
                outer.roles += 1
                expiration = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
                self.answer(200, f"<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIATEST{outer.roles}</AccessKeyId><SecretAccessKey>session-secret-key</SecretAccessKey>"
                            f"<SessionToken>session-token-text</SessionToken><Expiration>{expiration}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>")

            def do_PUT(self):
                data = self.body()
                outer.seen.append(("S3", self.path, dict(self.headers)))
                mood = outer.mood
                if mood == "silent":
                    time.sleep(90)
                    return
                if mood == "elsewhere":
                    return self.answer(307, "<Error><Code>TemporaryRedirect</Code></Error>", Location=f"http://127.0.0.1:{outer.elsewhere}/x")
                if re.match(r"\d", mood):
                    status, code = mood.split()
                    return self.answer(int(status), f"<Error><Code>{code}</Code><Message>please wait</Message></Error>")
                if not self.path.endswith("audit-log-access-test"):
                    outer.objects[self.path] = data
                if mood == "lost":
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True
                    return
                self.answer(200, "")

            def do_GET(self):
                outer.redirected.append(self.path)
                self.answer(200, "")

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.elsewhere = free_port()

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()

    def events(self):
        """What is in all objects, in the order of their names."""
        return lines(self.objects[name] for name in sorted(self.objects))


def lines(bodies):
    return [json.loads(line) for body in bodies for line in body.decode().splitlines()]


def without_repeats(events):
    seen = set()
    return [e for e in events if not (e["id"] in seen or seen.add(e["id"]))]


@contextlib.contextmanager
def mood(trouble, text):
    before, trouble.mood = trouble.mood, text
    yield
    trouble.mood = before
