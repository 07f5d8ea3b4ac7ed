use crate::{Error, OrganizationId, Result};

/// Where an organization's audit events are delivered to: a bucket in S3, reached by a role that its owner lets Pinyon assume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditSink {
    /// Whose events.
    pub organization_id: OrganizationId,
    /// Where and how.
    pub settings: AuditSinkSettings,
    /// When it was set up, milliseconds since 1970.
    pub created_at_ms: u64,
    /// When it was changed last.
    pub updated_at_ms: u64,
}

/// What an owner says of a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditSinkSettings {
    /// The role to assume.
    pub role_arn: RoleArn,
    /// What the role's trust policy may ask for.
    pub external_id: Option<ExternalId>,
    /// The bucket, and the folder in it.
    pub bucket: BucketPath,
    /// The bucket's region.
    pub region: AwsRegion,
    /// Seconds between deliveries.
    pub interval: DeliveryInterval,
    /// Whether events are delivered.
    pub enabled: bool,
}

/// How delivery stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditSinkState {
    /// When an object was last delivered, milliseconds since 1970.
    pub delivered_at_ms: Option<u64>,
    /// The number, in the audit log, up to which events are delivered.
    pub delivered_sequence: u64,
    /// Events of the organization after it.
    pub entries_pending: u64,
    /// Why the last attempt failed, when it did.
    pub last_error: Option<String>,
}

macro_rules! checked_texts {
    ($($(#[$doc:meta])* $name:ident: $check:ident, $expected:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            /// Checks the form.
            pub fn new(text: &str) -> Result<Self> {
                if $check(text) {
                    return Ok(Self(text.to_owned()));
                }
                let shown: String = text.chars().take(80).collect();
                Err(Error::invalid(format!("'{}' is not {}", shown.escape_debug(), $expected)))
            }
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    )*};
}

checked_texts! {
    /// The name of an IAM role.
    RoleArn: is_role_arn, "the ARN of a role, such as arn:aws:iam::123456789012:role/pinyon-audit";
    /// 2 to 1,224 letters, digits and `+=,.@:/-_`.
    ExternalId: is_external_id, "an external id: 2 to 1224 letters, digits and + = , . @ : / - _";
    /// A bucket's name, or that and a folder: `bucket/sub/directory`.
    BucketPath: is_bucket_path, "a bucket such as my-logs or my-logs/sub/directory";
    /// A region of AWS.
    AwsRegion: is_region, "a region such as us-east-1";
}

impl BucketPath {
    /// The bucket's name.
    pub fn bucket(&self) -> &str {
        self.0.split_once('/').map_or(self.0.as_str(), |(bucket, _)| bucket)
    }
    /// The key of an object in the folder.
    pub fn key(&self, name: &str) -> String {
        self.0.split_once('/').map_or_else(|| name.to_owned(), |(_, folder)| format!("{folder}/{name}"))
    }
}

impl AwsRegion {
    /// Where most buckets are.
    pub fn default_region() -> Self {
        Self("us-east-1".to_owned())
    }
}

/// Seconds between two deliveries: 10 to 86,400.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryInterval(u32);

impl DeliveryInterval {
    /// The least.
    pub const MIN_SECONDS: u32 = 10;
    /// A day.
    pub const MAX_SECONDS: u32 = 86_400;

    /// Checks the range.
    pub fn new(seconds: u32) -> Result<Self> {
        if (Self::MIN_SECONDS..=Self::MAX_SECONDS).contains(&seconds) {
            return Ok(Self(seconds));
        }
        Err(Error::invalid(format!(
            "The interval is {seconds} seconds; it must be between {} and {}",
            Self::MIN_SECONDS,
            Self::MAX_SECONDS
        )))
    }
    /// How many.
    pub fn seconds(self) -> u32 {
        self.0
    }
}

impl Default for DeliveryInterval {
    /// Half an hour, as Pinecone's.
    fn default() -> Self {
        Self(1_800)
    }
}

/// `arn:aws:iam::ACCOUNT:role/PATH`, in each of the partitions.
fn is_role_arn(text: &str) -> bool {
    let mut parts = text.splitn(6, ':');
    let mut next = || parts.next().unwrap_or_default();
    let (arn, partition, service, region, account, resource) = (next(), next(), next(), next(), next(), next());
    let role = resource.strip_prefix("role/").unwrap_or_default();
    arn == "arn"
        && matches!(partition, "aws" | "aws-cn" | "aws-us-gov")
        && service == "iam"
        && region.is_empty()
        && account.len() == 12
        && account.bytes().all(|b| b.is_ascii_digit())
        && (1..=576).contains(&role.len())
        && !role.ends_with('/')
        && role.bytes().all(|b| b.is_ascii_alphanumeric() || b"+=,.@_-/".contains(&b))
}

fn is_external_id(text: &str) -> bool {
    (2..=1_224).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+=,.@:/-_".contains(&b))
}

/// What becomes part of a host's name and of a path is spelled with characters that mean nothing in either.
fn is_bucket_path(text: &str) -> bool {
    let (bucket, folder) = text.split_once('/').map_or((text, None), |(b, f)| (b, Some(f)));
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = bucket.as_bytes();
    let is_bucket = (3..=63).contains(&bytes.len())
        && bytes.iter().all(|&b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-')
        && edge(bytes.first())
        && edge(bytes.last())
        && !["..", ".-", "-."].iter().any(|pair| bucket.contains(pair))
        // What reads as an address could be taken for one.
        && !bytes.iter().all(|&b| b.is_ascii_digit() || b == b'.');
    let part =
        |p: &str| !p.is_empty() && p != "." && p != ".." && p.bytes().all(|b| b.is_ascii_alphanumeric() || b"!_.*'()-=".contains(&b));
    is_bucket && folder.is_none_or(|f| f.len() <= 512 && f.split('/').all(part))
}

/// Words of small letters joined by hyphens, a number at the end.
fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let Some((number, words)) = parts.split_last() else { return false };
    text.len() <= 32
        && (2..=4).contains(&words.len())
        && words.iter().all(|w| (2..=12).contains(&w.len()) && w.bytes().all(|b| b.is_ascii_lowercase()))
        && (1..=2).contains(&number.len())
        && number.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles() {
        for good in [
            "arn:aws:iam::123456789012:role/a",
            "arn:aws-cn:iam::000000000000:role/team/x+=,.@_-",
            "arn:aws-us-gov:iam::123456789012:role/r",
        ] {
            assert_eq!(RoleArn::new(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "arn:aws:iam::123456789012:user/a",
            "arn:aws:iam::12345678901:role/a",
            "arn:aws:iam::1234567890123:role/a",
            "arn:aws:sts::123456789012:role/a",
            "arn:aws:iam:us-east-1:123456789012:role/a",
            "arn:evil:iam::123456789012:role/a",
            "arn:aws:iam::123456789012:role/",
            "arn:aws:iam::123456789012:role/a:b",
            "arn:aws:iam::123456789012:role/a&Action=Other",
            "arn:aws:iam::123456789012:role/a\n",
        ] {
            assert!(RoleArn::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn buckets_and_folders() {
        let path = BucketPath::new("my-logs/sub/directory").unwrap();
        assert_eq!((path.bucket(), path.key("x").as_str()), ("my-logs", "sub/directory/x"));
        let path = BucketPath::new("a.b-c.1").unwrap();
        assert_eq!((path.bucket(), path.key("x").as_str()), ("a.b-c.1", "x"));
        assert!(BucketPath::new(&"b".repeat(63)).is_ok() && BucketPath::new("abc").is_ok());
        assert!(BucketPath::new(&format!("abc/{}", "d".repeat(512))).is_ok());
        let long = format!("abc/{}", "d".repeat(513));
        for bad in [
            "",
            "ab",
            "Abc",
            "a_b",
            "-abc",
            "abc-",
            "a..b",
            "a.-b",
            "127.0.0.1",
            "169.254.169.254",
            "abc/",
            "abc//d",
            "abc/../d",
            "abc/./d",
            "abc/d/",
            "abc#d",
            "abc@evil.com",
            "abc:80",
            "abc?x",
            "abc/d e",
            "abc/d%2f",
            "abc/é",
            "abc\\d",
            &long,
            &"b".repeat(64),
        ] {
            assert!(BucketPath::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn regions_external_ids_and_intervals() {
        for good in ["us-east-1", "eu-central-2", "us-gov-west-1", "ap-southeast-10", "cn-north-1"] {
            assert!(AwsRegion::new(good).is_ok(), "{good}");
        }
        for bad in
            ["", "us", "us-east", "US-EAST-1", "us-east-1.evil.com", "us-east-1/", "us-east-1#", "a-b-1", "us-east-123", "us--east-1"]
        {
            assert!(AwsRegion::new(bad).is_err(), "{bad}");
        }
        assert!(AwsRegion::new(AwsRegion::default_region().as_str()).is_ok());
        assert!(ExternalId::new("ab").is_ok() && ExternalId::new(&"a".repeat(1_224)).is_ok());
        for bad in ["", "a", "a b", "a&b", &"a".repeat(1_225)] {
            assert!(ExternalId::new(bad).is_err(), "{bad}");
        }
        assert!(DeliveryInterval::new(10).is_ok() && DeliveryInterval::new(86_400).is_ok());
        assert!(DeliveryInterval::new(9).is_err() && DeliveryInterval::new(86_401).is_err());
        assert_eq!(DeliveryInterval::default().seconds(), 30 * 60);
    }
}
