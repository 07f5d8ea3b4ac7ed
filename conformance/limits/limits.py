"""What the Python SDK makes of limits: it waits as long as it is told and tries again, and what stays refused is an error with the
server's own words."""

import json
import os
import sys
import time
import warnings
from pathlib import Path

warnings.simplefilter("ignore")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python"))
import sdk  # noqa: E402


def refused(call, *words):
    """The error that a call ends in, after however many tries."""
    began = time.monotonic()
    try:
        call()
    except Exception as error:  # noqa: BLE001 - each version has classes of its own
        took = time.monotonic() - began
        assert all(word in str(error) for word in words), f"{type(error).__name__}: {error}"
        assert took < 60, f"it was tried for {took:.0f} s"
        return error
    raise AssertionError("it was not refused")


def reached_at_once(index):
    for _ in range(30):
        try:
            index.query(vector=[1.0, 0.0], top_k=1)
        except Exception as error:  # noqa: BLE001
            assert "namespace-queries" in str(error), f"{type(error).__name__}: {error}"


def stays_refused(index):
    refused(lambda: index.delete(ids=["a"]), "limit of 0 deletes per second", "namespace-deletes")


def month(index):
    """An upsert costs five units at least: the second one goes over, the third is refused."""
    index.upsert(vectors=[("a", [1.0, 0.0])])
    refused(lambda: index.upsert(vectors=[("a", [1.0, 0.0])]), "limit of 6 write units per month")


def make(client, name):
    client.create_index(name=name, dimension=2, metric="cosine", spec=sdk.serverless(), timeout=30)


def quota(client):
    refused(lambda: make(client, "second"), "limit of 1 serverless indexes")


results = {"passed": 0, "failed": 0, "skipped": 0, "host_from": "describe", "operations": [], "covered": []}
client = sdk.client()
make(client, "first")
index = sdk.open_index(client, "first")
index.upsert(vectors=[("a", [1.0, 0.0])])
for case, argument in ((reached_at_once, index), (stays_refused, index), (month, index), (quota, client)):
    try:
        case(argument)
        results["passed"] += 1
    except Exception as error:  # noqa: BLE001
        results["failed"] += 1
        print(f"{case.__name__}: {type(error).__name__}: {error}")
with open(os.environ["PINYON_RESULTS"], "w") as out:
    json.dump(results, out)
sys.exit(1 if results["failed"] else 0)
