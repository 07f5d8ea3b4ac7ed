"""Indexes that the cases share, and the results that the runner reads."""

import json
import os

import pytest
import sdk

results = {"passed": 0, "failed": 0, "skipped": 0}


def pytest_configure(config):
    config.addinivalue_line("markers", "rest: the case is about REST alone, or about the control plane, which has no gRPC")
    config.addinivalue_line("markers", "asyncio_sdk: the case drives the asynchronous client")


def pytest_collection_modifyitems(config, items):
    kept, dropped = [], []
    for item in items:
        wanted = bool(item.get_closest_marker("asyncio_sdk")) == sdk.ASYNCIO
        if sdk.GRPC and item.get_closest_marker("rest"):
            wanted = False
        (kept if wanted else dropped).append(item)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept


def pytest_runtest_logreport(report):
    if report.when == "call" or report.outcome == "failed" or (report.when == "setup" and report.outcome == "skipped"):
        results[report.outcome] += 1


def pytest_sessionfinish(session):
    path = os.environ.get("PINYON_RESULTS")
    if path:
        has_all = sdk.all_operations()
        found = dict(
            results,
            operations=sorted(has_all),
            covered=sorted(has_all & sdk.called),
            host_from=sdk.host_from,
            version=".".join(map(str, sdk.VERSION)),
        )
        with open(path, "w") as out:
            json.dump(found, out)


@pytest.fixture(scope="session")
def pc():
    return sdk.client()


def made(pc, name, **shape):
    name = sdk.unique(name)
    pc.create_index(name=name, spec=sdk.serverless(), **shape)
    return name


@pytest.fixture(scope="session")
def dense_name(pc):
    name = made(pc, "dense", dimension=3, metric="cosine")
    yield name
    pc.delete_index(name)


@pytest.fixture(scope="session")
def dense(pc, dense_name):
    """A dense index of dimension 3, cosine."""
    return sdk.open_index(pc, dense_name)


@pytest.fixture(scope="session")
def euclidean(pc):
    name = made(pc, "euclid", dimension=3, metric="euclidean")
    yield sdk.open_index(pc, name)
    pc.delete_index(name)


@pytest.fixture(scope="session")
def dot(pc):
    """A dense index of dimension 3, dotproduct: its records may carry sparse values too."""
    name = made(pc, "dot", dimension=3, metric="dotproduct")
    yield sdk.open_index(pc, name)
    pc.delete_index(name)


@pytest.fixture(scope="session")
def sparse_index(pc):
    name = made(pc, "sparse", metric="dotproduct", vector_type="sparse")
    yield sdk.open_index(pc, name)
    pc.delete_index(name)


@pytest.fixture
def ns():
    """A namespace that no other case uses."""
    return sdk.unique("ns")
