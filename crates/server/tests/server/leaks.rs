//! Secrets where they must not be: in logs, errors, metrics, audit entries and files of the data directory.

use std::path::{Path, PathBuf};

use base64::{Engine as _, engine::general_purpose};
use serde_json::{Value, json};

use crate::kit::{Api, Home, grpc_as, record, text};

/// How issued secrets begin, and how many characters of base62 or base64url follow. What may be shown of one is far shorter.
const SHAPES: [(&str, usize); 6] =
    [("pcsk_", 72), ("pinyon_cs_", 72), ("pinyon_it_", 72), ("pinyon_at_", 80), ("pinyon_ut_", 80), ("pinyon_ek_", 73)];

/// Everything in these files and folders that has the shape of an issued secret: where it lies, and how it begins.
pub(crate) fn issued_in(places: &[PathBuf]) -> Vec<String> {
    let mut found = Vec::new();
    for file in places.iter().flat_map(|place| files(place)) {
        let content = searchable(&std::fs::read(&file).unwrap_or_default());
        for (prefix, length) in SHAPES {
            let follows = |at: usize| {
                let rest = content.as_bytes().get(at + prefix.len()..at + prefix.len() + length);
                rest.is_some_and(|r| r.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')))
            };
            let begins = content.match_indices(prefix).filter(|(at, _)| follows(*at));
            found.extend(begins.map(|(at, _)| format!("{}: {prefix}… at {at}", file.display())));
        }
    }
    found
}

/// Every file below a path, or the path itself.
fn files(place: &Path) -> Vec<PathBuf> {
    if place.is_file() {
        return vec![place.to_owned()];
    }
    let entries = std::fs::read_dir(place).into_iter().flatten().filter_map(Result::ok);
    entries.flat_map(|entry| files(&entry.path())).collect()
}

/// Bytes as a text: secrets are ASCII, so what is not text hides none.
fn searchable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A secret as it is, and as careless code might print it.
fn spellings(secret: &str) -> Vec<String> {
    let bytes = secret.as_bytes();
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    let mut all = vec![secret.to_owned(), hex.to_uppercase(), hex];
    // In base64 it looks different at each place within three bytes; the ends are cut off, they depend on the neighbours.
    for shift in 0..3 {
        let encoded = general_purpose::STANDARD_NO_PAD.encode([&vec![0; shift][..], bytes].concat());
        all.push(encoded[4..encoded.len() - 4].to_owned());
    }
    // A part that would be enough to guess the rest.
    if secret.len() > 40 {
        all.push(secret[secret.len() - 32..].to_owned());
    }
    all
}

/// What was said to callers and to people, kept for the search.
struct Heard(String);

impl Heard {
    async fn ask(&mut self, api: &Api, method: &str, url: &str, body: impl Into<bytes::Bytes>) -> u16 {
        let reply = api.send(method, url, body).await;
        self.0.push_str(&format!("{:?} {}\n", reply.headers, text(&reply.body)));
        reply.status
    }
}

#[tokio::test]
async fn no_secret_is_found_in_any_output() {
    let home = Home::new();
    let server = home.serve(&["--log", "trace", "--audit-records", "writes"]);
    let url = |path: &str| format!("{}{path}", server.url());
    let said = |v: &Value| v.as_str().unwrap_or_else(|| panic!("{v}")).to_owned();

    // One of each kind.
    let account = home.service_account("owner", &["--role", "OrgOwner"]);
    let owner_token = said(&Api::bare().post(&url("/oauth/token"), crate::kit::token_request(&account)).await.json()["access_token"]);
    let owner = Api::bearer(&owner_token);
    let project = said(&owner.get(&url("/admin/projects")).await.json()["data"][0]["id"]);
    let made = owner.post(&url(&format!("/pinyon/v1/projects/{project}/api-keys")), json!({"name": "k"})).await.json();
    let (key, id) = (said(&made["value"]), said(&made["key"]["id"]));
    let rotated =
        said(&owner.post(&url(&format!("/pinyon/v1/api-keys/{id}/rotate")), json!({"overlap_seconds": 60})).await.json()["value"]);
    let imported = "a-secret-from-elsewhere-0123456789abcdef".to_owned();
    let mut import = home.command(&["key", "create", "--name", "old", "--value-stdin", "--data-dir"]);
    let mut child = import.arg(home.data()).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null()).spawn().unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), imported.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    let invite = said(&home.json(&["user", "invite", "ada@example.com", "--role", "OrgMember"])["token"]);
    let password = "correct horse battery staple 4711".to_owned();
    let accept = json!({"token": invite, "password": password, "name": "Ada"});
    assert_eq!(Api::bare().post(&url("/pinyon/v1/invites/accept"), accept.clone()).await.status, 200);
    let login = json!({"email": "ada@example.com", "password": password});
    let user_token = said(&Api::bare().post(&url("/pinyon/v1/login"), login).await.json()["access_token"]);
    let root_key = home.run(&["key", "export-root"]);
    let secrets = [
        account.1.clone(),
        owner_token.clone(),
        key.clone(),
        rotated.clone(),
        imported.clone(),
        invite.clone(),
        password.clone(),
        user_token.clone(),
        root_key,
        home.first_key(),
    ];

    // Used well, used badly, and put where they do not belong.
    let mut heard = Heard(String::new());
    Api::new(&key).create_index(&server, "movies").await;
    let host = server.index_url(1);
    for secret in &secrets {
        let as_key = Api::new(secret);
        heard.ask(&as_key, "GET", &url("/indexes"), "").await;
        heard.ask(&as_key, "POST", &format!("{host}/vectors/upsert"), json!({"vectors": [record("x")]}).to_string()).await;
        heard.ask(&Api::bearer(secret), "GET", &url("/admin/projects"), "").await;
        heard.ask(&Api::bearer(&secret[..secret.len() - 1]), "GET", &url("/admin/projects"), "").await;
        heard.ask(&Api::bare(), "POST", &url("/oauth/token"), json!({"client_id": account.0, "client_secret": secret}).to_string()).await;
        heard.ask(&Api::bare(), "POST", &url("/oauth/token"), format!("{{\"client_secret\": \"{secret}\", ")).await;
        heard.ask(&Api::bare(), "POST", &url("/pinyon/v1/login"), json!({"email": "x@example.com", "password": secret}).to_string()).await;
        heard.ask(&Api::bare(), "POST", &url("/pinyon/v1/invites/accept"), json!({"token": secret, "password": 5}).to_string()).await;
        let wrong = format!("{secret}x");
        let answered = grpc_as::<_, pinyon_wire::proto::DescribeIndexStatsResponse>(
            server.port + 1,
            Some(("Api-Key", &wrong)),
            "DescribeIndexStats",
            pinyon_wire::proto::DescribeIndexStatsRequest::default(),
        );
        heard.0.push_str(&format!("{:?}\n", answered.await.map(|r| r.into_inner())));
    }
    for words in
        [&["key", "list"][..], &["audit", "export"], &["audit", "tail"], &["service-account", "list"], &["check"], &["user", "list"]]
    {
        heard.0.push_str(&home.run(words));
        heard.0.push_str(&home.run(&[words, &["--json"]].concat()));
    }
    heard.ask(&Api::bare(), "GET", &url("/healthz"), "").await;
    server.stop();

    let (log, data) = (home.path().join("log"), home.data());
    let mut places: Vec<(String, String)> = vec![("what was answered".to_owned(), heard.0)];
    places.extend(files(&log).into_iter().chain(files(&data)).map(|f| (f.display().to_string(), searchable(&std::fs::read(f).unwrap()))));
    let (mut hits, mut bytes) = (Vec::new(), 0);
    for (place, content) in &places {
        bytes += content.len();
        for (n, secret) in secrets.iter().enumerate() {
            let shown = spellings(secret).iter().filter(|spelling| content.contains(spelling.as_str())).count();
            if shown > 0 {
                hits.push(format!("secret {n} in {place}, by {shown} spellings"));
            }
        }
    }
    println!("{} secrets, {} places, {bytes} bytes: {} hits", secrets.len(), places.len(), hits.len());
    assert!(places.len() > 5 && home.log().contains("TRACE"), "there was something to search");
    assert!(hits.is_empty(), "{}", hits.join("\n"));
}

#[test]
fn a_planted_secret_is_found() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("deep")).unwrap();
    let plant = |text: &str| std::fs::write(folder.path().join("deep/log"), format!("before {text} after")).unwrap();
    for (prefix, length) in SHAPES {
        plant(&format!("{prefix}{}", "x".repeat(length)));
        assert_eq!(issued_in(&[folder.path().to_owned()]).len(), 1, "{prefix}");
        plant(&format!("{prefix}{}", "x".repeat(12)));
        assert_eq!(issued_in(&[folder.path().to_owned()]).len(), 0, "{prefix}: what may be shown");
    }
    let secret = "correct horse battery staple 4711";
    for shift in 0..6 {
        let printed = general_purpose::STANDARD.encode(format!("{}{secret}!!", "p".repeat(shift)));
        assert!(spellings(secret).iter().any(|s| printed.contains(s)), "{shift}");
    }
}
