"""A program as people write it for Pinecone Local, with the REST client. It runs unmodified against `pinyon dev`."""

from pinecone import Pinecone, ServerlessSpec

pc = Pinecone(api_key="pclocal", host="http://localhost:5080")

name = "emulator-rest"
if pc.has_index(name):
    pc.delete_index(name)
pc.create_index(name=name, dimension=2, metric="cosine", spec=ServerlessSpec(cloud="aws", region="us-east-1"))

index = pc.Index(host="http://" + pc.describe_index(name).host)
index.upsert(vectors=[("vec1", [1.0, -2.5]), ("vec2", [3.0, -2.0])], namespace="example-namespace")
assert index.query(namespace="example-namespace", vector=[3.0, -2.0], top_k=1).matches[0].id == "vec2"
assert set(index.fetch(ids=["vec1", "vec2"], namespace="example-namespace").vectors) == {"vec1", "vec2"}
index.delete(ids=["vec1"], namespace="example-namespace")
assert index.describe_index_stats().total_vector_count == 1
pc.delete_index(name)
print("ok")
