"""Batches as large as programs really send them, and one that is too large."""

import random

import pytest
import sdk
from sdk import refused, serverless, unique


def batch(count, dimension, metadata_bytes):
    """Records whose metadata is exactly `metadata_bytes` long as JSON."""
    source = random.Random(f"{count} x {dimension}")
    text = "x" * (metadata_bytes - len('{"text":""}'))
    return [
        {"id": f"r{n}", "values": [source.uniform(-1, 1) for _ in range(dimension)], **({"metadata": {"text": text}} if metadata_bytes else {})}
        for n in range(count)
    ]


@pytest.mark.parametrize(
    "count, dimension, metadata_bytes", [(245, 1536, 2000), (100, 3072, 0)], ids=["245 x 1536 with 2000 bytes of metadata", "100 x 3072"]
)
def test_a_large_batch_is_written_and_found(pc, count, dimension, metadata_bytes):
    name = unique("batch")
    pc.create_index(name=name, dimension=dimension, metric="cosine", spec=serverless())
    try:
        index = sdk.open_index(pc, name)
        records = batch(count, dimension, metadata_bytes)
        assert index.upsert(vectors=records).upserted_count == count
        assert index.describe_index_stats().total_vector_count == count
        for record in (records[0], records[count // 2], records[-1]):
            found = index.query(vector=record["values"], top_k=1, include_metadata=True, include_values=True)
            assert sdk.ids(found) == [record["id"]]
            assert abs(found.matches[0].score - 1) < 1e-5
            assert sdk.close_to(found.matches[0].values, record["values"], 1e-6)
            if metadata_bytes:
                assert found.matches[0].metadata["text"] == record["metadata"]["text"]
    finally:
        pc.delete_index(name)


def test_a_batch_beyond_two_megabytes_is_refused(pc):
    name = unique("batch")
    pc.create_index(name=name, dimension=1536, metric="cosine", spec=serverless())
    try:
        index = sdk.open_index(pc, name)
        with refused((400, 413), or_by_client=True):
            index.upsert(vectors=batch(400, 1536, 0))
        assert index.describe_index_stats().total_vector_count == 0
    finally:
        pc.delete_index(name)
