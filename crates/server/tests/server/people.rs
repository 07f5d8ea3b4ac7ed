//! People: invited, come, signed in, and what ends their sessions; and the commands about them.

use serde_json::{Value, json};

use crate::kit::{Api, Home, Reply, Server, grpc, record, text};

const PASSWORD: &str = "correct horse battery";

struct House {
    home: Home,
    server: Server,
    owner: Api,
}

impl House {
    async fn new() -> Self {
        let home = Home::new();
        let server = home.serve(&[]);
        let owner = Api::with_token(&server, &home.service_account("owner", &["--role", "OrgOwner"])).await;
        Self { home, server, owner }
    }
    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server.url())
    }
    async fn project(&self) -> String {
        self.owner.get(&self.url("/admin/projects")).await.json()["data"][0]["id"].as_str().unwrap().to_owned()
    }
    /// The token that accepts a new invite with these roles.
    async fn invite(&self, email: &str, roles: Value) -> String {
        let made = self.owner.post(&self.url("/admin/invites"), json!({"email": email, "role_bindings": roles})).await;
        assert_eq!(made.status, 200, "{made:?}");
        made.header("x-pinyon-invite-token").unwrap().to_owned()
    }
    async fn accept(&self, token: &str, password: Value) -> Reply {
        let body = json!({"token": token, "name": "Ada", "password": password});
        Api::bare().post(&self.url("/pinyon/v1/invites/accept"), body).await
    }
    async fn login(&self, email: &str, password: &str) -> Reply {
        Api::bare().post(&self.url("/pinyon/v1/login"), json!({"email": email, "password": password})).await
    }
    /// Who came in.
    async fn session(&self, email: &str, password: &str) -> String {
        let reply = self.login(email, password).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()["access_token"].as_str().unwrap().to_owned()
    }
}

fn member() -> Value {
    json!([{"resource_type": "organization", "role": "OrgMember"}])
}

fn refused(reply: &Reply, status: u16, code: &str, told: &str) {
    let error = &reply.json()["error"];
    assert_eq!((reply.status, error["code"].as_str()), (status, Some(code)), "{reply:?}");
    assert!(error["message"].as_str().unwrap().contains(told), "{reply:?}");
}

#[tokio::test]
async fn a_user_works_on_every_plane_with_what_its_roles_allow() {
    let house = House::new().await;
    let project = house.project().await;
    let roles = json!([
        {"resource_type": "organization", "role": "OrgMember"},
        {"resource_type": "project", "resource_id": project, "role": "ProjectEditor"}
    ]);
    let token = house.invite("ada@acme.com", roles).await;
    assert_eq!(house.accept(&token, json!(PASSWORD)).await.status, 200);

    let came = house.login("Ada@ACME.com", PASSWORD).await;
    assert_eq!((came.status, came.header("cache-control")), (200, Some("no-store")));
    let body = came.json();
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(43_200)));
    assert_eq!((&body["user"]["email"], &body["user"]["name"]), (&json!("ada@acme.com"), &json!("Ada")));
    let token = body["access_token"].as_str().unwrap();
    let ada = Api::bearer(token).with("X-Pinecone-Api-Version", "2025-10");
    assert_eq!(ada.get(&house.url("/admin/organizations")).await.json()["data"][0]["id"], body["organization_id"]);
    assert_eq!(ada.get(&house.url("/admin/users")).await.status, 403);
    ada.create_index(&house.server, "hers").await;
    let url = house.server.index_url(1);
    assert_eq!(ada.post(&format!("{url}/vectors/upsert"), json!({"vectors": [record("x")]})).await.status, 200);
    let elsewhere = ada.with("X-Project-Id", "a2f7dddb-1597-4eff-9f71-535fde243f58");
    assert_eq!(elsewhere.get(&house.url("/indexes")).await.status, 404);
    let forged = token.replace("pinyon_ut_", "pinyon_at_");
    let unknown = grpc::<_, pinyon_wire::proto::QueryResponse>(
        house.server.port + 1,
        Some(&forged),
        "Query",
        pinyon_wire::proto::QueryRequest { id: "x".into(), top_k: 1, ..Default::default() },
    );
    assert_eq!(unknown.await.unwrap_err().code(), tonic::Code::Unauthenticated);
    let answer = grpc::<_, pinyon_wire::proto::QueryResponse>(
        house.server.port + 1,
        Some(token),
        "Query",
        pinyon_wire::proto::QueryRequest { id: "x".into(), top_k: 1, ..Default::default() },
    );
    assert_eq!(answer.await.unwrap().into_inner().matches.len(), 1);
}

#[tokio::test]
async fn passwords_are_chosen_changed_and_guarded() {
    let house = House::new().await;
    let token = house.invite("ada@acme.com", member()).await;
    for bad in ["", "elevenbytes", &"x".repeat(1_025), "with\na line break"] {
        refused(&house.accept(&token, json!(bad)).await, 400, "INVALID_ARGUMENT", "password");
    }
    refused(&house.accept(&token, json!(7)).await, 422, "UNPROCESSABLE_ENTITY", "token");
    assert_eq!(house.accept(&token, json!(&"x".repeat(1_024))).await.status, 200, "nothing was half done");
    let first = house.session("ada@acme.com", &"x".repeat(1_024)).await;
    let change = async |token: &str, old: &str, new: &str| {
        Api::bearer(token).post(&house.url("/pinyon/v1/password"), json!({"old_password": old, "password": new})).await
    };
    refused(&change(&first, "wrong", PASSWORD).await, 403, "FORBIDDEN", "old password");
    refused(&change(&first, &"x".repeat(1_024), "short").await, 400, "INVALID_ARGUMENT", "12 to 1024");
    let changed = change(&first, &"x".repeat(1_024), PASSWORD).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let second = changed.json()["access_token"].as_str().unwrap().to_owned();
    let organizations = async |token: &str| Api::bearer(token).get(&house.url("/admin/organizations")).await.status;
    assert_eq!((organizations(&first).await, organizations(&second).await), (401, 200));
    assert_eq!(Api::bearer(&second).post(&house.url("/pinyon/v1/logout"), json!({})).await.status, 200);
    assert_eq!(organizations(&second).await, 401);

    for email in ["ada@acme.com", "nobody@acme.com"] {
        // One of hers was spent on the old password.
        for _ in 0..if email.starts_with("ada") { 9 } else { 10 } {
            refused(&house.login(email, "wrong").await, 401, "UNAUTHENTICATED", "The address or the password is wrong");
        }
        let refusal = house.login(email, PASSWORD).await;
        refused(&refusal, 429, "RESOURCE_EXHAUSTED", "Too many sign-ins of this account");
        assert!((890..=900).contains(&refusal.header("retry-after").unwrap().parse::<u32>().unwrap()));
    }
    for secret in [PASSWORD, &first, &second] {
        assert!(!house.home.log().contains(secret));
    }
}

#[tokio::test]
async fn the_operator_invites_people_and_sets_their_passwords() {
    let house = House::new().await;
    let home = &house.home;
    let made = home.json(&["user", "invite", "bob@acme.com", "--role", "OrgOwner"]);
    assert_eq!(made["invite"]["email"], "bob@acme.com");
    assert_eq!(house.accept(made["token"].as_str().unwrap(), Value::Null).await.status, 200);
    assert_eq!(house.login("bob@acme.com", PASSWORD).await.status, 401, "no password yet");
    let set = |user: &str, password: &str| home.operate_with(&["user", "set-password", user], password);
    let refusal = set("bob@acme.com", "short\n");
    assert!(!refusal.status.success() && text(&refusal.stderr).contains("12 to 1024"), "{refusal:?}");
    assert!(!set("nobody@acme.com", PASSWORD).status.success());
    assert!(!set("bob@acme.com", "").status.success());
    let done = set("bob@acme.com", &format!("{PASSWORD}\n"));
    assert!(done.status.success() && text(&done.stdout).contains("bob@acme.com"), "{done:?}");
    let session = house.session("bob@acme.com", PASSWORD).await;
    assert!(home.run(&["user", "list"]).contains("bob@acme.com"));
    assert!(home.run(&["audit", "tail"]).contains("user bob@acme.com"));

    assert!(home.run(&["org", "rename", "default", "Acme"]).contains("'Acme'"));
    assert!(home.run(&["org", "set-plan", "Acme", "Standard"]).contains("Standard"));
    assert!(home.run(&["project", "rename", "default", "first"]).contains("'first'"));
    assert!(!home.operate(&["org", "set-plan", "Acme", "Gold"]).status.success());
    assert!(!home.operate(&["org", "set-payment-status", "Nobody", "Active"]).status.success());
    let organization = home.json(&["org", "set-payment-status", "Acme", "PaymentPending"]);
    assert_eq!(organization["organization"]["payment_status"], "PaymentPending");
    let seen = house.owner.get(&house.url("/admin/organizations")).await.json();
    assert_eq!((&seen["data"][0]["plan"], &seen["data"][0]["payment_status"]), (&json!("Standard"), &json!("PaymentPending")));

    home.run(&["user", "delete", "bob@acme.com"]);
    assert_eq!(Api::bearer(&session).get(&house.url("/admin/organizations")).await.status, 401);
    assert_eq!(home.json(&["user", "list"])["users"], json!([]));
}
