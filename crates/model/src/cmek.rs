//! Customer-managed encryption keys: keys of the customer's above the keys of a project's indexes.

use crate::{AwsRegion, CmekId, Error, ExternalId, ProjectId, Result, RoleArn, limits::CMEK_NAME_LEN_MAX, name::display_name};

/// A key of the customer's that a project's indexes may be under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cmek {
    /// Its id.
    pub id: CmekId,
    /// Whose indexes it is for.
    pub project_id: ProjectId,
    /// Its name, 1 to 80 characters, free in the project.
    pub name: String,
    /// Where it is.
    pub key: CustomerKey,
    /// When it was added, milliseconds since 1970.
    pub created_at_ms: u64,
    /// When it was replaced last, or added.
    pub updated_at_ms: u64,
}

impl Cmek {
    /// Reads a name: 1 to 80 printable characters.
    pub fn parse_name(text: &str) -> Result<String> {
        display_name("a customer-managed key", text, CMEK_NAME_LEN_MAX)
    }
}

/// A key that is not ours, and how it may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CustomerKey {
    /// One in AWS KMS.
    AwsKms(AwsKmsKey),
}

impl CustomerKey {
    /// What its owner calls it.
    pub fn shown(&self) -> &str {
        match self {
            CustomerKey::AwsKms(key) => key.key_arn.as_str(),
        }
    }
}

/// A symmetric key in AWS KMS, used by a role that its owner lets Pinyon assume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsKmsKey {
    /// The key.
    pub key_arn: KmsKeyArn,
    /// The role to assume.
    pub role_arn: RoleArn,
    /// What the role's trust policy may ask for.
    pub external_id: Option<ExternalId>,
}

/// The name of a KMS key: `arn:aws:kms:REGION:ACCOUNT:key/ID`, of a key in one region and not by an alias, which could be pointed elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KmsKeyArn {
    text: String,
    region: AwsRegion,
}

impl KmsKeyArn {
    /// Checks the form.
    pub fn new(text: &str) -> Result<Self> {
        let shown: String = text.chars().take(120).collect();
        let wrong = |why: &str| {
            let example = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
            Error::invalid(format!("'{}' is not the ARN of a KMS key, such as {example}{why}", shown.escape_debug()))
        };
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let [arn, partition, service, region, account, resource] = parts[..] else { return Err(wrong("")) };
        let account_is_one = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        if arn != "arn" || !matches!(partition, "aws" | "aws-cn" | "aws-us-gov") || service != "kms" || !account_is_one {
            return Err(wrong(""));
        }
        let region = AwsRegion::new(region).map_err(|_| wrong(": its region is none"))?;
        match resource.split_once('/') {
            Some(("alias", _)) => return Err(wrong(": an alias may be pointed at another key; name the key itself")),
            Some(("key", id)) if id.starts_with("mrk-") => {
                return Err(wrong(": a multi-region key is not taken, only one of a single region"));
            }
            Some(("key", id)) if is_key_id(id) => {}
            _ => return Err(wrong("")),
        }
        Ok(Self { text: text.to_owned(), region })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Where the key is: nobody else answers for it.
    pub fn region(&self) -> &AwsRegion {
        &self.region
    }
}

/// A UUID in small letters, as KMS gives them.
fn is_key_id(id: &str) -> bool {
    id.len() == 36
        && id.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_digit() || (b'a'..=b'f').contains(&b),
        })
}

/// Whether a customer's key can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CmekStatus {
    /// It answers.
    Ready,
    /// It is refused to us, disabled, gone, or another key answers in its place.
    Denied,
    /// Whether it may be used cannot be found out: nobody answers.
    Unreachable,
}

impl CmekStatus {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            CmekStatus::Ready => "ready",
            CmekStatus::Denied => "denied",
            CmekStatus::Unreachable => "unreachable",
        }
    }
}

/// How a customer's key stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CmekState {
    /// What came of asking it last.
    pub status: CmekStatus,
    /// Whether what is under it is served: while it is ready, and for the grace period while it is unreachable.
    pub served: bool,
    /// Why it is not ready.
    pub reason: Option<String>,
    /// When it answered last since this server's start, milliseconds since 1970.
    pub last_good_at_ms: Option<u64>,
    /// How often it was asked since this server's start.
    pub asked: u64,
    /// How often it was refused then.
    pub denied: u64,
    /// How often nobody answered.
    pub unreachable: u64,
    /// Indexes under it.
    pub indexes: u64,
    /// Backups under it.
    pub backups: u64,
    /// What came of a replacement that is under way.
    pub replacement: Option<CmekReplacement>,
}

/// How far the keys below a replaced key are wrapped anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CmekReplacement {
    /// The key that is replaced, and still needed.
    pub replaced: CustomerKey,
    /// Whether that one answers.
    pub status: CmekStatus,
    /// Indexes and backups whose keys are under the new one.
    pub done: u64,
    /// All of them.
    pub total: u64,
}

/// What a new customer-managed key is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCmek {
    /// Whose indexes it is for.
    pub project_id: ProjectId,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub key: CustomerKey,
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    #[test]
    fn arns_of_keys() {
        let arn = KmsKeyArn::new(GOOD).unwrap();
        assert_eq!((arn.as_str(), arn.region().as_str()), (GOOD, "eu-west-1"));
        for partition in ["aws-cn", "aws-us-gov"] {
            assert!(KmsKeyArn::new(&GOOD.replacen("aws", partition, 1)).is_ok(), "{partition}");
        }
        for (part, other) in [
            ("arn:", "urn:"),
            ("aws:", "evil:"),
            (":kms:", ":s3:"),
            ("eu-west-1", ""),
            ("eu-west-1", "EU-WEST-1"),
            ("eu-west-1", "eu-west-1.evil.com/"),
            ("eu-west-1", "eu-west-1@evil.com#-1"),
            ("123456789012", "12345678901"),
            ("123456789012", "12345678901x"),
            ("key/", "alias/"),
            ("key/", "key"),
            ("key/", "key//"),
            ("1234abcd-", "mrk-"),
            ("1234abcd-", "1234ABCD-"),
            ("1234abcd-", "1234abcg-"),
            ("1234567890ab", "1234567890ab "),
            ("1234567890ab", "1234567890ab\n"),
            ("1234567890ab", "1234567890a"),
            ("1234567890ab", "1234567890ab:x"),
        ] {
            let text = GOOD.replacen(part, other, 1);
            assert_ne!(text, GOOD);
            assert!(KmsKeyArn::new(&text).is_err(), "{text}");
        }
        for bad in ["", "arn:aws:kms", "é", &"a:".repeat(1_000)] {
            assert!(KmsKeyArn::new(bad).is_err(), "{bad}");
        }
        let told = |text: &str| KmsKeyArn::new(text).unwrap_err().message;
        assert!(told("arn:aws:kms:eu-west-1:123456789012:alias/mine").contains("name the key itself"));
        assert!(told("arn:aws:kms:eu-west-1:123456789012:key/mrk-1234abcd12ab34cd56ef1234567890ab").contains("single region"));
    }

    #[test]
    fn names() {
        assert_eq!(Cmek::parse_name(&"é".repeat(80)).unwrap().chars().count(), 80);
        for bad in ["", " ", "a\nb", &"é".repeat(81)] {
            assert!(Cmek::parse_name(bad).is_err(), "{bad}");
        }
    }
}
