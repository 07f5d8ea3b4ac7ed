//! Slow, greedy and flooding clients: they are stopped, and others do not notice.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::kit::{Api, Home, Server, record};

async fn server(home: &Home, words: &[&str]) -> Server {
    let server = home.dev(words);
    Api::new("any").create_index(&server, "a").await;
    server
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// The status line's number of what comes next.
fn status(stream: &mut TcpStream) -> u16 {
    let mut bytes = [0; 12];
    stream.read_exact(&mut bytes).unwrap();
    std::str::from_utf8(&bytes[9..]).unwrap().parse().unwrap()
}

/// Whether the other side closes.
fn closes(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0; 1024]), Ok(0))
        || matches!(stream.read(&mut [0; 1024]), Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset)
}

#[tokio::test]
async fn a_large_body_is_refused_before_it_is_read() {
    let home = Home::new();
    let server = server(&home, &["--max-body", "1MB"]).await;
    let mut stream = connect(server.port + 1);
    let head = format!("POST /vectors/upsert HTTP/1.1\r\nHost: a\r\nApi-Key: any\r\nContent-Length: {}\r\n\r\n", 64 << 20);
    stream.write_all(head.as_bytes()).unwrap();
    assert_eq!(status(&mut stream), 413);

    // Without a declared length, once the limit is passed; the client that goes on sending gets to read why.
    let mut stream = connect(server.port + 1);
    stream.write_all(b"POST /vectors/upsert HTTP/1.1\r\nHost: a\r\nApi-Key: any\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 65536], b"\r\n"].concat();
    for _ in 0..48 {
        stream.write_all(&chunk).unwrap();
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    assert_eq!(status(&mut stream), 413);

    let api = Api::new("any");
    let url = format!("{}/vectors/upsert", server.index_url(1));
    let reply = api.send("POST", &url, vec![b' '; 3 << 20]).await;
    assert_eq!((reply.status, &reply.json()["code"]), (413, &json!(11)));
    let just_under = format!("{}{}", json!({"vectors": [record("x")]}), " ".repeat((1 << 20) - 200));
    assert_eq!(api.send("POST", &url, just_under).await.status, 200);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    compress("gzip", bytes)
}

/// By the tools of the system, so that the test does not share the product's code.
fn compress(tool: &str, bytes: &[u8]) -> Vec<u8> {
    let script = match tool {
        "gzip" => "import sys,gzip; sys.stdout.buffer.write(gzip.compress(sys.stdin.buffer.read()))",
        other => panic!("{other}"),
    };
    let mut child = std::process::Command::new("python3")
        .args(["-c", script])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = bytes.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    output.stdout
}

/// A zstd frame of one repeated byte: 128 KiB for every 4 bytes of it.
fn zstd_bomb(blocks: usize) -> Vec<u8> {
    // Magic, frame header (no checksum, no size, 8 MiB window), then RLE blocks.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x68];
    for i in 0..blocks {
        let last = u32::from(i + 1 == blocks);
        let header = last | 1 << 1 | (128 << 10) << 3;
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.push(b' ');
    }
    frame
}

#[tokio::test]
async fn compressed_bodies_are_taken_and_bombs_are_not() {
    let home = Home::new();
    let server = server(&home, &["--max-body", "1MB"]).await;
    let url = format!("{}/vectors/upsert", server.index_url(1));
    let send = async |encoding: &str, body: Vec<u8>| Api::new("any").with("Content-Encoding", encoding).send("POST", &url, body).await;

    let reply = send("gzip", gzip(json!({"vectors": [record("x")]}).to_string().as_bytes())).await;
    assert_eq!(reply.json(), json!({"upsertedCount": 1}));
    let bomb = gzip(&vec![b' '; 64 << 20]);
    assert!(bomb.len() < 100 << 10);
    assert_eq!(send("gzip", bomb.clone()).await.status, 413);
    // A thousand members after one another, each under the limit: too large, or not read past the first; never a megabyte in memory.
    assert!(matches!(send("gzip", gzip(&[b' '; 4096]).repeat(1000)).await.status, 400 | 413));
    assert_eq!(send("zstd", zstd_bomb(4)).await.status, 400, "half a megabyte of spaces is no upsert, but may be read");
    assert_eq!(send("zstd", zstd_bomb(512)).await.status, 413);
    assert_eq!(send("gzip", b"not gzip at all".to_vec()).await.status, 400);
    assert!(matches!(send("gzip", bomb[..1000].to_vec()).await.status, 400 | 413), "a bomb that breaks off");
    assert_eq!(send("br", b"x".to_vec()).await.status, 400);
    assert_eq!(send("gzip, gzip", bomb).await.status, 400);
}

#[tokio::test]
async fn slow_heads_are_cut_off_and_stop_nobody() {
    let home = Home::new();
    let server = server(&home, &["--header-timeout", "1"]).await;
    let mut slow: Vec<TcpStream> = (0..300).map(|_| connect(server.port)).collect();
    for (i, stream) in slow.iter_mut().enumerate() {
        // Some say nothing, some begin a head, some begin HTTP/2.
        let begun: &[u8] = [&b""[..], b"GET /indexes HTTP/1.1\r\nHo", b"P", b"PRI * HT"][i % 4];
        stream.write_all(begun).unwrap();
    }
    let reply = Api::new("any").get(&format!("{}/indexes", server.url())).await;
    assert_eq!(reply.status, 200);
    let started = Instant::now();
    assert!(slow.iter_mut().all(closes));
    assert!(started.elapsed() < Duration::from_secs(15));

    // A connection that was of use may be quiet for longer, but not dawdle over its next head.
    let mut kept = connect(server.port);
    kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(status(&mut kept), 200);
    std::thread::sleep(Duration::from_millis(2500));
    kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut rest = [0; 256];
    let n = kept.read(&mut rest).unwrap();
    assert!(String::from_utf8_lossy(&rest[..n]).contains("ok\n"));
}

#[tokio::test]
async fn slow_bodies_are_cut_off() {
    let home = Home::new();
    let server = server(&home, &["--body-timeout", "2"]).await;
    let mut stream = connect(server.port + 1);
    stream.write_all(b"POST /query HTTP/1.1\r\nHost: a\r\nApi-Key: any\r\nContent-Length: 100\r\n\r\n{").unwrap();
    assert_eq!(status(&mut stream), 400);
}

#[tokio::test]
async fn idle_connections_make_room_for_new_ones() {
    let home = Home::new();
    let server = server(&home, &["--max-connections", "32"]).await;
    let mut idle = Vec::new();
    for _ in 0..100 {
        let mut stream = connect(server.port);
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!(status(&mut stream), 200, "every newcomer is served");
        idle.push(stream);
    }
    assert_eq!(Api::new("any").get(&format!("{}/indexes", server.url())).await.status, 200);
}

#[tokio::test]
async fn heads_have_a_size() {
    let home = Home::new();
    let server = server(&home, &[]).await;
    let url = format!("{}/indexes", server.url());
    assert_eq!(Api::new("any").with("X-Filler", &"x".repeat(40 << 10)).get(&url).await.status, 200);
    let mut stream = connect(server.port);
    let head = format!("GET /indexes HTTP/1.1\r\nHost: a\r\nX-Filler: {}\r\n\r\n", "x".repeat(200 << 10));
    let _ = stream.write_all(head.as_bytes());
    assert_eq!(status(&mut stream), 431);
    // A thousand ids of usual length fit into a URI.
    let ids: Vec<String> = (0..1000).map(|i| format!("ids=document-{i:04}-chunk")).collect();
    let reply = Api::new("any").get(&format!("{}/vectors/fetch?{}", server.index_url(1), ids.join("&"))).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn all_bodies_together_have_a_limit() {
    let home = Home::new();
    let server = server(&home, &["--max-body", "1MB", "--max-bodies", "2MB"]).await;
    let head = format!("POST /vectors/upsert HTTP/1.1\r\nHost: a\r\nApi-Key: any\r\nContent-Length: {}\r\n\r\n", 1 << 20);
    let mut holders = Vec::new();
    for _ in 0..2 {
        let mut stream = connect(server.port + 1);
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&vec![b' '; (1 << 20) - 1]).unwrap();
        holders.push(stream);
    }
    std::thread::sleep(Duration::from_millis(500));
    let url = format!("{}/vectors/upsert", server.index_url(1));
    let body = json!({"vectors": [record("x")]}).to_string();
    let reply = Api::new("any").send("POST", &url, body.clone()).await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    for mut stream in holders {
        stream.write_all(b" ").unwrap();
        assert_eq!(status(&mut stream), 400, "a megabyte of spaces holds no vectors");
    }
    assert_eq!(Api::new("any").send("POST", &url, body).await.status, 200, "room was given back");
}
