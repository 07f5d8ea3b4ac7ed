//! Hosts. What a caller gave is a region and a bucket, checked by `model`; what else a host may be, the operator alone says.

use std::fmt;

use http::Uri;
use pinyon_model::{AwsRegion, Error, Result};

/// A host that the operator set: `http://` or `https://`, a name or an address, and maybe a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(String);

/// Hosts in place of AWS's own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AwsEndpoints {
    /// For roles.
    pub sts: Option<Endpoint>,
    /// For objects; buckets are the first part of the path there.
    pub s3: Option<Endpoint>,
    /// For keys.
    pub kms: Option<Endpoint>,
}

impl Endpoint {
    /// Reads one.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            let shown: String = text.chars().take(80).collect();
            Error::invalid(format!("'{}' is not an endpoint such as https://s3.example.com or http://127.0.0.1:4566", shown.escape_debug()))
        };
        let uri: Uri = text.strip_suffix('/').unwrap_or(text).parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        let scheme = uri.scheme_str().filter(|s| matches!(*s, "http" | "https")).ok_or_else(wrong)?;
        if authority.as_str().contains('@') || !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(wrong());
        }
        Ok(Self(format!("{scheme}://{authority}")))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AwsEndpoints {
    /// Where roles of a region are assumed.
    pub(crate) fn sts(&self, region: &AwsRegion) -> String {
        self.sts.as_ref().map_or_else(|| format!("https://sts.{}.{}", region.as_str(), suffix(region)), Endpoint::to_string)
    }

    /// Where keys of a region answer.
    pub(crate) fn kms(&self, region: &AwsRegion) -> String {
        self.kms.as_ref().map_or_else(|| format!("https://kms.{}.{}", region.as_str(), suffix(region)), Endpoint::to_string)
    }

    /// Where an object of a bucket is, up to its key. A bucket with dots in its name fits no wildcard of a certificate, so it goes into
    /// the path.
    pub(crate) fn bucket(&self, region: &AwsRegion, bucket: &str) -> String {
        let (name, suffix) = (region.as_str(), suffix(region));
        match &self.s3 {
            Some(endpoint) => format!("{endpoint}/{bucket}"),
            None if bucket.contains('.') => format!("https://s3.{name}.{suffix}/{bucket}"),
            None => format!("https://{bucket}.s3.{name}.{suffix}"),
        }
    }
}

impl fmt::Display for AwsEndpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |e: &Option<Endpoint>| e.as_ref().map_or("AWS".to_owned(), Endpoint::to_string);
        match self {
            _ if *self == Self::default() => f.write_str("AWS"),
            Self { kms: Some(kms), .. } => write!(f, "STS {}, KMS {kms}", shown(&self.sts)),
            _ => write!(f, "STS {}, S3 {}", shown(&self.sts), shown(&self.s3)),
        }
    }
}

fn suffix(region: &AwsRegion) -> &'static str {
    if region.as_str().starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn endpoints() {
        for good in ["http://127.0.0.1:4566", "https://s3.example.com", "http://[::1]:9000"] {
            assert_eq!(Endpoint::parse(good).unwrap().to_string(), good);
        }
        assert_eq!(Endpoint::parse("http://a/").unwrap().to_string(), "http://a");
        for bad in ["", "a", "ftp://a", "http://", "http://u:p@a", "http://a/b", "http://a?b", "http://a b", "a:80"] {
            assert!(Endpoint::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hosts_of_aws() {
        let aws = AwsEndpoints::default();
        let region = |text| AwsRegion::new(text).unwrap();
        assert_eq!(aws.sts(&region("eu-west-1")), "https://sts.eu-west-1.amazonaws.com");
        assert_eq!(aws.sts(&region("cn-north-1")), "https://sts.cn-north-1.amazonaws.com.cn");
        assert_eq!(aws.bucket(&region("eu-west-1"), "logs"), "https://logs.s3.eu-west-1.amazonaws.com");
        assert_eq!(aws.bucket(&region("eu-west-1"), "my.logs"), "https://s3.eu-west-1.amazonaws.com/my.logs");
        let own = AwsEndpoints { sts: None, kms: None, s3: Some(Endpoint::parse("http://127.0.0.1:1").unwrap()) };
        assert_eq!(own.bucket(&region("eu-west-1"), "logs"), "http://127.0.0.1:1/logs");
    }

    proptest! {
        /// Whatever passes for a bucket and a region, the host is one of AWS's.
        #[test]
        fn no_bucket_and_no_region_leads_elsewhere(
            bucket in prop_oneof!["[a-z0-9.#@:/?\\\\%-]{3,20}", "[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", ".{3,10}"],
            region in prop_oneof![Just("us-east-1".to_owned()), "[a-z0-9.#@:/-]{5,20}", "[a-z]{2}-[a-z]{4,9}-[0-9]"],
        ) {
            let (Ok(path), Ok(region)) = (pinyon_model::BucketPath::new(&bucket), AwsRegion::new(&region)) else { return Ok(()) };
            for url in [AwsEndpoints::default().bucket(&region, path.bucket()), AwsEndpoints::default().sts(&region)] {
                let uri: Uri = url.parse().unwrap();
                let host = uri.host().unwrap();
                prop_assert!(host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn"), "{}", url);
                prop_assert_eq!(uri.authority().unwrap().as_str(), host);
                prop_assert_eq!(uri.scheme_str(), Some("https"));
            }
        }
    }
}
