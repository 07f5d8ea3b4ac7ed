use std::fmt;

use crate::{Deployment, Error, PrivateEndpointId, ProjectId, Result, excerpt};

/// A customer's end of a private connection, by the id that the cloud's balancer vouches for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PrivateLink {
    /// An AWS VPC endpoint, `vpce-…`.
    Aws(VpcEndpointId),
    /// The link id of an Azure private endpoint.
    Azure(u32),
}

/// The id of an AWS VPC endpoint: `vpce-` and 1 to 59 lower-case letters, digits or hyphens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VpcEndpointId(String);

impl VpcEndpointId {
    /// Bytes of the longest.
    const LEN_MAX: usize = 64;

    /// Reads one. AWS sends ids in lower case and they are compared byte by byte: one with a capital would never be met.
    pub fn parse(text: &str) -> Result<Self> {
        let is_id = |rest: &str| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if text.len() <= Self::LEN_MAX && text.strip_prefix("vpce-").is_some_and(is_id) {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::invalid(format!(
            "'{}' is not the id of a VPC endpoint: vpce- and lower-case letters and digits are expected",
            excerpt(text)
        )))
    }
}

impl PrivateLink {
    /// Reads the id of a link in this cloud: `aws` and `vpce-…`, or `azure` and a number.
    pub fn parse(provider: &str, id: &str) -> Result<Self> {
        match provider {
            "aws" => VpcEndpointId::parse(id).map(Self::Aws),
            "azure" => {
                let is_number = !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()) && (id == "0" || !id.starts_with('0'));
                id.parse().ok().filter(|_| is_number).map(Self::Azure).ok_or_else(|| {
                    Error::invalid(format!("'{}' is not an Azure link id: a number up to {} is expected", excerpt(id), u32::MAX))
                })
            }
            other => Err(Error::invalid(format!("'{}' has no private endpoints here; aws and azure have", excerpt(other)))),
        }
    }

    /// The cloud, as deployments spell it.
    pub const fn provider(&self) -> &'static str {
        match self {
            PrivateLink::Aws(_) => "aws",
            PrivateLink::Azure(_) => "azure",
        }
    }
}

impl fmt::Display for PrivateLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PrivateLink::Aws(VpcEndpointId(id)) => f.write_str(id),
            PrivateLink::Azure(id) => write!(f, "{id}"),
        }
    }
}

/// A private connection by which a project's indexes in one region may be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivateEndpoint {
    /// Pinyon's id for it.
    pub id: PrivateEndpointId,
    /// Whose it is.
    pub project_id: ProjectId,
    /// The customer's end.
    pub link: PrivateLink,
    /// The region it is in.
    pub region: String,
    /// When it was made, milliseconds since 1970.
    pub created_at_ms: u64,
}

/// What a new private endpoint is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPrivateEndpoint {
    /// The customer's end.
    pub link: PrivateLink,
    /// The region it is in.
    pub region: String,
}

impl PrivateEndpoint {
    /// Reads a region: 1 to 64 lower-case letters, digits and hyphens.
    pub fn parse_region(text: &str) -> Result<String> {
        let is_region = (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if is_region {
            return Ok(text.to_owned());
        }
        Err(Error::invalid(format!("'{}' is not a region: us-east-1 or eastus2 would be", excerpt(text))))
    }

    /// Whether an index that is deployed like this lies where the endpoint is: same cloud, same region. Environments of pod and BYOC
    /// indexes are spelled as the region alone, or with the cloud after it (`us-east-1-aws`); Pinecone's own spelling of a BYOC one has
    /// the cloud before it and its own word behind (`aws-us-east-1-b921`). Clients may capitalize regions as they like; an endpoint's is
    /// in lower case.
    pub fn reaches(&self, deployment: &Deployment) -> bool {
        match deployment {
            Deployment::Managed { cloud, region } => cloud == self.link.provider() && region.eq_ignore_ascii_case(&self.region),
            Deployment::Pod { environment, .. } => self.region_leads(&environment.to_ascii_lowercase()),
            Deployment::Byoc { environment } => {
                let environment = environment.to_ascii_lowercase();
                self.region_leads(&environment) || self.cloud_leads(&environment)
            }
        }
    }

    /// `us-east-1`, `us-east-1-aws`.
    fn region_leads(&self, environment: &str) -> bool {
        let rest = environment.strip_prefix(self.region.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix('-') == Some(self.link.provider()))
    }

    /// `aws-us-east-1`, `aws-us-east-1-b921`. The region ends where the text does or at a hyphen: `us-east-11` is another one.
    fn cloud_leads(&self, environment: &str) -> bool {
        let region = environment.strip_prefix(self.link.provider()).and_then(|rest| rest.strip_prefix('-'));
        let rest = region.and_then(|text| text.strip_prefix(self.region.as_str()));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_read_back_and_others_are_none() {
        let longest = format!("vpce-{}", "a".repeat(59));
        for (provider, id) in [("aws", "vpce-08ff8ff6b9b4e8b0a"), ("aws", &longest), ("azure", "0"), ("azure", "4294967295")] {
            let link = PrivateLink::parse(provider, id).unwrap();
            assert_eq!((link.provider(), link.to_string().as_str()), (provider, id));
        }
        let too_long = format!("{longest}a");
        for (provider, id) in [
            ("aws", ""),
            ("aws", "vpce-"),
            ("aws", "vpc-1"),
            ("aws", "vpce-a b"),
            ("aws", "vpce-é"),
            ("aws", " vpce-a"),
            ("aws", "vpce-08FF8ff6b9b4e8b0a"),
            ("aws", "VPCE-1"),
            ("aws", &too_long),
            ("azure", ""),
            ("azure", "4294967296"),
            ("azure", "+1"),
            ("azure", "01"),
            ("azure", "vpce-1"),
            ("gcp", "1"),
        ] {
            assert!(PrivateLink::parse(provider, id).is_err(), "{provider} {id}");
        }
        assert!(PrivateLink::parse("aws", "vpce-A").unwrap_err().message.contains("lower-case"));
    }

    #[test]
    fn an_endpoint_reaches_its_region_of_its_cloud() {
        let link = PrivateLink::parse("aws", "vpce-1").unwrap();
        let (id, project_id) = (PrivateEndpointId::from_bytes([1; 16]), ProjectId::from_bytes([2; 16]));
        let endpoint = PrivateEndpoint { id, project_id, link, region: "us-east-1".into(), created_at_ms: 0 };
        let managed = |cloud: &str, region: &str| Deployment::Managed { cloud: cloud.into(), region: region.into() };
        let byoc = |environment: &str| Deployment::Byoc { environment: environment.into() };
        let pod = |environment: &str| {
            let (environment, pod_type) = (environment.into(), "p1.x1".into());
            Deployment::Pod { environment, pod_type, replicas: 1, shards: 1, indexed: None }
        };
        for deployment in [managed("aws", "us-east-1"), managed("aws", "US-East-1"), pod("us-east-1-aws"), pod("US-EAST-1")] {
            assert!(endpoint.reaches(&deployment), "{deployment:?}");
        }
        for environment in [
            "us-east-1",
            "us-east-1-aws",
            "US-East-1-AWS",
            "aws-us-east-1",
            "aws-us-east-1-b921",
            "AWS-US-East-1-B921",
            "aws-us-east-1-a-b",
        ] {
            assert!(endpoint.reaches(&byoc(environment)), "{environment}");
        }
        for deployment in [managed("azure", "us-east-1"), managed("aws", "us-east-12"), pod("aws-us-east-1"), pod("us-east-1-b921")] {
            assert!(!endpoint.reaches(&deployment), "{deployment:?}");
        }
        for environment in [
            "us-east-1-gcp",
            "us-east-1b",
            "us-east",
            "us-east-1-aws-b921",
            "azure-us-east-1-b921",
            "aws-us-east-11",
            "aws-us-east-11-b921",
            "aws-us-east",
            "awsus-east-1",
            "aws-",
            "mine-aws-us-east-1",
        ] {
            assert!(!endpoint.reaches(&byoc(environment)), "{environment}");
        }
    }

    #[test]
    fn regions() {
        assert!(PrivateEndpoint::parse_region(&"a".repeat(64)).is_ok() && PrivateEndpoint::parse_region("eastus2").is_ok());
        for bad in ["", "US-EAST-1", "us east", "us_east", &"a".repeat(65)] {
            assert!(PrivateEndpoint::parse_region(bad).is_err(), "{bad}");
        }
    }
}
