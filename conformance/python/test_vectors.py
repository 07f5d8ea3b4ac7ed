"""Writing records and reading them back: upsert, fetch, update, delete, list, stats."""

import pytest
import sdk
from pinecone import SparseValues, Vector
from sdk import close_to, refused, unique


def future_result(future):
    return future.result() if hasattr(future, "result") else future.get()


def test_upsert_takes_every_form_of_a_record(dense, ns):
    assert dense.upsert(vectors=[("tuple", [1.0, 0.0, 0.0])], namespace=ns).upserted_count == 1
    assert dense.upsert(vectors=[("meta", [0.0, 1.0, 0.0], {"a": "b"})], namespace=ns).upserted_count == 1
    assert dense.upsert(vectors=[{"id": "dict", "values": [0.0, 0.0, 1.0], "metadata": {"n": 1}}], namespace=ns).upserted_count == 1
    assert dense.upsert(vectors=[Vector(id="class", values=[1.0, 1.0, 0.0])], namespace=ns).upserted_count == 1
    assert set(dense.fetch(ids=["tuple", "meta", "dict", "class"], namespace=ns).vectors) == {"tuple", "meta", "dict", "class"}


def test_values_and_metadata_come_back_as_they_were(dense, ns):
    metadata = {"text": "Grüße, 世界", "number": 1.5, "whole": 7, "negative": -3, "yes": True, "no": False, "list": ["a", "b"], "empty": ""}
    dense.upsert(vectors=[("a", [0.1, -0.25, 3e-5], metadata)], namespace=ns)
    record = dense.fetch(ids=["a"], namespace=ns).vectors["a"]
    assert record.id == "a"
    assert close_to(record.values, [0.1, -0.25, 3e-5], 1e-7)
    assert dict(record.metadata) == metadata


def test_an_upsert_replaces_the_whole_record(dense, ns):
    dense.upsert(vectors=[("a", [1.0, 0.0, 0.0], {"old": 1})], namespace=ns)
    dense.upsert(vectors=[("a", [0.0, 1.0, 0.0])], namespace=ns)
    record = dense.fetch(ids=["a"], namespace=ns).vectors["a"]
    assert close_to(record.values, [0.0, 1.0, 0.0])
    assert not record.metadata
    assert sdk.vector_count(dense.describe_index_stats(), ns) == 1


def test_of_equal_ids_in_one_upsert_the_last_wins(dense, ns):
    try:
        dense.upsert(vectors=[("a", [1.0, 0.0, 0.0], {"n": 1}), ("a", [0.0, 1.0, 0.0], {"n": 2})], namespace=ns)
    except Exception as error:
        if sdk.status_of(error) != 0:
            raise
        pytest.skip("this version refuses equal ids itself")
    assert dense.fetch(ids=["a"], namespace=ns).vectors["a"].metadata["n"] == 2
    assert sdk.vector_count(dense.describe_index_stats(), ns) == 1


def test_upsert_in_batches(dense, ns):
    vectors = [(f"v{n:03}", [1.0, n / 100, 0.0]) for n in range(250)]
    assert dense.upsert(vectors=vectors, namespace=ns, batch_size=100, show_progress=False).upserted_count == 250
    assert sdk.vector_count(dense.describe_index_stats(), ns) == 250


def test_upsert_from_a_dataframe(dense, ns):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame([{"id": f"d{n}", "values": [1.0, 0.0, float(n)], "metadata": {"n": n}} for n in range(30)])
    assert dense.upsert_from_dataframe(frame, namespace=ns, batch_size=10, show_progress=False).upserted_count == 30
    assert dense.fetch(ids=["d7"], namespace=ns).vectors["d7"].metadata["n"] == 7


def test_asynchronous_requests(dense, ns):
    if sdk.GRPC and sdk.VERSION >= (9, 0):
        futures = [dense.upsert_async(vectors=[(f"a{n}", [1.0, 0.0, float(n)])], namespace=ns) for n in range(5)]
        assert [future_result(f).upserted_count for f in futures] == [1] * 5
        assert future_result(dense.query_async(vector=[1.0, 0.0, 0.0], top_k=1, namespace=ns)).matches[0].id == "a0"
        assert set(future_result(dense.fetch_async(ids=["a1"], namespace=ns)).vectors) == {"a1"}
        future_result(dense.update_async(id="a1", set_metadata={"x": 1}, namespace=ns))
        found = future_result(dense.query_namespaces_async(vector=[1.0, 0.0, 0.0], namespaces=[ns], metric="cosine", top_k=1))
        assert found.matches[0].id == "a0"
        future_result(dense.delete_async(ids=["a1"], namespace=ns))
        assert "a1" not in dense.fetch(ids=["a1"], namespace=ns).vectors
        return
    futures = [dense.upsert(vectors=[(f"a{n}", [1.0, 0.0, float(n)])], namespace=ns, async_req=True) for n in range(5)]
    assert [future_result(f).upserted_count for f in futures] == [1] * 5
    assert future_result(dense.query(vector=[1.0, 0.0, 0.0], top_k=1, namespace=ns, async_req=True)).matches[0].id == "a0"


def test_fetch_leaves_out_what_is_not_there(dense, ns):
    dense.upsert(vectors=[("a", [1.0, 0.0, 0.0])], namespace=ns)
    found = dense.fetch(ids=["a", "missing"], namespace=ns)
    assert list(found.vectors) == ["a"]
    assert found.namespace == ns
    assert dict(dense.fetch(ids=["missing"], namespace=unique("never")).vectors) == {}


def test_ids_of_every_printable_character(dense, ns):
    odd = ["a b", "a/b", "a?b&c=d", "100%", "#tag", "plus+", "q\"uote", "back\\slash", "{json}", "a" * 512]
    dense.upsert(vectors=[(i, [1.0, 0.0, 0.0]) for i in odd], namespace=ns)
    assert set(dense.fetch(ids=odd, namespace=ns).vectors) == set(odd)
    listed = [getattr(v, "id", v) for v in sdk.pages(dense.list(namespace=ns))]
    assert sorted(listed) == sorted(odd)


def test_fetch_by_metadata(dense, ns):
    if not sdk.has(dense, "fetch_by_metadata"):
        pytest.skip("not in this version")
    dense.upsert(vectors=[(f"m{n}", [1.0, 0.0, 0.0], {"even": n % 2 == 0, "n": n}) for n in range(10)], namespace=ns)
    found = dense.fetch_by_metadata(filter={"even": {"$eq": True}}, namespace=ns)
    assert set(found.vectors) == {"m0", "m2", "m4", "m6", "m8"}
    assert found.vectors["m4"].metadata["n"] == 4

    seen, token = [], None
    while True:
        page = dense.fetch_by_metadata(filter={"n": {"$gte": 3}}, namespace=ns, limit=3, pagination_token=token)
        assert len(page.vectors) <= 3
        seen += list(page.vectors)
        token = page.pagination.next if page.pagination else None
        if not token:
            break
    assert sorted(seen) == ["m3", "m4", "m5", "m6", "m7", "m8", "m9"]


def test_fetch_by_an_empty_filter_is_refused(dense, ns):
    if not sdk.has(dense, "fetch_by_metadata"):
        pytest.skip("not in this version")
    dense.upsert(vectors=[("a", [1.0, 0.0, 0.0])], namespace=ns)
    with refused(400, "Empty filter", or_by_client=True):
        dense.fetch_by_metadata(filter={}, namespace=ns)


def test_update_replaces_values_and_merges_metadata(dense, ns):
    dense.upsert(vectors=[("a", [1.0, 0.0, 0.0], {"keep": "k", "change": 1})], namespace=ns)
    dense.update(id="a", values=[0.0, 0.0, 1.0], namespace=ns)
    dense.update(id="a", set_metadata={"change": 2, "new": True}, namespace=ns)
    record = dense.fetch(ids=["a"], namespace=ns).vectors["a"]
    assert close_to(record.values, [0.0, 0.0, 1.0])
    assert dict(record.metadata) == {"keep": "k", "change": 2, "new": True}


def test_update_of_sparse_values(dot, ns):
    dot.upsert(vectors=[Vector(id="a", values=[1.0, 0.0, 0.0], sparse_values=SparseValues(indices=[1], values=[1.0]))], namespace=ns)
    dot.update(id="a", sparse_values=sdk.sparse([2, 5], [0.5, 0.25]), namespace=ns)
    record = dot.fetch(ids=["a"], namespace=ns).vectors["a"]
    assert list(record.sparse_values.indices) == [2, 5]
    assert close_to(record.sparse_values.values, [0.5, 0.25])
    assert close_to(record.values, [1.0, 0.0, 0.0])


def test_update_of_a_missing_record_has_no_effect(dense, ns):
    dense.upsert(vectors=[("a", [1.0, 0.0, 0.0])], namespace=ns)
    dense.update(id="missing", set_metadata={"x": 1}, namespace=ns)
    assert dict(dense.fetch(ids=["missing"], namespace=ns).vectors) == {}
    assert sdk.vector_count(dense.describe_index_stats(), ns) == 1


def test_update_by_filter_and_its_dry_run(dense, ns):
    if sdk.VERSION < (8, 0):
        pytest.skip("not in this version")
    dense.upsert(vectors=[(f"u{n}", [1.0, 0.0, 0.0], {"group": "x" if n < 3 else "y"}) for n in range(5)], namespace=ns)
    assert dense.update(filter={"group": "x"}, set_metadata={"seen": True}, namespace=ns, dry_run=True).matched_records == 3
    assert all("seen" not in r.metadata for r in dense.fetch(ids=["u0", "u1", "u2"], namespace=ns).vectors.values())
    assert dense.update(filter={"group": "x"}, set_metadata={"seen": True}, namespace=ns).matched_records == 3
    records = dense.fetch(ids=[f"u{n}" for n in range(5)], namespace=ns).vectors
    assert [bool(records[f"u{n}"].metadata.get("seen")) for n in range(5)] == [True, True, True, False, False]


def test_update_by_an_empty_filter_is_refused(dense, ns):
    if sdk.VERSION < (8, 0):
        pytest.skip("not in this version")
    dense.upsert(vectors=[("a", [1.0, 0.0, 0.0])], namespace=ns)
    with refused(400, or_by_client=True):
        dense.update(filter={}, set_metadata={"x": 1}, namespace=ns)


def test_delete_by_ids(dense, ns):
    dense.upsert(vectors=[("a", [1.0, 0.0, 0.0]), ("b", [0.0, 1.0, 0.0]), ("c", [0.0, 0.0, 1.0])], namespace=ns)
    dense.delete(ids=["a", "c", "missing"], namespace=ns)
    assert list(dense.fetch(ids=["a", "b", "c"], namespace=ns).vectors) == ["b"]
    assert sdk.ids(dense.query(vector=[1.0, 1.0, 1.0], top_k=3, namespace=ns)) == ["b"]


def test_delete_by_filter(dense, ns):
    dense.upsert(vectors=[(f"d{n}", [1.0, 0.0, 0.0], {"n": n}) for n in range(6)], namespace=ns)
    dense.delete(filter={"n": {"$lt": 4}}, namespace=ns)
    assert sorted(sdk.ids(dense.query(vector=[1.0, 0.0, 0.0], top_k=10, namespace=ns))) == ["d4", "d5"]


def test_delete_all(dense, ns):
    dense.upsert(vectors=[(f"d{n}", [1.0, 0.0, 0.0]) for n in range(6)], namespace=ns)
    dense.delete(delete_all=True, namespace=ns)
    assert dict(dense.fetch(ids=["d0"], namespace=ns).vectors) == {}
    assert sdk.ids(dense.query(vector=[1.0, 0.0, 0.0], top_k=10, namespace=ns)) == []


def test_delete_in_a_namespace_that_never_existed_is_not_found(dense):
    never = unique("never")
    with refused(404):
        dense.delete(ids=["a"], namespace=never)
    with refused(404):
        dense.delete(delete_all=True, namespace=never)


def test_delete_without_a_selector_is_refused(dense, ns):
    dense.upsert(vectors=[("a", [1.0, 0.0, 0.0])], namespace=ns)
    with refused(400, or_by_client=True):
        dense.delete(namespace=ns)
    with refused(400, or_by_client=True):
        dense.delete(ids=["a"], delete_all=True, namespace=ns)
    assert list(dense.fetch(ids=["a"], namespace=ns).vectors) == ["a"]


def test_list_in_pages_and_by_prefix(dense, ns):
    dense.upsert(vectors=[(f"doc1#{n:02}", [1.0, 0.0, 0.0]) for n in range(12)] + [("doc2#00", [1.0, 0.0, 0.0])], namespace=ns)
    pages, token = [], None
    while True:
        page = dense.list_paginated(prefix="doc1#", limit=5, namespace=ns, pagination_token=token)
        pages.append([v["id"] if isinstance(v, dict) else v.id for v in page.vectors])
        token = page.pagination.next if page.pagination else None
        if not token:
            break
    assert pages == [[f"doc1#{n:02}" for n in range(k, min(k + 5, 12))] for k in (0, 5, 10)]

    listed = [getattr(v, "id", v) for v in sdk.pages(dense.list(prefix="doc", limit=4, namespace=ns))]
    assert listed == [f"doc1#{n:02}" for n in range(12)] + ["doc2#00"]


def test_list_of_an_unknown_namespace_is_empty(dense):
    page = dense.list_paginated(namespace=unique("never"))
    assert list(page.vectors) == []
    assert not (page.pagination and page.pagination.next)


def test_stats_count_each_namespace(dense):
    first, second = unique("ns"), unique("ns")
    dense.upsert(vectors=[("a", [1.0, 0.0, 0.0]), ("b", [1.0, 0.0, 0.0])], namespace=first)
    dense.upsert(vectors=[("a", [1.0, 0.0, 0.0])], namespace=second)
    stats = dense.describe_index_stats()
    assert stats.dimension == 3
    assert (sdk.vector_count(stats, first), sdk.vector_count(stats, second)) == (2, 1)
    assert stats.total_vector_count == sum(sdk.vector_count(stats, name) for name in stats.namespaces)
    assert stats.index_fullness == 0


def test_stats_of_a_sparse_index_have_no_dimension(sparse_index, ns):
    sparse_index.upsert(vectors=[{"id": "a", "sparse_values": sdk.sparse([1], [1.0])}], namespace=ns)
    stats = sparse_index.describe_index_stats()
    assert not getattr(stats, "dimension", None)
    assert sdk.vector_count(stats, ns) == 1


def test_stats_with_a_filter_are_refused(dense):
    with refused(400, or_by_client=True):
        dense.describe_index_stats(filter={"a": "b"})


def test_a_wrong_dimension_is_refused_and_nothing_of_the_batch_is_written(dense, ns):
    with refused(400, "Vector dimension 2 does not match the dimension of the index 3"):
        dense.upsert(vectors=[("good", [1.0, 0.0, 0.0]), ("bad", [1.0, 0.0])], namespace=ns)
    assert dict(dense.fetch(ids=["good"], namespace=ns).vectors) == {}
    with refused(400, "dimension"):
        dense.query(vector=[1.0], top_k=1, namespace=ns)


def test_a_zero_vector_is_kept_and_is_like_nothing(dense, ns):
    dense.upsert(vectors=[("zero", [0.0, 0.0, 0.0]), ("x", [1.0, 0.0, 0.0])], namespace=ns)
    found = dense.query(vector=[1.0, 0.0, 0.0], top_k=2, namespace=ns)
    assert [(match.id, match.score) for match in found.matches] == [("x", 1.0), ("zero", 0.0)]


@pytest.mark.parametrize(
    "metadata",
    [{"nested": {"a": 1}}, {"list": [1, 2]}, {"$key": "x"}],
    ids=["nested", "list of numbers", "key with $"],
)
def test_metadata_of_another_shape_is_refused(dense, ns, metadata):
    with refused(400, or_by_client=True):
        dense.upsert(vectors=[("a", [1.0, 0.0, 0.0], metadata)], namespace=ns)


def test_metadata_beyond_40_kb_is_refused(dense, ns):
    with refused(400, "40"):
        dense.upsert(vectors=[("a", [1.0, 0.0, 0.0], {"text": "x" * 41_000})], namespace=ns)


@pytest.mark.parametrize("bad", ["", "a" * 513, "ümlaut"], ids=["empty", "513 long", "not ASCII"])
def test_a_bad_id_is_refused(dense, ns, bad):
    with refused(400, or_by_client=True):
        dense.upsert(vectors=[(bad, [1.0, 0.0, 0.0])], namespace=ns)


def test_more_than_1000_records_in_one_request_are_refused(dense, ns):
    with refused((400, 413), "1000", or_by_client=True):
        dense.upsert(vectors=[(f"v{n}", [1.0, 0.0, 0.0]) for n in range(1001)], namespace=ns)


@pytest.mark.skipif(sdk.ANY_KEY, reason="this server takes any key")
def test_a_wrong_key_is_unauthorized_on_the_index_host(pc, dense_name):
    wrong = "pk_not-a-key"
    if sdk.GRPC:
        index = sdk.open_index(pc, dense_name, key=wrong)
        if sdk.VERSION < (9, 0):
            index._target.runner.fixed_metadata["api-key"] = wrong
        elif sdk.TLS or sdk.VERSION >= (10, 0):
            index = sdk.Recorded(sdk.client(key=wrong)._target.Index(host=sdk.host_of(pc, dense_name)[0]), "GrpcIndex")
    else:
        index = sdk.Recorded(sdk.client(key=wrong)._target.Index(host=sdk.host_of(pc, dense_name)[0]), "Index")
    with refused(401):
        index.query(vector=[1.0, 0.0, 0.0], top_k=1)
