//! The envelopes that errors travel in. Which one is a matter of the plane, never of the error.

use pinyon_model::{Error, ErrorCode};
use serde::Serialize;

/// The shape of an error's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Envelope {
    /// `{"status":404,"error":{"code":"NOT_FOUND","message":"…"}}`: control, inference, assistant.
    Status,
    /// As [`Envelope::Status`], but on an index's host, where a missing or unknown key (401) is answered in plain text: records, documents.
    StatusOnIndex,
    /// As [`Envelope::Status`], but a body that does not fit the operation's shape (422) is answered in plain text: indexes since 2026-07.
    StatusPlainShape,
    /// `{"error":"invalid_client","error_description":"…"}`: the token endpoint, in the words of RFC 6749.
    OAuth,
    /// `{"code":5,"message":"…","details":[]}`: vectors, namespaces, imports, also on an index's host.
    Gateway,
}

/// An error as an HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedError {
    /// The HTTP status.
    pub status: u16,
    /// The `Content-Type`.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
    /// Seconds for the `Retry-After` header, when trying again may help.
    pub retry_after: Option<u32>,
}

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

#[derive(Serialize)]
struct StatusBody<'a> {
    status: u16,
    error: StatusError<'a>,
}

#[derive(Serialize)]
struct StatusError<'a> {
    code: &'a str,
    message: &'a str,
}

#[derive(Serialize)]
struct GatewayBody<'a> {
    code: i32,
    message: &'a str,
    details: [(); 0],
}

impl Envelope {
    /// Puts an error into this envelope.
    pub fn render(self, error: &Error) -> RenderedError {
        let plain = match self {
            Envelope::Status | Envelope::OAuth => false,
            Envelope::StatusPlainShape => error.code == ErrorCode::UnprocessableEntity,
            Envelope::StatusOnIndex | Envelope::Gateway => error.code == ErrorCode::Unauthenticated,
        };
        let status = match (self, error.code) {
            // Neither knows a 422: a body of the wrong shape is an invalid argument.
            (Envelope::Gateway | Envelope::OAuth, ErrorCode::UnprocessableEntity) => 400,
            (_, code) => http_status(code),
        };
        self.body(status, error, plain)
    }

    /// The answer to a known path asked with a method it does not have. The caller adds the `Allow` header.
    pub fn render_method_not_allowed(self, allowed: &[&str]) -> RenderedError {
        let error = Error::unimplemented(format!("Method not allowed; this path answers to {}", allowed.join(", ")));
        self.body(405, &error, false)
    }

    fn body(self, status: u16, error: &Error, plain: bool) -> RenderedError {
        let (content_type, body) = match self {
            _ if plain => (TEXT, error.message.clone().into_bytes()),
            Envelope::Gateway => {
                (JSON, crate::json::to_vec(&GatewayBody { code: grpc_code(error.code), message: &error.message, details: [] }))
            }
            Envelope::OAuth => (JSON, crate::oauth::error_body(crate::oauth::error_word(error.code), &error.message)),
            Envelope::Status | Envelope::StatusOnIndex | Envelope::StatusPlainShape => {
                let error = StatusError { code: word(error.code), message: &error.message };
                (JSON, crate::json::to_vec(&StatusBody { status, error }))
            }
        };
        let may_help = matches!(error.code, ErrorCode::ResourceExhausted | ErrorCode::Unavailable);
        let retry_after = error.retry_after_s.or(may_help.then_some(1));
        RenderedError { status, content_type, body, retry_after }
    }
}

/// The HTTP status of an error.
pub const fn http_status(code: ErrorCode) -> u16 {
    match code {
        ErrorCode::InvalidArgument | ErrorCode::OutOfRange => 400,
        ErrorCode::UnprocessableEntity => 422,
        ErrorCode::Unauthenticated => 401,
        ErrorCode::PaymentRequired => 402,
        ErrorCode::Forbidden | ErrorCode::QuotaExceeded => 403,
        ErrorCode::NotFound => 404,
        ErrorCode::AlreadyExists | ErrorCode::Aborted => 409,
        ErrorCode::FailedPrecondition => 412,
        ErrorCode::PayloadTooLarge => 413,
        ErrorCode::ResourceExhausted => 429,
        ErrorCode::Unimplemented => 501,
        ErrorCode::DataLoss | ErrorCode::Internal => 500,
        ErrorCode::Unavailable => 503,
        ErrorCode::DeadlineExceeded => 504,
    }
}

/// The gRPC status code of an error, as the number that travels.
pub const fn grpc_code(code: ErrorCode) -> i32 {
    match code {
        ErrorCode::InvalidArgument | ErrorCode::UnprocessableEntity => 3,
        ErrorCode::DeadlineExceeded => 4,
        ErrorCode::NotFound => 5,
        ErrorCode::AlreadyExists => 6,
        // gRPC has no word for a bill; of what it has, this one is not tried again.
        ErrorCode::Forbidden | ErrorCode::QuotaExceeded | ErrorCode::PaymentRequired => 7,
        ErrorCode::ResourceExhausted => 8,
        ErrorCode::FailedPrecondition => 9,
        ErrorCode::Aborted => 10,
        ErrorCode::OutOfRange | ErrorCode::PayloadTooLarge => 11,
        ErrorCode::Unimplemented => 12,
        ErrorCode::Internal => 13,
        ErrorCode::Unavailable => 14,
        ErrorCode::DataLoss => 15,
        ErrorCode::Unauthenticated => 16,
    }
}

/// The word for an error in the status envelope.
const fn word(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::InvalidArgument => "INVALID_ARGUMENT",
        ErrorCode::OutOfRange => "OUT_OF_RANGE",
        ErrorCode::UnprocessableEntity => "UNPROCESSABLE_ENTITY",
        ErrorCode::Unauthenticated => "UNAUTHENTICATED",
        ErrorCode::PaymentRequired => "PAYMENT_REQUIRED",
        ErrorCode::Forbidden => "FORBIDDEN",
        ErrorCode::QuotaExceeded => "QUOTA_EXCEEDED",
        ErrorCode::NotFound => "NOT_FOUND",
        ErrorCode::AlreadyExists => "ALREADY_EXISTS",
        ErrorCode::Aborted => "ABORTED",
        ErrorCode::FailedPrecondition => "FAILED_PRECONDITION",
        ErrorCode::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
        ErrorCode::ResourceExhausted => "RESOURCE_EXHAUSTED",
        ErrorCode::Unimplemented => "UNIMPLEMENTED",
        ErrorCode::DataLoss => "DATA_LOSS",
        ErrorCode::Unavailable => "UNAVAILABLE",
        ErrorCode::DeadlineExceeded => "DEADLINE_EXCEEDED",
        ErrorCode::Internal => "INTERNAL",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(r: &RenderedError) -> &str {
        std::str::from_utf8(&r.body).unwrap()
    }

    #[test]
    fn four_shapes() {
        let e = Error::not_found("Resource a not found");
        let r = Envelope::Status.render(&e);
        assert_eq!((r.status, text(&r)), (404, r#"{"status":404,"error":{"code":"NOT_FOUND","message":"Resource a not found"}}"#));
        let r = Envelope::Gateway.render(&Error::invalid("say \"what\""));
        assert_eq!((r.status, text(&r)), (400, r#"{"code":3,"message":"say \"what\"","details":[]}"#));
        let unknown = Error::new(ErrorCode::Unauthenticated, "Invalid API key.");
        let r = Envelope::Gateway.render(&unknown);
        assert_eq!((r.status, text(&r), r.content_type), (401, "Invalid API key.", TEXT));
        assert_eq!(Envelope::StatusOnIndex.render(&unknown).body, r.body);
        assert_eq!(Envelope::StatusOnIndex.render(&e).body, Envelope::Status.render(&e).body);
        let r = Envelope::Status.render(&unknown);
        assert_eq!((r.status, text(&r)), (401, r#"{"status":401,"error":{"code":"UNAUTHENTICATED","message":"Invalid API key."}}"#));
    }

    #[test]
    fn a_wrong_shape_differs_by_plane() {
        let e = Error::new(ErrorCode::UnprocessableEntity, "missing field `name`");
        assert_eq!(Envelope::Gateway.render(&e).status, 400);
        let r = Envelope::Status.render(&e);
        assert_eq!((r.status, r.content_type), (422, JSON));
        let r = Envelope::StatusPlainShape.render(&e);
        assert_eq!((r.status, r.content_type, text(&r)), (422, TEXT, "missing field `name`"));
        assert_eq!(Envelope::StatusPlainShape.render(&Error::invalid("x")).content_type, JSON);
    }

    #[test]
    fn retry_after_only_where_it_may_help() {
        assert_eq!(Envelope::Gateway.render(&Error::new(ErrorCode::ResourceExhausted, "")).retry_after, Some(1));
        assert_eq!(Envelope::Gateway.render(&Error::too_many("", 77)).retry_after, Some(77));
        assert_eq!(Envelope::Gateway.render(&Error::invalid("")).retry_after, None);
        assert_eq!(Envelope::Status.render_method_not_allowed(&["GET"]).status, 405);
    }
}
