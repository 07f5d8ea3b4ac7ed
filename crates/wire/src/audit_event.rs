//! An entry of the audit log, as Pinecone writes its own.

use pinyon_model::{AuditEvent, AuditOutcome};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{json, rfc3339};

#[derive(Serialize)]
struct EventOut<'a> {
    id: String,
    organization_id: &'a str,
    organization_name: &'a str,
    client: ClientOut<'a>,
    actor: ActorOut<'a>,
    event: DoneOut<'a>,
}

#[derive(Serialize)]
struct ClientOut<'a> {
    #[serde(rename = "userAgent")]
    user_agent: &'a str,
}

#[derive(Serialize)]
struct ActorOut<'a> {
    principal_id: &'a str,
    principal_name: &'a str,
    principal_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<&'a str>,
}

#[derive(Serialize)]
struct DoneOut<'a> {
    time: String,
    action: &'a str,
    resource_type: &'a str,
    resource_id: &'a str,
    resource_name: &'a str,
    outcome: OutcomeOut<'a>,
    parameters: Map<String, Value>,
}

#[derive(Serialize)]
struct OutcomeOut<'a> {
    result: &'static str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<String>,
}

/// One entry as one line of JSON. What Pinecone's schema has no place for stands among `parameters`: the caller's address, the request's
/// id, and of how many like it an entry tells.
pub fn audit_event(event: &AuditEvent) -> Vec<u8> {
    let actor = &event.actor;
    let mut parameters: Map<String, Value> = event.parameters.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect();
    for (key, text) in [("source", &event.source), ("request_id", &event.request_id)] {
        if !text.is_empty() {
            parameters.insert(key.to_owned(), text.as_str().into());
        }
    }
    if event.count > 1 {
        parameters.insert("count".to_owned(), event.count.into());
    }
    let outcome = match &event.outcome {
        AuditOutcome::Success => OutcomeOut { result: "success", reason: "", error_code: None },
        AuditOutcome::Failure { reason, error_code } => OutcomeOut { result: "failure", reason, error_code: Some(words(error_code)) },
    };
    json::to_vec(&EventOut {
        id: pinyon_model::ObjectId::from_bytes(event.id).to_string(),
        organization_id: &event.organization_id,
        organization_name: &event.organization_name,
        client: ClientOut { user_agent: &event.user_agent },
        actor: ActorOut {
            principal_id: &actor.principal_id,
            principal_name: &actor.principal_name,
            principal_type: &actor.principal_type,
            display_name: (actor.principal_type == "user").then_some(actor.principal_name.as_str()),
        },
        event: DoneOut {
            time: rfc3339(event.time_ms),
            action: &event.action,
            resource_type: &event.resource_type,
            resource_id: &event.resource_id,
            resource_name: &event.resource_name,
            outcome,
            parameters,
        },
    })
}

/// `NotFound` as `NOT_FOUND`.
fn words(code: &str) -> String {
    let mut out = String::with_capacity(code.len() + 4);
    for (at, letter) in code.chars().enumerate() {
        if at > 0 && letter.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(letter.to_ascii_uppercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use pinyon_model::AuditActor;
    use serde_json::json;

    use super::*;

    fn event() -> AuditEvent {
        AuditEvent {
            id: [0x11; 16],
            organization_id: "o".into(),
            organization_name: "Trees".into(),
            user_agent: "curl/8".into(),
            source: "192.0.2.7".into(),
            request_id: "r".into(),
            actor: AuditActor { principal_id: "u".into(), principal_name: "a@b.c".into(), principal_type: "user".into() },
            time_ms: 1_775_834_580_123,
            action: "create".into(),
            resource_type: "index".into(),
            resource_id: "docs".into(),
            resource_name: "docs".into(),
            outcome: AuditOutcome::Success,
            count: 1,
            parameters: vec![("project_id".into(), "p".into())],
            catalog_generation: Some(7),
        }
    }

    fn printed(event: &AuditEvent) -> Value {
        let bytes = audit_event(event);
        assert!(!bytes.contains(&b'\n'), "one line");
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn pinecones_schema() {
        let expected = json!({
            "id": "11111111-1111-1111-1111-111111111111",
            "organization_id": "o",
            "organization_name": "Trees",
            "client": {"userAgent": "curl/8"},
            "actor": {"principal_id": "u", "principal_name": "a@b.c", "principal_type": "user", "display_name": "a@b.c"},
            "event": {
                "time": "2026-04-10T15:23:00.123Z",
                "action": "create",
                "resource_type": "index",
                "resource_id": "docs",
                "resource_name": "docs",
                "outcome": {"result": "success", "reason": ""},
                "parameters": {"project_id": "p", "source": "192.0.2.7", "request_id": "r"},
            },
        });
        assert_eq!(printed(&event()), expected);
    }

    #[test]
    fn failures_and_counts() {
        let outcome = AuditOutcome::Failure { reason: "no \"right\"\nto it".into(), error_code: "FailedPrecondition".into() };
        let actor = AuditActor { principal_type: "api_key".into(), ..AuditActor::default() };
        let failed = printed(&AuditEvent { outcome, actor, count: 12, ..event() });
        let told = json!({"result": "failure", "reason": "no \"right\"\nto it", "error_code": "FAILED_PRECONDITION"});
        assert_eq!((&failed["event"]["outcome"], &failed["event"]["parameters"]["count"]), (&told, &json!(12)));
        assert_eq!(failed["actor"].get("display_name"), None);
    }
}
