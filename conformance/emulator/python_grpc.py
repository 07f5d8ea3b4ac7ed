"""A program as people write it for Pinecone Local, with the gRPC client. It runs unmodified against `pinyon dev`."""

from pinecone import ServerlessSpec
from pinecone.grpc import GRPCClientConfig, PineconeGRPC

pc = PineconeGRPC(api_key="pclocal", host="http://localhost:5080")

name = "emulator-grpc"
if pc.has_index(name):
    pc.delete_index(name)
pc.create_index(name=name, vector_type="dense", dimension=2, metric="cosine", spec=ServerlessSpec(cloud="aws", region="us-east-1"), deletion_protection="disabled", tags={"environment": "development"})

host = pc.describe_index(name=name).host
index = pc.Index(host=host, grpc_config=GRPCClientConfig(secure=False))

index.upsert(
    vectors=[
        {"id": "vec1", "values": [1.0, -2.5], "metadata": {"genre": "drama"}},
        {"id": "vec2", "values": [3.0, -2.0], "metadata": {"genre": "documentary"}},
        {"id": "vec3", "values": [0.5, -1.5], "metadata": {"genre": "documentary"}},
    ],
    namespace="example-namespace",
)
assert index.describe_index_stats().total_vector_count == 3
answer = index.query(namespace="example-namespace", vector=[3.0, -2.0], filter={"genre": {"$eq": "documentary"}}, top_k=1, include_values=False, include_metadata=True)
assert answer.matches[0].id == "vec2", answer
assert answer.matches[0].metadata["genre"] == "documentary"
pc.delete_index(name)
print("ok")
