"""The index control plane: create, list, describe, configure, delete."""

import asyncio

import pytest
import sdk
from pinecone import ByocSpec, PodSpec
from sdk import refused, serverless, unique

pytestmark = pytest.mark.rest


@pytest.fixture
def name(pc):
    """A free name; an index that the case leaves under it is deleted."""
    name = unique("case")
    yield name
    if pc.has_index(name):
        pc.configure_index(name, deletion_protection="disabled")
        pc.delete_index(name)


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "dotproduct"])
def test_a_dense_index_is_described_as_it_was_created(pc, name, metric):
    created = pc.create_index(name=name, dimension=8, metric=metric, spec=serverless())
    assert created.name == name
    described = pc.describe_index(name)
    assert (described.name, described.dimension, described.metric) == (name, 8, metric)
    assert described.status.ready is True
    assert described.status.state == "Ready"
    assert described.deletion_protection == "disabled"
    assert described.host
    if sdk.VERSION < (10, 0):
        assert described.vector_type == "dense"
        assert described.spec.serverless.cloud == "aws"
        assert described.spec.serverless.region == "us-east-1"
    else:
        assert described.deployment.cloud == "aws"
        assert described.deployment.region == "us-east-1"
        assert described.schema.fields["_values"].dimension == 8


def test_the_metric_is_cosine_unless_said(pc, name):
    pc.create_index(name=name, dimension=2, spec=serverless())
    assert pc.describe_index(name).metric == "cosine"


def test_a_sparse_index_has_no_dimension(pc, name):
    pc.create_index(name=name, metric="dotproduct", vector_type="sparse", spec=serverless())
    described = pc.describe_index(name)
    assert described.metric == "dotproduct"
    assert described.vector_type == "sparse"
    assert not described.dimension


@pytest.mark.skipif(sdk.VERSION >= (10, 0), reason="a sparse field of a schema has no metric to get wrong")
def test_a_sparse_index_of_another_metric_is_refused(pc, name):
    with refused(400, or_by_client=True):
        pc.create_index(name=name, metric="cosine", vector_type="sparse", spec=serverless())
    assert not pc.has_index(name)


def test_ready_means_that_the_first_request_succeeds(pc, name):
    pc.create_index(name=name, dimension=2, spec=serverless())
    index = sdk.open_index(pc, name)
    assert index.upsert(vectors=[("a", [1.0, 0.0])]).upserted_count == 1
    assert sdk.ids(index.query(vector=[1.0, 0.0], top_k=1)) == ["a"]


def test_a_created_index_is_listed_and_a_deleted_one_is_not(pc, name):
    assert pc.has_index(name) is False
    pc.create_index(name=name, dimension=2, spec=serverless())
    assert pc.has_index(name) is True
    assert name in [index.name for index in pc.list_indexes()]
    pc.delete_index(name)
    assert pc.has_index(name) is False
    assert name not in [index.name for index in pc.list_indexes()]
    with refused(404):
        pc.describe_index(name)


def test_a_pod_index_is_created_and_scaled(pc, name):
    shape = {"dimension": 4, "metric": "euclidean", "spec": PodSpec(environment="us-east1-gcp", pod_type="p1.x1", pods=1)}
    if sdk.VERSION >= (10, 0):
        # Its API date has no pods to create any more.
        with refused(400, "Pod"):
            pc.create_index(name=name, **shape)
        return
    pc.create_index(name=name, **shape)
    described = pc.describe_index(name)
    assert (described.dimension, described.metric) == (4, "euclidean")
    index = sdk.open_index(pc, name)
    index.upsert(vectors=[("a", [1.0, 0.0, 0.0, 0.0])])
    assert index.describe_index_stats().total_vector_count == 1
    pc.configure_index(name, replicas=2, pod_type="p1.x2")
    described = pc.describe_index(name)
    pod = described.spec.pod
    assert (pod.replicas, pod.pod_type) == (2, "p1.x2")


def test_a_byoc_index_is_created(pc, name):
    more = {}
    if sdk.VERSION >= (10, 0):
        more["read_capacity"] = {"mode": "Dedicated", "dedicated": {"node_type": "b1", "scaling": "Manual", "manual": {"shards": 1, "replicas": 1}}}
    pc.create_index(name=name, dimension=4, spec=ByocSpec(environment="aws-us-east-1-b921", **more))
    described = pc.describe_index(name)
    place = described.spec.byoc if sdk.VERSION < (10, 0) else described.deployment
    assert place.environment == "aws-us-east-1-b921"


@pytest.mark.skipif(sdk.VERSION < (8, 0), reason="older versions have no read capacity")
def test_read_capacity_is_echoed(pc, name):
    pc.create_index(name=name, dimension=2, spec=serverless(read_capacity={"mode": "OnDemand"}))
    assert "OnDemand" in str(pc.describe_index(name).to_dict())
    dedicated = {"mode": "Dedicated", "dedicated": {"node_type": "b1", "scaling": "Manual", "manual": {"shards": 1, "replicas": 2}}}
    pc.configure_index(name, read_capacity=dedicated)
    assert "Dedicated" in str(pc.describe_index(name).to_dict())


@pytest.mark.skipif(not (8, 0) <= sdk.VERSION < (10, 0), reason="older versions have no metadata schema, newer ones do not send it")
def test_a_metadata_schema_limits_what_filters_may_name(pc, name):
    pc.create_index(name=name, dimension=2, spec=serverless(schema={"genre": {"filterable": True}}))
    index = sdk.open_index(pc, name)
    index.upsert(vectors=[("a", [1.0, 0.0], {"genre": "x", "year": 1999})])
    assert sdk.ids(index.query(vector=[1.0, 0.0], top_k=1, filter={"genre": "x"})) == ["a"]
    assert "genre" in str(pc.describe_index(name).to_dict())


def test_tags_are_kept_merged_and_removed(pc, name):
    pc.create_index(name=name, dimension=2, spec=serverless(), tags={"env": "test", "team": "search"})
    assert dict(pc.describe_index(name).tags.to_dict() if hasattr(pc.describe_index(name).tags, "to_dict") else pc.describe_index(name).tags) == {
        "env": "test",
        "team": "search",
    }
    pc.configure_index(name, tags={"env": "", "owner": "me"})
    tags = pc.describe_index(name).tags
    assert dict(tags.to_dict() if hasattr(tags, "to_dict") else tags) == {"team": "search", "owner": "me"}


def test_more_tags_than_allowed_are_refused(pc, name):
    with refused(400, "20", or_by_client=True):
        pc.create_index(name=name, dimension=2, spec=serverless(), tags={f"t{n}": "x" for n in range(21)})


def test_a_protected_index_is_not_deleted(pc, name):
    pc.create_index(name=name, dimension=2, spec=serverless(), deletion_protection="enabled")
    assert pc.describe_index(name).deletion_protection == "enabled"
    with refused(403, "Deletion protection is enabled for this index"):
        pc.delete_index(name)
    assert pc.has_index(name)
    pc.configure_index(name, deletion_protection="disabled")
    pc.delete_index(name)
    assert not pc.has_index(name)


def test_protection_is_turned_on_later(pc, name):
    pc.create_index(name=name, dimension=2, spec=serverless())
    pc.configure_index(name, deletion_protection="enabled")
    with refused(403):
        pc.delete_index(name)


def test_a_name_that_is_taken_is_a_conflict(pc, name):
    pc.create_index(name=name, dimension=2, spec=serverless())
    with refused(409):
        pc.create_index(name=name, dimension=2, spec=serverless())


@pytest.mark.parametrize("bad", ["Upper-Case", "under_score", "-edge", "edge-", "a" * 46, "dot.dot"])
def test_a_bad_name_is_refused(pc, bad):
    with refused(400, or_by_client=True):
        pc.create_index(name=bad, dimension=2, spec=serverless())


def test_the_refusal_of_a_name_says_what_is_allowed(pc):
    with refused(400, "alphanumeric character", or_by_client=True):
        pc.create_index(name="Not_Allowed", dimension=2, spec=serverless())


@pytest.mark.parametrize("dimension", [0, -1, 20001])
def test_a_dimension_out_of_range_is_refused(pc, name, dimension):
    with refused(400, or_by_client=True):
        pc.create_index(name=name, dimension=dimension, spec=serverless())


def test_a_dense_index_needs_a_dimension(pc, name):
    with refused((400, 422), or_by_client=True):
        pc.create_index(name=name, metric="cosine", spec=serverless())


def test_an_unknown_index_is_not_found(pc):
    missing = unique("none")
    with refused(404):
        pc.describe_index(missing)
    with refused(404):
        pc.delete_index(missing)
    with refused(404):
        pc.configure_index(missing, deletion_protection="enabled")


@pytest.mark.skipif(sdk.ANY_KEY, reason="this server takes any key")
def test_a_wrong_key_is_unauthorized():
    wrong = sdk.client(key="pk_not-a-key")
    with refused(401):
        wrong.list_indexes()
    with refused(401):
        wrong.create_index(name=unique("none"), dimension=2, spec=serverless())


def test_records_survive_in_one_index_when_another_is_deleted(pc, name, dense, ns):
    dense.upsert(vectors=[("kept", [1.0, 0.0, 0.0])], namespace=ns)
    pc.create_index(name=name, dimension=3, spec=serverless())
    sdk.open_index(pc, name).upsert(vectors=[("gone", [1.0, 0.0, 0.0])], namespace=ns)
    pc.delete_index(name)
    assert list(dense.fetch(ids=["kept"], namespace=ns).vectors) == ["kept"]


def test_a_name_can_be_used_again_and_starts_empty(pc, name):
    pc.create_index(name=name, dimension=2, spec=serverless())
    sdk.open_index(pc, name).upsert(vectors=[("a", [1.0, 0.0])])
    pc.delete_index(name)
    pc.create_index(name=name, dimension=2, spec=serverless())
    again = sdk.open_index(pc, name)
    assert again.describe_index_stats().total_vector_count == 0


def test_the_operations_of_the_index_namespace(pc, name):
    """Newer versions have `pc.indexes`, older ones `pc.db.index`: the same operations under other names."""
    if sdk.VERSION >= (9, 0):
        group, exists = pc.indexes, "exists"
    else:
        group, exists = pc.db.index, "has"
    group.create(name=name, dimension=2, metric="cosine", spec=serverless())
    assert getattr(group, exists)(name=name)
    assert group.describe(name=name).name == name
    assert name in [index.name for index in group.list()]
    group.configure(name=name, tags={"a": "b"})
    assert pc.describe_index(name).tags["a"] == "b"
    group.delete(name=name)
    assert not getattr(group, exists)(name=name)


@pytest.mark.skipif(sdk.VERSION < (10, 0), reason="older versions have no schema")
def test_an_index_is_created_from_a_schema(pc, name):
    pc.indexes.create(
        name=name,
        schema={"fields": {"_values": {"type": "dense_vector", "dimension": 2, "metric": "dotproduct"}, "_sparse_values": {"type": "sparse_vector"}}},
        deployment={"deployment_type": "managed", "cloud": "gcp", "region": "us-central1"},
    )
    described = pc.describe_index(name)
    assert set(described.schema.fields) == {"_values", "_sparse_values"}
    assert described.deployment.cloud == "gcp"


@pytest.mark.skipif(sdk.VERSION < (10, 0), reason="older versions have no schema")
def test_an_index_gets_a_name_if_none_is_given(pc):
    made = pc.indexes.create(schema={"fields": {"_values": {"type": "dense_vector", "dimension": 2, "metric": "cosine"}}})
    assert made.name and pc.has_index(made.name)
    pc.delete_index(made.name)


@pytest.mark.skipif(sdk.VERSION < (10, 0), reason="older versions have no schema")
def test_a_schema_with_document_fields_is_not_built_yet(pc, name):
    with refused(501):
        pc.indexes.create(name=name, schema={"fields": {"body": {"type": "string", "full_text_search": {"language": "en"}}}})
    assert not pc.has_index(name)


def test_an_index_client_from_a_host(pc, dense_name):
    if sdk.VERSION >= (9, 0):
        assert sdk.Recorded(pc.index(host=sdk.host_of(pc, dense_name)[0]), "Index").describe_index_stats().dimension == 3
    assert sdk.Recorded(pc.Index(host=sdk.host_of(pc, dense_name)[0]), "Index").describe_index_stats().dimension == 3


@pytest.mark.skipif(not hasattr(sdk.Pinecone, "IndexAsyncio"), reason="not in this version")
def test_an_asynchronous_index_client_from_a_client(pc, dense_name):
    async def body():
        async with pc.IndexAsyncio(host=sdk.host_of(pc, dense_name)[0]) as index:
            assert (await index.describe_index_stats()).dimension == 3

    asyncio.run(body())
