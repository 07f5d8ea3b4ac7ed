//! The root key as a file outside the data directory, and its rotation: at every moment at least one file on disk opens the
//! data, and a start finds out which.

use std::path::{Path, PathBuf};

use pinyon_model::{Error, Result};
use pinyon_service::{OpContext, RootKey, Service};

use crate::config::{ConfigError, ROOT_KEY_VARIABLE, RootKeyPlace};

/// Where this server's root key is.
#[derive(Debug, Clone)]
pub(crate) struct RootKeyFile {
    place: RootKeyPlace,
    data_dir: PathBuf,
}

impl RootKeyFile {
    pub(crate) fn new(place: RootKeyPlace, data_dir: &Path) -> Self {
        Self { place, data_dir: data_dir.to_owned() }
    }

    /// The keys that may open the data, likeliest first, and whether the first was made just now. More than one when a rotation was
    /// cut short. With `create`, a data directory that has no keys yet gets one.
    pub(crate) fn candidates(&self, create: bool) -> Result<(Vec<RootKey>, bool), ConfigError> {
        let path = match &self.place {
            RootKeyPlace::Memory => return Ok((vec![RootKey::generate()], true)),
            RootKeyPlace::Environment => {
                let text = zeroize::Zeroizing::new(std::env::var(ROOT_KEY_VARIABLE).unwrap_or_default());
                let key = RootKey::parse_text(&text).map_err(|e| ConfigError::new(format!("the variable {ROOT_KEY_VARIABLE}: {e}")))?;
                return Ok((vec![key], false));
            }
            RootKeyPlace::File { path } => path,
        };
        let load = |path: &Path| RootKey::load(path, &self.data_dir).map_err(|e| ConfigError::new(format!("root key: {e}")));
        let next = next(path);
        let mut keys = Vec::new();
        for path in [path, &next] {
            if path.exists() {
                keys.push(load(path)?);
            }
        }
        if !keys.is_empty() {
            return Ok((keys, false));
        }
        if self.data_dir.join("keys").exists() || !create {
            return Err(ConfigError::new(format!(
                "the root key of {} is not at {}; say where it is with --root-key-file or {ROOT_KEY_VARIABLE}. Without it the data cannot be read",
                self.data_dir.display(),
                path.display()
            )));
        }
        let key = RootKey::generate();
        key.save_new(path, &self.data_dir)
            .map_err(|e| ConfigError::new(format!("cannot write the root key to {}: {e}", path.display())))?;
        Ok((vec![key], true))
    }

    /// Says which of several candidates opened the data, so that it is the only one left.
    pub(crate) fn settle(&self, key: &RootKey) -> Result<(), ConfigError> {
        if let RootKeyPlace::File { path } = &self.place
            && next(path).exists()
        {
            key.replace(path, &self.data_dir).map_err(|e| ConfigError::new(format!("root key: {e}")))?;
            std::fs::remove_file(next(path)).map_err(|e| ConfigError::new(format!("{}: {e}", next(path).display())))?;
        }
        Ok(())
    }

    /// Makes a new root key, has everything sealed under it, and puts it in the old one's place.
    pub(crate) async fn rotate(&self, service: &std::sync::Arc<Service>, ctx: &OpContext) -> Result<String> {
        let RootKeyPlace::File { path } = &self.place else {
            return Err(Error::invalid(format!(
                "The root key comes from {}, which cannot be changed from here; start with --root-key-file to rotate it",
                self.place.shown()
            )));
        };
        let next = next(path);
        let io = |e: &dyn std::fmt::Display| Error::internal(format!("The new root key could not be written: {e}"));
        if next.exists() {
            return Err(Error::invalid(format!("A rotation was cut short: {} is still there; restart the server first", next.display())));
        }
        let key = RootKey::generate();
        key.save_new(&next, &self.data_dir).map_err(|e| io(&e))?;
        // When this fails, either key may be the right one: both files stay for the next start to find out.
        service.rotate_root(ctx, key.clone()).await?;
        key.replace(path, &self.data_dir).map_err(|e| io(&e))?;
        std::fs::remove_file(&next).map_err(|e| io(&e))?;
        Ok(path.display().to_string())
    }

    /// For people.
    pub(crate) fn shown(&self) -> String {
        self.place.shown()
    }

    /// A place beside the root key's file for another secret of this data directory.
    pub(crate) fn beside(&self, extension: &str) -> Option<PathBuf> {
        match &self.place {
            RootKeyPlace::File { path } => Some(path.with_extension(extension)),
            RootKeyPlace::Environment | RootKeyPlace::Memory => None,
        }
    }
}

/// Where the new key is until the data is sealed under it.
fn next(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".next");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(dir: &Path) -> (RootKeyFile, PathBuf) {
        let path = dir.join("root.key");
        let data = dir.join("data");
        std::fs::create_dir_all(&data).unwrap();
        (RootKeyFile::new(RootKeyPlace::File { path: path.clone() }, &data), path)
    }

    fn text(key: &RootKey) -> String {
        key.export_text().to_string()
    }

    #[test]
    fn made_once_and_never_beside_data_that_has_another() {
        let dir = tempfile::tempdir().unwrap();
        let (place, path) = file(dir.path());
        assert!(place.candidates(false).is_err());
        let (first, made) = place.candidates(true).unwrap();
        assert!(made);
        let (again, made) = place.candidates(true).unwrap();
        assert_eq!((text(&again[0]), made), (text(&first[0]), false));
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(dir.path().join("data/keys")).unwrap();
        assert!(place.candidates(true).unwrap_err().to_string().contains("cannot be read"));
        assert!(!path.exists());
    }

    #[test]
    fn a_rotation_that_was_cut_short_is_settled() {
        let dir = tempfile::tempdir().unwrap();
        let (place, path) = file(dir.path());
        let old = place.candidates(true).unwrap().0.remove(0);
        let new = RootKey::generate();
        new.save_new(&next(&path), &dir.path().join("data")).unwrap();
        let keys = place.candidates(true).unwrap().0;
        assert_eq!(keys.iter().map(text).collect::<Vec<_>>(), [text(&old), text(&new)]);
        place.settle(&new).unwrap();
        let keys = place.candidates(true).unwrap().0;
        assert_eq!(keys.iter().map(text).collect::<Vec<_>>(), [text(&new)]);
    }
}
