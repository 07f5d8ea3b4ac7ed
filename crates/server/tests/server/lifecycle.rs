//! Starting, stopping, and who may own a data directory.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::kit::{Api, Home, is_open, record};

/// A request whose body is not all there yet.
fn half_a_request(port: u16, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let head = format!("POST /vectors/upsert HTTP/1.1\r\nHost: a\r\nApi-Key: any\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&body.as_bytes()[..10]).unwrap();
    // The server answers nothing yet; give it time to take the head in.
    std::thread::sleep(Duration::from_millis(200));
    stream
}

#[tokio::test]
async fn a_signal_lets_requests_end_and_exits_with_0() {
    for signal in ["TERM", "INT"] {
        let home = Home::new();
        let mut server = home.dev(&[]);
        Api::new("any").create_index(&server, "a").await;
        let body = json!({"vectors": [record("x")]}).to_string();
        let mut stream = half_a_request(server.port + 1, &body);
        server.signal(signal);
        let patience = Instant::now() + Duration::from_secs(10);
        while is_open(server.port) {
            assert!(Instant::now() < patience, "still listening");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(server.child.try_wait().unwrap().is_none(), "it must wait for the request");
        stream.write_all(&body.as_bytes()[10..]).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("{\"upsertedCount\":1}"), "{answer}");
        assert_eq!(server.wait(), Some(0));
        assert!(!home.data().join("pinyon.sock").exists());
    }
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let home = Home::new();
    let mut server = home.dev(&[]);
    Api::new("any").create_index(&server, "a").await;
    let _stuck = half_a_request(server.port + 1, &"x".repeat(100));
    server.signal("TERM");
    std::thread::sleep(Duration::from_millis(300));
    assert!(server.child.try_wait().unwrap().is_none());
    server.signal("TERM");
    assert_eq!(server.wait(), Some(130));
}

#[test]
fn one_process_owns_a_data_directory() {
    let home = Home::new();
    let server = home.serve(&[]);
    let other = Home::new();
    let output =
        home.command(&["serve", "--bind", "127.0.0.1", "--port", &other.port.to_string(), "--data-dir"]).arg(home.data()).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("another process") || said.contains("in use") || said.contains("lock"), "{said}");
    assert!(is_open(server.port), "the first one goes on");
    server.stop();
    home.serve(&[]).stop();
}

#[test]
fn what_cannot_start_says_why() {
    let home = Home::new();
    let refused = |words: &[&str]| {
        let output = home.command(words).output().unwrap();
        assert!(!output.status.success(), "{words:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let data = home.data().display().to_string();
    let inside = home.data().join("root.key").display().to_string();
    let port = home.port.to_string();
    assert!(refused(&["serve", "--port", &port, "--data-dir", &data, "--root-key-file", &inside]).contains("inside the data directory"));
    assert!(refused(&["serve", "--data-dir", &data, "--index-ports", "9-1"]).contains("--index-ports"));
    assert!(refused(&["serve", "--data-dir", &data, "--max-body", "much"]).contains("--max-body"));
    assert!(refused(&["dev", "--config", "/nowhere.toml"]).contains("/nowhere.toml"));
    assert!(refused(&["dev", "--log", "a=b=c"]).contains("--log"));
    let taken = std::net::TcpListener::bind(("127.0.0.1", home.port)).unwrap();
    assert!(refused(&["dev", "--bind", "127.0.0.1", "--port", &port]).contains(&port));
    drop(taken);
    // Data without its key: not to be started as if it were new.
    let server = home.serve(&[]);
    server.stop();
    std::fs::remove_dir_all(home.path().join("config")).unwrap();
    let said = refused(&["serve", "--port", &port, "--data-dir", &data]);
    assert!(said.contains("root key") && said.contains("--root-key-file"), "{said}");
}

#[test]
fn the_banner_says_where_everything_is() {
    let home = Home::new();
    let server = home.serve(&[]);
    let said = home.log();
    for word in [
        server.port.to_string(),
        home.data().display().to_string(),
        "root-keys".into(),
        ".api-key".into(),
        "Losing it loses the data".into(),
    ] {
        assert!(said.contains(&word), "{word} is not in {said}");
    }
    assert!(!said.contains(&home.first_key()), "the key itself is not printed");
    server.stop();
    let again = home.serve(&[]);
    assert!(home.log().contains("pinyon key create"));
    again.stop();
}

#[tokio::test]
async fn settings_come_from_a_file_and_flags_win() {
    let home = Home::new();
    let file = home.path().join("pinyon.toml");
    std::fs::write(&file, "max-body = '1KB'\nadvertise-host = 'from.file'\nlog-format = 'json'\n[engine]\nmemtable = '64KB'\n").unwrap();
    let server = home.dev(&["--config", file.to_str().unwrap(), "--advertise-host", "from.flag"]);
    let api = Api::new("any");
    let description = api.create_index(&server, "a").await;
    assert_eq!(description["host"], format!("from.flag:{}", server.port + 1));
    let large = json!({"vectors": [{"id": "x".repeat(2000), "values": [1, 2, 3]}]});
    assert_eq!(api.post(&format!("{}/vectors/upsert", server.index_url(1)), large).await.status, 413);
}
