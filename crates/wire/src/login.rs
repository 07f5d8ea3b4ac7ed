//! Signing in: the bodies of `POST /pinyon/v1/login` and `/pinyon/v1/password`. One shape for every date.

use pinyon_model::{Email, Error, ErrorCode, OrganizationId, Result, User};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{admin::user::UserOut, json, oauth::Secret};

/// Who wants to come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginRequest {
    /// The address.
    pub email: Email,
    /// The password.
    pub password: Secret,
    /// In which organization; none when it does not say.
    pub organization_id: Option<OrganizationId>,
}

#[derive(Deserialize)]
struct LoginBody {
    email: String,
    password: Secret,
    #[serde(default)]
    organization_id: Option<String>,
}

impl LoginRequest {
    /// Reads the body of `POST /pinyon/v1/login`.
    pub fn from_json(body: &[u8]) -> Result<Self> {
        let LoginBody { email, password, organization_id } = read(body, "the texts email and password, and perhaps organization_id")?;
        let organization_id = organization_id.map(|id| OrganizationId::parse(&id)).transpose()?;
        Ok(Self { email: Email::new(&email)?, password, organization_id })
    }
}

/// Another password for the one that is shown.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PasswordRequest {
    /// The one it was.
    pub old_password: Secret,
    /// The one it is to be.
    pub password: Secret,
}

impl PasswordRequest {
    /// Reads the body of `POST /pinyon/v1/password`.
    pub fn from_json(body: &[u8]) -> Result<Self> {
        read(body, "the texts old_password and password")
    }
}

/// What is wrong with a body is never told in its own words: they may be the password.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8], holds: &str) -> Result<T> {
    json::from_control(body).map_err(|error| match error.code {
        ErrorCode::UnprocessableEntity => Error::new(error.code, format!("The body must be a JSON object with {holds}")),
        _ => Error::invalid("Request body is not valid JSON"),
    })
}

#[derive(Serialize)]
struct LoginOut<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: u64,
    organization_id: String,
    user: UserOut<'a>,
}

/// The body of the answer to whoever came in: a bearer token that is good for so many seconds.
pub fn login_response(user: &User, access_token: &str, expires_in_s: u64) -> Vec<u8> {
    json::to_vec(&LoginOut {
        access_token,
        token_type: "Bearer",
        expires_in: expires_in_s,
        organization_id: user.organization_id.to_string(),
        user: user.into(),
    })
}

#[cfg(test)]
mod tests {
    use pinyon_model::UserId;

    use super::*;

    #[test]
    fn bodies() {
        let login = LoginRequest::from_json(br#"{"email":"Ada@Example.com","password":"p w"}"#).unwrap();
        assert_eq!((login.email.as_str(), login.password.reveal(), login.organization_id), ("ada@example.com", "p w", None));
        let id = OrganizationId::from_bytes([7; 16]);
        let body = format!(r#"{{"email":"a@b","password":"p","organization_id":"{id}"}}"#);
        assert_eq!(LoginRequest::from_json(body.as_bytes()).unwrap().organization_id, Some(id));
        let change = PasswordRequest::from_json(br#"{"old_password":"a","password":"b"}"#).unwrap();
        assert_eq!((change.old_password.reveal(), change.password.reveal()), ("a", "b"));
    }

    #[test]
    fn a_refusal_never_repeats_the_password() {
        for (body, code) in [
            (r#"{"email":"a@b","password":["hunter2"]}"#, ErrorCode::UnprocessableEntity),
            (r#"{"email":"a@b","password":8675309}"#, ErrorCode::UnprocessableEntity),
            (r#"{"email":"a@b"}"#, ErrorCode::UnprocessableEntity),
            (r#"{"password":"hunter2"}"#, ErrorCode::UnprocessableEntity),
            (r#""hunter2""#, ErrorCode::UnprocessableEntity),
            (r#"{"email":"a@b","password":"hunter2""#, ErrorCode::InvalidArgument),
            (r#"{"email":"nobody","password":"hunter2"}"#, ErrorCode::InvalidArgument),
            (r#"{"email":"a@b","password":"hunter2","organization_id":"?"}"#, ErrorCode::InvalidArgument),
        ] {
            let error = LoginRequest::from_json(body.as_bytes()).unwrap_err();
            assert_eq!(error.code, code, "{body}");
            assert!(!error.message.contains("hunter2") && !error.message.contains("8675309"), "{error}");
            assert!(!format!("{:?}", LoginRequest::from_json(body.as_bytes())).contains("hunter2"));
        }
        assert!(PasswordRequest::from_json(b"{}").is_err());
    }

    #[test]
    fn the_answer() {
        let user = User {
            id: UserId::from_bytes([1; 16]),
            organization_id: OrganizationId::from_bytes([2; 16]),
            email: Email::new("a@b").unwrap(),
            name: None,
            created_at_ms: 0,
        };
        let golden = concat!(
            r#"{"access_token":"pinyon_ut_x","token_type":"Bearer","expires_in":43200,"organization_id":"#,
            r#""02020202-0202-0202-0202-020202020202","user":{"id":"01010101-0101-0101-0101-010101010101","email":"a@b"}}"#
        );
        assert_eq!(String::from_utf8(login_response(&user, "pinyon_ut_x", 43_200)).unwrap(), golden);
    }
}
