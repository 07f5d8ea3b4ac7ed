//! What was deleted, by the commands that bring it back and purge it.

use serde_json::json;

use crate::kit::{Api, Home, index_spec, is_open, record, text};

#[tokio::test]
async fn an_operator_brings_back_what_was_deleted() {
    let home = Home::new();
    let server = home.serve(&[]);
    let key = home.first_key();
    let api = Api::new(&key);
    api.create_index(&server, "films").await;
    let host = server.index_url(1);
    assert_eq!(api.post(&format!("{host}/vectors/upsert"), json!({"vectors": [record("a")]})).await.status, 200);
    assert_eq!(api.send("DELETE", &format!("{}/indexes/films", server.url()), "").await.status, 202);
    assert!(!is_open(server.port + 1), "its port goes with it");
    let described = async || api.get(&format!("{}/indexes/films", server.url())).await.status;
    assert_eq!(described().await, 404);

    let kept = home.json(&["deleted", "list"])["deleted"][0].clone();
    assert_eq!((&kept["kind"], &kept["name"]), (&json!("index"), &json!("films")));
    assert!(kept["deleted_by"].as_str().unwrap().starts_with("api_key "), "{kept}");
    let id = kept["id"].as_str().unwrap();
    assert!(home.run(&["deleted", "restore", id]).contains("index 'films' is back"));
    assert_eq!(described().await, 200);
    let stats = api.post(&format!("{host}/describe_index_stats"), json!({})).await;
    assert_eq!((stats.status, &stats.json()["totalVectorCount"]), (200, &json!(1)));
    let again = home.operate(&["deleted", "restore", id]);
    assert!(!again.status.success() && text(&again.stderr).contains("Nothing that was deleted"));

    // A key that was revoked by mistake.
    let reader = home.key("DataPlaneViewer");
    home.run(&["key", "revoke", &reader]);
    let asked = async || Api::new(&reader).post(&format!("{host}/describe_index_stats"), json!({})).await.status;
    assert_eq!(asked().await, 401);
    let kept = home.json(&["deleted", "list"])["deleted"][0].clone();
    home.run(&["deleted", "restore", kept["id"].as_str().unwrap()]);
    assert_eq!(asked().await, 200);

    // Nothing is due yet, and there is no report.
    assert!(home.run(&["deleted", "purge"]).contains("0 purged"));
    assert!(!home.operate(&["deleted", "report", id]).status.success());
    assert_eq!(home.json(&["deleted", "report"])["reports"], json!([]));
}

#[tokio::test]
async fn a_deactivated_project_is_gone_with_all_that_is_in_it_and_purged_with_a_report() {
    let home = Home::new();
    let server = home.serve(&["--deletion-window", "0s"]);
    home.run(&["project", "create", "search"]);
    let key = home.run(&["key", "create", "--project", "search"]);
    let api = Api::new(&key);
    let made = api.post(&format!("{}/indexes", server.url()), index_spec("films")).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(api.post(&format!("{}/vectors/upsert", server.index_url(1)), json!({"vectors": [record("a")]})).await.status, 200);
    assert!(!home.operate(&["project", "delete", "search"]).status.success(), "it has an index");
    home.run(&["project", "deactivate", "search"]);
    assert_eq!(api.get(&format!("{}/indexes", server.url())).await.status, 401);
    assert_eq!(home.json(&["deleted", "list"])["deleted"], json!([]), "nothing is kept without a window");
    let report = home.json(&["deleted", "report"])["reports"][0].clone();
    assert_eq!((&report["deleted"]["kind"], &report["deleted"]["name"]), (&json!("project"), &json!("search")));
    assert!(report["objects"].as_u64().unwrap() > 0 && report["keys"] == 2, "of the index and of its namespace: {report}");

    let document = home.run(&["deleted", "report", report["deleted"]["id"].as_str().unwrap()]) + "\n";
    let file = home.path().join("report.txt");
    let verify = |document: &str| {
        std::fs::write(&file, document).unwrap();
        home.operate(&["deleted", "report", "--verify", file.to_str().unwrap()]).status.code()
    };
    assert_eq!(verify(&document), Some(0));
    for at in [0, document.len() / 2, document.len() - 10] {
        let mut flipped = document.clone().into_bytes();
        flipped[at] ^= 1;
        assert_ne!(verify(&String::from_utf8_lossy(&flipped)), Some(0), "byte {at}");
    }
    assert_eq!(home.run(&["deleted", "report", "--public-key"]).len(), 44);
    assert!(!home.operate(&["org", "deactivate", "default"]).status.success(), "the first organization stays");
}
