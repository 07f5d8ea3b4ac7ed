//! The smallest HTTP/1.1 client that can say "the connection died before the answer came".

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;

/// Where requests go.
enum Place {
    Host(String),
    Socket(PathBuf),
}

/// A kept-alive connection to one place.
pub(crate) struct Client {
    place: Place,
    version: &'static str,
    stream: Option<BufReader<Box<dyn Stream>>>,
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// An answer that came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    /// The number of the write, or of the last write that a read saw.
    pub(crate) lsn: Option<u64>,
}

impl Client {
    pub(crate) fn new(host: &str) -> Self {
        Self { place: Place::Host(host.to_owned()), version: "2025-10", stream: None }
    }

    /// To the operator's socket of a running server.
    pub(crate) fn operator(data_dir: &Path) -> Self {
        Self { place: Place::Socket(data_dir.join("pinyon.sock")), version: "2025-10", stream: None }
    }

    /// With another API date.
    pub(crate) fn speaking(self, version: &'static str) -> Self {
        Self { version, ..self }
    }

    /// Sends an operator's command.
    pub(crate) fn command(&mut self, command: &Value) -> Option<Answer> {
        self.send("POST", "/command", Some(&serde_json::json!({ "command": command })))
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
            self.stream = Some(BufReader::new(self.place.connect().ok()?));
        }
        let stream = self.stream.as_mut()?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nApi-Key: crash\r\nX-Pinecone-Api-Version: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.place.host(),
            self.version,
            body.len()
        );
        stream.get_mut().write_all(&[head.as_bytes(), body.as_bytes()].concat()).ok()?;
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let status = line.split(' ').nth(1)?.parse().ok()?;
        let (mut length, mut lsn) = (0, None);
        loop {
            line.clear();
            if stream.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line == "\r\n" {
                break;
            }
            let Some((name, value)) = line.split_once(':') else { continue };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().ok()?,
                "x-pinecone-request-lsn" | "x-pinecone-max-indexed-lsn" => lsn = value.trim().parse().ok(),
                _ => {}
            }
        }
        let mut bytes = vec![0; length];
        stream.read_exact(&mut bytes).ok()?;
        Some(Answer { status, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null), lsn })
    }
}

impl Place {
    fn connect(&self) -> io::Result<Box<dyn Stream>> {
        let patience = Some(Duration::from_secs(60));
        Ok(match self {
            Place::Host(host) => {
                let stream = TcpStream::connect(host)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(patience)?;
                Box::new(stream)
            }
            Place::Socket(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(patience)?;
                Box::new(stream)
            }
        })
    }

    fn host(&self) -> &str {
        match self {
            Place::Host(host) => host,
            Place::Socket(_) => "pinyon",
        }
    }
}

/// Percent-encodes a query value or path segment.
pub(crate) fn encode(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() || b == b'-' || b == b'_' { (b as char).to_string() } else { format!("%{b:02X}") })
        .collect()
}
