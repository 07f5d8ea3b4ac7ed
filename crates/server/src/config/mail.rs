//! The settings of mail: which server takes it, whom it is from, and which page accepts an invite.

use std::path::Path;

use pinyon_cloud::{SmtpSettings, SmtpTls};
use pinyon_model::Email;
use zeroize::Zeroizing;

use super::{ConfigError, ServerArgs};

/// The variable that holds the password of the mail server.
pub(crate) const SMTP_PASSWORD_VARIABLE: &str = "PINYON_SMTP_PASSWORD";

/// How invites are sent.
#[derive(Debug, Clone)]
pub(crate) struct MailSettings {
    pub(crate) smtp: SmtpSettings,
    /// The page that takes `#token=…`.
    pub(crate) accept_url: Option<String>,
}

/// What the settings say of mail, if anything. `variable` reads the environment, where a password may be.
pub(super) fn mail(args: &ServerArgs, variable: impl Fn(&str) -> Option<String>) -> Result<Option<MailSettings>, ConfigError> {
    let Some(url) = &args.smtp_url else {
        return match (&args.smtp_password_file, &args.mail_from, &args.invite_url) {
            (None, None, None) => Ok(None),
            _ => Err(ConfigError::new("--smtp-password-file, --mail-from and --invite-url need --smtp-url")),
        };
    };
    let (tls, user, host, port) = parse_url(url)?;
    let from = args.mail_from.as_deref().ok_or_else(|| ConfigError::new("--smtp-url needs --mail-from"))?;
    let from = Email::new(from).map_err(|e| ConfigError::new(format!("--mail-from: {e}")))?;
    let password = match &args.smtp_password_file {
        Some(path) => Some(read_password(path)?),
        None => variable(SMTP_PASSWORD_VARIABLE).map(Zeroizing::new),
    };
    let credentials = match (user, password) {
        (None, None) => None,
        (Some(user), Some(password)) => Some((user, password)),
        (Some(_), None) => {
            return Err(ConfigError::new(format!("--smtp-url names a user: --smtp-password-file or {SMTP_PASSWORD_VARIABLE} is needed")));
        }
        (None, Some(_)) => return Err(ConfigError::new("--smtp-url names no user for the password of the mail server")),
    };
    if credentials.is_some() && tls == SmtpTls::None && !["localhost", "127.0.0.1", "::1"].contains(&host.as_str()) {
        return Err(ConfigError::new("--smtp-url would send a password unencrypted; use smtps:// or smtp://"));
    }
    let accept_url = args.invite_url.clone();
    if let Some(url) = accept_url.as_deref()
        && (!(url.starts_with("https://") || url.starts_with("http://")) || !url.bytes().all(|b| b.is_ascii_graphic() && b != b'#'))
    {
        return Err(ConfigError::new(format!(
            "--invite-url is '{url}'; a URL such as https://pinyon.example.com/join is expected, without #"
        )));
    }
    Ok(Some(MailSettings { smtp: SmtpSettings { host, port, tls, credentials, from }, accept_url }))
}

type Server = (SmtpTls, Option<String>, String, u16);

/// `smtps://`, `smtp://` (STARTTLS) or `smtp+plain://`, then perhaps `USER@`, the host, and perhaps `:PORT`.
fn parse_url(url: &str) -> Result<Server, ConfigError> {
    let bad = || {
        ConfigError::new(
            "--smtp-url is not smtps://[USER@]HOST[:PORT], or the same with smtp:// (STARTTLS) or smtp+plain:// (not encrypted)",
        )
    };
    let (scheme, rest) = url.split_once("://").ok_or_else(bad)?;
    let (tls, port) = match scheme {
        "smtps" => (SmtpTls::Implicit, 465),
        "smtp" => (SmtpTls::StartTls, 587),
        "smtp+plain" => (SmtpTls::None, 25),
        _ => return Err(bad()),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (user, server) = rest.rsplit_once('@').map_or((None, rest), |(user, server)| (Some(user), server));
    let (host, port) = match server.strip_prefix('[').and_then(|s| s.split_once(']')) {
        Some((host, "")) => (host, port),
        Some((host, after)) => (host, after.strip_prefix(':').and_then(|p| p.parse().ok()).ok_or_else(bad)?),
        None => match server.split_once(':') {
            Some((host, text)) => (host, text.parse().map_err(|_| bad())?),
            None => (server, port),
        },
    };
    let well = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:".contains(&b));
    // A colon would be a password, which everybody on the machine could read.
    let user_is_well = user.is_none_or(|u| !u.is_empty() && u.bytes().all(|b| b.is_ascii_graphic() && b != b':' && b != b'/'));
    if well && user_is_well { Ok((tls, user.map(str::to_owned), host.to_owned(), port)) } else { Err(bad()) }
}

fn read_password(path: &Path) -> Result<Zeroizing<String>, ConfigError> {
    let unreadable = |e: std::io::Error| ConfigError::new(format!("--smtp-password-file {}: {e}", path.display()));
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(unreadable)?);
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(change: impl FnOnce(&mut ServerArgs), password: Option<&str>) -> Result<Option<MailSettings>, ConfigError> {
        let mut args = ServerArgs { mail_from: Some("pinyon@example.com".into()), ..ServerArgs::default() };
        change(&mut args);
        mail(&args, |_| password.map(str::to_owned))
    }

    #[test]
    fn urls() {
        for (url, expected) in [
            ("smtps://mail.example.com", (SmtpTls::Implicit, None, "mail.example.com", 465)),
            ("smtp://me@example.com@mail.example.com:2525/", (SmtpTls::StartTls, Some("me@example.com"), "mail.example.com", 2525)),
            ("smtp+plain://127.0.0.1:1025", (SmtpTls::None, None, "127.0.0.1", 1025)),
            ("smtp://[::1]:25", (SmtpTls::StartTls, None, "::1", 25)),
        ] {
            let (tls, user, host, port) = parse_url(url).unwrap();
            assert_eq!((tls, user.as_deref(), host.as_str(), port), expected, "{url}");
        }
        for bad in [
            "",
            "mail.example.com",
            "http://m",
            "smtps://",
            "smtps://a:b@m",
            "smtp://m:x",
            "smtp://m:99999",
            "smtp://m m",
            "smtp://@m",
            "smtp://[::1",
        ] {
            assert!(parse_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_belongs_together() {
        let smtp = |url: &'static str| move |a: &mut ServerArgs| a.smtp_url = Some(url.into());
        assert!(read(smtp("smtps://m"), None).unwrap().unwrap().smtp.credentials.is_none());
        let found = read(smtp("smtps://me@m"), Some("hunter2")).unwrap().unwrap();
        assert_eq!(found.smtp.credentials.as_ref().unwrap().1.as_str(), "hunter2");
        assert!(!format!("{found:?}").contains("hunter2"));
        assert!(read(smtp("smtp+plain://me@localhost"), Some("p")).is_ok());
        type Change = Box<dyn FnOnce(&mut ServerArgs)>;
        let wrong: [(&str, Option<&str>, Change); 7] = [
            ("--smtp-url", None, Box::new(|_| ())),
            ("--mail-from", None, Box::new(|a| (a.smtp_url, a.mail_from) = (Some("smtp://m".into()), None))),
            ("--mail-from", None, Box::new(|a| (a.smtp_url, a.mail_from) = (Some("smtp://m".into()), Some("me".into())))),
            ("--smtp-password-file", None, Box::new(smtp("smtps://me@m"))),
            ("no user", Some("p"), Box::new(smtp("smtps://m"))),
            ("unencrypted", Some("p"), Box::new(smtp("smtp+plain://me@m"))),
            ("--invite-url", None, Box::new(|a| (a.smtp_url, a.invite_url) = (Some("smtp://m".into()), Some("pinyon".into())))),
        ];
        for (told, password, change) in wrong {
            let error = read(change, password).unwrap_err().to_string();
            assert!(error.contains(told), "{told}: {error}");
        }
    }
}
