"""One way to drive every major version of the Python SDK, REST and gRPC: what differs between them is here, so that the cases are
written once.

The runner says what to connect to:

    PINYON_CONTROL    URL of the control plane
    PINYON_KEY        an API key that may do everything in its project
    PINYON_TRANSPORT  rest | grpc | asyncio
    PINYON_CA         certificate of the server's authority, when it speaks TLS
    PINYON_PROXY      URL of an HTTP proxy to go through
    PINYON_ANY_KEY    set when the server takes any key, as `dev` does
"""

import os
import uuid
import warnings

import pinecone
from pinecone import Pinecone, ServerlessSpec

CONTROL = os.environ["PINYON_CONTROL"]
KEY = os.environ["PINYON_KEY"]
TRANSPORT = os.environ.get("PINYON_TRANSPORT", "rest")
CA = os.environ.get("PINYON_CA")
PROXY = os.environ.get("PINYON_PROXY")
ANY_KEY = "PINYON_ANY_KEY" in os.environ
VERSION = tuple(int(part) for part in pinecone.__version__.split(".")[:2])
REST, GRPC, ASYNCIO = TRANSPORT == "rest", TRANSPORT == "grpc", TRANSPORT == "asyncio"
TLS = CONTROL.startswith("https://")

# Where the index host came from: "describe" or "given". Written into the results.
host_from = "describe"

# Names that are public in Python but are no operation of the API: hooks of the SDK itself, and LangChain's, which always raise.
NOT_OPERATIONS = {"load_plugins", "from_documents", "from_texts", "grpc_server_on", "close", "EmbedModel", "RerankModel"}
# Attributes that lead to more operations of the index control plane and the data plane.
BACKUPS = ["backups", "restore_jobs", "backup_schedules", "collections", "db.backup", "db.restore_job", "db.collection"]
SUB_NAMESPACES = {"Pinecone": ["indexes", "db.index", *BACKUPS], "Index": ["documents"]}

called = set()


class Recorded:
    """Passes everything on to the SDK's object and notes the name of each operation that a case calls."""

    def __init__(self, target, name):
        object.__setattr__(self, "_target", target)
        object.__setattr__(self, "_name", name)

    def __getattr__(self, attribute):
        value = getattr(self._target, attribute)
        path = f"{self._name}.{attribute}"
        if callable(value):
            called.add(path)
        elif any(sub.split(".")[0] == attribute or sub.split(".")[-1] == attribute for sub in SUB_NAMESPACES.get(self._name.split(".")[0], [])):
            return Recorded(value, path)
        return value


def operations(cls, name):
    """Names of the public operations of a class."""
    return {f"{name}.{a}" for a in dir(cls) if not a.startswith("_") and a not in NOT_OPERATIONS and callable(getattr(cls, a))}


def all_operations():
    """Every operation of the index control plane and the data plane that this version has over this transport, by looking at the SDK.

    The control plane is REST alone, so a run over gRPC is about the index client."""
    found = set()
    if ASYNCIO:
        found |= operations(async_client_class(), "AsyncPinecone")
        return found | operations(async_index_class(), "AsyncIndex")
    if GRPC:
        from pinecone.grpc import GRPCIndex

        return operations(GRPCIndex, "GrpcIndex")
    found |= operations(Pinecone, "Pinecone")
    probe = client()
    for sub in SUB_NAMESPACES["Pinecone"]:
        target = probe._target
        for part in sub.split("."):
            target = getattr(target, part, None)
        if target is not None:
            found |= operations(type(target), f"Pinecone.{sub}")
    index = probe._target.Index(host="http://localhost:1")
    found |= operations(type(index), "Index")
    if getattr(index, "documents", None) is not None:
        found |= operations(type(index.documents), "Index.documents")
    return found


def options(key=KEY):
    found = {"api_key": key, "host": CONTROL}
    if CA:
        found["ssl_ca_certs"] = CA
    if PROXY:
        found["proxy_url"] = PROXY
    return found


def client(key=KEY):
    """A client of the control plane."""
    if GRPC:
        from pinecone.grpc import PineconeGRPC

        if VERSION >= (10, 0):
            return Recorded(PineconeGRPC(**options(key), grpc_scheme="https" if TLS else "http"), "Pinecone")
        return Recorded(PineconeGRPC(**options(key)), "Pinecone")
    return Recorded(Pinecone(**options(key)), "Pinecone")


def host_of(pc, name):
    """The host of an index as a client has to be given it, and whether that is what describe said."""
    host = pc.describe_index(name).host
    return usable_host(host), usable_host(host) == host


def usable_host(host):
    """`dev` says bare hosts to older API dates, as the emulator does, which mean TLS to these clients; 9.x even spells that out."""
    return host if TLS or host.startswith("http://") else "http://" + host.removeprefix("https://")


def open_index(pc, name, key=KEY):
    """A client of one index. The host comes from describe wherever the SDK can use what describe says."""
    global host_from
    if not GRPC:
        host, as_described = host_of(pc, name)
        if as_described:
            return Recorded(pc.Index(name), "Index")
        host_from = "given"
        return Recorded(pc.Index(host=host), "Index")
    if TLS or VERSION >= (10, 0):
        return Recorded(pc.Index(name), "GrpcIndex")
    host, as_described = host_of(pc, name)
    if VERSION >= (9, 0):
        # 9.x dials TLS whatever the host says, unless the class is made by hand.
        from pinecone.grpc import GrpcIndex

        host_from = "given"
        return Recorded(GrpcIndex(host=host, api_key=key, secure=False), "GrpcIndex")
    from pinecone.grpc import GRPCClientConfig

    plain = GRPCClientConfig(secure=False)
    if not as_described:
        return Recorded(pc.Index(name, grpc_config=plain), "GrpcIndex")
    # Versions up to 8.x strip `https://` alone from a host, so what describe says has to be given without its scheme.
    host_from = "given"
    return Recorded(pc.Index(host=host.removeprefix("http://"), grpc_config=plain), "GrpcIndex")


def async_client_class():
    if VERSION >= (9, 0):
        from pinecone import AsyncPinecone

        return AsyncPinecone
    from pinecone import PineconeAsyncio

    return PineconeAsyncio


def async_index_class():
    if VERSION >= (9, 0):
        from pinecone import AsyncIndex

        return AsyncIndex
    from pinecone.db_data.index_asyncio import _IndexAsyncio

    return _IndexAsyncio


def pages(results):
    """The items of what walks over pages: older versions give the pages, newer ones the items."""
    for result in results:
        inner = getattr(result, "namespaces", None) or getattr(result, "vectors", None)
        yield from inner if inner is not None else (result if isinstance(result, (list, tuple)) else [result])


def has(thing, operation):
    """Whether this version has an operation at all."""
    return hasattr(thing._target, operation)


def serverless(**more):
    return ServerlessSpec(cloud="aws", region="us-east-1", **more)


def unique(prefix):
    """A name that no other case uses."""
    return f"{prefix}-{uuid.uuid4().hex[:10]}"


def status_of(error):
    """The HTTP status that an SDK's exception stands for; 0 if the SDK refused the call itself."""
    for attribute in ("status_code", "status"):
        status = getattr(error, attribute, None)
        if isinstance(status, int):
            return status
    grpc_to_http = {2: 500, 3: 400, 5: 404, 6: 409, 7: 403, 8: 429, 9: 412, 11: 400, 12: 501, 13: 500, 14: 503, 16: 401}
    for cause in (error, error.__cause__, error.__context__):
        if callable(getattr(cause, "code", None)):
            return grpc_to_http[cause.code().value[0]]
    return 0


class refused:
    """`with refused(404, "text")`: the server must answer with this status, and its message must contain the text.

    With `or_by_client=True` an SDK that checks the argument itself, before it sends anything, passes too."""

    def __init__(self, status, text="", or_by_client=False):
        self.status, self.text, self.or_by_client = status, text, or_by_client

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        assert error is not None, f"expected a refusal with {self.status}, but the call was accepted"
        if not isinstance(error, Exception):
            return False
        found = status_of(error)
        if found == 0 and self.or_by_client:
            return True
        statuses = self.status if isinstance(self.status, tuple) else (self.status,)
        assert found in statuses, f"expected {self.status}, got {found}: {type(error).__name__}: {error}"
        assert self.text.lower() in str(error).lower(), f"expected {self.text!r} in: {error}"
        return True


def ids(result):
    """The ids of a query's matches, best first."""
    return [match["id"] if isinstance(match, dict) else match.id for match in result.matches]


def scores(result):
    return [match.score for match in result.matches]


def vector_count(stats, namespace):
    entry = stats.namespaces[namespace]
    return entry["vector_count"] if isinstance(entry, dict) else entry.vector_count


def sparse(indices, values):
    return {"indices": indices, "values": values}


def close_to(found, expected, tolerance=1e-5):
    return len(found) == len(expected) and all(abs(a - b) <= tolerance * max(1, abs(b)) for a, b in zip(found, expected))


warnings.filterwarnings("ignore")
