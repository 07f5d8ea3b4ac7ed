"""The life of a customer's key: by ministack, which asks for signatures, external ids and permissions as AWS does, and by moto for what
ministack lets through."""

import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

from conftest import flipped
from kit import REGION, until

MISSING = f"arn:aws:kms:{REGION}:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def answered(server, key, host, status, seconds=61):
    """Until a query is answered so; how long that took."""
    begin = time.monotonic()
    until(lambda: server.query(key, host)[0] == status, f"a query is a {status}", seconds)
    return time.monotonic() - begin


def test_the_whole_life_of_a_key(aws, server):
    project, key = server.project()
    schema = {"fields": {"_values": {"type": "dense_vector", "dimension": 3, "metric": "cosine"}}}
    status, told = server.ask("POST", "/indexes", {"name": "early", "schema": schema}, key)
    assert (status, told["error"]["code"]) == (412, "FAILED_PRECONDITION"), told
    arn = aws.make_key()
    status, made = server.add(project, arn, aws.role)
    assert (status, made["state"]["status"]) == (201, "ready"), made
    host, index = server.index(key)
    assert index["cmek_id"] == made["id"]
    status, found = server.query(key, host)
    assert (status, found["matches"][0]["metadata"]) == (200, {"planted": "violet-cormorant"}), found

    other = aws.make_key()
    body = {"key_arn": other, "role_arn": aws.role, "external_id": aws.EXTERNAL_ID}
    status, replaced = server.call("POST", f"/pinyon/v1/cmeks/{made['id']}/replace", body, server.token)
    assert (status, replaced["key_arn"]) == (202, other), replaced
    until(lambda: server.describe(made["id"])["replacement"] is None, "the key is replaced")
    assert server.query(key, host)[0] == 200
    aws.kms.schedule_key_deletion(KeyId=arn, PendingWindowInDays=7)

    times = []
    for turn in range(20):
        revoke, restore = [
            (lambda: aws.kms.disable_key(KeyId=other), lambda: aws.kms.enable_key(KeyId=other)),
            (lambda: aws.forbid("pinyon-cmek"), lambda: aws.allow("pinyon-cmek", ["kms:Encrypt", "kms:Decrypt"])),
        ][turn % 2]
        revoke()
        times.append(answered(server, key, host, 403))
        state = server.describe(made["id"])["state"]
        assert state["status"] == "denied" and not state["served"], state
        status, told = server.query(key, host)
        assert "'main'" in told["message"] and "arn:" not in told["message"], told
        restore()
        answered(server, key, host, 200)
    print(f"time to refusal with a cache of 1 s, 20 times: median {statistics.median(times):.2f} s, at most {max(times):.2f} s")
    assert max(times) < 61

    restart_at = time.monotonic()
    server.stop()
    server.start()
    answered(server, key, host, 200)
    print(f"served again {time.monotonic() - restart_at:.1f} s after a restart")
    path = f"/pinyon/v1/cmeks/{made['id']}"
    assert server.call("DELETE", path + "?name=main", token=server.token)[0] == 412
    assert server.ask("DELETE", "/indexes/movies", None, key)[0] == 202
    assert server.call("DELETE", path + "?name=other", token=server.token)[0] == 400
    assert server.call("DELETE", path + "?name=main", token=server.token)[0] == 202
    assert server.call("GET", path, token=server.token)[0] == 404


def test_what_cannot_be_used_is_not_added(aws, server):
    project, _ = server.project()
    arn = aws.make_key()
    disabled = aws.make_key()
    aws.kms.disable_key(KeyId=disabled)
    doomed = aws.make_key()
    aws.kms.schedule_key_deletion(KeyId=doomed, PendingWindowInDays=7)
    nobody = aws.role.replace("pinyon-cmek", "nobody")
    for told, parts in {
        "AssumeRole": (arn, aws.role, "another"),
        "AssumeRole of": (arn, nobody),
        "Encrypt": (arn, aws.reader),
        "DisabledException": (disabled, aws.role),
        "KMSInvalidStateException": (doomed, aws.role),
        "NotFoundException": (MISSING, aws.role),
    }.items():
        status, refused = server.add(project, *parts)
        assert status == 412 and told in refused["error"]["message"], (parts, refused)
    status, refused = server.add(project, arn.replace("key/", "alias/"), aws.role)
    assert status == 400, refused
    assert server.call("GET", "/pinyon/v1/cmeks", token=server.token)[1] == {"data": []}
    assert server.add(project, arn, aws.role)[0] == 201


def test_a_changed_ciphertext_is_another_key(proxied):
    """ministack opens it, as something else."""
    server, proxy = proxied
    run_changed(server, proxy, "denied")


def run_changed(server, proxy, status, key_arn=None, role=None):
    project, key = server.project()
    added, made = server.add(project, key_arn or server.aws.make_key(), role or server.aws.role)
    assert added == 201, made
    host, _ = server.index(key)
    proxy.change = flipped
    answered(server, key, host, 403)
    state = server.describe(made["id"])["state"]
    assert state["status"] == status, state
    proxy.change = None
    answered(server, key, host, 200)
    return made, key, host


def test_moto_refuses_a_changed_ciphertext_and_another_key(moto):
    server, proxy, kms = moto
    arn, other = (kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2))
    role = "arn:aws:iam::123456789012:role/pinyon"
    made, key, host = run_changed(server, proxy, "denied", arn, role)

    def by_another(operation, question):
        return question | {"KeyId": other} if operation == "Decrypt" else question

    proxy.change = by_another
    answered(server, key, host, 403)
    assert server.describe(made["id"])["state"]["status"] == "denied"
    proxy.change = None
    answered(server, key, host, 200)

    def elsewhere(operation, question):
        context = dict(question.get("EncryptionContext", {}))
        return question | {"EncryptionContext": context | {"pinyon:project": "another"}} if operation == "Decrypt" else question

    proxy.change = elsewhere
    answered(server, key, host, 403)
    proxy.change = None
    answered(server, key, host, 200)


def test_kms_is_asked_by_the_number_of_keys(proxied):
    server, proxy = proxied
    project, key = server.project()
    added, made = server.add(project, server.aws.make_key(), server.aws.role)
    assert added == 201, made
    for n in range(20):
        server.index(key, f"index-{n}")
    proxy.asked.clear()
    time.sleep(5.5)
    assert 3 <= proxy.asked.count("Decrypt") <= 6, proxy.asked
    assert proxy.asked.count("AssumeRole") == proxy.asked.count("Decrypt")


def test_a_replacement_asks_by_the_number_of_keys(proxied):
    """PINYON_REWRAP_NAMESPACES says how many namespaces there are, in twenty indexes."""
    server, proxy = proxied
    project, key = server.project()
    _, made = server.add(project, server.aws.make_key(), server.aws.role)
    namespaces, indexes = int(os.environ.get("PINYON_REWRAP_NAMESPACES", "200")), 20
    hosts = [server.index(key, f"index-{n}")[0] for n in range(indexes)]

    def fill(n):
        body = {"vectors": [{"id": "a", "values": [1, 2, 3]}], "namespace": f"ns-{n}"}
        status, told = server.ask("POST", "/vectors/upsert", body, key, hosts[n % indexes])
        assert status == 200, told

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(fill, range(namespaces)))
    body = {"key_arn": server.aws.make_key(), "role_arn": server.aws.role, "external_id": server.aws.EXTERNAL_ID}
    proxy.asked.clear()
    begin = time.monotonic()
    status, told = server.call("POST", f"/pinyon/v1/cmeks/{made['id']}/replace", body, server.token)
    assert status == 202, told
    until(lambda: server.describe(made["id"])["replacement"] is None, "the key is replaced")
    seconds = time.monotonic() - begin
    calls = {operation: proxy.asked.count(operation) for operation in sorted(set(proxy.asked))}
    print(f"replaced above {indexes} indexes with {namespaces} namespaces in {seconds:.2f} s with these calls: {calls}")
    # One Encrypt, one Decrypt that tries it, and one Decrypt of each of the two keys for each second that it took.
    assert calls["Encrypt"] == 1 and calls["Decrypt"] <= 3 + 2 * seconds, calls
    assert seconds < 60
    body = {"vector": [1, 2, 3], "topK": 1, "namespace": f"ns-{namespaces - 1}"}
    status, found = server.ask("POST", "/query", body, key, hosts[(namespaces - 1) % indexes])
    assert (status, [m["id"] for m in found["matches"]]) == (200, ["a"]), found
