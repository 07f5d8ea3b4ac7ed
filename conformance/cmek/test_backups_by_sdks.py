"""The cases of backups, by the SDKs themselves, in a project whose indexes lie under a customer's key: the backups and what is restored
of them lie under it too."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from conftest import CmekServer

CASES = Path(__file__).parent.parent
# Each: what it is called, and its Python or the folder of its node_modules.
SDKS = json.loads(os.environ.get("PINYON_SDKS", "[]"))
# Apart from the ports of the runs beside this one.
INDEX_PORTS = "31000-31199"


@pytest.mark.parametrize(("name", "place"), SDKS, ids=[name for name, _ in SDKS])
def test_backups_under_a_key(aws, name, place):
    server = CmekServer(name.replace(" ", "-"), aws.url, aws.credentials, kind="serve")
    # The SDKs ask where they are told to: an index has a port here, and no name.
    domain = server.arguments.index("--domain")
    server.arguments[domain : domain + 2] = ["--index-ports", INDEX_PORTS]
    with server:
        project, key = server.project()
        _, cmek = server.add(project, aws.make_key(), aws.role)
        results = server.folder / "results.json"
        asked = {"PINYON_CONTROL": f"http://localhost:{server.port}", "PINYON_KEY": key, "PINYON_CMEK": cmek["id"], "PINYON_RESULTS": str(results)}
        command = [place, "-m", "pytest", "-q", "--no-header", "--tb=short", "-p", "no:cacheprovider", CASES / "python/test_backups.py"]
        if name.startswith("Node"):
            command, asked["PINYON_SDK"] = ["node", "--test", "--test-reporter=spec", CASES / "node/backups.mjs"], place
        environment = {k: v for k, v in server.environment.items() if not k.startswith("AWS_")} | asked
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, timeout=300, cwd=server.folder)
        assert done.returncode == 0, done.stdout + done.stderr
        assert json.loads(results.read_text())["passed"] >= 4
