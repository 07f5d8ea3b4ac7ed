"""The whole surface of the admin client. Expected answers are typed from the published pages."""

import uuid

import admin_sdk
import pinecone
import pytest
from admin_sdk import unique

EDITOR = ["ProjectEditor"]


def rows(answer):
    """The items of a list, however this version wraps them."""
    return list(getattr(answer, "data", answer))


def texts(roles):
    return sorted(getattr(role, "value", role) for role in roles)


def refused(call, *statuses):
    with pytest.raises(Exception) as info:
        call()
    status = getattr(info.value, "status_code", None) or getattr(info.value, "status", None)
    assert status in statuses, f"{type(info.value).__name__} {status}: {info.value}"
    return info.value


# --- credentials


def test_a_wrong_secret_gets_no_client():
    with pytest.raises(Exception) as info:
        admin_sdk.client(client_secret="wrong")
    assert "401" in str(info.value) or getattr(info.value, "status_code", None) == 401 or "access_denied" in str(info.value) or "invalid_client" in str(info.value)


# --- organizations


def test_organizations(admin, has):
    has("organizations.list")
    (own,) = rows(admin.organizations.list())
    assert own.id and own.name and own.plan and own.payment_status == "Active" and own.support_tier and own.created_at
    assert admin.organizations.describe(organization_id=own.id).name == own.name
    for alias in ("fetch", "get"):
        if hasattr(admin.organizations, alias):
            assert getattr(admin.organizations, alias)(organization_id=own.id).id == own.id
    renamed = admin.organizations.update(organization_id=own.id, name="Trees and sons")
    assert (renamed.id, renamed.name) == (own.id, "Trees and sons")
    admin.organizations.update(organization_id=own.id, name=own.name)
    refused(lambda: admin.organizations.delete(organization_id=own.id), 412)
    refused(lambda: admin.organizations.describe(organization_id=str(uuid.uuid4())), 404)


# --- projects


def test_projects(admin):
    name = unique("project")
    made = admin.projects.create(name=name, max_pods=2, force_encryption_with_cmek=False)
    assert (made.name, made.max_pods, made.force_encryption_with_cmek) == (name, 2, False)
    uuid.UUID(made.id)
    assert made.organization_id and made.created_at
    assert name in [p.name for p in rows(admin.projects.list())]
    assert admin.projects.describe(project_id=made.id).name == name
    for alias in ("fetch", "get"):
        if hasattr(admin.projects, alias):
            assert getattr(admin.projects, alias)(name=name).id == made.id
    if hasattr(admin.projects, "describe_by_name"):
        assert admin.projects.describe_by_name(name=name).id == made.id
    assert admin.projects.exists(project_id=made.id) and admin.projects.exists(name=name)
    renamed = admin.projects.update(project_id=made.id, name=name + "-2", max_pods=3)
    assert (renamed.name, renamed.max_pods) == (name + "-2", 3)
    admin.projects.delete(project_id=made.id)
    assert not admin.projects.exists(project_id=made.id) and not admin.projects.exists(name=name)
    refused(lambda: admin.projects.describe(project_id=made.id), 404)


def test_a_project_with_an_index_stays(admin, project):
    key = admin.api_keys.create(project_id=project.id, name="k")
    pc = pinecone.Pinecone(api_key=key.value, host=admin_sdk.CONTROL)
    pc.create_index(name="index", dimension=2, spec=pinecone.ServerlessSpec(cloud="aws", region="us-east-1"))
    refused(lambda: admin.projects.delete(project_id=project.id), 412)
    pc.delete_index("index")


def test_a_project_goes_with_what_is_in_it(admin, has, monkeypatch):
    has("projects.delete_with_cleanup")
    made = admin.projects.create(name=unique("full"))
    key = admin.api_keys.create(project_id=made.id, name="k")
    pc = pinecone.Pinecone(api_key=key.value, host=admin_sdk.CONTROL)
    pc.create_index(name="index", dimension=2, spec=pinecone.ServerlessSpec(cloud="aws", region="us-east-1"))
    # Its client for the project's own resources is made without a host.
    monkeypatch.setenv("PINECONE_CONTROLLER_HOST", admin_sdk.CONTROL)
    admin.projects.delete_with_cleanup(project_id=made.id, max_attempts=1)
    assert not admin.projects.exists(project_id=made.id)
    refused(lambda: pc.list_indexes(), 401)


def test_cmek_cannot_be_turned_off(admin):
    made = admin.projects.create(name=unique("cmek"), force_encryption_with_cmek=True)
    refused(lambda: admin.projects.update(project_id=made.id, force_encryption_with_cmek=False), 400)
    admin.projects.delete(project_id=made.id)


def test_names_of_projects(admin, project):
    refused(lambda: admin.projects.create(name=project.name), 409)
    # The client does not even send it; the server's own tests do.
    with pytest.raises(ValueError):
        admin.projects.create(name="x" * 513)
    long = admin.projects.create(name="x" * 512)
    admin.projects.delete(project_id=long.id)


# --- API keys


def test_api_keys(admin, project):
    made = admin.api_keys.create(project_id=project.id, name="first")
    assert made.value.startswith("pcsk_") and made.key.name == "first" and made.key.project_id == project.id
    assert texts(made.key.roles) == EDITOR
    assert [k.id for k in rows(admin.api_keys.list(project_id=project.id))] == [made.key.id]
    assert texts(admin.api_keys.describe(api_key_id=made.key.id).roles) == EDITOR
    for alias in ("fetch", "get"):
        if hasattr(admin.api_keys, alias):
            assert getattr(admin.api_keys, alias)(api_key_id=made.key.id).id == made.key.id
    viewer = admin.api_keys.create(project_id=project.id, name="viewer", roles=["ControlPlaneViewer", "DataPlaneViewer"])
    assert texts(viewer.key.roles) == ["ControlPlaneViewer", "DataPlaneViewer"]
    pc = pinecone.Pinecone(api_key=viewer.value, host=admin_sdk.CONTROL)
    assert list(pc.list_indexes()) == []
    refused(lambda: pc.create_index(name="index", dimension=2, spec=pinecone.ServerlessSpec(cloud="aws", region="us-east-1")), 403)
    if hasattr(admin.api_keys, "update"):
        changed = admin.api_keys.update(api_key_id=viewer.key.id, name="editor", roles=EDITOR)
        assert changed.name == "editor" and texts(changed.roles) == EDITOR
    admin.api_keys.delete(api_key_id=viewer.key.id)
    refused(lambda: pinecone.Pinecone(api_key=viewer.value, host=admin_sdk.CONTROL).list_indexes(), 401)
    refused(lambda: admin.api_keys.describe(api_key_id=viewer.key.id), 404)
    with pytest.raises(ValueError):
        admin.api_keys.create(project_id=project.id, name="x" * 81)
    refused(lambda: admin.api_keys.create(project_id=str(uuid.uuid4()), name="k"), 404)


# --- service accounts


def test_service_accounts(admin, has, project):
    has("service_accounts.create")
    bindings = [{"resource_type": "organization", "role": "OrgMember"}, {"resource_type": "project", "resource_id": project.id, "role": "ProjectOwner"}]
    made = admin.service_accounts.create(name="ci", role_bindings=bindings)
    account = made.service_account
    assert account.name == "ci" and account.client_id and account.created_at == account.updated_at and made.client_secret
    assert admin.service_accounts.describe(service_account_id=account.id).client_id == account.client_id
    assert account.id in [a.id for a in admin.service_accounts.list(limit=1)]
    assert admin.service_accounts.update(service_account_id=account.id, name="cd").name == "cd"

    theirs = admin_sdk.client(account.client_id, made.client_secret)
    assert [p.id for p in theirs.projects.list()] == [project.id]
    refused(lambda: theirs.service_accounts.create(name="x"), 403)
    granted = {"principal_type": "service_account", "principal_id": account.id, "resource_type": "organization", "role": "OrgOwner"}
    refused(lambda: theirs.role_bindings.create(**granted), 403)

    rotated = admin.service_accounts.rotate_secret(service_account_id=account.id)
    assert rotated.client_secret != made.client_secret
    refused(theirs.projects.list, 401)
    assert len(admin_sdk.client(account.client_id, rotated.client_secret).projects.list()) == 1
    admin.service_accounts.delete(service_account_id=account.id)
    refused(lambda: admin.service_accounts.describe(service_account_id=account.id), 404)


# --- invites and users


def test_invites(admin, has, project):
    has("invites.create")
    email = f"{unique('ada')}@example.com"
    bindings = [{"resource_type": "organization", "role": "OrgMember"}, {"resource_type": "project", "resource_id": project.id, "role": "ProjectViewer"}]
    made = admin.invites.create(email=email, role_bindings=bindings)
    assert (made.email, made.status) == (email, "pending") and made.expires_at and made.processed_at is None
    assert email in [i.email for i in admin.invites.list(limit=2)]
    assert admin.invites.describe(invite_id=made.id).status == "pending"
    assert admin.invites.resend(invite_id=made.id).id == made.id
    refused(lambda: admin.invites.create(email=email, role_bindings=bindings), 409)
    refused(lambda: admin.invites.create(email="b@example.com", role_bindings=bindings[1:]), 400)
    held = list(admin.role_bindings.list(principal_type="invite", principal_id=made.id))
    assert sorted(b.role for b in held) == ["OrgMember", "ProjectViewer"]
    admin.invites.delete(invite_id=made.id)
    refused(lambda: admin.invites.describe(invite_id=made.id), 404)
    assert list(admin.role_bindings.list(principal_type="invite", principal_id=made.id)) == []


def test_users(admin, has):
    has("users.list")
    assert list(admin.users.list(email="nobody@example.com")) == []
    assert isinstance(list(admin.users.list(limit=1)), list)
    nobody = str(uuid.uuid4())
    refused(lambda: admin.users.describe(user_id=nobody), 404)
    refused(lambda: admin.users.delete(user_id=nobody), 404)


# --- role bindings


def test_role_bindings(admin, has, project):
    has("role_bindings.create")
    key = admin.api_keys.create(project_id=project.id, name="k", roles=["DataPlaneViewer"]).key
    wanted = {"principal_type": "api_key", "principal_id": key.id, "resource_type": "project", "resource_id": project.id}
    made = admin.role_bindings.create(**wanted, role="ControlPlaneViewer")
    assert (made.principal_type, made.principal_id, made.resource_id, made.role) == ("api_key", key.id, project.id, "ControlPlaneViewer")
    assert admin.role_bindings.describe(role_binding_id=made.id).id == made.id
    found = list(admin.role_bindings.list(principal_type="api_key", principal_id=key.id, limit=1))
    assert sorted(b.role for b in found) == ["ControlPlaneViewer", "DataPlaneViewer"]
    only = list(admin.role_bindings.list(resource_type="project", resource_id=project.id, role="ControlPlaneViewer"))
    assert [b.id for b in only] == [made.id]
    assert texts(admin.api_keys.describe(api_key_id=key.id).roles) == ["ControlPlaneViewer", "DataPlaneViewer"]
    refused(lambda: admin.role_bindings.create(**wanted, role="ControlPlaneViewer"), 409)
    refused(lambda: admin.role_bindings.create(**wanted, role="ProjectOwner"), 400)
    admin.role_bindings.delete(role_binding_id=made.id)
    refused(lambda: admin.role_bindings.describe(role_binding_id=made.id), 404)
    assert texts(admin.api_keys.describe(api_key_id=key.id).roles) == ["DataPlaneViewer"]


def test_the_last_owner_stays(admin, has):
    has("role_bindings.list")
    owners = list(admin.role_bindings.list(role="OrgOwner"))
    assert len(owners) == 1
    refused(lambda: admin.role_bindings.delete(role_binding_id=owners[0].id), 409)
    refused(lambda: admin.service_accounts.delete(service_account_id=owners[0].principal_id), 409)


# --- last: nothing is left out


def test_nothing_is_left_out(admin):
    left_out = admin_sdk.surface(admin) - admin_sdk.called
    assert left_out == set()
