//! The token endpoint, `POST /oauth/token`: client credentials for a bearer token, in the words of RFC 6749.

use std::fmt;

use pinyon_model::{Error, ErrorCode};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{Envelope, RenderedError, json, percent};

/// What a token is for. Pinecone's clients send it, trailing slash included, whichever host they ask.
pub const AUDIENCE: &str = "https://api.pinecone.io/";

/// A secret that a client showed: wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(Self(Zeroizing::new(String::deserialize(d)?)))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Who asks for a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRequest {
    /// The service account.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
}

/// Why a request for a token is refused before any secret is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenRefusal {
    /// Another grant than `client_credentials`.
    UnsupportedGrantType,
    /// As an error of this kind reads at the token endpoint.
    Error(Error),
}

impl TokenRefusal {
    /// The HTTP answer.
    pub fn render(&self) -> RenderedError {
        match self {
            TokenRefusal::UnsupportedGrantType => {
                let body = error_body("unsupported_grant_type", "grant_type must be client_credentials");
                RenderedError { body, ..Envelope::OAuth.render(&Error::invalid("")) }
            }
            TokenRefusal::Error(error) => Envelope::OAuth.render(error),
        }
    }
}

#[derive(Serialize)]
struct ErrorOut<'a> {
    error: &'a str,
    error_description: &'a str,
}

pub(crate) fn error_body(error: &str, error_description: &str) -> Vec<u8> {
    json::to_vec(&ErrorOut { error, error_description })
}

/// RFC 6749's word for an error; it has none for a server's own troubles at this endpoint, where its words for the other one serve.
pub(crate) const fn error_word(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::Unauthenticated => "invalid_client",
        ErrorCode::Forbidden | ErrorCode::QuotaExceeded | ErrorCode::PaymentRequired => "access_denied",
        ErrorCode::ResourceExhausted => "too_many_requests",
        ErrorCode::Unavailable | ErrorCode::DeadlineExceeded => "temporarily_unavailable",
        ErrorCode::DataLoss | ErrorCode::Internal => "server_error",
        ErrorCode::InvalidArgument
        | ErrorCode::OutOfRange
        | ErrorCode::UnprocessableEntity
        | ErrorCode::NotFound
        | ErrorCode::AlreadyExists
        | ErrorCode::Aborted
        | ErrorCode::FailedPrecondition
        | ErrorCode::PayloadTooLarge
        | ErrorCode::Unimplemented => "invalid_request",
    }
}

/// What a body may hold; each at most once.
#[derive(Deserialize, Default)]
struct Body {
    client_id: Option<String>,
    #[serde(default, deserialize_with = "secret")]
    client_secret: Option<Secret>,
    grant_type: Option<String>,
    audience: Option<String>,
}

fn secret<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<String>::deserialize(d)?.map(|text| Secret(Zeroizing::new(text))))
}

impl TokenRequest {
    /// Reads the body of `POST /oauth/token`: JSON or a form, as `Content-Type` says; without one, whichever it looks like.
    pub fn parse(content_type: Option<&str>, body: &[u8]) -> Result<Self, TokenRefusal> {
        let kind = content_type.map(|t| t.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
        let read = match kind.as_deref() {
            Some("application/json") => from_json(body),
            Some("application/x-www-form-urlencoded") => from_form(body),
            None | Some("") if body.trim_ascii_start().starts_with(b"{") => from_json(body),
            None | Some("") => from_form(body),
            Some(_) => Err(Error::invalid("Content-Type must be application/json or application/x-www-form-urlencoded")),
        };
        read.map_err(TokenRefusal::Error)?.check()
    }
}

/// What is wrong with a body is never told in its own words: they may be the secret.
fn from_json(body: &[u8]) -> Result<Body, Error> {
    serde_json::from_slice(body)
        .map(|json::Object(body)| body)
        .map_err(|_| Error::invalid("The body must be a JSON object with the texts client_id, client_secret, grant_type and audience"))
}

fn from_form(body: &[u8]) -> Result<Body, Error> {
    let wrong = || Error::invalid("The body is not a valid form: percent-encoded UTF-8, no field twice");
    let text = std::str::from_utf8(body).map_err(|_| wrong())?;
    let mut form = Body::default();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = Zeroizing::new(percent::decode_form(value).map_err(|_| wrong())?);
        let before = match percent::decode_form(name).map_err(|_| wrong())?.as_str() {
            "client_id" => form.client_id.replace(value.to_string()).is_some(),
            "client_secret" => form.client_secret.replace(Secret(value)).is_some(),
            "grant_type" => form.grant_type.replace(value.to_string()).is_some(),
            "audience" => form.audience.replace(value.to_string()).is_some(),
            _ => false,
        };
        if before {
            return Err(wrong());
        }
    }
    Ok(form)
}

impl Body {
    fn check(self) -> Result<TokenRequest, TokenRefusal> {
        let needed = |name: &str| TokenRefusal::Error(Error::invalid(format!("{name} is needed")));
        let given = |field: Option<String>, name: &str| field.filter(|text| !text.is_empty()).ok_or_else(|| needed(name));
        if given(self.grant_type, "grant_type")? != "client_credentials" {
            return Err(TokenRefusal::UnsupportedGrantType);
        }
        let client_id = given(self.client_id, "client_id")?;
        let client_secret = self.client_secret.filter(|s| !s.reveal().is_empty()).ok_or_else(|| needed("client_secret"))?;
        if given(self.audience, "audience")? != AUDIENCE {
            return Err(TokenRefusal::Error(Error::forbidden(format!("audience must be {AUDIENCE}"))));
        }
        Ok(TokenRequest { client_id, client_secret })
    }
}

#[derive(Serialize)]
struct TokenOut<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: u64,
}

/// The body of a token's answer; it is good for so many seconds.
pub fn token_response(access_token: &str, expires_in_s: u64) -> Vec<u8> {
    json::to_vec(&TokenOut { access_token, token_type: "Bearer", expires_in: expires_in_s })
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str =
        r#"{"client_id":"abc","client_secret":"s3+c/r%t","grant_type":"client_credentials","audience":"https://api.pinecone.io/"}"#;
    const FORM: &str = "client_id=abc&client_secret=s3%2Bc%2Fr%25t&grant_type=client_credentials&audience=https%3A%2F%2Fapi.pinecone.io%2F";

    fn refused(content_type: Option<&str>, body: &str) -> (u16, String, String) {
        let rendered = TokenRequest::parse(content_type, body.as_bytes()).expect_err(body).render();
        let body: serde_json::Value = serde_json::from_slice(&rendered.body).unwrap();
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        assert_eq!((body.as_object().unwrap().len(), rendered.content_type), (2, "application/json"));
        (rendered.status, text("error"), text("error_description"))
    }

    #[test]
    fn json_and_forms_say_the_same() {
        for (content_type, body) in [
            (Some("application/json"), JSON),
            (Some("Application/JSON; charset=utf-8"), JSON),
            (Some("application/x-www-form-urlencoded"), FORM),
            (None, JSON),
            (None, FORM),
        ] {
            let request = TokenRequest::parse(content_type, body.as_bytes()).unwrap();
            assert_eq!((request.client_id.as_str(), request.client_secret.reveal()), ("abc", "s3+c/r%t"));
            assert!(!format!("{request:?}").contains("s3"), "{request:?}");
        }
    }

    #[test]
    fn refusals_have_their_words() {
        let json = Some("application/json");
        let (status, word, told) = refused(json, &JSON.replace("\"client_secret\":\"s3+c/r%t\",", ""));
        assert_eq!((status, word.as_str()), (400, "invalid_request"));
        assert!(told.contains("client_secret"), "{told}");
        assert_eq!(refused(json, &JSON.replace("client_credentials", "password")).1, "unsupported_grant_type");
        assert_eq!(refused(json, &JSON.replace("client_credentials", "password")).0, 400);
        let (status, word, told) = refused(json, &JSON.replace("io/\"", "io\""));
        assert_eq!((status, word.as_str()), (403, "access_denied"), "the slash is part of the audience");
        assert!(told.contains(AUDIENCE), "{told}");
        assert_eq!(refused(Some("text/plain"), JSON).1, "invalid_request");
        assert_eq!(refused(Some("application/x-www-form-urlencoded"), &format!("{FORM}&client_id=x")).1, "invalid_request");
        for body in ["", "[]", "{", "null", r#"["abc","s3"]"#, &JSON.replace("\"abc\"", "7"), &JSON.replace("{", "{\"audience\":\"x\",")] {
            assert_eq!(refused(json, body).1, "invalid_request", "{body}");
        }
    }

    #[test]
    fn a_refusal_never_repeats_the_secret() {
        for (content_type, body) in [
            ("application/json", r#"{"client_id":{"a":"hunter2"},"client_secret":"hunter2"}"#),
            ("application/json", r#"{"client_secret":["hunter2"]}"#),
            ("application/json", r#"{"client_secret":8675309}"#),
            ("application/json", r#""hunter2""#),
            ("application/x-www-form-urlencoded", "client_secret=hunter2%ff&client_id=a"),
            ("application/x-www-form-urlencoded", "client_secret=hunter2%"),
        ] {
            let told = refused(Some(content_type), body).2;
            assert!(!told.contains("hunter2") && !told.contains("8675309"), "{told}");
        }
    }

    #[test]
    fn errors_of_the_service_read_as_oauths() {
        for (code, status, word) in [
            (ErrorCode::Unauthenticated, 401, "invalid_client"),
            (ErrorCode::ResourceExhausted, 429, "too_many_requests"),
            (ErrorCode::UnprocessableEntity, 400, "invalid_request"),
            (ErrorCode::Unavailable, 503, "temporarily_unavailable"),
            (ErrorCode::Internal, 500, "server_error"),
        ] {
            let rendered = Envelope::OAuth.render(&Error::new(code, "why"));
            let body = format!(r#"{{"error":"{word}","error_description":"why"}}"#);
            assert_eq!((rendered.status, String::from_utf8(rendered.body).unwrap()), (status, body));
        }
    }

    #[test]
    fn the_answer() {
        let golden = r#"{"access_token":"pinyon_at_x","token_type":"Bearer","expires_in":1800}"#;
        assert_eq!(String::from_utf8(token_response("pinyon_at_x", 1800)).unwrap(), golden);
    }
}
