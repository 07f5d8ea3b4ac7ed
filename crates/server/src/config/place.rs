//! Where the data lies, and where its root key lies: never in the same place.

use std::path::{Path, PathBuf};

use super::ConfigError;

/// A data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DataPlace {
    /// This one; it is kept.
    Dir(PathBuf),
    /// A fresh one, removed at the end.
    Temporary,
}

/// Where the root key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RootKeyPlace {
    /// A file; made at the first start.
    File {
        /// Its path.
        path: PathBuf,
    },
    /// The environment variable `PINYON_ROOT_KEY` holds it.
    Environment,
    /// Made anew and forgotten at the end, with the temporary data it sealed.
    Memory,
}

/// The environment variable that may hold the root key.
pub(crate) const ROOT_KEY_VARIABLE: &str = "PINYON_ROOT_KEY";

/// The folders of the user, or of the system for root.
#[derive(Debug, Clone)]
pub(crate) struct Folders {
    pub(crate) data: PathBuf,
    pub(crate) config: PathBuf,
}

impl Folders {
    /// By the usual variables; without them below the home, or in `/var/lib` and `/etc` for root and where there is no home.
    pub(crate) fn of_this_user() -> Self {
        Self::new(rustix::process::geteuid().is_root(), |name| std::env::var_os(name).map(PathBuf::from))
    }

    fn new(root: bool, variable: impl Fn(&str) -> Option<PathBuf>) -> Self {
        let set = |name: &str| variable(name).filter(|p| p.is_absolute());
        let home = set("HOME").filter(|_| !root);
        let folder = |xdg: &str, below_home: &str, system: &str| {
            let user = set(xdg).or_else(|| home.as_ref().map(|h| h.join(below_home)));
            user.map_or_else(|| PathBuf::from(system), |p| p.join("pinyon"))
        };
        Self {
            data: folder("XDG_DATA_HOME", ".local/share", "/var/lib/pinyon"),
            config: folder("XDG_CONFIG_HOME", ".config", "/etc/pinyon"),
        }
    }
}

impl RootKeyPlace {
    /// The place that was set, or the default one for this data directory: a file of its own, so that the keys of two
    /// directories are never mixed up. Refuses a file inside the data directory: whoever copies the one would have the other.
    pub(crate) fn new(file: Option<PathBuf>, data_dir: &Path, folders: &Folders) -> Result<Self, ConfigError> {
        let path = match file {
            Some(path) => path,
            None if std::env::var_os(ROOT_KEY_VARIABLE).is_some() => return Ok(Self::Environment),
            None => match credential() {
                Some(path) => path,
                None => folders.config.join("root-keys").join(key_file_name(&resolved(data_dir))),
            },
        };
        if resolved(&path).starts_with(resolved(data_dir)) {
            return Err(ConfigError::new(format!(
                "the root key file {} lies inside the data directory {}; keep it elsewhere, so that a copy of the data is not a copy of its key",
                path.display(),
                data_dir.display()
            )));
        }
        Ok(Self::File { path })
    }

    /// For people.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::File { path } => path.display().to_string(),
            Self::Environment => format!("the variable {ROOT_KEY_VARIABLE}"),
            Self::Memory => "memory only".to_owned(),
        }
    }
}

/// The credential that a service manager passes, if it does.
fn credential() -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os("CREDENTIALS_DIRECTORY")?).join("pinyon-root-key");
    path.is_file().then_some(path)
}

/// The last part of the directory's name for people, and a digest of the whole path to tell directories apart.
fn key_file_name(data_dir: &Path) -> String {
    let shown: String = data_dir
        .file_name()
        .map(|n| n.to_string_lossy().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-' || *c == '_').take(40).collect())
        .unwrap_or_default();
    let digest = data_dir
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("{}-{digest:016x}.key", if shown.is_empty() { "data" } else { &shown })
}

/// The path without links and dots, as far as it exists.
pub(crate) fn resolved(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut existing = absolute.as_path();
    let mut missing = Vec::new();
    loop {
        if let Ok(real) = existing.canonicalize() {
            return missing.into_iter().rev().fold(real, |path: PathBuf, part| path.join(part));
        }
        match (existing.parent(), existing.file_name()) {
            (Some(parent), Some(name)) => {
                missing.push(name.to_owned());
                existing = parent;
            }
            _ => return absolute,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders() -> Folders {
        Folders { data: "/d".into(), config: "/c".into() }
    }

    #[test]
    fn folders_follow_the_usual_variables() {
        let home = |name: &str| (name == "HOME").then(|| PathBuf::from("/home/ann"));
        assert_eq!(Folders::new(false, home).data, Path::new("/home/ann/.local/share/pinyon"));
        assert_eq!(Folders::new(false, home).config, Path::new("/home/ann/.config/pinyon"));
        assert_eq!(Folders::new(true, home).data, Path::new("/var/lib/pinyon"));
        assert_eq!(Folders::new(false, |_| None).config, Path::new("/etc/pinyon"));
        let xdg = |name: &str| (name == "XDG_DATA_HOME").then(|| PathBuf::from("/x"));
        assert_eq!(Folders::new(false, xdg).data, Path::new("/x/pinyon"));
        let relative = |name: &str| (name == "XDG_DATA_HOME").then(|| PathBuf::from("x"));
        assert_eq!(Folders::new(false, relative).data, Path::new("/var/lib/pinyon"));
    }

    #[test]
    fn a_key_inside_the_data_is_refused_by_any_spelling() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        std::fs::create_dir(&data).unwrap();
        std::os::unix::fs::symlink(&data, dir.path().join("link")).unwrap();
        for inside in ["data/root.key", "data/sub/root.key", "link/root.key", "data/../data/root.key"] {
            let refused = RootKeyPlace::new(Some(dir.path().join(inside)), &data, &folders());
            assert!(refused.unwrap_err().to_string().contains("inside the data directory"), "{inside}");
        }
        for outside in ["root.key", "data2/root.key", "data/../root.key"] {
            assert!(RootKeyPlace::new(Some(dir.path().join(outside)), &data, &folders()).is_ok(), "{outside}");
        }
    }

    #[test]
    fn directories_have_keys_of_their_own() {
        assert_ne!(key_file_name(Path::new("/a/data")), key_file_name(Path::new("/b/data")));
        assert!(key_file_name(Path::new("/a/data")).starts_with("data-"));
        assert!(key_file_name(Path::new("/")).starts_with("data-"));
    }
}
