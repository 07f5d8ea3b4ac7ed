"""Keys in KMS as ministack and moto play it, and a proxy between them and the server that changes what passes."""

import base64
import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest

sys.path.append(str(Path(__file__).parent.parent / "audit"))
import kit  # noqa: E402

results = {"passed": 0, "failed": 0, "skipped": 0}


def pytest_runtest_logreport(report):
    if report.when == "call" or report.outcome == "failed" or (report.when == "setup" and report.outcome == "skipped"):
        results[report.outcome] += 1


def pytest_sessionfinish(session):
    with open(os.environ["PINYON_RESULTS"], "w") as out:
        json.dump(dict(results, operations=[], covered=[], host_from="-"), out)


class Aws:
    """A user who may assume roles, and keys that they may use."""

    EXTERNAL_ID = "6f1b0a52-8c1e-4b6e-9d0a-1f2e3d4c5b6a"

    def __init__(self, url):
        self.url = url
        root = {"endpoint_url": url, "region_name": kit.REGION, "aws_access_key_id": "test", "aws_secret_access_key": "test"}
        self.iam, self.kms = (boto3.client(name, **root) for name in ("iam", "kms"))
        self.user = self.iam.create_user(UserName="pinyon")["User"]["Arn"]
        made = self.iam.create_access_key(UserName="pinyon")["AccessKey"]
        self.credentials = {"AWS_ACCESS_KEY_ID": made["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": made["SecretAccessKey"]}
        allow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}]}
        self.iam.put_user_policy(UserName="pinyon", PolicyName="assume", PolicyDocument=json.dumps(allow))
        self.role = self.make_role("pinyon-cmek", ["kms:Encrypt", "kms:Decrypt"])
        self.reader = self.make_role("pinyon-decrypts-only", ["kms:Decrypt"])

    def make_role(self, name, actions):
        trust = {"Effect": "Allow", "Principal": {"AWS": self.user}, "Action": "sts:AssumeRole", "Condition": {"StringEquals": {"sts:ExternalId": self.EXTERNAL_ID}}}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        role = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
        self.allow(name, actions)
        return role

    def allow(self, name, actions):
        statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
        self.iam.put_role_policy(RoleName=name, PolicyName="keys", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))

    def forbid(self, name):
        self.iam.delete_role_policy(RoleName=name, PolicyName="keys")

    def make_key(self):
        return self.kms.create_key()["KeyMetadata"]["Arn"]


class Proxy:
    """Passes everything on to `url`, and changes questions by `change`, a function of the operation and its JSON."""

    def __init__(self, url):
        self.upstream, self.change, self.asked = url, None, []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                operation = self.headers.get("X-Amz-Target", "AssumeRole").split(".")[-1]
                outer.asked.append(operation)
                if outer.change and operation != "AssumeRole":
                    body = json.dumps(outer.change(operation, json.loads(body))).encode()
                # The host is signed.
                headers = {k: v for k, v in self.headers.items() if k.lower() not in ("content-length", "connection")}
                request = urllib.request.Request(outer.upstream + self.path, body, headers, method="POST")
                try:
                    answer = kit.OPENER.open(request, timeout=30)
                except urllib.error.HTTPError as error:
                    answer = error
                data = answer.read()
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()


def flipped(operation, question):
    """A ciphertext with another last byte."""
    if operation == "Decrypt":
        blob = bytearray(base64.b64decode(question["CiphertextBlob"]))
        blob[-1] ^= 1
        question["CiphertextBlob"] = base64.b64encode(blob).decode()
    return question


class CmekServer(kit.Server):
    """A server that asks for keys at `url`, each second, and may find them out of reach for ten."""

    def __init__(self, name, url, credentials, *arguments, kind="dev"):
        asked = ["--cmek-sts-endpoint", url, "--cmek-kms-endpoint", url, *arguments]
        super().__init__(name, url, url, credentials, *asked)
        self.arguments[1] = kind
        self.token = None

    def __enter__(self):
        super().__enter__()
        self.token = self.owner()
        return self

    def project(self, name="sealed"):
        """A project that must be encrypted with a customer's key, and an API key of it."""
        _, made = self.call("POST", "/admin/projects", {"name": name, "force_encryption_with_cmek": True}, self.token)
        key = self.command("key", "create", "--project", made["id"]).strip()
        return made["id"], key

    def add(self, project, key_arn, role_arn, external_id=Aws.EXTERNAL_ID, name="main"):
        body = {"project_id": project, "name": name, "key_arn": key_arn, "role_arn": role_arn, "external_id": external_id}
        return self.call("POST", "/pinyon/v1/cmeks", body, self.token)

    def describe(self, cmek):
        return self.call("GET", f"/pinyon/v1/cmeks/{cmek}", token=self.token)[1]

    def ask(self, method, path, body, key, host=None):
        """A request with an API key, to an index's host if one is named."""
        headers = {"Content-Type": "application/json", "Api-Key": key, "X-Pinecone-Api-Version": "2026-07"} | ({"Host": host} if host else {})
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers, method=method)
        try:
            with kit.OPENER.open(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")

    def index(self, key, name="movies"):
        schema = {"fields": {"_values": {"type": "dense_vector", "dimension": 3, "metric": "cosine"}}}
        status, made = self.ask("POST", "/indexes", {"name": name, "schema": schema}, key)
        assert status == 201, made
        host = made["host"].removeprefix("http://")
        vectors = {"vectors": [{"id": "a", "values": [1, 2, 3], "metadata": {"planted": "violet-cormorant"}}]}
        assert self.ask("POST", "/vectors/upsert", vectors, key, host)[0] == 200
        return host, made

    def query(self, key, host):
        return self.ask("POST", "/query", {"vector": [1, 2, 3], "topK": 1, "includeMetadata": True}, key, host)


@pytest.fixture(scope="session")
def aws():
    with kit.Ministack() as ministack:
        yield Aws(ministack.url)


@pytest.fixture
def server(aws, request):
    """What is deleted is not kept here: a key cannot go before what lies under it."""
    with CmekServer(request.node.name, aws.url, aws.credentials, "--cmek-cache-seconds", "1", "--deletion-window", "0s") as started:
        yield started


@pytest.fixture
def proxied(aws, request):
    """A server, and the proxy that it asks ministack through."""
    with Proxy(aws.url) as proxy, CmekServer(request.node.name, proxy.url, aws.credentials, "--cmek-cache-seconds", "1") as started:
        started.aws = aws
        yield started, proxy


@pytest.fixture
def moto(request):
    """A server that asks moto through a proxy, and moto's own client."""
    port = kit.free_port()
    program = Path(sys.executable).with_name("moto_server")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    with open(kit.WORK / "moto.log", "w") as log:
        process = subprocess.Popen([program, "-H", "127.0.0.1", "-p", str(port)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        kit.until(kit.answers(url), "moto starts")
        root = {"endpoint_url": url, "region_name": kit.REGION, "aws_access_key_id": "test", "aws_secret_access_key": "test"}
        credentials = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        with Proxy(url) as proxy, CmekServer(request.node.name, proxy.url, credentials, "--cmek-cache-seconds", "1") as started:
            yield started, proxy, boto3.client("kms", **root)
    finally:
        process.terminate()
        process.wait(30)
