//! The socket in the data directory: commands as JSON over HTTP/1.1, for whoever may open it (mode 0600).

use std::{
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use pinyon_model::{Error, ErrorCode, Result};
use serde::{Deserialize, Serialize};
use tokio::net::{UnixListener, UnixStream};

use super::{Order, Output};
use crate::{
    answer::{Answer, AnswerBody},
    app::{App, to_the_end},
};

/// The socket's name in the data directory.
pub(crate) const SOCKET_NAME: &str = "pinyon.sock";

#[derive(Serialize, Deserialize)]
struct Refusal {
    error: String,
}

/// Makes the socket of a data directory that this process owns. Replaces one that a killed server left behind.
pub(crate) fn bind(data_dir: &Path) -> io::Result<UnixListener> {
    let path = data_dir.join(SOCKET_NAME);
    if let Err(e) = std::fs::remove_file(&path)
        && e.kind() != io::ErrorKind::NotFound
    {
        return Err(e);
    }
    // Until its mode is set, the socket is where nobody else can reach it.
    let private = tempfile::Builder::new().prefix(".socket-").tempdir_in(data_dir)?;
    let made = private.path().join("s");
    let listener = with_short_path(&made, |short| UnixListener::bind(short))?;
    std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&made, &path)?;
    Ok(listener)
}

/// Sends a command to the server that owns a data directory. `None` when no server answers there.
pub(crate) async fn send(data_dir: &Path, order: &Order) -> Option<Result<Output>> {
    let path = data_dir.join(SOCKET_NAME);
    let stream = with_short_path(&path, |short| std::os::unix::net::UnixStream::connect(short)).ok()?;
    let broken = |e: &dyn std::fmt::Display| Error::unavailable(format!("The running server did not answer: {e}"));
    let exchange = async {
        stream.set_nonblocking(true).map_err(|e| broken(&e))?;
        let stream = UnixStream::from_std(stream).map_err(|e| broken(&e))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| broken(&e))?;
        let driver = tokio::spawn(connection);
        let body = serde_json::to_vec(order).map_err(|e| broken(&e))?;
        let request = Request::post("/command").header("host", "pinyon").body(Full::new(Bytes::from(body))).map_err(|e| broken(&e))?;
        let response = sender.send_request(request).await.map_err(|e| broken(&e))?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|e| broken(&e))?.to_bytes();
        driver.abort();
        if status == StatusCode::OK {
            serde_json::from_slice(&body).map_err(|e| broken(&e))
        } else {
            let refusal: Refusal = serde_json::from_slice(&body).map_err(|e| broken(&e))?;
            Err(Error::invalid(refusal.error))
        }
    };
    Some(exchange.await)
}

/// Answers a command that came through the socket.
pub(crate) async fn serve(app: &Arc<App>, request: Request<Incoming>) -> Response<AnswerBody> {
    let app = app.clone();
    let answered = async {
        if request.method() != Method::POST || request.uri().path() != "/command" {
            return Err(Error::not_found("Commands are posted to /command"));
        }
        let body = app.bodies.read(request).await?;
        let order: Order = serde_json::from_slice(&body.bytes).map_err(|e| Error::invalid(format!("Not a command: {e}")))?;
        let changes = app.changes.clone();
        to_the_end(&changes, async move { order.execute(&app.service, &*app.clock, &app.root_key).await }).await
    };
    match answered.await {
        Ok(output) => Answer::ok(serde_json::to_vec(&output).unwrap_or_default()).into_response(),
        Err(error) => {
            let status = if error.code == ErrorCode::Internal { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::BAD_REQUEST };
            Answer::json(status, serde_json::to_vec(&Refusal { error: error.message }).unwrap_or_default()).into_response()
        }
    }
}

/// A socket's path may have 107 bytes only; a longer one is reached through the open folder it lies in.
fn with_short_path<T>(path: &Path, act: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    if path.as_os_str().len() <= 100 {
        return act(path);
    }
    let folder = std::fs::File::open(path.parent().unwrap_or(Path::new(".")))?;
    let name = path.file_name().unwrap_or_default();
    let short = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&folder))).join(name);
    act(&short)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::Command;

    #[tokio::test]
    async fn the_socket_is_the_owners_alone_wherever_it_lies() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        for data_dir in [dir.path(), &deep] {
            let listener = bind(data_dir).unwrap();
            let path = data_dir.join(SOCKET_NAME);
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            let connected = with_short_path(&path, |p| std::os::unix::net::UnixStream::connect(p));
            assert!(connected.is_ok(), "{connected:?}");
            drop(listener);
            assert!(bind(data_dir).is_ok(), "a socket left behind is replaced");
        }
    }

    #[tokio::test]
    async fn without_a_server_there_is_no_answer() {
        let dir = tempfile::tempdir().unwrap();
        assert!(send(dir.path(), &Command::ListProjects.into()).await.is_none());
        drop(bind(dir.path()).unwrap());
        assert!(send(dir.path(), &Command::ListProjects.into()).await.is_none(), "a socket nobody listens on");
    }
}
