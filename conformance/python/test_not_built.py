"""What the server does not have yet says so: 501, in the envelope that the SDK understands, and never a wrong success."""

import pytest
import sdk
from sdk import refused, unique

@pytest.mark.rest
def test_integrated_indexes(pc):
    name = unique("model")
    embed = {"model": "multilingual-e5-large", "field_map": {"text": "body"}}
    with refused(501):
        pc.create_index_for_model(name=name, cloud="aws", region="us-east-1", embed=embed)
    if sdk.VERSION >= (10, 0):
        with refused(501):
            pc.indexes.create_for_model(name=name, cloud="aws", region="us-east-1", embed=embed)
    elif sdk.VERSION < (9, 0):
        with refused(501):
            pc.db.index.create_for_model(name=name, cloud="aws", region="us-east-1", embed=embed)
    assert not pc.has_index(name)


@pytest.mark.rest
def test_inference(pc):
    with refused(501):
        pc.inference.embed(model="multilingual-e5-large", inputs=["a"], parameters={"input_type": "query"})
    with refused(501):
        pc.inference.rerank(model="bge-reranker-v2-m3", query="a", documents=["b"])
    with refused(501):
        pc.inference.list_models()
    with refused(501):
        pc.inference.get_model(**{"model" if sdk.VERSION >= (9, 0) else "model_name": "multilingual-e5-large"})


def test_records(dense, ns):
    if not sdk.has(dense, "upsert_records"):
        pytest.skip("not in this client")
    with refused(501):
        if sdk.VERSION >= (9, 0):
            dense.upsert_records(namespace=ns, records=[{"_id": "a", "body": "text"}])
        else:
            dense.upsert_records(ns, [{"_id": "a", "body": "text"}])
    query = {"inputs": {"text": "a"}, "top_k": 1}
    with refused(501):
        dense.search(namespace=ns, query=query)
    with refused(501):
        dense.search_records(namespace=ns, query=query)


def test_imports(dense):
    if not sdk.has(dense, "start_import"):
        pytest.skip("not in this client")
    with refused(501):
        dense.start_import("s3://bucket/folder")
    with refused(501):
        list(dense.list_imports())
    with refused(501):
        dense.list_imports_paginated()
    with refused(501):
        dense.describe_import("1")
    with refused(501):
        dense.cancel_import("1")


def test_documents(dense, ns):
    if not sdk.has(dense, "documents"):
        pytest.skip("not in this version")
    documents = dense.documents
    with refused(501):
        documents.upsert(namespace=ns, documents=[{"_id": "a", "body": "text"}])
    with refused(501):
        result = documents.batch_upsert(namespace=ns, documents=[{"_id": "a", "body": "text"}], show_progress=False)
        raise result.errors[0].error  # it collects what each batch met
    with refused(501):
        documents.search(namespace=ns, score_by=[{"type": "text", "fields": ["body"], "query": "text"}], top_k=1)
    with refused(501):
        documents.fetch(namespace=ns, ids=["a"])
    with refused(501):
        documents.update(namespace=ns, documents=[{"_id": "a", "body": "other"}])
    with refused(501):
        documents.delete(namespace=ns, ids=["a"])
    with refused(501):
        list(documents.list(namespace=ns))
