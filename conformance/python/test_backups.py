"""Backups, restore jobs, schedules and collections, by every way that a version has to ask for them.

With PINYON_CMEK, the id of a customer's key, every index lies under that key, and so does every backup of it."""

import json
import os
import time
import urllib.request

import pytest
import sdk
from sdk import refused, unique

pytestmark = pytest.mark.rest

NOBODYS = "8f4a3a2e-1111-4222-8333-444455556666"
CMEK = os.environ.get("PINYON_CMEK")
RECORDS = [{"id": f"r{n}", "values": [1.0, float(n), 0.5], "metadata": {"n": float(n)}} for n in range(7)]


def raw(method, path, body=None, version="2025-10"):
    """A request that this version of the SDK cannot make: a pod index, or an index under a key."""
    import ssl

    context = ssl.create_default_context(cafile=sdk.CA) if sdk.TLS else None
    handlers = [urllib.request.ProxyHandler({})] + ([urllib.request.HTTPSHandler(context=context)] if context else [])
    headers = {"Api-Key": sdk.KEY, "X-Pinecone-Api-Version": version, "Content-Type": "application/json"}
    data = json.dumps(body).encode() if body is not None else None
    with urllib.request.build_opener(*handlers).open(urllib.request.Request(sdk.CONTROL + path, data, headers, method=method)) as answer:
        return json.load(answer)


def field(thing, name):
    return thing[name] if isinstance(thing, dict) else getattr(thing, name)


def until(describe, status="Ready"):
    deadline = time.monotonic() + 60
    while True:
        found = describe()
        if field(found, "status") == status:
            return found
        assert field(found, "status") in ("Initializing", "Pending") and time.monotonic() < deadline, found
        time.sleep(0.02)


def content(pc, name):
    index = sdk.open_index(pc, name)
    fetched = index.fetch(ids=[r["id"] for r in RECORDS], namespace="n")
    return {id: (list(v.values), dict(v.metadata)) for id, v in fetched.vectors.items()}


@pytest.fixture
def source(pc):
    """An index with some records, and what is in it."""
    name = unique("source")
    if CMEK:
        field_of = {"_values": {"type": "dense_vector", "dimension": 3, "metric": "cosine"}}
        body = {"name": name, "schema": {"fields": field_of}, "deployment": {"deployment_type": "managed", "cloud": "aws", "region": "us-east-1"}}
        raw("POST", "/indexes", body | {"cmek_id": CMEK}, "2026-07")
    else:
        pc.create_index(name=name, dimension=3, metric="cosine", spec=sdk.serverless())
    sdk.open_index(pc, name).upsert(vectors=RECORDS, namespace="n")
    yield name
    if pc.has_index(name):
        pc.delete_index(name)


def restored(pc, restore, source):
    """Restores by this way, waits, and compares."""
    name = unique("restored")
    before = content(pc, source)
    restore(name)
    deadline = time.monotonic() + 60
    while not pc.describe_index(name).status.ready:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert content(pc, name) == before and len(before) == len(RECORDS)
    if CMEK:
        assert raw("GET", f"/indexes/{name}", version="2026-07")["cmek_id"] == CMEK
    pc.delete_index(name)


def check(backup, source):
    assert (backup.source_index_name, backup.status, backup.cloud, backup.region) == (source, "Ready", "aws", "us-east-1")
    assert (int(backup.record_count), int(backup.namespace_count)) == (7, 1) and backup.size_bytes > 0 and backup.created_at
    if sdk.VERSION >= (10, 0):
        assert backup.dense_dimension == 3 and backup.source_index_deleted_at is None
    else:
        assert (int(backup.dimension), backup.metric) == (3, "cosine")


def test_by_the_clients_own_methods(pc, source):
    made = pc.create_backup(index_name=source, backup_name="nightly", description="all of it")
    assert (made.name, made.description, made.status) == ("nightly", "all of it", "Initializing")
    backup = until(lambda: pc.describe_backup(backup_id=made.backup_id))
    check(backup, source)
    assert [b.backup_id for b in pc.list_backups(index_name=source)] == [backup.backup_id]
    assert backup.backup_id in [b.backup_id for b in pc.list_backups(limit=100)]
    restored(pc, lambda name: pc.create_index_from_backup(name=name, backup_id=backup.backup_id, tags={"by": "test"}), source)
    jobs = [job for job in pc.list_restore_jobs(limit=100) if job.backup_id == backup.backup_id]
    assert len(jobs) == 1
    job = pc.describe_restore_job(job_id=jobs[0].restore_job_id)
    assert (job.status, job.percent_complete) == ("Completed", 100) and job.completed_at
    pc.delete_backup(backup_id=backup.backup_id)
    with refused(404):
        pc.describe_backup(backup_id=backup.backup_id)


def test_by_the_namespaces_of_operations(pc, source):
    new = sdk.VERSION >= (9, 0)
    backups, jobs = (pc.backups, pc.restore_jobs) if new else (pc.db.backup, pc.db.restore_job)
    made = backups.create(index_name=source, **{"name" if new else "backup_name": "by-namespace"})
    backup = until(lambda: backups.describe(backup_id=made.backup_id))
    check(backup, source)
    assert backups.get(backup_id=made.backup_id).backup_id == made.backup_id
    assert [b.backup_id for b in backups.list(index_name=source)] == [made.backup_id]
    if new:
        restored(pc, lambda name: pc.create_index_from_backup(name=name, backup_id=made.backup_id, deletion_protection="disabled"), source)
    else:
        restored(pc, lambda name: pc.db.index.create_from_backup(name=name, backup_id=made.backup_id), source)
    job = next(job for job in jobs.list(limit=100) if job.backup_id == made.backup_id)
    assert jobs.describe(job_id=job.restore_job_id).status == "Completed"
    if not new:
        assert jobs.get(job_id=job.restore_job_id).status == "Completed"
    backups.delete(backup_id=made.backup_id)
    with refused(404):
        backups.describe(backup_id=made.backup_id)


def test_pages(pc, source):
    made = [pc.create_backup(index_name=source, backup_name=f"b{n}").backup_id for n in range(3)]
    found, token = [], None
    while True:
        page = pc.list_backups(index_name=source, limit=2, **({"pagination_token": token} if token else {}))
        items = list(page)
        assert len(items) <= 2
        found += [b.backup_id for b in items]
        token = page.pagination.next if getattr(page, "pagination", None) else None
        if not token:
            break
    assert sorted(found) == sorted(made)
    for id in made:
        until(lambda: pc.describe_backup(backup_id=id))
        pc.delete_backup(backup_id=id)


def test_by_the_indexes_namespace(pc, source):
    if not hasattr(pc.indexes._target if hasattr(pc, "indexes") else None, "create_backup"):
        pytest.skip("not in this version")
    made = pc.indexes.create_backup(source, name="by-indexes")
    backup = until(lambda: pc.indexes.describe_backup(made.backup_id))
    check(backup, source)
    assert [b.backup_id for b in pc.indexes.list_backups(source)] == [made.backup_id]
    restored(pc, lambda name: pc.create_index_from_backup(name=name, backup_id=made.backup_id, read_capacity={"mode": "OnDemand"}), source)
    # It outlives its index.
    pc.delete_index(source)
    with refused(404):
        list(pc.indexes.list_backups(source))
    orphan = list(pc.indexes.list_backups(source, include_deleted=True))
    assert [b.backup_id for b in orphan] == [made.backup_id] and orphan[0].source_index_deleted_at
    assert [b.backup_id for b in pc.backups.list(index_name=source, include_deleted=True)] == [made.backup_id]
    pc.create_index_from_backup(name=source, backup_id=made.backup_id)
    assert len(content(pc, source)) == len(RECORDS)
    pc.backups.delete(backup_id=made.backup_id)


def test_schedules(pc, source):
    if sdk.VERSION < (10, 0):
        pytest.skip("not in this version")
    schedules = pc.backup_schedules
    made = schedules.create(index_name=source, name="nightly", frequency="daily", retention_days=7)
    assert (made.name, made.frequency, made.retention_expire_after_days, made.enabled) == ("nightly", "daily", 7, True)
    assert 0 < (made.next_scheduled_run - made.created_at).total_seconds() <= 24 * 3600
    id = made.schedule_id
    assert schedules.describe(schedule_id=id) == schedules.get(schedule_id=id) == made
    assert list(schedules.list(index_name=source)) == list(schedules.iter_schedules(index_name=source)) == [made]
    with refused(409):
        schedules.create(index_name=source, name="second", frequency="weekly", retention_days=7)
    planned = list(schedules.history(schedule_id=id))
    assert len(planned) == 1 and planned[0].is_scheduled and planned[0].scheduled_execution_at == made.next_scheduled_run
    paused = schedules.update(schedule_id=id, frequency="monthly", retention_days=30, enabled=False)
    assert (paused.enabled, paused.next_scheduled_run, paused.frequency) == (False, None, "monthly")
    # Enabled again it runs at once.
    assert schedules.update(schedule_id=id, enabled=True).next_scheduled_run
    runs = list(schedules.iter_history(schedule_id=id))
    assert len(runs) == 2 and runs[0].name.startswith("nightly-2")
    backup = until(lambda: pc.backups.describe(backup_id=runs[0].backup_id))
    check(backup, source)
    schedules.delete(schedule_id=id)
    with refused(404):
        schedules.describe(schedule_id=id)
    pc.backups.delete(backup_id=backup.backup_id)


def test_what_is_not_there(pc, source):
    with refused(404):
        pc.create_backup(index_name=unique("none"), backup_name="b")
    with refused(404):
        pc.describe_backup(backup_id=NOBODYS)
    with refused(404):
        pc.delete_backup(backup_id=NOBODYS)
    with refused(404):
        pc.create_index_from_backup(name=unique("none"), backup_id=NOBODYS)
    with refused(404):
        pc.describe_restore_job(job_id=NOBODYS)
    with refused(404):
        pc.describe_collection(unique("none"))
    with refused(404):
        pc.delete_collection(unique("none"))
    with refused(400):
        pc.create_collection(unique("col"), source)


def test_collections(pc):
    name, col = unique("pod"), unique("col")
    spec = {"pod": {"environment": "us-east1-gcp", "pod_type": "p1.x1"}}
    raw("POST", "/indexes", {"name": name, "dimension": 3, "metric": "cosine", "spec": spec})
    sdk.open_index(pc, name).upsert(vectors=RECORDS, namespace="n")
    before = content(pc, name)
    # Each way to make one, look at it and delete it.
    new = sdk.VERSION >= (9, 0)
    other = pc.collections if new else pc.db.collection
    describe = (lambda: other.describe(col)) if new else (lambda: other.describe(name=col))
    pc.create_collection(col, name)
    ready = until(lambda: pc.describe_collection(col))
    assert (int(field(ready, "vector_count")), int(field(ready, "dimension")), field(ready, "environment")) == (7, 3, "us-east1-gcp")
    assert field(describe(), "name") == col
    assert col in pc.list_collections().names() and col in other.list().names()
    with refused(409):
        other.create(name=col, source=name)
    made = unique("again")
    raw("POST", "/indexes", {"name": made, "dimension": 3, "metric": "cosine", "spec": {"pod": spec["pod"] | {"source_collection": col}}})
    deadline = time.monotonic() + 60
    while not pc.describe_index(made).status.ready:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert content(pc, made) == before
    pc.delete_collection(col)
    second = unique("col")
    other.create(name=second, source=name)
    until(lambda: pc.describe_collection(second))
    other.delete(second) if new else other.delete(name=second)
    with refused(404):
        pc.describe_collection(second)
    for index in (name, made):
        pc.delete_index(index)
