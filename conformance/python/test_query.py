"""Search: by vector, by id, sparse, hybrid, and every operator of the filter language."""

import math

import pytest
import sdk
from pinecone import SparseValues, Vector
from sdk import close_to, refused, unique

THREE = [("x", [1.0, 0.0, 0.0], {"axis": "x"}), ("y", [0.0, 2.0, 0.0], {"axis": "y"}), ("xy", [1.0, 1.0, 0.0], {"axis": "both"})]


def test_cosine(dense, ns):
    dense.upsert(vectors=THREE, namespace=ns)
    found = dense.query(vector=[2.0, 0.0, 0.0], top_k=3, namespace=ns)
    assert sdk.ids(found) == ["x", "xy", "y"]
    assert close_to(sdk.scores(found), [1.0, math.sqrt(0.5), 0.0])
    assert found.namespace == ns


def test_euclidean_gives_the_squared_distance_and_the_least_first(euclidean, ns):
    euclidean.upsert(vectors=THREE, namespace=ns)
    found = euclidean.query(vector=[1.0, 0.0, 0.0], top_k=3, namespace=ns)
    assert sdk.ids(found) == ["x", "xy", "y"]
    assert close_to(sdk.scores(found), [0.0, 1.0, 5.0])


def test_dotproduct(dot, ns):
    dot.upsert(vectors=THREE, namespace=ns)
    found = dot.query(vector=[1.0, 3.0, 0.0], top_k=3, namespace=ns)
    assert sdk.ids(found) == ["y", "xy", "x"]
    assert close_to(sdk.scores(found), [6.0, 4.0, 1.0])


def test_what_is_included(dense, ns):
    dense.upsert(vectors=THREE, namespace=ns)
    plain = dense.query(vector=[1.0, 0.0, 0.0], top_k=1, namespace=ns).matches[0]
    assert not plain.values and not plain.metadata
    both = dense.query(vector=[1.0, 0.0, 0.0], top_k=1, namespace=ns, include_values=True, include_metadata=True).matches[0]
    assert close_to(both.values, [1.0, 0.0, 0.0])
    assert dict(both.metadata) == {"axis": "x"}


def test_query_by_id(dense, ns):
    dense.upsert(vectors=THREE, namespace=ns)
    found = dense.query(id="xy", top_k=2, namespace=ns)
    assert sdk.ids(found)[0] == "xy"
    assert close_to(sdk.scores(found)[:1], [1.0])


def test_query_by_an_id_that_is_not_there_finds_nothing(dense, ns):
    dense.upsert(vectors=THREE, namespace=ns)
    try:
        assert sdk.ids(dense.query(id="missing", top_k=2, namespace=ns)) == []
    except Exception as error:
        assert sdk.status_of(error) == 404, error


def test_query_by_id_and_vector_is_refused(dense, ns):
    dense.upsert(vectors=THREE, namespace=ns)
    with refused(400, or_by_client=True):
        dense.query(id="x", vector=[1.0, 0.0, 0.0], top_k=1, namespace=ns)


def test_query_of_an_unknown_namespace_finds_nothing(dense):
    assert sdk.ids(dense.query(vector=[1.0, 0.0, 0.0], top_k=5, namespace=unique("never"))) == []


def test_a_zero_vector_may_be_asked_for(dense, ns):
    dense.upsert(vectors=THREE, namespace=ns)
    assert sorted(sdk.ids(dense.query(vector=[0.0, 0.0, 0.0], top_k=5, namespace=ns))) == ["x", "xy", "y"]


@pytest.mark.parametrize("top_k", [0, 10_001])
def test_top_k_out_of_range_is_refused(dense, ns, top_k):
    dense.upsert(vectors=THREE, namespace=ns)
    with refused(400, or_by_client=True):
        dense.query(vector=[1.0, 0.0, 0.0], top_k=top_k, namespace=ns)


def test_usage_is_reported(dense, ns):
    dense.upsert(vectors=THREE, namespace=ns)
    assert dense.query(vector=[1.0, 0.0, 0.0], top_k=1, namespace=ns).usage.read_units >= 1
    assert dense.fetch(ids=["x"], namespace=ns).usage.read_units >= 1


def test_the_default_namespace_has_two_names(pc):
    name = unique("default")
    pc.create_index(name=name, dimension=3, metric="cosine", spec=sdk.serverless())
    try:
        index = sdk.open_index(pc, name)
        index.upsert(vectors=THREE)
        assert sdk.ids(index.query(vector=[1.0, 0.0, 0.0], top_k=1)) == ["x"]
        assert sdk.ids(index.query(vector=[1.0, 0.0, 0.0], top_k=1, namespace="")) == ["x"]
        assert sdk.ids(index.query(vector=[1.0, 0.0, 0.0], top_k=1, namespace="__default__")) == ["x"]
        assert list(index.fetch(ids=["y"], namespace="__default__").vectors) == ["y"]
        index.delete(ids=["x"], namespace="__default__")
        assert dict(index.fetch(ids=["x"]).vectors) == {}
        assert index.describe_index_stats().total_vector_count == 2
    finally:
        pc.delete_index(name)


def test_sparse_search(sparse_index, ns):
    sparse_index.upsert(
        vectors=[
            {"id": "a", "sparse_values": sdk.sparse([1, 5], [1.0, 2.0])},
            {"id": "b", "sparse_values": sdk.sparse([5, 4_000_000_000], [1.0, 1.0]), "metadata": {"k": "v"}},
            {"id": "c", "sparse_values": sdk.sparse([9], [7.0])},
        ],
        namespace=ns,
    )
    found = sparse_index.query(sparse_vector=sdk.sparse([5, 4_000_000_000], [1.0, 3.0]), top_k=10, namespace=ns, include_metadata=True)
    assert sdk.ids(found) == ["b", "a"], "a record whose score is 0 is left out"
    assert close_to(sdk.scores(found), [4.0, 2.0])
    found = sparse_index.query(sparse_vector=SparseValues(indices=[5], values=[1.0]), top_k=10, namespace=ns, filter={"k": "v"})
    assert sdk.ids(found) == ["b"]
    record = sparse_index.fetch(ids=["b"], namespace=ns).vectors["b"]
    assert list(record.sparse_values.indices) == [5, 4_000_000_000]


def test_sparse_search_by_id(sparse_index, ns):
    sparse_index.upsert(vectors=[{"id": i, "sparse_values": sdk.sparse([1, n], [1.0, 1.0])} for i, n in (("a", 2), ("b", 3))], namespace=ns)
    assert sdk.ids(sparse_index.query(id="b", top_k=1, namespace=ns)) == ["b"]


def test_dense_values_in_a_sparse_index_are_refused(sparse_index, ns):
    with refused(400, or_by_client=True):
        sparse_index.upsert(vectors=[("a", [1.0, 0.0, 0.0])], namespace=ns)


def test_hybrid_score_is_the_sum_of_dense_and_sparse(dot, ns):
    dot.upsert(
        vectors=[
            Vector(id="dense", values=[2.0, 0.0, 0.0], sparse_values=SparseValues(indices=[1], values=[0.5])),
            Vector(id="sparse", values=[0.5, 0.0, 0.0], sparse_values=SparseValues(indices=[1, 7], values=[1.0, 3.0])),
            Vector(id="plain", values=[1.0, 0.0, 0.0]),
        ],
        namespace=ns,
    )
    found = dot.query(vector=[1.0, 0.0, 0.0], sparse_vector=sdk.sparse([1, 7], [1.0, 1.0]), top_k=3, namespace=ns, include_values=True)
    assert sdk.ids(found) == ["sparse", "dense", "plain"]
    assert close_to(sdk.scores(found), [4.5, 2.5, 1.0])
    assert list(found.matches[0].sparse_values.indices) == [1, 7]


def test_a_sparse_part_in_a_cosine_query_is_refused(dense, ns):
    dense.upsert(vectors=THREE, namespace=ns)
    with refused(400):
        dense.query(vector=[1.0, 0.0, 0.0], sparse_vector=sdk.sparse([1], [1.0]), top_k=1, namespace=ns)


def test_query_over_several_namespaces(dense):
    first, second = unique("ns"), unique("ns")
    dense.upsert(vectors=THREE[:1], namespace=first)
    dense.upsert(vectors=THREE[1:], namespace=second)
    found = dense.query_namespaces(vector=[1.0, 0.0, 0.0], namespaces=[first, second], metric="cosine", top_k=2)
    assert [m["id"] if isinstance(m, dict) else m.id for m in found.matches] == ["x", "xy"]


FILMS = [
    ("alien", {"genre": "horror", "year": 1979, "seen": True, "tags": ["space", "classic"]}),
    ("airplane", {"genre": "comedy", "year": 1980, "seen": True, "tags": ["classic"]}),
    ("brazil", {"genre": "drama", "year": 1985, "seen": False, "tags": ["future"]}),
    ("cube", {"genre": "horror", "year": 1997, "tags": []}),
    ("dune", {"genre": "drama", "year": 2021.5, "seen": False}),
    ("empty", {}),
]

# Each expected answer is typed by hand.
FILTERS = [
    ({"genre": "horror"}, "alien cube"),
    ({"genre": {"$eq": "horror"}}, "alien cube"),
    ({"year": 1980}, "airplane"),
    ({"year": {"$eq": 2021.5}}, "dune"),
    ({"seen": True}, "alien airplane"),
    ({"seen": {"$eq": False}}, "brazil dune"),
    ({"tags": "classic"}, "alien airplane"),
    ({"genre": {"$ne": "horror"}}, "airplane brazil dune empty"),
    ({"year": {"$gt": 1985}}, "cube dune"),
    ({"year": {"$gte": 1985}}, "brazil cube dune"),
    ({"year": {"$lt": 1980}}, "alien"),
    ({"year": {"$lte": 1980}}, "alien airplane"),
    ({"year": {"$gt": 1979, "$lt": 1997}}, "airplane brazil"),
    ({"genre": {"$in": ["comedy", "drama"]}}, "airplane brazil dune"),
    ({"year": {"$in": [1979, 1997]}}, "alien cube"),
    ({"tags": {"$in": ["space", "future"]}}, "alien brazil"),
    ({"genre": {"$nin": ["comedy", "drama"]}}, "alien cube empty"),
    ({"tags": {"$nin": ["classic"]}}, "brazil cube dune empty"),
    ({"seen": {"$exists": True}}, "alien airplane brazil dune"),
    ({"seen": {"$exists": False}}, "cube empty"),
    ({"$and": [{"genre": "horror"}, {"year": {"$gt": 1980}}]}, "cube"),
    ({"$or": [{"genre": "comedy"}, {"year": 1997}]}, "airplane cube"),
    ({"$or": [{"$and": [{"genre": "drama"}, {"seen": False}]}, {"tags": "space"}]}, "alien brazil dune"),
    ({"genre": "drama", "year": {"$lt": 2000}}, "brazil"),
    ({"genre": "western"}, ""),
    ({"genre": {"$eq": 1979}}, ""),
]


@pytest.fixture(scope="module")
def films(dense):
    namespace = unique("films")
    dense.upsert(vectors=[(name, [1.0, n / 10, 0.0], metadata) for n, (name, metadata) in enumerate(FILMS)], namespace=namespace)
    return namespace


@pytest.mark.parametrize("condition, expected", FILTERS, ids=[str(f) for f, _ in FILTERS])
def test_filter(dense, films, condition, expected):
    found = dense.query(vector=[1.0, 0.0, 0.0], top_k=10, namespace=films, filter=condition)
    assert sorted(sdk.ids(found)) == sorted(expected.split())


@pytest.mark.parametrize(
    "bad",
    [
        {"genre": {"$like": "h"}},
        {"year": {"$gt": "1980"}},
        {"genre": {"$in": "horror"}},
        {"$and": {"genre": "horror"}},
        {"$nor": [{"genre": "horror"}]},
        {"$eq": "horror"},
        {"seen": {"$exists": "yes"}},
        {"genre": {"$in": ["x"] * 10_001}},
    ],
    ids=["unknown operator", "$gt of a string", "$in of a string", "$and of an object", "unknown connective", "bare comparison", "$exists of a string", "$in of 10001"],
)
def test_a_filter_that_is_none_is_refused(dense, films, bad):
    with refused(400, or_by_client=True):
        dense.query(vector=[1.0, 0.0, 0.0], top_k=10, namespace=films, filter=bad)
