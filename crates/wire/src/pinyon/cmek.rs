//! Customer-managed keys.

use pinyon_model::{
    AwsKmsKey, Cmek, CmekReplacement, CmekState, CustomerKey, Error, ExternalId, KmsKeyArn, NewCmek, ProjectId, Result, RoleArn,
};
use serde::{Deserialize, Serialize};

use crate::{json, listing::list, percent::Parameters, rfc3339};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateBody {
    project_id: String,
    name: String,
    key_arn: String,
    role_arn: String,
    #[serde(default)]
    external_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplaceBody {
    key_arn: String,
    role_arn: String,
    #[serde(default)]
    external_id: Option<String>,
}

fn read_key(key_arn: &str, role_arn: &str, external_id: Option<&str>) -> Result<CustomerKey> {
    Ok(CustomerKey::AwsKms(AwsKmsKey {
        key_arn: KmsKeyArn::new(key_arn)?,
        role_arn: RoleArn::new(role_arn)?,
        external_id: external_id.map(ExternalId::new).transpose()?,
    }))
}

/// Reads the query string of `GET /pinyon/v1/cmeks`: the project, if only one's keys are asked for.
pub fn list_cmeks(query: &str) -> Result<Option<ProjectId>> {
    Parameters::parse(query)?.get_non_empty("project_id").map(ProjectId::parse).transpose()
}

/// Reads the body of `POST /pinyon/v1/cmeks`.
pub fn create_cmek(body: &[u8]) -> Result<NewCmek> {
    let CreateBody { project_id, name, key_arn, role_arn, external_id } = json::from_control(body)?;
    let key = read_key(&key_arn, &role_arn, external_id.as_deref())?;
    Ok(NewCmek { project_id: ProjectId::parse(&project_id)?, name: Cmek::parse_name(&name)?, key })
}

/// Reads the body of `POST /pinyon/v1/cmeks/{id}/replace`.
pub fn replace_cmek(body: &[u8]) -> Result<CustomerKey> {
    let ReplaceBody { key_arn, role_arn, external_id } = json::from_control(body)?;
    read_key(&key_arn, &role_arn, external_id.as_deref())
}

/// Reads the query string of `DELETE /pinyon/v1/cmeks/{id}`: the key's name, which has to be given.
pub fn delete_cmek(query: &str) -> Result<String> {
    let parameters = Parameters::parse(query)?;
    let told = || Error::invalid("name is missing: to delete a customer-managed key, give its name, as ?name=NAME");
    parameters.get_non_empty("name").map(str::to_owned).ok_or_else(told)
}

/// The body that describes one key and how it stands.
pub fn cmek_model(cmek: &Cmek, state: &CmekState) -> Vec<u8> {
    json::to_vec(&CmekOut::new(cmek, state))
}

/// The body that lists keys.
pub fn cmek_list<'a>(cmeks: impl Iterator<Item = &'a (Cmek, CmekState)>) -> Vec<u8> {
    list(cmeks.map(|(cmek, state)| CmekOut::new(cmek, state)))
}

#[derive(Serialize)]
struct CmekOut<'a> {
    id: String,
    project_id: String,
    name: &'a str,
    key_arn: &'a str,
    role_arn: &'a str,
    external_id: Option<&'a str>,
    created_at: String,
    updated_at: String,
    indexes: u64,
    backups: u64,
    state: StateOut<'a>,
    replacement: Option<ReplacementOut<'a>>,
}

#[derive(Serialize)]
struct StateOut<'a> {
    status: &'static str,
    served: bool,
    reason: Option<&'a str>,
    last_good_at: Option<String>,
    asked: u64,
    denied: u64,
    unreachable: u64,
}

#[derive(Serialize)]
struct ReplacementOut<'a> {
    replaced_key_arn: &'a str,
    replaced_key_status: &'static str,
    done: u64,
    total: u64,
}

impl<'a> CmekOut<'a> {
    fn new(cmek: &'a Cmek, state: &'a CmekState) -> Self {
        let Cmek { id, project_id, name, key, created_at_ms, updated_at_ms } = cmek;
        let CmekState { status, served, reason, last_good_at_ms, asked, denied, unreachable, indexes, backups, replacement } = state;
        let CustomerKey::AwsKms(AwsKmsKey { key_arn, role_arn, external_id }) = key;
        Self {
            id: id.to_string(),
            project_id: project_id.to_string(),
            name,
            key_arn: key_arn.as_str(),
            role_arn: role_arn.as_str(),
            external_id: external_id.as_ref().map(ExternalId::as_str),
            created_at: rfc3339(*created_at_ms),
            updated_at: rfc3339(*updated_at_ms),
            indexes: *indexes,
            backups: *backups,
            state: StateOut {
                status: status.as_str(),
                served: *served,
                reason: reason.as_deref(),
                last_good_at: last_good_at_ms.map(rfc3339),
                asked: *asked,
                denied: *denied,
                unreachable: *unreachable,
            },
            replacement: replacement.as_ref().map(|CmekReplacement { replaced, status, done, total }| ReplacementOut {
                replaced_key_arn: replaced.shown(),
                replaced_key_status: status.as_str(),
                done: *done,
                total: *total,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use pinyon_model::{CmekId, CmekStatus};
    use serde_json::{Value, json};

    use super::*;

    const KEY: &str = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    const ROLE: &str = "arn:aws:iam::123456789012:role/pinyon";
    const PROJECT: &str = "02020202-0202-0202-0202-020202020202";

    fn body() -> Value {
        json!({"project_id": PROJECT, "name": "main", "key_arn": KEY, "role_arn": ROLE, "external_id": "x-1"})
    }

    #[test]
    fn bodies() {
        let read = |body: &Value| create_cmek(body.to_string().as_bytes());
        let new = read(&body()).unwrap();
        assert_eq!((new.project_id, new.name.as_str(), new.key.shown()), (ProjectId::from_bytes([2; 16]), "main", KEY));
        for (field, wrong) in [
            ("project_id", json!("main")),
            ("name", json!("")),
            ("name", json!("a".repeat(81))),
            ("key_arn", json!("arn:aws:kms:eu-west-1:123456789012:alias/x")),
            ("role_arn", json!("arn:aws:iam::1:role/x")),
            ("external_id", json!("é")),
            ("external_id", json!(7)),
            ("endpoint", json!("http://169.254.169.254")),
        ] {
            let mut body = body();
            body[field] = wrong.clone();
            assert!(read(&body).is_err(), "{field}: {wrong}");
        }
        for field in ["project_id", "name", "key_arn", "role_arn"] {
            let mut body = body();
            body.as_object_mut().unwrap().remove(field);
            assert!(read(&body).is_err(), "without {field}");
        }
        let other = json!({"key_arn": KEY, "role_arn": ROLE}).to_string();
        assert_eq!(replace_cmek(other.as_bytes()).unwrap().shown(), KEY);
        assert!(replace_cmek(body().to_string().as_bytes()).is_err(), "a name is not replaced");
    }

    #[test]
    fn query_strings() {
        assert_eq!(list_cmeks(""), Ok(None));
        assert_eq!(list_cmeks(&format!("project_id={PROJECT}")), Ok(Some(ProjectId::from_bytes([2; 16]))));
        assert!(list_cmeks("project_id=x").is_err());
        assert_eq!(delete_cmek("name=my%20key").as_deref(), Ok("my key"));
        assert!(delete_cmek("").is_err() && delete_cmek("name=").is_err());
    }

    #[test]
    fn described() {
        let NewCmek { project_id, name, key } = create_cmek(body().to_string().as_bytes()).unwrap();
        let replaced = key.clone();
        let cmek = Cmek { id: CmekId::from_bytes([1; 16]), project_id, name, key, created_at_ms: 0, updated_at_ms: 1 };
        let state = CmekState {
            status: CmekStatus::Unreachable,
            served: true,
            reason: Some("timed out".into()),
            last_good_at_ms: Some(2),
            asked: 9,
            denied: 1,
            unreachable: 3,
            indexes: 4,
            backups: 5,
            replacement: Some(CmekReplacement { replaced, status: CmekStatus::Ready, done: 6, total: 9 }),
        };
        let expected = json!({
            "id": "01010101-0101-0101-0101-010101010101", "project_id": PROJECT, "name": "main", "key_arn": KEY, "role_arn": ROLE,
            "external_id": "x-1", "created_at": "1970-01-01T00:00:00.000Z", "updated_at": "1970-01-01T00:00:00.001Z",
            "indexes": 4, "backups": 5,
            "state": {"status": "unreachable", "served": true, "reason": "timed out", "last_good_at": "1970-01-01T00:00:00.002Z",
                      "asked": 9, "denied": 1, "unreachable": 3},
            "replacement": {"replaced_key_arn": KEY, "replaced_key_status": "ready", "done": 6, "total": 9},
        });
        assert_eq!(serde_json::from_slice::<Value>(&cmek_model(&cmek, &state)).unwrap(), expected);
        let listed: Value = serde_json::from_slice(&cmek_list([(cmek, state)].iter())).unwrap();
        assert_eq!(listed, json!({"data": [expected]}));
    }
}
