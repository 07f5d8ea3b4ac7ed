//! What an operator does, with a server running and without.

use std::{io::Write, process::Stdio};

use serde_json::json;

use crate::kit::{Api, Home, index_spec, record, text};

#[tokio::test]
async fn keys_are_made_listed_and_revoked_on_a_running_server() {
    let home = Home::new();
    let server = home.serve(&[]);
    let url = format!("{}/indexes", server.url());
    let key = home.run(&["key", "create", "--name", "program", "--role", "ControlPlaneViewer", "--role", "DataPlaneViewer"]);
    assert_eq!(Api::new(&key).get(&url).await.status, 200);
    assert_eq!(Api::new(&key).post(&url, index_spec("a")).await.status, 403);
    let list = home.run(&["key", "list"]);
    let line = list.lines().find(|l| l.contains("program")).unwrap();
    assert!(line.contains("ControlPlaneViewer,DataPlaneViewer") && !list.contains(&key), "{list}");
    home.run(&["key", "revoke", line.split_whitespace().next().unwrap()]);
    assert_eq!(Api::new(&key).get(&url).await.status, 401, "refused from the next request on");
    assert!(!home.run(&["key", "list"]).contains("program"));

    let refused = home.operate(&["key", "create", "--role", "Emperor"]);
    assert!(!refused.status.success() && text(&refused.stderr).contains("ProjectEditor"), "{}", text(&refused.stderr));
    assert!(!home.operate(&["key", "revoke", "nothing-like-it"]).status.success());
}

#[tokio::test]
async fn a_program_keeps_the_key_it_has() {
    let home = Home::new();
    let server = home.serve(&[]);
    let own = "pcsk_2abc_ThisIsTheKeyOfAProgramThatAlreadyRuns";
    let import = |value: &str| {
        let mut child = home.command(&["key", "create", "--name", "old", "--value-stdin", "--data-dir"]);
        let mut child = child.arg(home.data()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    assert!(!import("").status.success());
    assert!(!import("has spaces in it").status.success());
    let output = import(&format!("{own}\n"));
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(Api::new(own).get(&format!("{}/indexes", server.url())).await.status, 200);
    assert!(!home.log().contains(own));
}

#[tokio::test]
async fn the_same_commands_work_without_a_server() {
    let home = Home::new();
    home.serve(&[]).stop();
    let key = home.run(&["key", "create", "--name", "offline"]);
    home.run(&["project", "create", "second"]);
    assert!(home.run(&["project", "list"]).contains("second"));
    assert!(home.run(&["key", "list"]).contains("offline"));
    assert!(home.run(&["check"]).contains("all is well"));
    let server = home.serve(&[]);
    assert_eq!(Api::new(&key).get(&format!("{}/indexes", server.url())).await.status, 200);
    // A path that was mistyped is an error, not a new database.
    let other = Home::new();
    let refused = other.operate(&["key", "list"]);
    assert!(!refused.status.success() && !other.data().exists(), "{}", text(&refused.stderr));
}

#[tokio::test]
async fn access_is_given_on_a_running_server_and_without() {
    let home = Home::new();
    let server = home.serve(&[]);
    let made =
        home.json(&["service-account", "create", "--name", "ci", "--role", "OrgMember", "--role", "ProjectViewer", "--project", "default"]);
    let (id, secret) = (made["service_account"]["id"].as_str().unwrap(), made["client_secret"].as_str().unwrap());
    let account = (made["service_account"]["client_id"].as_str().unwrap().to_owned(), secret.to_owned());
    let ci = Api::with_token(&server, &account).await.with("X-Pinecone-Api-Version", "2025-10");
    assert_eq!(ci.get(&format!("{}/indexes", server.url())).await.status, 200);
    let list = home.run(&["service-account", "list"]);
    assert!(list.contains("ci") && !list.contains(secret), "{list}");

    let principal = format!("service-account:{id}");
    let roles = home.json(&["role", "list", "--principal", &principal]);
    let held: Vec<&str> = roles["roles"].as_array().unwrap().iter().map(|r| r["role"].as_str().unwrap()).collect();
    assert!(held.len() == 2 && held.contains(&"OrgMember") && held.contains(&"ProjectViewer"), "{roles}");
    let given = home.json(&["role", "grant", "ProjectEditor", "--to", &principal, "--project", "default"]);
    let index = format!("{}/indexes", server.url());
    assert_eq!(ci.post(&index, index_spec("a")).await.status, 201);
    assert!(home.run(&["role", "revoke", given["role"]["id"].as_str().unwrap()]).contains("is gone"));
    assert_eq!(ci.post(&index, index_spec("b")).await.status, 403, "refused from the next request on");
    let table = home.run(&["role", "list", "--project", "default", "--role", "ProjectViewer"]);
    assert!(table.lines().count() == 2 && table.contains("ProjectViewer") && table.contains("default"), "{table}");

    let other = home.json(&["service-account", "rotate", id])["client_secret"].as_str().unwrap().to_owned();
    assert_eq!(ci.get(&index).await.status, 401);
    assert!(other != secret && !home.log().contains(secret));
    server.stop();
    assert!(home.run(&["service-account", "delete", id]).contains("is deleted"));
    assert_eq!(home.json(&["service-account", "list"])["service_accounts"], json!([]));
    assert_eq!(home.json(&["user", "list"])["users"], json!([]));
    let organizations = home.json(&["org", "list"]);
    assert_eq!(organizations["organizations"][0]["payment_status"], "Active");
    home.run(&["project", "create", "second"]);
    assert!(home.run(&["project", "delete", "second"]).contains("is deleted"));
    for (words, told) in [
        (&["role", "grant", "ProjectEditor", "--to", &principal][..], "--project"),
        (&["role", "grant", "OrgOwner", "--to", "robot:1"], "user:ID"),
        (&["service-account", "create", "--name", "x", "--role", "Emperor"], "not a role"),
        (&["service-account", "rotate", "x"], "not a valid id"),
        (&["project", "delete", "second"], "no project"),
        (&["project", "delete", "default"], "1 indexes"),
    ] {
        let refused = home.operate(words);
        assert!(!refused.status.success() && text(&refused.stderr).contains(told), "{words:?}: {}", text(&refused.stderr));
    }
}

#[tokio::test]
async fn the_root_key_is_exported_and_rotated() {
    let home = Home::new();
    let server = home.serve(&[]);
    let api = Api::new(&home.first_key());
    api.create_index(&server, "a").await;
    assert_eq!(api.post(&format!("{}/vectors/upsert", server.index_url(1)), json!({"vectors": [record("x")]})).await.status, 200);
    let before = home.run(&["key", "export-root"]);
    assert!(before.starts_with("pinyon-root-1-"));
    home.run(&["key", "rotate-root"]);
    let after = home.run(&["key", "export-root"]);
    assert_ne!(before, after);
    server.stop();
    assert_eq!(home.run(&["key", "export-root"]), after, "the same without a server");

    // From the environment, the old key opens nothing and the new one everything.
    let port = home.port.to_string();
    let mut old = home.command(&["serve", "--bind", "127.0.0.1", "--port", &port, "--data-dir"]);
    let output = old.arg(home.data()).env("PINYON_ROOT_KEY", &before).output().unwrap();
    assert!(!output.status.success());
    let server = home.serve(&[]);
    let found = api.get(&format!("{}/vectors/fetch?ids=x", server.index_url(1))).await;
    assert!(found.json()["vectors"]["x"].is_object());
    let offline = home.command(&["key", "export-root", "--data-dir"]).arg(home.data()).env("PINYON_ROOT_KEY", &after).output().unwrap();
    assert!(text(&offline.stdout).contains(&after));
}

#[tokio::test]
async fn a_check_names_what_is_damaged() {
    let home = Home::new();
    let server = home.serve(&[]);
    let api = Api::new(&home.first_key());
    api.create_index(&server, "a").await;
    assert_eq!(api.post(&format!("{}/vectors/upsert", server.index_url(1)), json!({"vectors": [record("x")]})).await.status, 200);
    assert!(home.run(&["check"]).contains("all is well"), "a running server checks itself");
    server.stop();
    assert!(home.run(&["check"]).contains("1 records"));
    let log = find(&home.data(), "log-").expect("a namespace has a log");
    let mut bytes = std::fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&log, bytes).unwrap();
    let output = home.operate(&["check"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("damaged"), "{}", text(&output.stdout));
}

/// A file whose name begins so, below a namespace's folder.
fn find(dir: &std::path::Path, prefix: &str) -> Option<std::path::PathBuf> {
    let mut entries: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    entries.iter().find_map(|path| {
        if path.is_dir() && !path.ends_with("audit") && !path.ends_with("keys") {
            return find(path, prefix);
        }
        let named = path.file_name().unwrap().to_string_lossy().starts_with(prefix);
        (named
            && path.components().count() > dir.components().count()
            && dir.components().any(|c| c.as_os_str() == "indexes" || c.as_os_str() == "namespaces"))
        .then(|| path.clone())
    })
}

#[tokio::test]
async fn a_lost_catalog_is_rebuilt() {
    let home = Home::new();
    let server = home.serve(&[]);
    let old_key = home.first_key();
    let api = Api::new(&old_key);
    api.create_index(&server, "a").await;
    assert_eq!(api.post(&format!("{}/vectors/upsert", server.index_url(1)), json!({"vectors": [record("x")]})).await.status, 200);
    let refused = home.operate(&["catalog", "rebuild"]);
    assert!(!refused.status.success() && text(&refused.stderr).contains("running"), "{}", text(&refused.stderr));
    server.stop();
    for entry in std::fs::read_dir(home.data()).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("catalog") {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    let report = home.run(&["catalog", "rebuild"]);
    assert!(report.contains("1 indexes") && report.contains("lost"), "{report}");
    let key = report.split_whitespace().find(|w| w.starts_with("pcsk_")).expect("a new key");
    let server = home.serve(&[]);
    let found = Api::new(key).get(&format!("{}/vectors/fetch?ids=x", server.index_url(1))).await;
    assert!(found.json()["vectors"]["x"].is_object(), "{found:?}");
    assert_eq!(Api::new(&old_key).get(&format!("{}/indexes", server.url())).await.status, 401, "keys are lost, and the report said so");
}

#[test]
fn help_is_there_for_everything() {
    let home = Home::new();
    for words in
        [&["--help"][..], &["serve", "--help"], &["dev", "--help"], &["demo", "--help"], &["key", "create", "--help"], &["check", "--help"]]
    {
        let output = home.command(words).output().unwrap();
        assert!(output.status.success() && output.stdout.len() > 200, "{words:?}");
    }
    let help = text(&home.command(&["serve", "--help"]).output().unwrap().stdout);
    for flag in
        ["--port", "--data-dir", "--bind", "--domain", "--tls-cert", "--tls-self-signed", "--root-key-file", "--max-body", "PINYON_PORT"]
    {
        assert!(help.contains(flag), "{flag}");
    }
}

#[tokio::test]
async fn the_audit_log_is_shown_exported_and_verified() {
    let home = Home::new();
    let server = home.serve(&[]);
    home.run(&["project", "create", "audited"]);
    let key = home.run(&["key", "create", "--name", "viewer", "--role", "DataPlaneViewer"]);
    let url = format!("{}/indexes", server.url());
    assert_eq!(Api::new(&key).post(&url, index_spec("refused")).await.status, 403);
    let lines = home.run(&["audit", "export"]);
    let events: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> =
        events.iter().map(|e| (&e["event"]["action"], &e["event"]["resource_type"], &e["event"]["outcome"]["result"])).collect();
    for wanted in [("create", "project", "success"), ("create", "api-key", "success"), ("create", "index", "failure")] {
        assert!(told.contains(&(&json!(wanted.0), &json!(wanted.1), &json!(wanted.2))), "{wanted:?}: {lines}");
    }
    let refusal = events.iter().find(|e| e["event"]["resource_id"] == "refused").unwrap();
    assert_eq!((&refusal["event"]["outcome"]["error_code"], &refusal["actor"]["principal_type"]), (&json!("FORBIDDEN"), &json!("api_key")));
    assert!(!lines.contains(&key), "no secret is in it");
    let tail = home.run(&["audit", "tail", "-n", "1"]);
    assert!(tail.lines().count() == 2 && tail.contains("failure FORBIDDEN"), "{tail}");
    assert!(home.run(&["audit", "verify"]).contains("each follows the one before it"));
    server.stop();

    // One byte of the log: found, with the server stopped too.
    let names = std::fs::read_dir(home.data().join("audit")).unwrap().flatten().map(|e| e.path());
    let log = names.into_iter().find(|p| p.file_name().unwrap().to_string_lossy().starts_with("log-")).unwrap();
    let mut bytes = std::fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&log, bytes).unwrap();
    let verified = home.operate(&["audit", "verify"]);
    assert_eq!(verified.status.code(), Some(2), "{}{}", text(&verified.stdout), text(&verified.stderr));
    assert!(text(&verified.stdout).contains("damaged  audit/"), "{}", text(&verified.stdout));
}

#[test]
fn a_key_gets_bounds_and_another_secret_and_says_why() {
    let home = Home::new();
    home.serve(&[]).stop();
    let words =
        ["key", "create", "--name", "reader", "--role", "DataPlaneViewer", "--index", "movies", "--namespace", "en", "--expires", "90d"];
    let first = home.run(&words);
    let list = home.json(&["key", "list"]);
    let key = list["keys"].as_array().unwrap().iter().find(|k| k["name"] == "reader").unwrap().clone();
    assert_eq!((&key["indexes"], &key["namespaces"]), (&serde_json::json!(["movies"]), &serde_json::json!(["en"])));
    assert!(key["expires_at"].is_string() && key["last_used_at"].is_null());
    let id = key["id"].as_str().unwrap();
    let who = format!("api_key:{id}");
    let why = |namespace: &str| {
        home.run(&["role", "why", &who, "--project", "default", "--operation", "Query", "--index", "movies", "--namespace", namespace])
    };
    assert!(why("en").starts_with("allowed: DataRead is given by DataPlaneViewer on the project"), "{}", why("en"));
    assert!(why("de").starts_with("not allowed: This API key is restricted to the index movies and the namespace en"), "{}", why("de"));
    assert_ne!(home.run(&["key", "rotate", id, "--overlap", "1h"]), first);
    home.run(&["key", "update", id, "--any-index", "--expires", "never", "--network", "10.0.0.0/8"]);
    let table = home.run(&["key", "list"]);
    let line = table.lines().find(|l| l.starts_with(id)).unwrap();
    assert!(line.contains("namespace en; network 10.0.0.0/8") && line.contains("never"), "{line}");
    for (words, told) in [
        (vec!["key", "update", id, "--network", "10.0.0.1/8"], "bits beyond its prefix"),
        (vec!["key", "update", id, "--expires", "soon"], "90d"),
        (vec!["key", "rotate", id, "--overlap", "25h"], "at most 86400 seconds"),
        (vec!["role", "why", &who, "--operation", "Conquer"], "There is no operation 'Conquer'"),
    ] {
        let output = home.operate(&words);
        assert!(!output.status.success() && text(&output.stderr).contains(told), "{words:?}: {}", text(&output.stderr));
    }
}

#[test]
fn organizations_are_apart() {
    let home = Home::new();
    home.serve(&[]).stop();
    home.run(&["org", "create", "acme"]);
    home.run(&["project", "create", "search", "--org", "acme"]);
    home.run(&["key", "create", "--name", "theirs", "--org", "acme"]);
    assert!(home.run(&["key", "list", "--org", "acme"]).contains("theirs"));
    assert!(!home.run(&["project", "list"]).contains("search"));
    let twice = home.operate(&["org", "create", "acme"]);
    assert!(!twice.status.success() && text(&twice.stderr).contains("exists already"));
    let absent = home.operate(&["project", "list", "--org", "nobody's"]);
    assert!(!absent.status.success() && text(&absent.stderr).contains("There is no organization"));
}
