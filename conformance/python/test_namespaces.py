"""Namespaces: create, list, describe, delete, and names that are hard on a URL."""

import pytest
import sdk
from sdk import refused, unique

ODD = ["it docs/xxxx", "a b", "a/b/c", "100%25", "q?x=y&z#f", "plus+plus", "dots..", "~tilde'"]


@pytest.fixture(scope="module")
def index(pc):
    name = unique("names")
    pc.create_index(name=name, dimension=2, metric="cosine", spec=sdk.serverless())
    yield sdk.open_index(pc, name)
    pc.delete_index(name)


def needs_create(index):
    if not sdk.has(index, "create_namespace"):
        pytest.skip("this version cannot create a namespace")


def names_of(response):
    return [n.name for n in response.namespaces]


def test_an_upsert_makes_the_namespace(index):
    name = unique("made")
    index.upsert(vectors=[("a", [1.0, 0.0]), ("b", [0.0, 1.0])], namespace=name)
    described = index.describe_namespace(namespace=name)
    assert described.name == name
    assert int(described.record_count) == 2


def test_create_describe_and_delete(index):
    needs_create(index)
    name = unique("created")
    assert index.create_namespace(name=name).name == name
    described = index.describe_namespace(namespace=name)
    assert (described.name, int(described.record_count or 0)) == (name, 0)
    with refused(409):
        index.create_namespace(name=name)
    index.delete_namespace(namespace=name)
    with refused(404):
        index.describe_namespace(namespace=name)


def test_create_with_a_schema(index):
    needs_create(index)
    name = unique("schema")
    field = {"filterable": True}
    if sdk.REST and sdk.VERSION < (9, 0):
        # This version turns the outer dictionary into its own class and asks for the inner ones ready made.
        from pinecone.core.openapi.db_data.model.create_namespace_request_schema_fields import CreateNamespaceRequestSchemaFields

        field = CreateNamespaceRequestSchemaFields(**field)
    index.create_namespace(name=name, schema={"fields": {"genre": field}})
    index.upsert(vectors=[("a", [1.0, 0.0], {"genre": "x", "free": 1})], namespace=name)
    assert sdk.ids(index.query(vector=[1.0, 0.0], top_k=1, namespace=name, filter={"genre": "x"})) == ["a"]
    assert "genre" in str(index.describe_namespace(namespace=name))


def test_a_namespace_cannot_be_called_default(index):
    needs_create(index)
    with refused((400, 409), or_by_client=True):
        index.create_namespace(name="__default__")


def test_an_unknown_namespace_is_not_found(index):
    with refused(404):
        index.describe_namespace(namespace=unique("never"))
    with refused(404):
        index.delete_namespace(namespace=unique("never"))


def test_a_deleted_namespace_is_gone_with_its_records(index):
    name = unique("gone")
    index.upsert(vectors=[("a", [1.0, 0.0])], namespace=name)
    index.delete_namespace(namespace=name)
    assert name not in index.describe_index_stats().namespaces
    assert dict(index.fetch(ids=["a"], namespace=name).vectors) == {}
    index.upsert(vectors=[("b", [1.0, 0.0])], namespace=name)
    assert sdk.ids(index.query(vector=[1.0, 0.0], top_k=5, namespace=name)) == ["b"]


def test_list_in_pages(pc):
    name = unique("pages")
    pc.create_index(name=name, dimension=2, metric="cosine", spec=sdk.serverless())
    try:
        index = sdk.open_index(pc, name)
        for n in range(7):
            index.upsert(vectors=[("a", [1.0, 0.0])], namespace=f"n{n}")
        seen, token = [], None
        while True:
            page = index.list_namespaces_paginated(limit=3, pagination_token=token)
            assert len(page.namespaces) <= 3
            seen += names_of(page)
            token = page.pagination.next if page.pagination else None
            if not token:
                break
        assert seen == [f"n{n}" for n in range(7)]
        assert [n.name for n in sdk.pages(index.list_namespaces(limit=3))] == seen
        if sdk.VERSION >= (9, 0):
            assert names_of(index.list_namespaces_paginated(prefix="n3")) == ["n3"]
            assert names_of(index.list_namespaces_paginated(prefix="x")) == []
    finally:
        pc.delete_index(name)


@pytest.mark.parametrize("name", ODD)
def test_names_with_spaces_and_slashes(index, name):
    if sdk.REST and sdk.VERSION[0] == 9 and any(c in name for c in "/%?#"):
        pytest.skip("this version does not encode a name in a path")
    index.upsert(vectors=[("a", [1.0, 0.0])], namespace=name)
    described = index.describe_namespace(namespace=name)
    assert (described.name, int(described.record_count)) == (name, 1)
    assert sdk.vector_count(index.describe_index_stats(), name) == 1
    assert sdk.ids(index.query(vector=[1.0, 0.0], top_k=1, namespace=name)) == ["a"]
    assert list(index.fetch(ids=["a"], namespace=name).vectors) == ["a"]
    index.delete_namespace(namespace=name)
    assert name not in index.describe_index_stats().namespaces


def test_a_name_that_is_too_long_is_refused(index):
    with refused(400, or_by_client=True):
        index.upsert(vectors=[("a", [1.0, 0.0])], namespace="n" * 513)
