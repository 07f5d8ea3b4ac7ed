"""The asynchronous client: each of its operations once, since what travels is the same REST."""

import asyncio
import inspect
from collections.abc import AsyncIterable

import pytest
import sdk
from sdk import Recorded, refused, serverless, unique

pytestmark = pytest.mark.asyncio_sdk

BACKUP = "8f4a3a2e-1111-4222-8333-444455556666"


def run(case):
    """Runs a case with a client, and an index of dimension 3 that is deleted afterwards."""

    async def body():
        async with sdk.async_client_class()(**sdk.options()) as raw:
            pc = Recorded(raw, "AsyncPinecone")
            name = unique("async")
            await pc.create_index(name=name, dimension=3, metric="cosine", spec=serverless())
            try:
                host = (await pc.describe_index(name)).host
                host = sdk.usable_host(host)
                async with pc.IndexAsyncio(host=host) as index:
                    await case(pc, name, Recorded(index, "AsyncIndex"))
            finally:
                if await pc.has_index(name):
                    await pc.delete_index(name)

    asyncio.run(body())


async def drained(result):
    """What an asynchronous iterator or a coroutine gives."""
    if inspect.isawaitable(result):
        result = await result
    return [item async for item in result] if isinstance(result, AsyncIterable) else result


RECORDS = [("x", [1.0, 0.0, 0.0], {"axis": "x"}), ("y", [0.0, 1.0, 0.0], {"axis": "y"}), ("xy", [1.0, 1.0, 0.0], {"axis": "both"})]


def test_indexes():
    async def case(pc, name, index):
        assert name in [i.name for i in await drained(pc.list_indexes())]
        await pc.configure_index(name, tags={"a": "b"}, deletion_protection="enabled")
        with refused(403, "Deletion protection"):
            await pc.delete_index(name)
        await pc.configure_index(name, deletion_protection="disabled")
        assert (await pc.describe_index(name)).tags["a"] == "b"
        with refused(409):
            await pc.create_index(name=name, dimension=3, spec=serverless())
        if hasattr(pc._target, "index"):
            opened = pc.index(name)
            opened = await opened if inspect.isawaitable(opened) else opened
            assert (await opened.describe_index_stats()).dimension == 3
            await opened.close()
        await pc.delete_index(name)
        assert await pc.has_index(name) is False

    run(case)


def test_vectors():
    async def case(pc, name, index):
        assert (await index.upsert(vectors=RECORDS, namespace="n")).upserted_count == 3
        assert sdk.ids(await index.query(vector=[1.0, 0.0, 0.0], top_k=2, namespace="n")) == ["x", "xy"]
        assert sdk.ids(await index.query(vector=[1.0, 0.0, 0.0], top_k=2, namespace="n", filter={"axis": {"$in": ["y"]}})) == ["y"]
        found = await index.query_namespaces(vector=[1.0, 0.0, 0.0], namespaces=["n", "m"], metric="cosine", top_k=1)
        assert [m["id"] if isinstance(m, dict) else m.id for m in found.matches] == ["x"]
        await index.update(id="x", set_metadata={"new": 1}, namespace="n")
        assert (await index.fetch(ids=["x"], namespace="n")).vectors["x"].metadata["new"] == 1
        if sdk.has(index, "fetch_by_metadata"):
            assert list((await index.fetch_by_metadata(filter={"new": 1}, namespace="n")).vectors) == ["x"]
        assert [v["id"] if isinstance(v, dict) else v.id for v in (await index.list_paginated(prefix="x", namespace="n")).vectors] == ["x", "xy"]
        listed = await drained(index.list(prefix="x", limit=1, namespace="n"))
        assert [getattr(v, "id", v) for v in sdk.pages(listed)] == ["x", "xy"]
        await index.delete(ids=["y"], namespace="n")
        assert sdk.vector_count(await index.describe_index_stats(), "n") == 2
        with refused(400, "dimension"):
            await index.upsert(vectors=[("bad", [1.0])], namespace="n")

    run(case)


def test_upsert_from_a_dataframe():
    pandas = pytest.importorskip("pandas")

    async def case(pc, name, index):
        frame = pandas.DataFrame([{"id": f"d{n}", "values": [1.0, 0.0, float(n)]} for n in range(20)])
        try:
            result = await index.upsert_from_dataframe(frame, namespace="n", batch_size=10, show_progress=False)
        except NotImplementedError:
            pytest.skip("the asynchronous client of this version has the method but not the function")
        assert result.upserted_count == 20

    run(case)


def test_namespaces():
    # 9.x does not encode a name in a path.
    name = "plain" if sdk.VERSION[0] == 9 else "it docs/xxxx"

    async def case(pc, _, index):
        await index.upsert(vectors=RECORDS, namespace=name)
        described = await index.describe_namespace(namespace=name)
        assert (described.name, int(described.record_count)) == (name, 3)
        if sdk.has(index, "create_namespace"):
            await index.create_namespace(name="created")
            await index.delete_namespace(namespace="created")
        assert [n.name for n in (await index.list_namespaces_paginated()).namespaces] == [name]
        assert [n.name for n in sdk.pages(await drained(index.list_namespaces()))] == [name]
        await index.delete_namespace(namespace=name)
        with refused(404):
            await index.describe_namespace(namespace=name)

    run(case)


def test_not_built():
    async def case(pc, name, index):
        embed = {"model": "multilingual-e5-large", "field_map": {"text": "body"}}
        query = {"inputs": {"text": "a"}, "top_k": 1}
        calls = [
            lambda: pc.create_index_for_model(name=unique("none"), cloud="aws", region="us-east-1", embed=embed),
            lambda: index.upsert_records(namespace="n", records=[{"_id": "a", "body": "text"}]),
            lambda: index.search(namespace="n", query=query),
            lambda: index.search_records(namespace="n", query=query),
            lambda: index.start_import("s3://bucket/folder"),
            lambda: index.list_imports(),
            lambda: index.list_imports_paginated(),
            lambda: index.describe_import("1"),
            lambda: index.cancel_import("1"),
        ]
        for call in calls:
            with refused(501):
                await drained(call())

    run(case)


def test_backups():
    async def case(pc, name, index):
        await index.upsert(vectors=RECORDS, namespace="n")
        made = await pc.create_backup(index_name=name, backup_name="nightly")
        while (backup := await pc.describe_backup(backup_id=made.backup_id)).status == "Initializing":
            await asyncio.sleep(0.02)
        assert (backup.status, int(backup.record_count)) == ("Ready", len(RECORDS))
        assert made.backup_id in [b.backup_id for b in await drained(pc.list_backups(index_name=name))]
        again = unique("again")
        await pc.create_index_from_backup(name=again, backup_id=made.backup_id)
        job = next(j for j in await drained(pc.list_restore_jobs(limit=100)) if j.backup_id == made.backup_id)
        assert (await pc.describe_restore_job(job_id=job.restore_job_id)).status == "Completed"
        await pc.delete_index(again)
        await pc.delete_backup(backup_id=made.backup_id)
        for call in [
            lambda: pc.describe_backup(backup_id=BACKUP),
            lambda: pc.delete_backup(backup_id=BACKUP),
            lambda: pc.create_index_from_backup(name=unique("none"), backup_id=BACKUP),
            lambda: pc.describe_restore_job(job_id=BACKUP),
            lambda: pc.delete_collection("none"),
        ] + ([lambda: pc.describe_collection("none")] if sdk.VERSION >= (8, 0) else []):  # 7.3 forgets to await its own answer
            with refused(404):
                await drained(call())
        assert len(list(await drained(pc.list_collections()))) == 0
        with refused(400):
            await pc.create_collection(unique("col"), name)

    run(case)


def test_a_wrong_key_is_unauthorized():
    async def body():
        async with sdk.async_client_class()(**sdk.options(key="pk_not-a-key")) as pc:
            with refused(401):
                await drained(pc.list_indexes())

    asyncio.run(body())
