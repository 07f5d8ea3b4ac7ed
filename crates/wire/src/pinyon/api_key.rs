//! API keys with their bounds: expiry, restrictions, the secret before the last rotation, last use.

use std::collections::BTreeSet;

use pinyon_model::{
    ApiKey, ApiKeyChange, Error, IndexName, NamespaceName, Network, PreviousSecret, Restrictions, RestrictionsChange, Result, Role,
    excerpt,
    limits::{KEY_INDEXES_MAX, KEY_NAMESPACES_MAX, KEY_NETWORKS_MAX},
};
use serde::{Deserialize, Serialize};

use crate::{
    admin::api_key::{RolesBody, read_roles},
    json::{self, Bounded, Object},
    listing, parse_rfc3339, rfc3339,
};

/// Names that are read of one list: more than any restriction can have, so that one too many is told as that.
const NAMES_MAX: usize = 128;
const _: () = assert!(KEY_INDEXES_MAX < NAMES_MAX && KEY_NAMESPACES_MAX < NAMES_MAX && KEY_NETWORKS_MAX < NAMES_MAX);

/// What a new API key is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundedKeyRequest {
    /// Its name.
    pub name: String,
    /// What it may do, each once.
    pub roles: Vec<Role>,
    /// When it expires, milliseconds since 1970.
    pub expires_at_ms: Option<u64>,
    /// What it is held to.
    pub restrictions: Restrictions,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateBody {
    name: String,
    #[serde(default)]
    roles: Option<RolesBody>,
    #[serde(default)]
    expires_at: Option<String>,
    #[serde(default)]
    restrictions: Option<Object<RestrictionsBody>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UpdateBody {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    roles: Option<RolesBody>,
    #[serde(default, deserialize_with = "json::present")]
    expires_at: Option<Option<String>>,
    #[serde(default)]
    restrictions: Option<Object<RestrictionsBody>>,
}

type Names = Bounded<String, NAMES_MAX>;

/// A misspelled restriction that was taken for none would give a key more than was meant: unknown fields are errors here.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RestrictionsBody {
    #[serde(default, deserialize_with = "json::present")]
    indexes: Option<Option<Names>>,
    #[serde(default, deserialize_with = "json::present")]
    namespaces: Option<Option<Names>>,
    #[serde(default, deserialize_with = "json::present")]
    networks: Option<Option<Names>>,
}

impl RestrictionsBody {
    fn read(self) -> Result<RestrictionsChange> {
        Ok(RestrictionsChange {
            indexes: self.indexes.map(|names| read_set("indexes", names, IndexName::new)).transpose()?,
            namespaces: self.namespaces.map(|names| read_set("namespaces", names, NamespaceName::new)).transpose()?,
            networks: self.networks.map(|names| read_set("networks", names, Network::parse)).transpose()?,
        })
    }
}

/// A restriction: `null` for none. An empty list would read as either all or nothing, so it is an error.
fn read_set<T: Ord>(what: &str, names: Option<Names>, parse: impl Fn(&str) -> Result<T>) -> Result<BTreeSet<T>> {
    let Some(names) = names else { return Ok(BTreeSet::new()) };
    if names.count == 0 {
        return Err(Error::invalid(format!("restrictions.{what} is empty; name at least one, or null for no restriction")));
    }
    if names.count > NAMES_MAX {
        return Err(Error::invalid(format!("restrictions.{what} has {} entries, which is more than there can be", names.count)));
    }
    let read =
        |(i, name): (usize, &String)| parse(name).map_err(|e| Error::new(e.code, format!("restrictions.{what}[{i}]: {}", e.message)));
    names.kept.iter().enumerate().map(read).collect()
}

fn read_moment(text: &str) -> Result<u64> {
    let told = || Error::invalid(format!("expires_at is '{}'; write a moment as 2027-01-31T12:00:00Z", excerpt(text)));
    parse_rfc3339(text).ok_or_else(told)
}

/// Reads the body of `POST /pinyon/v1/projects/{id}/api-keys`. Without roles the key is a ProjectEditor.
pub fn create_bounded_key(body: &[u8]) -> Result<BoundedKeyRequest> {
    let CreateBody { name, roles, expires_at, restrictions } = json::from_control(body)?;
    let roles = roles.map_or(Ok(vec![Role::ProjectEditor]), read_roles)?;
    if roles.is_empty() {
        return Err(Error::invalid("roles is empty; name at least one, or leave it out for ProjectEditor"));
    }
    let change = restrictions.map_or(Ok(RestrictionsChange::default()), |Object(body)| body.read())?;
    Ok(BoundedKeyRequest {
        name: ApiKey::parse_name(&name)?,
        roles,
        expires_at_ms: expires_at.as_deref().map(read_moment).transpose()?,
        restrictions: change.of(&Restrictions::default())?,
    })
}

/// Reads the body of `PATCH /pinyon/v1/api-keys/{id}`. What is not named stays; `null` takes an expiry or a restriction away.
pub fn update_bounded_key(body: &[u8]) -> Result<ApiKeyChange> {
    let UpdateBody { name, roles, expires_at, restrictions } = json::from_control(body)?;
    Ok(ApiKeyChange {
        name: name.as_deref().map(ApiKey::parse_name).transpose()?,
        roles: roles.map(read_roles).transpose()?,
        expires_at_ms: expires_at.map(|text| text.as_deref().map(read_moment).transpose()).transpose()?,
        restrictions: restrictions.map_or(Ok(RestrictionsChange::default()), |Object(body)| body.read())?,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RotateBody {
    #[serde(default, deserialize_with = "json::whole_number")]
    overlap_seconds: Option<u32>,
}

/// Reads the body of `POST /pinyon/v1/api-keys/{id}/rotate`: for how many milliseconds the secret it has goes on working; 0 when it does
/// not say.
pub fn rotate_key(body: &[u8]) -> Result<u64> {
    let RotateBody { overlap_seconds } = json::from_control(body)?;
    ApiKey::check_overlap(u64::from(overlap_seconds.unwrap_or(0)) * 1_000)
}

/// When a key was used last, milliseconds since 1970, and from which address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyUse<'a> {
    /// When.
    pub at_ms: u64,
    /// From where; empty on a socket.
    pub source: &'a str,
}

/// The body that describes one key.
pub fn bounded_key_model(key: &ApiKey, last: Option<KeyUse<'_>>) -> Vec<u8> {
    json::to_vec(&KeyOut::new(key, last))
}

/// The body that lists keys.
pub fn bounded_key_list<'a>(keys: impl Iterator<Item = (&'a ApiKey, Option<KeyUse<'a>>)>) -> Vec<u8> {
    listing::list(keys.map(|(key, last)| KeyOut::new(key, last)))
}

/// The body that answers a creation and a rotation: the one time that the secret is told.
pub fn created_bounded_key(key: &ApiKey, secret: &str) -> Vec<u8> {
    json::to_vec(&CreatedOut { key: KeyOut::new(key, None), value: secret })
}

#[derive(Serialize)]
struct CreatedOut<'a> {
    key: KeyOut<'a>,
    value: &'a str,
}

#[derive(Serialize)]
pub(super) struct KeyOut<'a> {
    id: String,
    name: &'a str,
    project_id: String,
    roles: Vec<&'static str>,
    hint: &'a str,
    created_at: String,
    #[serde(flatten)]
    bounds: BoundsOut<'a>,
    last_used_at: Option<String>,
    last_used_from: Option<&'a str>,
    previous_secret: Option<PreviousOut<'a>>,
}

/// What holds a key beyond its roles.
#[derive(Serialize)]
pub(super) struct BoundsOut<'a> {
    expires_at: Option<String>,
    restrictions: RestrictionsOut<'a>,
}

#[derive(Serialize)]
struct RestrictionsOut<'a> {
    indexes: Option<Vec<&'a str>>,
    namespaces: Option<Vec<&'a str>>,
    networks: Option<Vec<String>>,
}

#[derive(Serialize)]
struct PreviousOut<'a> {
    hint: &'a str,
    expires_at: String,
}

impl<'a> From<&'a ApiKey> for BoundsOut<'a> {
    fn from(key: &'a ApiKey) -> Self {
        let set = &key.restrictions;
        Self {
            expires_at: key.expires_at_ms.map(rfc3339),
            restrictions: RestrictionsOut {
                indexes: (!set.indexes().is_empty()).then(|| set.indexes().iter().map(IndexName::as_str).collect()),
                namespaces: (!set.namespaces().is_empty()).then(|| set.namespaces().iter().map(NamespaceName::as_str).collect()),
                networks: (!set.networks().is_empty()).then(|| set.networks().iter().map(Network::to_string).collect()),
            },
        }
    }
}

impl<'a> KeyOut<'a> {
    fn new(key: &'a ApiKey, last: Option<KeyUse<'a>>) -> Self {
        let ApiKey { id, name, project_id, roles, hint, created_at_ms, expires_at_ms: _, restrictions: _, previous } = key;
        let earlier =
            |PreviousSecret { hint, expires_at_ms }: &'a PreviousSecret| PreviousOut { hint, expires_at: rfc3339(*expires_at_ms) };
        Self {
            id: id.to_string(),
            name,
            project_id: project_id.to_string(),
            roles: roles.iter().map(|r| r.as_str()).collect(),
            hint,
            created_at: rfc3339(*created_at_ms),
            bounds: key.into(),
            last_used_at: last.map(|l| rfc3339(l.at_ms)),
            last_used_from: last.map(|l| l.source).filter(|s| !s.is_empty()),
            previous_secret: previous.as_ref().map(earlier),
        }
    }
}

#[cfg(test)]
mod tests {
    use pinyon_model::{ApiKeyId, ErrorCode, ProjectId};
    use serde_json::{Value, json};

    use super::*;

    fn create(body: Value) -> Result<BoundedKeyRequest> {
        create_bounded_key(body.to_string().as_bytes())
    }

    #[test]
    fn a_new_key_is_read() {
        let read = create(json!({
            "name": "ci", "roles": ["DataPlaneViewer"], "expires_at": "2026-04-10T15:23:00Z",
            "restrictions": {"indexes": ["movies"], "namespaces": ["", "en"], "networks": ["10.0.0.0/8"]}
        }))
        .unwrap();
        assert_eq!((read.roles, read.expires_at_ms), (vec![Role::DataPlaneViewer], Some(1_775_834_580_000)));
        assert!(read.restrictions.allow_index("movies") && !read.restrictions.allow_index("other"));
        assert_eq!(read.restrictions.namespaces().len(), 2);
        let plain = create(json!({"name": "ci"})).unwrap();
        assert_eq!((plain.roles, plain.expires_at_ms, plain.restrictions.is_empty()), (vec![Role::ProjectEditor], None, true));
    }

    #[test]
    fn what_would_give_more_than_was_meant_is_refused() {
        for (body, told) in [
            (json!({"name": "k", "restrictions": {"indexes": []}}), "name at least one, or null"),
            (json!({"name": "k", "restrictions": {"index": ["a"]}}), "unknown field `index`"),
            (json!({"name": "k", "restriction": {"indexes": ["a"]}}), "unknown field `restriction`"),
            (json!({"name": "k", "restrictions": {"indexes": ["Movies"]}}), "restrictions.indexes[0]"),
            (json!({"name": "k", "restrictions": {"networks": ["10.0.0.1/8"]}}), "restrictions.networks[0]"),
            (json!({"name": "k", "restrictions": {"namespaces": ["é"]}}), "restrictions.namespaces[0]"),
            (json!({"name": "k", "expires_at": "tomorrow"}), "expires_at is 'tomorrow'"),
            (json!({"name": "k", "expires_in": 5}), "unknown field `expires_in`"),
            (json!({"name": "k", "roles": []}), "roles is empty"),
            (json!({"name": "k", "roles": ["OrgOwner"]}), "OrgOwner"),
        ] {
            assert!(create(body.clone()).unwrap_err().message.contains(told), "{body}");
        }
        let names: Vec<String> = (0..101).map(|n| format!("i{n}")).collect();
        assert!(create(json!({"name": "k", "restrictions": {"indexes": names[..100]}})).is_ok());
        assert!(create(json!({"name": "k", "restrictions": {"indexes": names}})).unwrap_err().message.contains("at most 100 indexes"));
    }

    #[test]
    fn a_change_tells_null_from_nothing() {
        let read = |body: Value| update_bounded_key(body.to_string().as_bytes());
        assert_eq!(read(json!({})), Ok(ApiKeyChange::default()));
        assert_eq!(read(json!({"expires_at": null})).unwrap().expires_at_ms, Some(None));
        assert_eq!(read(json!({"expires_at": "2026-04-10T15:23:00Z"})).unwrap().expires_at_ms, Some(Some(1_775_834_580_000)));
        let change = read(json!({"restrictions": {"indexes": null, "namespaces": ["a"]}})).unwrap().restrictions;
        assert_eq!((change.indexes, change.namespaces.map(|n| n.len()), change.networks), (Some(BTreeSet::new()), Some(1), None));
        assert!(read(json!({"restrictions": {"networks": []}})).is_err());
    }

    #[test]
    fn rotations_have_a_day_at_most() {
        assert_eq!(rotate_key(b""), Ok(0));
        assert_eq!(rotate_key(br#"{"overlap_seconds": 86400}"#), Ok(86_400_000));
        assert_eq!(rotate_key(br#"{"overlap_seconds": 86401}"#).unwrap_err().code, ErrorCode::InvalidArgument);
        assert!(rotate_key(br#"{"overlap_seconds": -1}"#).is_err() && rotate_key(br#"{"overlap": 1}"#).is_err());
    }

    #[test]
    fn a_key_is_shown_without_its_secret() {
        let key = ApiKey {
            id: ApiKeyId::from_bytes([1; 16]),
            name: "ci".into(),
            project_id: ProjectId::from_bytes([2; 16]),
            roles: vec![Role::DataPlaneViewer],
            hint: "pcsk_abc".into(),
            created_at_ms: 0,
            expires_at_ms: Some(1_000),
            restrictions: Restrictions::new(BTreeSet::from([IndexName::new("movies").unwrap()]), BTreeSet::new(), BTreeSet::new()).unwrap(),
            previous: Some(PreviousSecret { hint: "pcsk_xyz".into(), expires_at_ms: 2_000 }),
        };
        let shown: Value = serde_json::from_slice(&bounded_key_model(&key, Some(KeyUse { at_ms: 3_000, source: "10.0.0.1" }))).unwrap();
        let expected = json!({
            "id": "01010101-0101-0101-0101-010101010101", "name": "ci", "project_id": "02020202-0202-0202-0202-020202020202",
            "roles": ["DataPlaneViewer"], "hint": "pcsk_abc", "created_at": "1970-01-01T00:00:00.000Z", "expires_at": "1970-01-01T00:00:01.000Z",
            "restrictions": {"indexes": ["movies"], "namespaces": null, "networks": null},
            "last_used_at": "1970-01-01T00:00:03.000Z", "last_used_from": "10.0.0.1",
            "previous_secret": {"hint": "pcsk_xyz", "expires_at": "1970-01-01T00:00:02.000Z"}
        });
        assert_eq!(shown, expected);
    }
}
