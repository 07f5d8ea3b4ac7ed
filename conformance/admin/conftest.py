"""One client for all cases, and the results that the runner reads."""

import json
import os

import admin_sdk
import pytest

results = {"passed": 0, "failed": 0, "skipped": 0}


def pytest_runtest_logreport(report):
    if report.when == "call" or report.outcome == "failed" or (report.when == "setup" and report.outcome == "skipped"):
        results[report.outcome] += 1


def pytest_sessionfinish(session):
    surface = admin_sdk.surface(admin_sdk.client())
    found = dict(results, operations=sorted(surface), covered=sorted(surface & admin_sdk.called), host_from="-")
    with open(os.environ["PINYON_RESULTS"], "w") as out:
        json.dump(found, out)


@pytest.fixture(scope="session")
def admin():
    return admin_sdk.watch(admin_sdk.client())


@pytest.fixture
def has(admin):
    """Skips the case where this version has no such method."""
    def has(*names):
        missing = set(names) - admin_sdk.surface(admin)
        if missing:
            pytest.skip(f"this version has no {', '.join(sorted(missing))}")

    return has


@pytest.fixture
def project(admin):
    made = admin.projects.create(name=admin_sdk.unique("case"))
    yield made
    admin.projects.delete(project_id=made.id)
