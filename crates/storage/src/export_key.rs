//! The key that a backup's key is sealed under on its way to another installation.

use std::fmt;

use pinyon_model::BackupId;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::root_key::{push_hex, read_hex};
use crate::{DataKey, KeyId, Result, StorageError, crypto};

const PREFIX: &str = "pinyon_ek_";

/// 256 random bits, shown once to whoever exports a backup. Wiped from memory when dropped, and never printed but by [`ExportKey::text`].
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct ExportKey([u8; 32]);

impl fmt::Debug for ExportKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExportKey(..)")
    }
}

impl ExportKey {
    /// A new one.
    pub fn generate() -> Self {
        Self(crypto::random_bytes())
    }

    /// `pinyon_ek_`, 64 hexadecimal digits, `-` and 8 digits of checksum.
    pub fn text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + 73));
        text.push_str(PREFIX);
        push_hex(&mut text, &self.0);
        text.push('-');
        push_hex(&mut text, &crc32c::crc32c(&self.0).to_be_bytes());
        text
    }

    /// Reads what [`ExportKey::text`] wrote; white space around it is ignored. `Invalid` for anything else.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || StorageError::invalid(format!("an export key is '{PREFIX}', 64 hexadecimal digits, '-' and 8 digits of checksum"));
        let (digits, sum) = text.trim().strip_prefix(PREFIX).and_then(|t| t.split_once('-')).ok_or_else(wrong)?;
        let (mut key, mut checksum) = (Self([0; 32]), [0; 4]);
        if !read_hex(digits, &mut key.0) || !read_hex(sum, &mut checksum) || crc32c::crc32c(&key.0) != u32::from_be_bytes(checksum) {
            return Err(wrong());
        }
        Ok(key)
    }

    /// Seals a backup's key: its id (16), then the key itself, bound to the backup.
    pub fn seal_key(&self, backup: BackupId, key: &DataKey) -> Vec<u8> {
        [&key.id().as_bytes()[..], &self.key().seal_key(&context(backup), key)].concat()
    }

    /// Opens what [`ExportKey::seal_key`] made for this backup. `Invalid` when it is another key, or not what was written.
    pub fn open_key(&self, backup: BackupId, sealed: &[u8]) -> Result<DataKey> {
        let wrong = || StorageError::invalid("this export key does not open the file");
        let (id, sealed) = sealed.split_first_chunk().ok_or_else(wrong)?;
        let sealed = sealed.try_into().map_err(|_| wrong())?;
        self.key().open_key(&context(backup), KeyId(*id), sealed).map_err(|_| wrong())
    }

    fn key(&self) -> DataKey {
        DataKey::from_parts(KeyId([0; 16]), self.0)
    }
}

fn context(backup: BackupId) -> Vec<u8> {
    [b"pinyon export key 1".as_slice(), backup.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_text_reads_back_and_a_mistyped_one_does_not() {
        let key = ExportKey::generate();
        let text = key.text();
        assert_eq!(ExportKey::parse(&format!(" {}\n", *text)).unwrap().0, key.0);
        for i in 0..text.len() {
            let mut bytes = text.as_bytes().to_vec();
            bytes[i] = if bytes[i] == b'0' { b'1' } else { b'0' };
            assert!(ExportKey::parse(std::str::from_utf8(&bytes).unwrap()).is_err(), "character {i}");
        }
        assert!(ExportKey::parse("").is_err());
        assert_eq!(format!("{key:?}"), "ExportKey(..)");
    }

    #[test]
    fn a_key_opens_by_its_export_key_for_its_backup_alone() {
        let (export, key) = (ExportKey::generate(), DataKey::generate());
        let backup = BackupId::from_bytes([1; 16]);
        let sealed = export.seal_key(backup, &key);
        let opened = export.open_key(backup, &sealed).unwrap();
        assert_eq!((opened.id(), opened.bytes()), (key.id(), key.bytes()));
        assert!(export.open_key(BackupId::from_bytes([2; 16]), &sealed).is_err());
        assert!(ExportKey::generate().open_key(backup, &sealed).is_err());
        for i in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[i] ^= 1;
            assert!(export.open_key(backup, &flipped).is_err(), "byte {i}");
            assert!(export.open_key(backup, &sealed[..i]).is_err(), "cut to {i}");
        }
    }
}
