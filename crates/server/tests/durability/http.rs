//! The smallest HTTP/1.1 client that can say "the connection died before the answer came".

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::Value;

/// A kept-alive connection to one host.
pub(crate) struct Client {
    host: String,
    stream: Option<BufReader<TcpStream>>,
}

/// An answer that came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Client {
    pub(crate) fn new(host: &str) -> Self {
        Self { host: host.to_owned(), stream: None }
    }

    /// Sends one request. `None`: no whole answer came, so the operation may or may not have happened.
    pub(crate) fn send(&mut self, method: &str, path: &str, body: Option<&Value>) -> Option<Answer> {
        let answer = self.try_send(method, path, body);
        if answer.is_none() {
            self.stream = None;
        }
        answer
    }

    fn try_send(&mut self, method: &str, path: &str, body: Option<&Value>) -> Option<Answer> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(&self.host).ok()?;
            stream.set_nodelay(true).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
            self.stream = Some(BufReader::new(stream));
        }
        let stream = self.stream.as_mut()?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nApi-Key: crash\r\nX-Pinecone-Api-Version: 2025-10\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.host,
            body.len()
        );
        stream.get_mut().write_all(&[head.as_bytes(), body.as_bytes()].concat()).ok()?;
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let status = line.split(' ').nth(1)?.parse().ok()?;
        let mut length = 0;
        loop {
            line.clear();
            if stream.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line == "\r\n" {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().ok()?;
            }
        }
        let mut bytes = vec![0; length];
        stream.read_exact(&mut bytes).ok()?;
        Some(Answer { status, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) })
    }
}

/// Percent-encodes a query value or path segment.
pub(crate) fn encode(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() || b == b'-' || b == b'_' { (b as char).to_string() } else { format!("%{b:02X}") })
        .collect()
}
