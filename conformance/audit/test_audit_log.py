"""The audit log in a customer's bucket: by ministack, which asks for signatures, external ids and permissions as AWS does."""

import re
import time

import pytest
from kit import lines, until

ROLE = "arn:aws:iam::123456789012:role/x"


def set_up(server, role, bucket, *more, **kinds):
    return server.sink("set", "--role-arn", role, "--bucket", bucket, "--interval", "10", *more, **kinds)


def act(server, name):
    server.command("project", "create", name)
    server.command("key", "create", "--name", name)
    server.command("service-account", "create", "--name", name, "--role", "OrgMember")


def test_events_of_the_organization_arrive_as_the_export_has_them(aws, server):
    act(server, "before")
    shown = set_up(server, aws.role, "audit-logs/sub/directory", "--external-id", aws.EXTERNAL_ID)
    assert "interval_seconds: 10" in shown and "enabled: true" in shown
    assert aws.s3.get_object(Bucket="audit-logs", Key="sub/directory/audit-log-access-test")["Body"].read()
    for n in range(4):
        act(server, f"after {n}")
    expected = server.own_events()
    assert len(expected) >= 13
    delivered = until(lambda: len(lines(b for _, b in aws.objects("sub/"))) >= len(expected) or None, "the events arrive")
    objects = aws.objects("sub/")
    delivered = lines(body for _, body in objects)
    assert delivered == expected
    assert not any("before" in e["event"]["resource_name"] for e in delivered)
    for key, body in objects:
        assert re.fullmatch(r"sub/directory/\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}Z-\d{20}\.jsonl", key), key
        first = lines([body])[0]["event"]["time"].replace(":", "-")
        assert key.split("/")[-1].startswith(first), (key, first)
    assert "entries_pending: 0" in server.sink("show")
    server.stop()
    server.start()
    act(server, "later")
    expected = server.own_events()
    until(lambda: lines(b for _, b in aws.objects("sub/")) == expected or None, "what came after a restart arrives")
    assert "follows the one before it" in server.command("audit", "verify")


def test_what_is_refused_says_which_step_and_why_and_stores_nothing(aws, server):
    refusals = [
        ((aws.role, "audit-logs", "--external-id", "another"), "AssumeRole"),
        ((aws.role, "audit-logs"), "AssumeRole"),
        ((aws.missing, "audit-logs"), "AssumeRole"),
        ((aws.reader, "audit-logs"), "PutObject"),
        ((aws.plain_role, "someone-elses"), "PutObject"),
        ((aws.plain_role, "not-there-at-all"), "PutObject"),
    ]
    for (role, bucket, *more), step in refusals:
        told = set_up(server, role, bucket, *more, fails=True)
        assert step in told and "refused" in told and ("AccessDenied" in told or "NoSuch" in told), told
        assert "no delivery" in server.sink("show", fails=True)
    set_up(server, aws.plain_role, "audit-logs/plain")
    told = set_up(server, aws.reader, "audit-logs/other", fails=True)
    assert "PutObject" in told
    assert "bucket: audit-logs/plain" in server.sink("show"), "what was set up stays as it was"


def test_over_http_it_is_the_owners_alone(aws, server):
    path = f"/pinyon/v1/organizations/{server.organization()}/audit-log"
    owner, manager = server.owner(), server.owner("OrgManager")
    body = {"role_arn": aws.role, "external_id": aws.EXTERNAL_ID, "bucket": "audit-logs/http", "interval_seconds": 10}
    assert server.call("GET", path)[0] == 401
    for method in ("GET", "PUT", "DELETE"):
        assert server.call(method, path, body if method == "PUT" else None, manager)[0] == 403, method
    assert server.call("GET", path, token=owner)[0] == 404
    assert server.call("GET", path.replace(server.organization(), "11111111-2222-4333-8444-555555555555"), token=owner)[0] == 404
    status, made = server.call("PUT", path, body, owner)
    assert (status, made["enabled"], made["region"], made["interval_seconds"]) == (200, True, "us-east-1", 10), made
    status, refused = server.call("PUT", path, body | {"external_id": "another"}, owner)
    assert status == 412 and "AssumeRole" in refused["error"]["message"], refused
    for field, wrong in [
        ("role_arn", "arn:aws:iam::1:role/x"),
        ("bucket", "127.0.0.1"),
        ("bucket", "evil.example.com#"),
        ("bucket", "audit-logs/../x"),
        ("region", "us-east-1.evil.example"),
        ("region", "us-east-1@evil"),
        ("interval_seconds", 9),
        ("interval_seconds", 86_401),
        ("endpoint", "http://169.254.169.254"),
    ]:
        status, refused = server.call("PUT", path, body | {field: wrong}, owner)
        assert status in (400, 422), (field, wrong, status, refused)
    act(server, "over http")
    expected = server.own_events()
    until(lambda: lines(b for _, b in aws.objects("http/")) == expected or None, "the events arrive")
    # Disabled, it says how many remain; enabled again it goes on where it stopped.
    status, off = server.call("PUT", path, body | {"enabled": False}, owner)
    assert (status, off["enabled"], off["delivery"]["entries_pending"]) == (200, False, 1), off
    act(server, "while off")
    time.sleep(12)
    assert not any("while off" in e["event"]["resource_name"] for e in lines(b for _, b in aws.objects("http/")))
    server.call("PUT", path, body, owner)
    expected = server.own_events()
    until(lambda: lines(b for _, b in aws.objects("http/")) == expected or None, "the rest arrives")
    status, removed = server.call("DELETE", path, token=owner)
    assert (status, removed["delivery"]["entries_pending"]) == (200, 0), removed
    assert server.call("GET", path, token=owner)[0] == 404


def test_without_credentials_of_its_own_the_server_says_so(aws, request):
    import kit

    with kit.Server("no-credentials", aws.url, aws.url, {}) as server:
        told = set_up(server, aws.plain_role, "audit-logs", fails=True)
        assert "no AWS credentials" in told, told


@pytest.mark.parametrize("setting", ["--audit-s3-endpoint", "--audit-sts-endpoint"])
def test_an_endpoint_that_is_none_keeps_the_server_from_starting(setting):
    import subprocess

    from kit import BINARY, WORK

    folder = WORK / "endpoint"
    done = subprocess.run([BINARY, "serve", "--data-dir", folder / "data", "--root-key-file", folder / "k", setting, "localhost"], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and setting in done.stderr, done.stderr
