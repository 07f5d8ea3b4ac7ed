//! Backups over the real binary: through the API and by the operator's commands, with a server and without one.

use serde_json::{Value, json};

use crate::kit::{Api, Home, Server, record, text};

/// The API of one date.
struct Control {
    api: Api,
    url: String,
}

impl Control {
    fn new(home: &Home, server: &Server, date: &str) -> Self {
        Self { api: Api::new(&home.first_key()).with("X-Pinecone-Api-Version", date), url: server.url() }
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let reply = self.api.send(method, &format!("{}{path}", self.url), body).await;
        (reply.status, serde_json::from_slice(&reply.body).unwrap_or(Value::Null))
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask("GET", path, Value::Null).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// What is described there, once it has this status.
    async fn until(&self, path: &str, pointer: &str, wanted: &str) -> Value {
        for _ in 0..2_000 {
            let found = self.get(path).await;
            if found.pointer(pointer) == Some(&json!(wanted)) {
                return found;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("{path} is not {wanted}");
    }
}

async fn filled(home: &Home, server: &Server, name: &str) -> String {
    let api = Api::new(&home.first_key());
    let host = api.create_index(server, name).await["host"].as_str().unwrap().to_owned();
    let host = if host.starts_with("http") { host } else { format!("http://{host}") };
    for space in ["", "other"] {
        let vectors: Vec<Value> = (0..5).map(|n| record(&format!("r{n}"))).collect();
        let reply = api.post(&format!("{host}/vectors/upsert"), json!({"vectors": vectors, "namespace": space})).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    host
}

async fn count(home: &Home, host: &str) -> u64 {
    let host = if host.starts_with("http") { host.to_owned() } else { format!("http://{host}") };
    let reply = Api::new(&home.first_key()).post(&format!("{host}/describe_index_stats"), json!({})).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()["totalVectorCount"].as_u64().unwrap()
}

#[tokio::test]
async fn every_operation_over_the_api() {
    let home = Home::new();
    let server = home.serve(&[]);
    filled(&home, &server, "plants").await;
    for date in ["2025-04", "2025-10", "2026-04", "2026-07"] {
        let control = Control::new(&home, &server, date);
        let name = format!("by-{date}");
        let (status, made) = control.ask("POST", "/indexes/plants/backups", json!({"name": name, "description": "d"})).await;
        assert_eq!((status, &made["status"], &made["name"]), (201, &json!("Initializing"), &json!(name)), "{made}");
        let id = made["backup_id"].as_str().unwrap();
        let ready = control.until(&format!("/backups/{id}"), "/status", "Ready").await;
        assert_eq!((&ready["record_count"], &ready["namespace_count"]), (&json!(10), &json!(2)));
        assert_eq!(ready.get("dimension").is_some(), date < "2026-07");
        let listed = control.get("/indexes/plants/backups").await;
        assert_eq!(listed["data"].as_array().unwrap().last(), Some(&ready));
        let page = control.get("/backups?limit=1").await;
        assert_eq!(page["data"].as_array().unwrap().len(), 1);

        let (status, created) = control.ask("POST", &format!("/backups/{id}/create-index"), json!({"name": name})).await;
        assert_eq!(status, 202, "{created}");
        let job = format!("/restore-jobs/{}", created["restore_job_id"].as_str().unwrap());
        let done = control.until(&job, "/status", "Completed").await;
        assert_eq!((&done["percent_complete"], &done["target_index_id"]), (&json!(100.0), &created["index_id"]));
        let index = control.get(&format!("/indexes/{name}")).await;
        assert_eq!((&index["status"]["ready"], &index["id"]), (&json!(true), &created["index_id"]));
        assert_eq!(index.get("source_backup_id"), (date == "2026-07").then_some(&json!(id)));
        assert_eq!(count(&home, index["host"].as_str().unwrap()).await, 10);
        assert!(control.get("/restore-jobs").await["data"].as_array().unwrap().contains(&done));
        assert_eq!(control.ask("DELETE", &format!("/backups/{id}"), Value::Null).await.0, 202);
        assert_eq!(control.ask("GET", &format!("/backups/{id}"), Value::Null).await.0, 404);
    }

    let control = Control::new(&home, &server, "2026-07");
    let body = json!({"name": "nightly", "schedule": {"type": "time-based", "frequency": "daily"}, "retention": {"expire_after_days": 7}});
    let (status, schedule) = control.ask("POST", "/indexes/plants/backup-schedules", body.clone()).await;
    assert_eq!(status, 201, "{schedule}");
    assert_eq!(control.ask("POST", "/indexes/plants/backup-schedules", body).await.0, 409);
    let path = format!("/backup-schedules/{}", schedule["schedule_id"].as_str().unwrap());
    assert_eq!(control.get(&path).await, schedule);
    assert_eq!(control.get("/indexes/plants/backup-schedules").await["data"], json!([schedule]));
    let history = control.get(&format!("{path}/history")).await;
    assert_eq!(history["data"][0]["status"], "Scheduled", "{history}");
    let (status, paused) = control.ask("PATCH", &path, json!({"enabled": false})).await;
    assert_eq!((status, &paused["next_scheduled_run"]), (200, &Value::Null));
    let (_, again) = control.ask("PATCH", &path, json!({"enabled": true})).await;
    assert_eq!(again["enabled"], true);
    let taken = control.until(&format!("{path}/history"), "/data/0/status", "Ready").await;
    assert!(taken["data"][0]["name"].as_str().unwrap().starts_with("nightly-2"), "{taken}");
    assert_eq!(control.ask("DELETE", &path, Value::Null).await.0, 202);
    assert_eq!(control.ask("GET", &path, Value::Null).await.0, 404);

    for (method, path, body, expected) in [
        ("POST", "/indexes/none/backups", json!({}), 404),
        ("POST", "/indexes/plants/backups", json!({"name": "Not This"}), 400),
        ("GET", "/backups?limit=0", Value::Null, 400),
        ("GET", "/backups?paginationToken=x", Value::Null, 400),
        ("GET", "/backups/x", Value::Null, 404),
        ("GET", "/restore-jobs/x", Value::Null, 404),
        ("POST", "/collections", json!({"name": "c", "source": "plants"}), 400),
        ("GET", "/collections/none", Value::Null, 404),
        ("GET", "/indexes/none/backups?include_deleted=true", Value::Null, 404),
    ] {
        let (status, told) = control.ask(method, path, body).await;
        assert_eq!(status, expected, "{method} {path}: {told}");
        assert!(told["error"]["message"].as_str().is_some_and(|m| !m.is_empty()), "{told}");
    }
}

#[tokio::test]
async fn collections_over_the_api() {
    let home = Home::new();
    let server = home.serve(&[]);
    let control = Control::new(&home, &server, "2025-10");
    let pod = json!({"pod": {"environment": "us-east1-gcp", "pod_type": "p1.x1"}});
    let (status, made) = control.ask("POST", "/indexes", json!({"name": "pod", "dimension": 3, "metric": "cosine", "spec": pod})).await;
    assert_eq!(status, 201, "{made}");
    let host = made["host"].as_str().unwrap().to_owned();
    let upsert = json!({"vectors": [record("a"), record("b")]});
    let host = if host.starts_with("http") { host } else { format!("http://{host}") };
    assert_eq!(Api::new(&home.first_key()).post(&format!("{host}/vectors/upsert"), upsert).await.status, 200);
    assert_eq!(control.ask("POST", "/collections", json!({"name": "snap", "source": "pod"})).await.0, 201);
    let ready = control.until("/collections/snap", "/status", "Ready").await;
    assert_eq!((&ready["vector_count"], &ready["dimension"], &ready["environment"]), (&json!(2), &json!(3), &json!("us-east1-gcp")));
    assert_eq!(control.get("/collections").await, json!({"collections": [ready]}));
    let from = json!({"pod": {"environment": "us-east1-gcp", "pod_type": "p1.x1", "source_collection": "snap"}});
    let body = json!({"name": "again", "dimension": 3, "metric": "cosine", "spec": from});
    let (status, made) = control.ask("POST", "/indexes", body.clone()).await;
    assert_eq!((status, &made["spec"]["pod"]["source_collection"]), (201, &json!("snap")), "{made}");
    let index = control.until("/indexes/again", "/status/state", "Ready").await;
    assert_eq!(count(&home, index["host"].as_str().unwrap()).await, 2);
    let mut unknown = body;
    unknown["spec"]["pod"]["source_collection"] = json!("none");
    unknown["name"] = json!("third");
    let (status, told) = control.ask("POST", "/indexes", unknown).await;
    assert!(status == 400 && told["error"]["message"].as_str().unwrap().contains("Resource none not found"), "{told}");
    assert_eq!(control.ask("DELETE", "/collections/snap", Value::Null).await.0, 202);
    assert_eq!(control.ask("GET", "/collections/snap", Value::Null).await.0, 404);
}

#[tokio::test]
async fn the_operators_commands_with_a_server_and_without_one() {
    let (home, there) = (Home::new(), Home::new());
    let server = home.serve(&[]);
    filled(&home, &server, "plants").await;
    let made = home.json(&["backup", "create", "plants", "--name", "nightly"]);
    assert_eq!((&made["backup"]["status"], &made["backup"]["records"]), (&json!("Ready"), &json!(10)), "{made}");
    let id = made["backup"]["id"].as_str().unwrap().to_owned();
    assert_eq!(home.json(&["backup", "describe", &id])["backup"], made["backup"]);
    let listed = home.json(&["backup", "list", "--index", "plants"]);
    assert_eq!(listed["backups"], json!([made["backup"]]));
    let verified = home.json(&["backup", "verify", &id]);
    assert_eq!((&verified["records"], &verified["namespaces"]), (&json!(10), &json!(2)));
    let path = home.path().join("nightly.pinyon");
    let file = path.to_str().unwrap();
    let key = home.run(&["backup", "export", &id, file]);
    assert!(key.starts_with("pinyon_ek_"), "{key}");
    assert!(!home.operate(&["backup", "export", &id, file]).status.success(), "the file is there");

    // Into another installation, which has no server at present.
    there.serve(&[]).stop();
    let import = |key: &str| there.operate_with(&["backup", "import", file, "--json"], &format!("{key}\n"));
    let last = if key.ends_with('0') { "1" } else { "0" };
    for wrong in ["", "x", &format!("{}{last}", &key[..key.len() - 1])] {
        assert!(!import(wrong).status.success());
    }
    let imported = import(&key);
    assert!(imported.status.success(), "{}", text(&imported.stderr));
    assert_eq!(there.json(&["backup", "restore", &id, "--index", "with", "--protect"])["index"], json!("with"));
    assert!(home.run(&["backup", "delete", &id]).contains("is deleted"));
    assert!(!home.operate(&["backup", "describe", &id]).status.success());
    assert!(home.run(&["check"]).contains("all is well"));
    server.stop();
    let made = home.json(&["backup", "create", "plants"]);
    assert_eq!(made["backup"]["status"], "Ready", "without a server it is stored before the command ends: {made}");
    let id = made["backup"]["id"].as_str().unwrap().to_owned();
    assert_eq!(home.json(&["backup", "restore", &id, "--index", "again"])["index"], "again");
    assert!(home.run(&["backup", "verify", &id]).contains("is whole"));
    let server = there.serve(&[]);
    let control = Control::new(&there, &server, "2026-07");
    let index = control.get("/indexes/with").await;
    assert_eq!((count(&there, index["host"].as_str().unwrap()).await, &index["deletion_protection"]), (10, &json!("enabled")));
}
