//! The key above all keys. It lies outside the data directory; whoever loses it loses the data.

use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::fs::{self, Site};
use crate::{KeyId, Result, StorageError, crypto};

/// The root key: 32 bytes, wiped from memory when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct RootKey([u8; 32]);

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey(..)")
    }
}

/// What every exported root key starts with.
const PREFIX: &str = "pinyon-root-1-";

fn bad(what: impl Into<String>) -> StorageError {
    StorageError::BadRootKey { what: what.into() }
}

impl RootKey {
    /// A new random key.
    pub fn generate() -> Self {
        Self(crypto::random_bytes())
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Names the key without telling anything of it; two keys with one fingerprint are the same.
    pub fn fingerprint(&self) -> KeyId {
        let mut id = [0; 16];
        id.copy_from_slice(&crypto::derive(&self.0, b"pinyon root 1", &[b"fingerprint"])[..16]);
        KeyId(id)
    }

    /// The key as text to keep in a safe place: `pinyon-root-1-`, 64 hexadecimal digits, `-`, 8 digits of checksum.
    pub fn export_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + 64 + 9));
        text.push_str(PREFIX);
        push_hex(&mut text, &self.0);
        text.push('-');
        push_hex(&mut text, &crc32c::crc32c(&self.0).to_be_bytes());
        text
    }

    /// Reads what [`RootKey::export_text`] wrote; white space around it is ignored.
    pub fn parse_text(text: &str) -> Result<Self> {
        let shape = || bad(format!("its text must be '{PREFIX}', 64 hexadecimal digits, '-' and 8 digits of checksum"));
        let (digits, sum) = text.trim().strip_prefix(PREFIX).and_then(|t| t.split_once('-')).ok_or_else(shape)?;
        let mut key = Self([0; 32]);
        let mut checksum = [0; 4];
        if !read_hex(digits, &mut key.0) || !read_hex(sum, &mut checksum) {
            return Err(shape());
        }
        if crc32c::crc32c(&key.0) != u32::from_be_bytes(checksum) {
            return Err(bad("its checksum does not fit: a character was mistyped or lost"));
        }
        Ok(key)
    }

    /// Reads a key file. Refuses one inside `data_dir`, and one that others than its owner can read.
    pub fn load(path: &Path, data_dir: &Path) -> Result<Self> {
        refuse_inside(path, data_dir)?;
        let mode = std::fs::metadata(path).map_err(|e| fs::io_error("read", path, e))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(bad(format!("'{}' can be read by others (mode {:o}); set it to 0600", path.display(), mode & 0o777)));
        }
        let bytes = Zeroizing::new(fs::read(path)?);
        let text = std::str::from_utf8(&bytes).map_err(|_| bad(format!("'{}' is not text", path.display())))?;
        Self::parse_text(text)
    }

    /// Reads the key file if there is one, else makes a new key and a file for it. `true` when it was made.
    pub fn load_or_generate(path: &Path, data_dir: &Path) -> Result<(Self, bool)> {
        match Self::load(path, data_dir) {
            Err(StorageError::NotFound { .. }) => {
                let key = Self::generate();
                key.save_new(path, data_dir)?;
                Ok((key, true))
            }
            loaded => loaded.map(|key| (key, false)),
        }
    }

    /// Writes a key file (mode 0600) that must not exist yet; durable when it returns.
    pub fn save_new(&self, path: &Path, data_dir: &Path) -> Result<()> {
        self.save(path, data_dir, |from, to| {
            fs::link(Site::RootKeyRename, from, to).map_err(|e| match e {
                StorageError::Io { source, .. } if source.kind() == io::ErrorKind::AlreadyExists => {
                    StorageError::AlreadyExists { name: path.display().to_string() }
                }
                other => other,
            })
        })
    }

    /// Puts this key in the place of the one in `path`, at once or not at all; durable when it returns.
    pub fn replace(&self, path: &Path, data_dir: &Path) -> Result<()> {
        self.save(path, data_dir, |from, to| fs::rename(Site::RootKeyRename, from, to))
    }

    fn save(&self, path: &Path, data_dir: &Path, publish: impl FnOnce(&Path, &Path) -> Result<()>) -> Result<()> {
        refuse_inside(path, data_dir)?;
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(Site::RootKeyCreate, Site::RootKeyDirSync, folder)?;
        let id = crypto::random_bytes::<8>();
        let temp = folder.join(format!(".root-key-{:016x}", u64::from_le_bytes(id)));
        let written = (|| {
            let file = fs::create_new(Site::RootKeyCreate, &temp)?;
            let mut text = self.export_text();
            text.push('\n');
            fs::write_all_at(Site::RootKeyWrite, &file, text.as_bytes(), 0)?;
            fs::sync(Site::RootKeySync, &file)?;
            publish(&temp, path)
        })();
        // After a rename it is gone already; after anything else the secret must not stay behind.
        let _ = std::fs::remove_file(&temp);
        written.and_then(|()| fs::sync_dir(Site::RootKeyDirSync, folder))
    }
}

/// The root key opens everything in the data directory, so a copy of that directory must not carry it along.
fn refuse_inside(path: &Path, data_dir: &Path) -> Result<()> {
    let real = |p: &Path| -> io::Result<std::path::PathBuf> {
        let absolute = std::path::absolute(p)?;
        let existing = absolute.ancestors().find(|a| a.exists()).unwrap_or(Path::new("/"));
        let rest = absolute.strip_prefix(existing).unwrap_or(Path::new(""));
        Ok(existing.canonicalize()?.join(rest))
    };
    let (file, dir) =
        (real(path).map_err(|e| fs::io_error("find", path, e))?, real(data_dir).map_err(|e| fs::io_error("find", data_dir, e))?);
    if file.starts_with(&dir) {
        return Err(bad(format!("'{}' lies inside the data directory '{}'; keep it elsewhere", path.display(), data_dir.display())));
    }
    Ok(())
}

pub(crate) fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for b in bytes {
        text.push(DIGITS[usize::from(b >> 4)] as char);
        text.push(DIGITS[usize::from(b & 15)] as char);
    }
}

pub(crate) fn read_hex(text: &str, out: &mut [u8]) -> bool {
    let digit = |b: u8| (b as char).to_digit(16).map(|d| d as u8);
    text.len() == out.len() * 2
        && out.iter_mut().zip(text.as_bytes().chunks_exact(2)).all(|(o, pair)| match (digit(pair[0]), digit(pair[1])) {
            (Some(high), Some(low)) => {
                *o = high << 4 | low;
                true
            }
            _ => false,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_and_any_changed_digit_is_noticed() {
        let key = RootKey::generate();
        let text = key.export_text();
        assert_eq!(RootKey::parse_text(&format!(" {}\n", *text)).unwrap().bytes(), key.bytes());
        for i in 0..text.len() {
            let mut wrong = text.as_bytes().to_vec();
            wrong[i] = if wrong[i] == b'0' { b'1' } else { b'0' };
            let wrong = String::from_utf8(wrong).unwrap();
            assert!(RootKey::parse_text(&wrong).is_err(), "{i}");
        }
        assert!(RootKey::parse_text("").is_err());
        assert_eq!(format!("{key:?}"), "RootKey(..)");
    }

    #[test]
    fn a_key_file_is_private_outside_and_never_overwritten() {
        let home = tempfile::tempdir().unwrap();
        let (data, path) = (home.path().join("data"), home.path().join("config/root.key"));
        std::fs::create_dir(&data).unwrap();
        let (key, made) = RootKey::load_or_generate(&path, &data).unwrap();
        assert!(made);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let (again, made) = RootKey::load_or_generate(&path, &data).unwrap();
        assert!(!made && again.bytes() == key.bytes());
        assert!(matches!(RootKey::generate().save_new(&path, &data), Err(StorageError::AlreadyExists { .. })));
        let next = RootKey::generate();
        next.replace(&path, &data).unwrap();
        assert_eq!(RootKey::load(&path, &data).unwrap().fingerprint(), next.fingerprint());
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file stays");

        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        assert!(matches!(RootKey::load(&path, &data), Err(StorageError::BadRootKey { .. })));
        let link = home.path().join("link");
        std::os::unix::fs::symlink(&data, &link).unwrap();
        for inside in [data.join("root.key"), data.join("new/root.key"), link.join("root.key"), home.path().join("config/../data/r")] {
            assert!(matches!(RootKey::load_or_generate(&inside, &data), Err(StorageError::BadRootKey { .. })), "{inside:?}");
        }
    }
}
