//! The audit log by command: followed, kept for as long as it is set, and its sinks.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use serde_json::{Value, json};

use crate::kit::{Api, Home, text};

fn events(home: &Home) -> Vec<Value> {
    home.run(&["audit", "export"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn told(event: &Value) -> String {
    let event = &event["event"];
    format!(
        "{}/{} {}",
        event["action"].as_str().unwrap(),
        event["resource_type"].as_str().unwrap(),
        event["resource_name"].as_str().unwrap()
    )
}

#[tokio::test]
async fn the_log_is_followed_while_it_grows() {
    let home = Home::new();
    let server = home.serve(&[]);
    home.run(&["project", "create", "first"]);
    let mut follower = home
        .command(&["audit", "tail", "-n", "1", "--follow", "--json"])
        .arg("--data-dir")
        .arg(home.data())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let mut next = || told(&serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap());
    assert_eq!(next(), "create/project first");
    for name in ["second", "third"] {
        home.run(&["project", "create", name]);
        assert_eq!(next(), format!("create/project {name}"));
    }
    follower.kill().unwrap();
    follower.wait().unwrap();
    // In pages: more entries than one holds.
    let key = home.run(&["key", "create", "--name", "k"]);
    assert!(!key.is_empty());
    server.stop();
    let offline: Vec<String> = events(&home).iter().map(told).collect();
    assert!(offline.windows(2).any(|w| w == ["create/project second", "create/project third"]), "{offline:?}");
    assert_eq!(home.run(&["audit", "tail", "-n", "2"]).lines().count(), 3);
}

#[tokio::test]
async fn a_start_with_other_settings_is_an_entry() {
    let home = Home::new();
    home.serve(&[]).stop();
    assert!(!events(&home).iter().any(|e| told(e).starts_with("update/audit-configuration")), "what nobody set is no change");
    home.serve(&["--audit-records", "all", "--audit-retention-days", "0", "--audit-s3-endpoint", "http://127.0.0.1:9"]).stop();
    let changed: Vec<Value> = events(&home).into_iter().filter(|e| told(e).starts_with("update/audit-configuration")).collect();
    let parameters = &changed[0]["event"]["parameters"];
    assert_eq!((changed.len(), &parameters["audit_records"]), (1, &json!("off -> all")));
    assert_eq!(parameters["audit_retention_days"], json!("90 -> for ever"));
    assert!(parameters["audit_endpoints"].as_str().unwrap().contains("http://127.0.0.1:9"), "{parameters}");
    assert_eq!(changed[0]["actor"]["principal_type"], "system");
    // A command on the stopped directory is no start.
    home.run(&["project", "create", "p"]);
    assert_eq!(events(&home).iter().filter(|e| told(e).starts_with("update/audit-configuration")).count(), 1);
}

#[tokio::test]
async fn reads_are_entries_where_it_is_set() {
    let home = Home::new();
    let server = home.serve(&["--audit-records", "all"]);
    let api = Api::new(&home.first_key());
    api.create_index(&server, "a").await;
    let stats = api.post(&format!("{}/describe_index_stats", server.index_url(1)), json!({})).await;
    assert_eq!(stats.status, 200);
    assert!(events(&home).iter().any(|e| told(e) == "read/index-stats a"), "{:?}", events(&home).iter().map(told).collect::<Vec<_>>());
    server.stop();
}

#[tokio::test]
async fn a_sink_needs_a_running_server_and_settings_that_are_some() {
    let home = Home::new();
    let server = home.serve(&[]);
    let refused = |words: &[&str]| {
        let done = home.operate(&[&["audit", "sink"], words].concat());
        assert!(!done.status.success());
        text(&done.stderr)
    };
    let role = ["--role-arn", "arn:aws:iam::123456789012:role/audit"];
    for (more, said) in [
        (["--bucket", "127.0.0.1", "--interval", "10"], "bucket"),
        (["--bucket", "logs", "--interval", "9"], "interval"),
        (["--bucket", "logs", "--region", "moon"], "region"),
    ] {
        assert!(refused(&[&["set"], &role[..], &more[..]].concat()).contains(said), "{more:?}");
    }
    for word in ["show", "enable", "disable", "remove"] {
        assert!(refused(&[word]).contains("no delivery of its audit log"), "{word}");
    }
    server.stop();
    let offline = refused(&[&["set"], &role[..], &["--bucket", "logs"]].concat());
    assert!(offline.contains("running server"), "{offline}");
}
