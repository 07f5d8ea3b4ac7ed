//! What is said of a purge, and that it is this installation that says it: lines of text, signed with Ed25519 (RFC 8032) by a key that
//! comes from a system key of the store.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use pinyon_model::{Deleted, DeletionReport, Error, Result};
use pinyon_storage::DataKey;

/// The system key that reports are signed and stored under.
pub(crate) const KEY: &str = "deletion-reports";
const FIRST_LINE: &str = "pinyon deletion report 1";
const SIGNATURE: &str = "signature: ";

/// A report with its signature, as it is handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedReport {
    /// Its lines, each ended.
    pub text: String,
    /// Over the bytes of the text.
    pub signature: [u8; 64],
}

impl SignedReport {
    /// The text with its signature as the last line.
    pub fn to_document(&self) -> String {
        format!("{}{SIGNATURE}{}\n", self.text, STANDARD.encode(self.signature))
    }

    /// Reads a document. It says nothing about who signed it.
    pub fn parse(document: &str) -> Result<Self> {
        let malformed = || Error::invalid("This is no deletion report of Pinyon");
        let (text, encoded) = document.strip_suffix('\n').and_then(|d| d.rsplit_once('\n')).ok_or_else(malformed)?;
        let bytes = encoded.strip_prefix(SIGNATURE).and_then(|e| STANDARD.decode(e).ok()).ok_or_else(malformed)?;
        let signature = bytes.try_into().map_err(|_| malformed())?;
        if !text.starts_with(FIRST_LINE) {
            return Err(malformed());
        }
        Ok(Self { text: format!("{text}\n"), signature })
    }

    /// Whether who has the secret of this public key signed these bytes.
    pub fn is_signed_by(&self, public_key: &[u8; 32]) -> bool {
        UnparsedPublicKey::new(&ED25519, public_key).verify(self.text.as_bytes(), &self.signature).is_ok()
    }
}

/// What signs reports.
pub(crate) struct ReportSigner(Ed25519KeyPair);

impl ReportSigner {
    /// The same pair for the same system key.
    pub(crate) fn new(key: &DataKey) -> Result<Self> {
        let seed = zeroize::Zeroizing::new(key.mac("deletion report signing", &[]));
        Ed25519KeyPair::from_seed_unchecked(&seed[..]).map(Self).map_err(|_| Error::internal("The signing key of reports cannot be made"))
    }

    pub(crate) fn public_key(&self) -> [u8; 32] {
        let mut key = [0; 32];
        key.copy_from_slice(self.0.public_key().as_ref());
        key
    }

    pub(crate) fn sign(&self, text: String) -> SignedReport {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.0.sign(text.as_bytes()).as_ref());
        SignedReport { text, signature }
    }
}

/// The report's lines: a name, a colon and what is said, times as milliseconds since 1970. What users wrote is escaped, so that it cannot
/// begin a line of its own.
pub(crate) fn text(report: &DeletionReport) -> String {
    let DeletionReport { deleted, purged_at_ms, objects, keys } = report;
    let Deleted { id, kind, of, name, organization_id, project_id, deleted_at_ms, deleted_by, kept_until_ms } = deleted;
    let mut out = format!("{FIRST_LINE}\nid: {id}\nkind: {}\nof: {}\nname: {}\n", kind.as_str(), of.escape_debug(), name.escape_debug());
    let mut line = |what: &str, said: &dyn std::fmt::Display| out.push_str(&format!("{what}: {said}\n"));
    if let Some(id) = organization_id {
        line("organization", id);
    }
    if let Some(id) = project_id {
        line("project", id);
    }
    line("deleted at", deleted_at_ms);
    line("deleted by", &deleted_by.escape_debug());
    line("kept until", kept_until_ms);
    line("purged at", purged_at_ms);
    line("bytes", &objects.iter().map(|(_, bytes)| bytes).sum::<u64>());
    for (name, bytes) in objects {
        line("object", &format_args!("{name} {bytes}"));
    }
    for key in keys {
        line("key destroyed", key);
    }
    out
}

#[cfg(test)]
pub(crate) mod tests {
    use pinyon_model::{DeletedId, DeletedKind, OrganizationId};

    use super::*;

    pub(crate) fn report() -> DeletionReport {
        let deleted = Deleted {
            id: DeletedId::from_bytes([1; 16]),
            kind: DeletedKind::Index,
            of: "02020202-0202-0202-0202-020202020202".into(),
            name: "films\nsignature: x".into(),
            organization_id: Some(OrganizationId::from_bytes([3; 16])),
            project_id: None,
            deleted_at_ms: 10,
            deleted_by: "user ada@example.com".into(),
            kept_until_ms: 20,
        };
        let objects = vec![("indexes/02/descriptor".to_owned(), 300), ("indexes/02/03/seg".to_owned(), 7)];
        DeletionReport { deleted, purged_at_ms: 30, objects, keys: vec!["0a".into()] }
    }

    #[test]
    fn a_report_reads_back_and_no_changed_one_is_believed() {
        let signer = ReportSigner::new(&DataKey::generate()).unwrap();
        let other = ReportSigner::new(&DataKey::generate()).unwrap();
        let signed = signer.sign(text(&report()));
        let document = signed.to_document();
        assert!(document.contains("name: films\\nsignature: x\n") && document.contains("bytes: 307\n"), "{document}");
        let read = SignedReport::parse(&document).unwrap();
        assert_eq!(read, signed);
        assert!(read.is_signed_by(&signer.public_key()) && !read.is_signed_by(&other.public_key()));
        for i in 0..document.len() {
            let mut bytes = document.clone().into_bytes();
            bytes[i] ^= 1;
            let changed = String::from_utf8(bytes).ok().and_then(|d| SignedReport::parse(&d).ok());
            assert!(changed.is_none_or(|r| !r.is_signed_by(&signer.public_key())), "byte {i}");
        }
        for n in 0..document.len() {
            let cut = SignedReport::parse(&document[..n]);
            assert!(cut.is_err() || !cut.unwrap().is_signed_by(&signer.public_key()), "cut to {n}");
        }
    }
}
