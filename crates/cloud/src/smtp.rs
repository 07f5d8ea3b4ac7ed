//! Mail by SMTP: one connection for each message, to one server that takes it from there.

use std::{fmt, time::Duration};

use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::{
        authentication::Credentials,
        client::{Tls, TlsParameters},
    },
};
use pinyon_model::{Email, Error, Result};
use pinyon_service::{Mail, Mailer, system_time};
use pinyon_storage::random_bytes;
use zeroize::Zeroizing;

/// For a connection, and for all of a message with its connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(20);

/// How a connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpTls {
    /// From its first byte (`smtps`, port 465).
    Implicit,
    /// After `STARTTLS`, without which nothing is sent (port 587).
    StartTls,
    /// Not at all.
    None,
}

/// Which mail server takes our mail.
#[derive(Clone)]
pub struct SmtpSettings {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is encrypted. Certificates are held against those that the system trusts.
    pub tls: SmtpTls,
    /// User name and password, if it asks for them.
    pub credentials: Option<(String, Zeroizing<String>)>,
    /// Whom the mail is from.
    pub from: Email,
}

impl fmt::Debug for SmtpSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, tls, credentials: _, from } = self;
        write!(f, "SmtpSettings({tls:?} {host}:{port} from {})", from.as_str())
    }
}

/// A mail server's client.
pub struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    domain: String,
    timeout: Duration,
}

impl Smtp {
    /// A client; it connects with the first message. The error says which setting cannot be used.
    pub fn new(settings: SmtpSettings) -> Result<Self> {
        let SmtpSettings { host, port, tls, credentials, from } = settings;
        let unusable = |e: &dyn fmt::Display| Error::invalid(format!("No mail can be sent through {host}: {e}"));
        let parameters = || TlsParameters::builder(host.clone()).build_rustls().map_err(|e| unusable(&e));
        let tls = match tls {
            SmtpTls::Implicit => Tls::Wrapper(parameters()?),
            SmtpTls::StartTls => Tls::Required(parameters()?),
            SmtpTls::None => Tls::None,
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host.clone());
        builder = builder.port(port).tls(tls).timeout(Some(CONNECT_TIMEOUT));
        if let Some((user, password)) = credentials {
            builder = builder.credentials(Credentials::new(user, password.as_str().to_owned()));
        }
        let address: Address = from.as_str().parse().map_err(|e| unusable(&e))?;
        let domain = address.domain().to_owned();
        let from = Mailbox::new(Some("Pinyon".to_owned()), address);
        Ok(Self { transport: builder.build(), from, domain, timeout: MESSAGE_TIMEOUT })
    }

    fn message(&self, mail: Mail) -> Result<Message> {
        let broken = |e: &dyn fmt::Display| Error::internal(format!("A mail could not be written: {e}"));
        let to: Address = mail.to.as_str().parse().map_err(|e| broken(&e))?;
        let id: String = random_bytes::<16>().iter().map(|b| format!("{b:02x}")).collect();
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(mail.subject)
            .date(system_time(mail.written_at_ms))
            .message_id(Some(format!("<{id}@{}>", self.domain)))
            .header(ContentType::TEXT_PLAIN)
            .body(mail.text)
            .map_err(|e| broken(&e))
    }
}

#[async_trait::async_trait]
impl Mailer for Smtp {
    async fn send(&self, mail: Mail) -> Result<()> {
        let message = self.message(mail)?;
        let failed = |why: String| {
            // The server's words may name what the caller has no business with: they are for the operator.
            tracing::warn!(why, "a mail could not be sent");
            Error::unavailable("The mail could not be sent, and nothing was changed; try again later, or ask the operator")
        };
        match tokio::time::timeout(self.timeout, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) => Err(failed("the mail server took too long".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use pinyon_model::ErrorCode;
    use tokio::{
        io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
        net::TcpListener,
    };

    use super::*;

    /// What a mail server of ours answers to each thing that is said to it; nothing: it hangs up, "…": it says no more.
    struct Answers(&'static [(&'static str, &'static str)]);

    /// Serves one connection, and tells what it was told.
    async fn server(answers: Answers) -> (u16, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let mut told = String::new();
            stream.write_all(b"220 fake\r\n").await.unwrap();
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                    return told;
                }
                told += &line;
                let answer = answers.0.iter().find(|(word, _)| line.starts_with(word)).map_or("250 ok\r\n", |(_, answer)| answer);
                match answer {
                    "" => return told,
                    "…" => {
                        let _ = stream.read_to_string(&mut told).await;
                        return told;
                    }
                    _ => stream.write_all(answer.as_bytes()).await.unwrap(),
                }
                if line.starts_with("DATA") && answer.starts_with("354") {
                    while !told.ends_with("\r\n.\r\n") {
                        let mut line = String::new();
                        stream.read_line(&mut line).await.unwrap();
                        told += &line;
                    }
                    stream.write_all(b"250 taken\r\n").await.unwrap();
                }
            }
        });
        (port, task)
    }

    const DATA: (&str, &str) = ("DATA", "354 go on\r\n");
    const HELLO: (&str, &str) = ("EHLO", "250-fake\r\n250 AUTH PLAIN\r\n");

    fn settings(port: u16) -> SmtpSettings {
        let from = Email::new("pinyon@example.com").unwrap();
        SmtpSettings { host: "127.0.0.1".into(), port, tls: SmtpTls::None, credentials: None, from }
    }

    fn mail(subject: &str) -> Mail {
        let to = Email::new("ada@example.com").unwrap();
        Mail { to, subject: subject.into(), text: "come in\n.\nwith a dot\n".into(), written_at_ms: 1_700_000_000_000 }
    }

    #[tokio::test]
    async fn a_message_is_handed_over() {
        let (port, task) = server(Answers(&[HELLO, DATA])).await;
        let credentials = Some(("me".to_owned(), Zeroizing::new("hunter2".to_owned())));
        let settings = SmtpSettings { credentials, ..settings(port) };
        assert!(!format!("{settings:?}").contains("hunter2"));
        Smtp::new(settings).unwrap().send(mail("Grüße\r\nBcc: all@example.com")).await.unwrap();
        let told = task.await.unwrap();
        for line in
            ["AUTH PLAIN ", "MAIL FROM:<pinyon@example.com>", "RCPT TO:<ada@example.com>", "To: ada@example.com", "\r\n..\r\nwith a dot"]
        {
            assert!(told.contains(line), "{line}: {told}");
        }
        assert!(
            told.contains("Date: Tue, 14 Nov 2023 22:13:20") && told.contains("Message-ID: <") && told.contains("@example.com>"),
            "{told}"
        );
        assert_eq!(told.matches("RCPT TO").count(), 1);
        assert!(!told.lines().any(|l| l.starts_with("Bcc:")), "{told}");
    }

    #[tokio::test]
    async fn what_goes_wrong_is_a_503() {
        for answers in [
            &[("EHLO", "")][..],
            &[("MAIL", "421 later\r\n")],
            &[("RCPT", "550 no such user hunter2\r\n")],
            &[("DATA", "452 full\r\n")],
            &[("EHLO", "nonsense\r\n")],
        ] {
            let (port, _task) = server(Answers(answers)).await;
            let error = Smtp::new(settings(port)).unwrap().send(mail("s")).await.unwrap_err();
            assert_eq!(error.code, ErrorCode::Unavailable, "{answers:?}");
            assert!(!error.message.contains("hunter2"), "{error}");
        }
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        assert_eq!(Smtp::new(settings(closed)).unwrap().send(mail("s")).await.unwrap_err().code, ErrorCode::Unavailable);
        let (port, _task) = server(Answers(&[])).await;
        let encrypted = SmtpSettings { tls: SmtpTls::StartTls, ..settings(port) };
        let error = Smtp::new(encrypted).unwrap().send(mail("s")).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Unavailable, "a server without TLS gets nothing in the clear");
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_not_waited_for() {
        let (port, _task) = server(Answers(&[("MAIL", "…")])).await;
        let smtp = Smtp { timeout: Duration::from_millis(300), ..Smtp::new(settings(port)).unwrap() };
        assert_eq!(smtp.send(mail("s")).await.unwrap_err().code, ErrorCode::Unavailable);
    }
}
