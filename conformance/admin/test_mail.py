"""An invite goes out by mail, and whoever gets it comes in with a password."""

import email
import email.policy
import json
import os
import re
import time
import urllib.error
import urllib.request
from pathlib import Path

from admin_sdk import CONTROL, unique

PASSWORD = "correct horse battery"


def post(path, body, token=None):
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(CONTROL + path, json.dumps(body).encode(), headers)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
        return json.loads(answer.read() or b"null")


def mail_to(address):
    """The newest mail to an address."""
    for _ in range(100):
        found = sorted((Path(os.environ["PINYON_MAIL"]) / "new").glob("*"), key=lambda p: p.stat().st_mtime_ns)
        read = [email.message_from_bytes(path.read_bytes(), policy=email.policy.default) for path in found]
        mine = [mail for mail in read if mail["To"] == address]
        if mine:
            return mine[-1]
        time.sleep(0.1)
    raise AssertionError(f"no mail to {address} came")


def token_in(mail):
    return re.search(r"https://pinyon\.example\.com/join#token=(\S+)", mail.get_content()).group(1)


def test_an_invite_by_mail(admin, has):
    has("invites.create")
    address = unique("hire") + "@example.com"
    made = admin.invites.create(email=address, role_bindings=[{"resource_type": "organization", "role": "OrgMember"}])
    mail = mail_to(address)
    assert mail["From"] == "Pinyon <pinyon@example.com>"
    assert mail["Subject"].startswith("You are invited to ")
    assert mail["Date"] and mail["Message-ID"].endswith("@example.com>")
    first = token_in(mail)
    admin.invites.resend(invite_id=made.id)
    token = next(t for t in iter(lambda: token_in(mail_to(address)), None) if t != first or time.sleep(0.1))
    try:
        post("/pinyon/v1/invites/accept", {"token": first, "password": PASSWORD})
        raise AssertionError("the mail before accepts nothing any more")
    except urllib.error.HTTPError as error:
        assert error.code == 401
    user = post("/pinyon/v1/invites/accept", {"token": token, "name": "Ada", "password": PASSWORD})
    assert (user["email"], user["name"]) == (address, "Ada")
    came = post("/pinyon/v1/login", {"email": address, "password": PASSWORD})
    assert came["user"]["id"] == user["id"]
    assert post("/pinyon/v1/logout", {}, came["access_token"]) is None
    admin.users.delete(user_id=user["id"])
