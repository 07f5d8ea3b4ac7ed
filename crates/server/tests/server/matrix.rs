//! Tables of who is answered what, written from Pinecone's tables of roles: a line for each operation, a column for each kind of caller. And the callers.

use serde_json::{Value, json};

use crate::kit::{Api, Home, Server, token_request};

/// The thirteen roles, by their columns' names and their own; the last six are those that an API key can have.
pub(crate) const ROLES: [(&str, &str); 13] = [
    ("Owner", "OrgOwner"),
    ("Manager", "OrgManager"),
    ("Member", "OrgMember"),
    ("Bill", "OrgBillingAdmin"),
    ("PrOwn", "ProjectOwner"),
    ("PrMan", "ProjectManager"),
    ("PrMem", "ProjectMember"),
    ("Edit", "ProjectEditor"),
    ("View", "ProjectViewer"),
    ("CpEdit", "ControlPlaneEditor"),
    ("CpView", "ControlPlaneViewer"),
    ("DpEdit", "DataPlaneEditor"),
    ("DpView", "DataPlaneViewer"),
];
pub(crate) const KEY_ROLES: usize = 6;

/// The first project of a home.
const PROJECT: &str = "default";
const PASSWORD: &str = "a password of some length";

/// A line.
pub(crate) struct Row {
    pub(crate) method: String,
    pub(crate) path: String,
    /// By column: the status, and for a user where it differs.
    cells: Vec<(u16, Option<u16>)>,
}

/// A table.
pub(crate) struct Table {
    columns: Vec<&'static str>,
    pub(crate) rows: Vec<Row>,
}

impl Table {
    /// Reads one whose first columns are these, followed by those of the roles.
    pub(crate) fn read(table: &'static str, first: &[&str]) -> Self {
        let lines = table.lines().filter(|l| !l.starts_with('#') && !l.trim().is_empty());
        let mut lines = lines.map(|l| l.split_whitespace().collect::<Vec<_>>());
        let columns = lines.next().unwrap();
        assert_eq!(columns, [first, &ROLES.map(|(column, _)| column)].concat(), "the columns");
        let cell = |text: &str| match text.split_once('/') {
            Some((account, user)) => (account.parse().unwrap(), Some(user.parse().unwrap())),
            None => (text.parse().unwrap(), None),
        };
        let row = |cells: Vec<&str>| {
            assert_eq!(cells.len(), columns.len() + 2, "{cells:?}");
            Row { method: cells[0].to_owned(), path: cells[1].to_owned(), cells: cells[2..].iter().map(|c| cell(c)).collect() }
        };
        let rows = lines.map(row).collect();
        Self { columns, rows }
    }

    /// What this caller is to be answered.
    pub(crate) fn expected(&self, row: &Row, caller: &Caller) -> u16 {
        let column = self.columns.iter().position(|c| *c == caller.column).unwrap_or_else(|| panic!("no column {}", caller.column));
        let (status, of_user) = row.cells[column];
        of_user.filter(|_| caller.kind == Kind::User).unwrap_or(status)
    }
}

/// What a caller is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Nobody,
    ApiKey,
    ServiceAccount,
    User,
}

/// Somebody who asks.
pub(crate) struct Caller {
    pub(crate) column: &'static str,
    pub(crate) kind: Kind,
    /// The header that shows the credential, and its value.
    pub(crate) credential: Option<(&'static str, String)>,
    /// The project that is chosen: none by those who need not.
    pub(crate) project: Option<String>,
}

impl Caller {
    pub(crate) fn nobody(column: &'static str) -> Self {
        Self { column, kind: Kind::Nobody, credential: None, project: None }
    }

    pub(crate) fn key(column: &'static str, secret: String) -> Self {
        Self { column, kind: Kind::ApiKey, credential: Some(("Api-Key", secret)), project: None }
    }

    pub(crate) fn bearer(column: &'static str, kind: Kind, token: &str) -> Self {
        Self { column, kind, credential: Some(("Authorization", format!("Bearer {token}"))), project: None }
    }

    pub(crate) fn in_project(self, project: &str) -> Self {
        Self { project: Some(project.to_owned()), ..self }
    }

    pub(crate) fn api(&self, version: &str) -> Api {
        let mut api = Api::bare().with("X-Pinecone-Api-Version", version);
        if let Some((header, value)) = &self.credential {
            api = api.with(header, value);
        }
        if let Some(project) = &self.project {
            api = api.with("X-Project-Id", project);
        }
        api
    }
}

impl std::fmt::Display for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({:?})", self.column, self.kind)
    }
}

/// The token of a new service account, made with these words more.
pub(crate) async fn account_token(home: &Home, server: &Server, name: &str, words: &[&str]) -> String {
    let account = home.service_account(name, words);
    let reply = Api::bare().post(&format!("{}/oauth/token", server.url()), token_request(&account)).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()["access_token"].as_str().unwrap().to_owned()
}

/// The words that give a role: in the first project when it is a role in one.
fn role_words(role: &'static str) -> Vec<&'static str> {
    if role.starts_with("Org") { vec!["--role", role] } else { vec!["--role", role, "--project", PROJECT] }
}

/// Each role by each kind of principal that shows a token.
pub(crate) async fn token_holders(home: &Home, server: &Server, project: &str) -> Vec<Caller> {
    let mut callers = Vec::new();
    for (column, role) in ROLES {
        let token = account_token(home, server, role, &role_words(role)).await;
        callers.push(Caller::bearer(column, Kind::ServiceAccount, &token).in_project(project));
        callers.push(Caller::bearer(column, Kind::User, &user_token(home, server, role).await).in_project(project));
    }
    callers
}

/// Whoever comes by an invite that holds this role. Nobody is a user without being a member of the organization.
async fn user_token(home: &Home, server: &Server, role: &'static str) -> String {
    let email = format!("{}@example.com", role.to_lowercase());
    let member: &[&str] = if role.starts_with("Org") { &[] } else { &["--role", "OrgMember"] };
    let invited = home.json(&[&["user", "invite", &email][..], &role_words(role), member].concat());
    let post = async |path: &str, body: Value| {
        let reply = Api::bare().post(&format!("{}{path}", server.url()), body).await;
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        reply.json()
    };
    let token = invited["token"].as_str().unwrap_or_else(|| panic!("{invited}"));
    post("/pinyon/v1/invites/accept", json!({"token": token, "password": PASSWORD})).await;
    let came = post("/pinyon/v1/login", json!({"email": email, "password": PASSWORD})).await;
    came["access_token"].as_str().unwrap().to_owned()
}

/// A second organization, and the token of an owner of it.
pub(crate) async fn foreign_owner(home: &Home, server: &Server) -> String {
    home.run(&["org", "create", "elsewhere"]);
    account_token(home, server, "foreign", &["--role", "OrgOwner", "--org", "elsewhere"]).await
}
