//! Private endpoints of a project.

use pinyon_model::{NewPrivateEndpoint, PrivateEndpoint, PrivateLink, Result};
use serde::{Deserialize, Serialize};

use crate::{json, listing::list, rfc3339};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateBody {
    provider: String,
    endpoint_id: String,
    region: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeleteBody {
    confirm: String,
}

/// Reads the body of `POST /pinyon/v1/projects/{id}/private-endpoints`.
pub fn create_private_endpoint(body: &[u8]) -> Result<NewPrivateEndpoint> {
    let CreateBody { provider, endpoint_id, region } = json::from_control(body)?;
    Ok(NewPrivateEndpoint { link: PrivateLink::parse(&provider, &endpoint_id)?, region: PrivateEndpoint::parse_region(&region)? })
}

/// Reads the body of `DELETE /pinyon/v1/projects/{id}/private-endpoints/{id}`: the cloud's id of what is to go.
pub fn delete_private_endpoint(body: &[u8]) -> Result<String> {
    let DeleteBody { confirm } = json::from_control(body)?;
    Ok(confirm)
}

/// The body that describes one private endpoint.
pub fn private_endpoint_model(endpoint: &PrivateEndpoint) -> Vec<u8> {
    json::to_vec(&EndpointOut::from(endpoint))
}

/// The body that lists private endpoints.
pub fn private_endpoint_list(endpoints: &[PrivateEndpoint]) -> Vec<u8> {
    list(endpoints.iter().map(EndpointOut::from))
}

#[derive(Serialize)]
struct EndpointOut<'a> {
    id: String,
    project_id: String,
    provider: &'static str,
    endpoint_id: String,
    region: &'a str,
    created_at: String,
}

impl<'a> From<&'a PrivateEndpoint> for EndpointOut<'a> {
    fn from(endpoint: &'a PrivateEndpoint) -> Self {
        let PrivateEndpoint { id, project_id, link, region, created_at_ms } = endpoint;
        Self {
            id: id.to_string(),
            project_id: project_id.to_string(),
            provider: link.provider(),
            endpoint_id: link.to_string(),
            region,
            created_at: rfc3339(*created_at_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use pinyon_model::{PrivateEndpointId, ProjectId};
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn bodies() {
        let create = |body: Value| create_private_endpoint(body.to_string().as_bytes());
        let good = json!({"provider": "aws", "endpoint_id": "vpce-1", "region": "us-east-1"});
        let NewPrivateEndpoint { link, region } = create(good.clone()).unwrap();
        assert_eq!((link.to_string().as_str(), region.as_str()), ("vpce-1", "us-east-1"));
        for (field, wrong) in [
            ("provider", json!("gcp")),
            ("endpoint_id", json!("vpc-1")),
            ("endpoint_id", json!(1)),
            ("region", json!("")),
            ("name", json!("x")),
        ] {
            let mut body = good.clone();
            body[field] = wrong;
            assert!(create(body).is_err(), "{field}");
        }
        assert_eq!(delete_private_endpoint(br#"{"confirm":"vpce-1"}"#).as_deref(), Ok("vpce-1"));
        assert!(delete_private_endpoint(b"").is_err() && delete_private_endpoint(br#"{"confirm":1}"#).is_err());
    }

    #[test]
    fn described() {
        let (id, project_id) = (PrivateEndpointId::from_bytes([1; 16]), ProjectId::from_bytes([2; 16]));
        let link = PrivateLink::parse("azure", "7").unwrap();
        let endpoint = PrivateEndpoint { id, project_id, link, region: "eastus2".into(), created_at_ms: 0 };
        let expected = json!({
            "id": "01010101-0101-0101-0101-010101010101", "project_id": "02020202-0202-0202-0202-020202020202", "provider": "azure",
            "endpoint_id": "7", "region": "eastus2", "created_at": "1970-01-01T00:00:00.000Z",
        });
        assert_eq!(serde_json::from_slice::<Value>(&private_endpoint_model(&endpoint)).unwrap(), expected);
        assert_eq!(serde_json::from_slice::<Value>(&private_endpoint_list(&[endpoint])).unwrap(), json!({"data": [expected]}));
    }
}
