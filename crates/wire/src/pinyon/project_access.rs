//! From where a project may be reached.

use pinyon_model::{Error, Network, ProjectAccess, Result, limits::ACCESS_NETWORKS_MAX};
use serde::{Deserialize, Serialize};

use crate::json::{self, Bounded};

/// Networks that are read: more than a project can have, so that one too many is told as that.
const NETWORKS_READ: usize = 128;
const _: () = assert!(ACCESS_NETWORKS_MAX < NETWORKS_READ);

/// A misspelled setting that was taken for none would leave a door open: unknown fields are errors here.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccessBody {
    private_only: bool,
    #[serde(default)]
    private_control_plane: bool,
    #[serde(default)]
    networks: Option<Bounded<String, NETWORKS_READ>>,
}

/// Reads the body of `PUT /pinyon/v1/projects/{id}/access`. What is not named is off, or none.
pub fn put_project_access(body: &[u8]) -> Result<ProjectAccess> {
    let AccessBody { private_only, private_control_plane, networks } = json::from_control(body)?;
    let networks = networks.unwrap_or_else(|| Bounded::new(Vec::new()));
    if networks.count > NETWORKS_READ {
        return Err(Error::invalid(format!("networks has {} entries; at most {ACCESS_NETWORKS_MAX} are allowed", networks.count)));
    }
    let read = |(i, text): (usize, &String)| Network::parse(text).map_err(|e| Error::new(e.code, format!("networks[{i}]: {}", e.message)));
    ProjectAccess::new(private_only, private_control_plane, networks.kept.iter().enumerate().map(read).collect::<Result<_>>()?)
}

/// The body that says from where a project may be reached.
pub fn project_access_model(access: &ProjectAccess) -> Vec<u8> {
    json::to_vec(&AccessOut {
        private_only: access.private_only(),
        private_control_plane: access.private_control_plane(),
        networks: access.networks().iter().map(Network::to_string).collect(),
    })
}

#[derive(Serialize)]
struct AccessOut {
    private_only: bool,
    private_control_plane: bool,
    networks: Vec<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn put(body: Value) -> Result<ProjectAccess> {
        put_project_access(body.to_string().as_bytes())
    }

    #[test]
    fn bodies() {
        let all = json!({"private_only": true, "private_control_plane": true, "networks": ["10.0.0.0/8", "2001:db8::/32"]});
        let access = put(all.clone()).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&project_access_model(&access)).unwrap(), all);
        assert_eq!(put(json!({"private_only": false, "networks": null})), Ok(ProjectAccess::default()));
        for wrong in [
            json!({}),
            json!({"private_only": "yes"}),
            json!({"private_only": false, "private_control_plane": true}),
            json!({"private_only": true, "network": ["10.0.0.0/8"]}),
            json!({"private_only": true, "networks": ["10.0.0.1/8"]}),
        ] {
            assert!(put(wrong.clone()).is_err(), "{wrong}");
        }
        let many = |n: usize| put(json!({"private_only": true, "networks": (0..n).map(|i| format!("10.0.{i}.0/24")).collect::<Vec<_>>()}));
        assert!(many(100).is_ok());
        assert!([101, 129].iter().all(|n| many(*n).unwrap_err().message.contains("at most 100")));
    }
}
