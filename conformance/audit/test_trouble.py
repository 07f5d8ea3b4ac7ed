"""The audit log and a bucket that is busy, slow, silent, lossy or gone: nothing is lost, and the order is kept."""

import json
import signal
import time

import pytest
from kit import mood, until, without_repeats
from test_audit_log import ROLE, act, set_up

SECRETS = ["base-secret-key", "session-secret-key", "session-token-text"]


def caught_up(server, trouble):
    expected = server.own_events()
    return without_repeats(trouble.events()) == expected or None


def test_requests_are_signed_for_the_role_and_carry_a_checksum(trouble, troubled):
    set_up(troubled, ROLE, "logs/a", "--external-id", "x-1")
    kinds = [kind for kind, *_ in trouble.seen]
    assert kinds[:2] == ["STS", "S3"]
    _, form, headers = trouble.seen[0]
    assert "RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fx" in form and "ExternalId=x-1" in form
    assert "Credential=AKIATEST/" in headers["authorization"] and "/us-east-1/sts/" in headers["authorization"]
    _, path, headers = trouble.seen[1]
    assert path == "/logs/a/audit-log-access-test"
    assert "Credential=ASIATEST1/" in headers["authorization"] and "/us-east-1/s3/" in headers["authorization"]
    assert headers["x-amz-security-token"] == "session-token-text" and headers["x-amz-checksum-sha256"]
    until(lambda: caught_up(troubled, trouble), "the events arrive")
    assert trouble.roles == 1, "a session is used until it ends"


@pytest.mark.parametrize("what", ["503 SlowDown", "429 TooManyRequests", "500 InternalError", "403 AccessDenied", "lost"])
def test_nothing_is_lost_while_the_bucket_misbehaves(trouble, troubled, what):
    set_up(troubled, ROLE, "logs")
    until(lambda: caught_up(troubled, trouble), "the first events arrive")
    with mood(trouble, what):
        for n in range(5):
            act(troubled, f"in trouble {n}")
        until(lambda: "last_error" in troubled.sink("show") or None, "the error is shown")
    until(lambda: caught_up(troubled, trouble), "all of it arrives", 90)
    until(lambda: "last_error" not in troubled.sink("show") or None, "the error is over", 90)


def test_a_long_time_down_with_crashes_and_then_back(trouble, troubled):
    set_up(troubled, ROLE, "logs")
    trouble.mood = "503 ServiceUnavailable"
    for life in range(4):
        for n in range(12):
            act(troubled, f"life {life} {n}")
        troubled.stop(signal.SIGKILL if life % 2 else signal.SIGTERM)
        troubled.start()
    expected = troubled.own_events()
    assert len(expected) > 140
    trouble.mood = "up"
    until(lambda: caught_up(troubled, trouble), "all of it arrives", 120)
    assert without_repeats(trouble.events()) == troubled.own_events(), "0 lost, order kept"


def test_a_redirect_is_not_followed(trouble, troubled):
    with mood(trouble, "elsewhere"):
        told = set_up(troubled, ROLE, "logs", fails=True)
    assert "307" in told and trouble.redirected == [], told
    assert not any(path == "/x" for kind, path, _ in trouble.seen if kind == "S3")


@pytest.mark.parametrize("what,shown", [("sts 403 AccessDenied", "AccessDenied: not <now>"), ("sts 429 Throttling", "Throttling"), ("sts 500 InternalFailure", "InternalFailure")])
def test_a_role_that_cannot_be_assumed_is_told_with_its_reason(trouble, troubled, what, shown):
    with mood(trouble, what):
        told = set_up(troubled, ROLE, "logs", fails=True)
    assert f"AssumeRole of {ROLE} was refused" in told and shown in told, told
    assert "no delivery" in troubled.sink("show", fails=True)


def test_disabling_with_a_silent_bucket_ends_and_says_what_remains(trouble, troubled):
    set_up(troubled, ROLE, "logs")
    until(lambda: caught_up(troubled, trouble), "the first events arrive")
    trouble.mood = "silent"
    act(troubled, "while silent")
    begin = time.monotonic()
    shown = troubled.sink("disable")
    assert time.monotonic() - begin < 30, "it does not wait for ever"
    pending = int(next(line for line in shown.splitlines() if line.startswith("entries_pending")).split()[1])
    assert pending >= 3, shown
    assert any("while silent" in e["event"]["resource_name"] for e in troubled.export()), "what remains is in the log"


def test_no_secret_is_in_anything_that_is_written(trouble, troubled):
    with mood(trouble, "403 AccessDenied"):
        set_up(troubled, ROLE, "logs", fails=True)
    set_up(troubled, ROLE, "logs")
    until(lambda: caught_up(troubled, trouble), "the events arrive")
    with mood(trouble, "503 SlowDown"):
        act(troubled, "x")
        until(lambda: "last_error" in troubled.sink("show") or None, "the error is shown")
    written = json.dumps(troubled.export()) + troubled.sink("show")
    troubled.stop()
    files = [path.read_bytes() for path in troubled.folder.rglob("*") if path.is_file()]
    for secret in SECRETS:
        assert secret not in written
        assert not any(secret.encode() in content for content in files), secret
