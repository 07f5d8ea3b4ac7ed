//! The admin plane over HTTP: tokens, every noun from its making to its end, and what is refused in which words.

use serde_json::{Value, json};

use crate::kit::{Api, Home, Reply, Server, index_spec, record, token_request};

const NOBODY: &str = "a2f7dddb-1597-4eff-9f71-535fde243f58";

/// A server, and its organization's owner.
struct Admin {
    home: Home,
    server: Server,
    account: (String, String),
    api: Api,
}

impl Admin {
    async fn new() -> Self {
        let home = Home::new();
        let server = home.serve(&[]);
        let account = home.service_account("owner", &["--role", "OrgOwner"]);
        let api = Api::with_token(&server, &account).await;
        Self { home, server, account, api }
    }
    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server.url())
    }
    async fn get(&self, path: &str) -> Reply {
        self.api.get(&self.url(path)).await
    }
    async fn post(&self, path: &str, body: Value) -> Reply {
        self.api.post(&self.url(path), body).await
    }
    async fn patch(&self, path: &str, body: Value) -> Reply {
        self.api.send("PATCH", &self.url(path), body.to_string()).await
    }
    async fn delete(&self, path: &str) -> Reply {
        self.api.send("DELETE", &self.url(path), "").await
    }
    /// The id of the project of this name.
    async fn project(&self, name: &str) -> String {
        let list = self.get("/admin/projects").await.json();
        text(&list["data"].as_array().unwrap().iter().find(|p| p["name"] == name).unwrap()["id"])
    }
    async fn token_answer(&self, body: Value) -> (u16, Value) {
        let reply = Api::bare().post(&self.url("/oauth/token"), body).await;
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{reply:?}");
        (reply.status, reply.json())
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[track_caller]
fn refused(reply: &Reply, status: u16, code: &str, told: &str) {
    let body = reply.json();
    assert_eq!((reply.status, &body["status"], &body["error"]["code"]), (status, &json!(status), &json!(code)), "{body}");
    assert!(body["error"]["message"].as_str().unwrap().contains(told), "{body} does not tell {told}");
}

#[tokio::test]
async fn tokens_are_got_for_a_secret_in_oauths_words() {
    let admin = Admin::new().await;
    let request = token_request(&admin.account);
    let (status, body) = admin.token_answer(request.clone()).await;
    assert_eq!((status, &body["token_type"], &body["expires_in"]), (200, &json!("Bearer"), &json!(1800)));
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}&audience=https%3A%2F%2Fapi.pinecone.io%2F",
        admin.account.0, admin.account.1
    );
    let form = Api::bare().with("Content-Type", "application/x-www-form-urlencoded").send("POST", &admin.url("/oauth/token"), form).await;
    assert_eq!(form.status, 200, "{form:?}");
    let token = text(&form.json()["access_token"]);
    assert_eq!(Api::bearer(&token).get(&admin.url("/admin/organizations")).await.status, 200);

    let with = |field: &str, value: Value| {
        let mut request = request.clone();
        request[field] = value;
        request
    };
    for (body, status, word) in [
        (with("client_secret", json!("wrong")), 401, "invalid_client"),
        (with("client_id", json!(NOBODY)), 401, "invalid_client"),
        (with("client_id", json!("nobody")), 401, "invalid_client"),
        (with("audience", json!("https://api.pinecone.io")), 403, "access_denied"),
        (with("grant_type", json!("password")), 400, "unsupported_grant_type"),
        (with("client_secret", Value::Null), 400, "invalid_request"),
        (with("client_secret", json!(7)), 400, "invalid_request"),
        (json!([]), 400, "invalid_request"),
        (with("client_id", json!("x".repeat(16 << 10))), 413, "invalid_request"),
    ] {
        let (found, answer) = admin.token_answer(body.clone()).await;
        assert_eq!((found, &answer["error"]), (status, &json!(word)), "{body}");
        assert!(answer["error_description"].is_string() && keys(&answer).len() == 2, "{answer}");
    }
    let wrong_method = Api::bare().get(&admin.url("/oauth/token")).await;
    assert_eq!((wrong_method.status, wrong_method.header("allow")), (405, Some("POST")));
    assert!(wrong_method.json()["error"].is_string(), "{wrong_method:?}");
    assert!(!admin.home.log().contains(&admin.account.1) && !admin.home.log().contains(&token));
}

#[tokio::test]
async fn only_tokens_count_on_the_admin_plane() {
    let admin = Admin::new().await;
    let key = admin.home.first_key();
    let url = admin.url("/admin/projects");
    let token = text(&admin.token_answer(token_request(&admin.account)).await.1["access_token"]);
    for api in [Api::bare(), Api::new(&key), Api::bearer(&key), Api::new(&token), Api::bearer("pinyon_at_x"), Api::bearer("")] {
        refused(&api.get(&url).await, 401, "UNAUTHENTICATED", "");
    }
    // A token beside a key is a token; of two credentials the other planes take the key.
    assert_eq!(Api::new(&key).with("Authorization", &format!("Bearer {token}")).get(&url).await.status, 200);
}

#[tokio::test]
async fn organizations_and_projects() {
    let admin = Admin::new().await;
    let list = admin.get("/admin/organizations").await.json();
    let organization = &list["data"][0];
    assert_eq!(keys(organization), ["created_at", "id", "name", "payment_status", "plan", "support_tier"]);
    let path = format!("/admin/organizations/{}", text(&organization["id"]));
    assert_eq!(admin.get(&path).await.json(), *organization);
    let renamed = admin.patch(&path, json!({"name": "Acme"})).await;
    assert_eq!((renamed.status, &renamed.json()["name"]), (200, &json!("Acme")));
    assert_eq!(admin.patch(&path, json!({})).await.json()["name"], "Acme", "what is left out stays");
    refused(&admin.delete(&path).await, 412, "FAILED_PRECONDITION", "projects");
    refused(&admin.get(&format!("/admin/organizations/{NOBODY}")).await, 404, "NOT_FOUND", NOBODY);

    let made = admin.post("/admin/projects", json!({"name": "search", "max_pods": 2})).await;
    let project = made.json();
    assert_eq!((made.status, &project["max_pods"], &project["force_encryption_with_cmek"]), (200, &json!(2), &json!(false)));
    assert_eq!((&project["organization_id"], &project["name"]), (&organization["id"], &json!("search")));
    let path = format!("/admin/projects/{}", text(&project["id"]));
    assert_eq!(admin.get(&path).await.json(), project);
    let changed = admin.patch(&path, json!({"name": "search-eu", "force_encryption_with_cmek": true})).await.json();
    assert_eq!((&changed["name"], &changed["max_pods"], &changed["created_at"]), (&json!("search-eu"), &json!(2), &project["created_at"]));
    refused(&admin.patch(&path, json!({"force_encryption_with_cmek": false})).await, 400, "INVALID_ARGUMENT", "turned off");
    assert_eq!(admin.get("/admin/projects").await.json()["data"].as_array().unwrap().len(), 2);
    let gone = admin.delete(&path).await;
    assert_eq!((gone.status, gone.body.len()), (202, 0));
    for reply in [admin.get(&path).await, admin.delete(&path).await, admin.patch(&path, json!({"name": "x"})).await] {
        refused(&reply, 404, "NOT_FOUND", "project");
    }
}

#[tokio::test]
async fn a_project_with_an_index_stays_and_its_keys_go_with_it() {
    let admin = Admin::new().await;
    let project = text(&admin.post("/admin/projects", json!({"name": "p"})).await.json()["id"]);
    let key = text(&admin.post(&format!("/admin/projects/{project}/api-keys"), json!({"name": "k"})).await.json()["value"]);
    let indexes = admin.url("/indexes");
    Api::new(&key).create_index(&admin.server, "a").await;
    refused(&admin.delete(&format!("/admin/projects/{project}")).await, 412, "FAILED_PRECONDITION", "1 indexes");
    assert_eq!(Api::new(&key).send("DELETE", &format!("{indexes}/a"), "").await.status, 202);
    assert_eq!(admin.delete(&format!("/admin/projects/{project}")).await.status, 202);
    assert_eq!(Api::new(&key).get(&indexes).await.status, 401);
}

#[tokio::test]
async fn api_keys_from_their_making_to_their_end() {
    let admin = Admin::new().await;
    let project = admin.project("default").await;
    let all = format!("/admin/projects/{project}/api-keys");
    let made = admin.post(&all, json!({"name": "devkey"})).await;
    assert_eq!((made.status, made.header("cache-control")), (201, Some("no-store")));
    let (key, value) = (made.json()["key"].clone(), text(&made.json()["value"]));
    assert_eq!((keys(&key), &key["roles"]), (vec!["id", "name", "project_id", "roles"], &json!(["ProjectEditor"])));
    assert_eq!(Api::new(&value).post(&admin.url("/indexes"), index_spec("a")).await.status, 201);

    let path = format!("/admin/api-keys/{}", text(&key["id"]));
    assert_eq!(admin.get(&path).await.json(), key);
    let changed = admin.patch(&path, json!({"name": "reader", "roles": ["DataPlaneViewer"]})).await;
    assert_eq!((changed.status, changed.json().get("value")), (200, None));
    assert_eq!((&changed.json()["name"], &changed.json()["roles"]), (&json!("reader"), &json!(["DataPlaneViewer"])));
    assert_eq!(Api::new(&value).get(&admin.url("/indexes")).await.status, 403, "from the next request on");
    let listed = admin.get(&all).await.json();
    assert!(listed["data"].as_array().unwrap().contains(&changed.json()) && listed.get("pagination").is_none(), "{listed}");
    // The same grant, seen from its other side.
    let query = format!("/admin/role-bindings?principal_type=api_key&principal_id={}", text(&key["id"]));
    let bindings = admin.get(&query).await.json();
    assert_eq!((bindings["data"].as_array().unwrap().len(), &bindings["data"][0]["role"]), (1, &json!("DataPlaneViewer")));
    assert_eq!(admin.delete(&path).await.status, 202);
    assert_eq!(Api::new(&value).get(&admin.url("/indexes")).await.status, 401);
    refused(&admin.get(&path).await, 404, "NOT_FOUND", "API key");
}

#[tokio::test]
async fn service_accounts_from_their_making_to_their_end() {
    let admin = Admin::new().await;
    let project = admin.project("default").await;
    let bindings = json!([
        {"resource_type": "project", "resource_id": project, "role": "ProjectOwner"},
        {"resource_type": "organization", "role": "OrgMember"}
    ]);
    let made = admin.post("/admin/service-accounts", json!({"name": "ci-prod", "role_bindings": bindings})).await;
    assert_eq!((made.status, made.header("cache-control")), (201, Some("no-store")));
    let account = made.json()["service_account"].clone();
    assert_eq!(keys(&account), ["client_id", "created_at", "id", "name", "updated_at"]);
    let first = (text(&account["client_id"]), text(&made.json()["client_secret"]));
    let ci = Api::with_token(&admin.server, &first).await;
    assert_eq!(ci.get(&admin.url("/admin/projects")).await.json()["data"].as_array().unwrap().len(), 1);
    refused(&ci.get(&admin.url("/admin/users")).await, 403, "FORBIDDEN", "roles");

    let path = format!("/admin/service-accounts/{}", text(&account["id"]));
    assert_eq!(admin.get(&path).await.json(), account);
    let renamed = admin.patch(&path, json!({"name": "ci"})).await.json();
    assert_eq!((&renamed["name"], &renamed["client_id"]), (&json!("ci"), &account["client_id"]));
    let rotated = admin.post(&format!("{path}/rotate-secret"), json!({})).await;
    assert_eq!(rotated.status, 200, "{rotated:?}");
    let second = (first.0.clone(), text(&rotated.json()["client_secret"]));
    refused(&ci.get(&admin.url("/admin/projects")).await, 401, "UNAUTHENTICATED", "");
    assert_eq!(admin.token_answer(token_request(&first)).await.0, 401);
    let ci = Api::with_token(&admin.server, &second).await;
    assert_eq!(ci.get(&admin.url("/admin/projects")).await.status, 200);
    assert_eq!(admin.delete(&path).await.status, 202);
    refused(&ci.get(&admin.url("/admin/projects")).await, 401, "UNAUTHENTICATED", "");
    assert_eq!(admin.token_answer(token_request(&second)).await.0, 401);
    refused(&admin.delete(&path).await, 404, "NOT_FOUND", "service account");

    for i in 0..4 {
        assert_eq!(admin.post("/admin/service-accounts", json!({"name": format!("n{i}")})).await.status, 201);
    }
    let (mut seen, mut query) = (Vec::new(), "?limit=2".to_owned());
    loop {
        let page = admin.get(&format!("/admin/service-accounts{query}")).await.json();
        seen.extend(page["data"].as_array().unwrap().iter().map(|a| text(&a["name"])));
        let Some(next) = page["pagination"]["next"].as_str() else {
            assert_eq!(page["pagination"], Value::Null);
            break;
        };
        query = format!("?limit=2&paginationToken={next}");
    }
    assert_eq!(seen, ["owner", "n0", "n1", "n2", "n3"]);
}

#[tokio::test]
async fn invites_and_users() {
    let admin = Admin::new().await;
    let member = json!([{"resource_type": "organization", "role": "OrgMember"}]);
    let made = admin.post("/admin/invites", json!({"email": "New.Hire@acme.com", "role_bindings": member})).await;
    let invite = made.json();
    assert_eq!((made.status, &invite["status"], &invite["email"]), (200, &json!("pending"), &json!("new.hire@acme.com")), "{invite}");
    assert_eq!(keys(&invite), ["created_at", "email", "expires_at", "id", "processed_at", "status"]);
    let token = made.header("x-pinyon-invite-token").unwrap().to_owned();
    assert!(token.len() > 40 && !made.json().to_string().contains(&token));
    let path = format!("/admin/invites/{}", text(&invite["id"]));
    let found = admin.get(&path).await;
    assert_eq!((found.json(), found.header("x-pinyon-invite-token")), (invite.clone(), None), "told once");
    let again = admin.post("/admin/invites", json!({"email": "new.hire@ACME.com", "role_bindings": member})).await;
    refused(&again, 409, "ALREADY_EXISTS", "pending");
    let resent = admin.post(&format!("{path}/resend"), json!({})).await;
    assert_eq!((resent.status, &resent.json()["id"]), (200, &invite["id"]));
    assert_ne!(resent.header("x-pinyon-invite-token").unwrap(), token);
    let query = format!("/admin/role-bindings?principal_type=invite&principal_id={}", text(&invite["id"]));
    let binding = admin.get(&query).await.json()["data"][0].clone();
    let last = admin.delete(&format!("/admin/role-bindings/{}", text(&binding["id"]))).await;
    refused(&last, 409, "ABORTED", "delete the invite");
    assert_eq!(admin.get("/admin/invites?limit=1").await.json()["data"].as_array().unwrap().len(), 1);

    // Who has the token of the last mail comes in, once, with the invite's role.
    let accept = async |body: Value| Api::bare().post(&format!("{}/pinyon/v1/invites/accept", admin.server.url()), body).await;
    refused(&accept(json!({"token": token})).await, 401, "UNAUTHENTICATED", "cannot be accepted");
    refused(&accept(json!({})).await, 422, "UNPROCESSABLE_ENTITY", "token");
    let other = admin.post("/admin/invites", json!({"email": "ada@acme.com", "role_bindings": member})).await;
    let token = other.header("x-pinyon-invite-token").unwrap().to_owned();
    let user = accept(json!({"token": token, "name": "Ada"})).await;
    assert_eq!((user.status, &user.json()["email"], &user.json()["name"]), (200, &json!("ada@acme.com"), &json!("Ada")));
    refused(&accept(json!({"token": token})).await, 401, "UNAUTHENTICATED", "cannot be accepted");
    assert_eq!(admin.get("/admin/users?email=ADA@acme.com").await.json()["data"], json!([user.json()]));
    let user = format!("/admin/users/{}", text(&user.json()["id"]));
    assert_eq!((admin.get(&user).await.status, admin.delete(&user).await.status, admin.get(&user).await.status), (200, 202, 404));
    assert_eq!(admin.delete(&path).await.status, 202);
    refused(&admin.post(&format!("{path}/resend"), json!({})).await, 404, "NOT_FOUND", "invite");
    assert_eq!(admin.get(&query).await.json()["data"], json!([]), "its roles went with it");

    assert_eq!(admin.get("/admin/users?email=nobody@acme.com").await.json(), json!({"data": [], "pagination": null}));
    refused(&admin.get(&format!("/admin/users/{NOBODY}")).await, 404, "NOT_FOUND", "user");
    refused(&admin.delete(&format!("/admin/users/{NOBODY}")).await, 404, "NOT_FOUND", "user");
}

#[tokio::test]
async fn role_bindings_give_rights_and_take_them_away() {
    let admin = Admin::new().await;
    let project = admin.project("default").await;
    let made = admin.post("/admin/service-accounts", json!({"name": "reader"})).await.json();
    let (account, credentials) =
        (text(&made["service_account"]["id"]), (text(&made["service_account"]["client_id"]), text(&made["client_secret"])));
    let reader = Api::with_token(&admin.server, &credentials).await;
    assert_eq!(reader.get(&admin.url("/indexes")).await.status, 403);
    let grant = json!({
        "principal_type": "service_account", "principal_id": account,
        "resource_type": "project", "resource_id": project, "role": "ControlPlaneViewer"
    });
    let given = admin.post("/admin/role-bindings", grant.clone()).await;
    let binding = given.json();
    assert_eq!(given.status, 200, "{binding}");
    let expected = ["created_at", "id", "principal_id", "principal_type", "resource_id", "resource_type", "role"];
    assert_eq!(keys(&binding), expected);
    assert_eq!(reader.get(&admin.url("/indexes")).await.status, 200, "with the token it had before");
    refused(&admin.post("/admin/role-bindings", grant).await, 409, "ALREADY_EXISTS", "ControlPlaneViewer");
    let path = format!("/admin/role-bindings/{}", text(&binding["id"]));
    assert_eq!(admin.get(&path).await.json(), binding);
    let query = format!("/admin/role-bindings?resource_type=project&resource_id={project}&role=ControlPlaneViewer");
    assert_eq!(admin.get(&query).await.json(), json!({"data": [binding], "pagination": null}));
    assert_eq!(admin.delete(&path).await.status, 202);
    assert_eq!(reader.get(&admin.url("/indexes")).await.status, 403);
    refused(&admin.delete(&path).await, 404, "NOT_FOUND", "role binding");

    let owners = admin.get("/admin/role-bindings?role=OrgOwner").await.json();
    let own = &owners["data"][0];
    assert_eq!((owners["data"].as_array().unwrap().len(), &own["resource_type"]), (1, &json!("organization")));
    assert!(own["resource_id"].is_string(), "always told: {own}");
    let last = admin.delete(&format!("/admin/role-bindings/{}", text(&own["id"]))).await;
    refused(&last, 409, "ABORTED", "OrgOwner");
}

#[tokio::test]
async fn nobody_gives_what_they_lack() {
    let admin = Admin::new().await;
    let project = admin.project("default").await;
    let account = admin.home.service_account("po", &["--role", "ProjectOwner", "--project", "default"]);
    let owner = Api::with_token(&admin.server, &account).await;
    let id = text(&admin.get("/admin/service-accounts").await.json()["data"][1]["id"]);
    let give = |role: &str, kind: &str| {
        let mut body = json!({"principal_type": "service_account", "principal_id": id, "resource_type": kind, "role": role});
        if kind == "project" {
            body["resource_id"] = json!(project);
        }
        body
    };
    let url = admin.url("/admin/role-bindings");
    assert_eq!(owner.post(&url, give("ProjectEditor", "project")).await.status, 200);
    refused(&owner.post(&url, give("OrgMember", "organization")).await, 403, "FORBIDDEN", "");
    let other = text(&admin.post("/admin/projects", json!({"name": "other"})).await.json()["id"]);
    let there = json!({
        "principal_type": "service_account", "principal_id": id, "resource_type": "project", "resource_id": other, "role": "ProjectViewer"
    });
    refused(&owner.post(&url, there).await, 404, "NOT_FOUND", "");
    refused(&owner.get(&admin.url(&format!("/admin/projects/{other}"))).await, 404, "NOT_FOUND", &other);
}

#[tokio::test]
async fn bad_input_is_told_in_the_planes_envelope() {
    let admin = Admin::new().await;
    let project = admin.project("default").await;
    let api_keys = format!("/admin/projects/{project}/api-keys");
    let member = json!([{"resource_type": "organization", "role": "OrgMember"}]);
    let in_project =
        |id: &str| json!({"name": "a", "role_bindings": [{"resource_type": "project", "resource_id": id, "role": "ProjectOwner"}]});
    let (bad, shape) = ("INVALID_ARGUMENT", "UNPROCESSABLE_ENTITY");
    for (path, body, status, code, told) in [
        ("/admin/projects", json!({}), 422, shape, "name"),
        ("/admin/projects", json!({"name": 7}), 422, shape, "invalid type"),
        ("/admin/projects", json!([]), 422, shape, "object"),
        ("/admin/projects", json!({"name": "p".repeat(513)}), 400, bad, "1 to 512"),
        ("/admin/projects", json!({"name": "default"}), 409, "ALREADY_EXISTS", "default"),
        (api_keys.as_str(), json!({"name": "k".repeat(81)}), 400, bad, "1 to 80"),
        (api_keys.as_str(), json!({"name": "k", "roles": ["OrgOwner"]}), 400, bad, "not a role of an API key"),
        (api_keys.as_str(), json!({"name": "k", "roles": "ProjectEditor"}), 422, shape, "a list"),
        ("/admin/service-accounts", json!({"name": "s".repeat(81)}), 400, bad, "1 to 80"),
        ("/admin/service-accounts", in_project(NOBODY), 404, "NOT_FOUND", NOBODY),
        ("/admin/service-accounts", in_project("mine"), 400, bad, "role_bindings[0]"),
        ("/admin/invites", json!({"email": "nobody", "role_bindings": member}), 400, bad, "e-mail"),
        ("/admin/invites", json!({"email": "a@b.c", "role_bindings": []}), 400, bad, "role in the organization"),
        (
            "/admin/role-bindings",
            json!({"principal_type": "robot", "principal_id": NOBODY, "resource_type": "organization", "role": "OrgMember"}),
            400,
            bad,
            "principal_type",
        ),
        (
            "/admin/role-bindings",
            json!({"principal_type": "user", "principal_id": NOBODY, "resource_type": "organization", "role": "OrgMember"}),
            404,
            "NOT_FOUND",
            "user",
        ),
        (
            "/admin/role-bindings",
            json!({"principal_type": "api_key", "principal_id": NOBODY, "resource_type": "organization", "role": "OrgMember"}),
            400,
            bad,
            "OrgMember",
        ),
    ] {
        refused(&admin.post(path, body).await, status, code, told);
    }
    refused(&admin.api.send("POST", &admin.url("/admin/projects"), "{").await, 400, bad, "JSON");
    for (path, status, code) in [
        ("/admin/projects/mine".to_owned(), 400, bad),
        (format!("/admin/projects/{NOBODY}"), 404, "NOT_FOUND"),
        (format!("/admin/projects/{NOBODY}/api-keys"), 404, "NOT_FOUND"),
        (format!("/admin/api-keys/{NOBODY}"), 404, "NOT_FOUND"),
        (format!("/admin/service-accounts/{NOBODY}"), 404, "NOT_FOUND"),
        (format!("/admin/invites/{NOBODY}"), 404, "NOT_FOUND"),
        (format!("/admin/role-bindings/{NOBODY}"), 404, "NOT_FOUND"),
        ("/admin/invites?limit=101".to_owned(), 400, "OUT_OF_RANGE"),
        ("/admin/invites?paginationToken=abc".to_owned(), 400, bad),
        ("/admin/users?email=nobody".to_owned(), 400, bad),
        (format!("/admin/role-bindings?principal_id={NOBODY}"), 400, bad),
        ("/admin/role-bindings?role=Emperor".to_owned(), 400, bad),
        ("/admin/nothing".to_owned(), 404, "NOT_FOUND"),
    ] {
        refused(&admin.get(&path).await, status, code, "");
    }
    let wrong = admin.api.send("PUT", &admin.url("/admin/projects"), "{}").await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("GET, POST")));
}

#[tokio::test]
async fn a_token_works_on_the_other_planes_too() {
    let admin = Admin::new().await;
    let key = admin.home.first_key();
    Api::new(&key).create_index(&admin.server, "a").await;
    let (indexes, upsert) = (admin.url("/indexes"), format!("{}/vectors/upsert", admin.server.index_url(1)));
    let records = json!({"vectors": [record("x")]});
    let one = admin.home.service_account("one", &["--role", "DataPlaneEditor", "--role", "ControlPlaneViewer", "--project", "default"]);
    let one = Api::with_token(&admin.server, &one).await.with("X-Pinecone-Api-Version", "2025-10");
    assert_eq!(one.get(&indexes).await.json()["indexes"].as_array().unwrap().len(), 1, "of the one project it has rights on");
    assert_eq!(one.post(&upsert, records.clone()).await.status, 200);
    let made = one.post(&indexes, index_spec("b")).await;
    refused(&made, 403, "FORBIDDEN", "service account");

    let other = text(&admin.post("/admin/projects", json!({"name": "other"})).await.json()["id"]);
    refused(&admin.get("/indexes").await, 400, "INVALID_ARGUMENT", "X-Project-Id");
    let token = text(&admin.token_answer(token_request(&admin.account)).await.1["access_token"]);
    let with = |project: &str| Api::bearer(&token).with("X-Project-Id", project);
    let default = admin.project("default").await;
    assert_eq!(with(&default).get(&indexes).await.json()["indexes"].as_array().unwrap().len(), 1);
    assert_eq!(with(&other).get(&indexes).await.json()["indexes"], json!([]));
    refused(&with("default").get(&indexes).await, 400, "INVALID_ARGUMENT", "X-Project-Id");
    assert_eq!(with(NOBODY).get(&indexes).await.status, 404);

    // Who has no right on an index's project is answered alike whether there is one or not.
    let stranger = admin.home.service_account("stranger", &["--role", "ProjectOwner", "--project", "other"]);
    let stranger = Api::with_token(&admin.server, &stranger).await;
    let (there, missing) = (stranger.post(&upsert, records.clone()).await, stranger);
    let host = Api::new(&key).get(&format!("{indexes}/a")).await.json()["host"].clone();
    assert_eq!((there.status, &there.body[..]), (401, &b"Invalid API key."[..]), "{host}");
    let short = pinyon_model::ProjectId::parse(&default).unwrap().short();
    let missing = missing.with("Host", &format!("nothing-{short}.svc.local.localhost"));
    let missing = missing.post(&admin.url("/vectors/upsert"), records).await;
    assert_eq!((missing.status, &missing.body[..]), (401, &b"Invalid API key."[..]));
}
