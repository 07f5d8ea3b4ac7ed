//! Files that were read of late, kept open: to open one takes longer than to read a little of it.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::fs;
use crate::{Result, StorageError};

/// Files that are open at most. Connections need descriptors too.
const FILES: usize = 128;

/// Open files by the names of their objects; the one that was not asked for the longest gives way.
#[derive(Debug, Default)]
pub(super) struct OpenFiles(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    files: HashMap<Box<str>, Open>,
    /// How many times a file was asked for.
    asked: u64,
    /// How many times names were forgotten: what was opened before is not kept, since it may be gone.
    forgotten: u64,
}

#[derive(Debug)]
struct Open {
    file: Arc<File>,
    asked: u64,
}

impl OpenFiles {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file of an object and its size in bytes, opened from the path that `path` gives unless it is open.
    pub(super) fn get(&self, name: &str, path: impl FnOnce() -> Result<std::path::PathBuf>) -> Result<(Arc<File>, u64)> {
        let (file, forgotten) = self.lock().find(name);
        if let Some(file) = file {
            // A file that has lost its name was removed, or another took its place.
            match file.metadata() {
                Ok(now) if now.nlink() > 0 => return Ok((file, now.len())),
                _ => self.forget(name),
            }
        }
        let path = path()?;
        let file = Arc::new(File::open(&path).map_err(|e| failed("open", &path, e, name))?);
        let size = file.metadata().map_err(|e| failed("measure", &path, e, name))?.len();
        self.lock().keep(name, &file, forgotten);
        Ok((file, size))
    }

    /// Closes the file of an object whose name is, or may be, gone or another's.
    pub(super) fn forget(&self, name: &str) {
        let mut table = self.lock();
        table.forgotten += 1;
        table.files.remove(name);
    }

    /// Closes the files of all objects below a folder.
    pub(super) fn forget_below(&self, folder: &str) {
        let mut table = self.lock();
        table.forgotten += 1;
        table.files.retain(|name, _| name.strip_prefix(folder).is_none_or(|rest| !rest.starts_with('/')));
    }
}

fn failed(op: &'static str, path: &Path, error: std::io::Error, name: &str) -> StorageError {
    super::with_name(fs::io_error(op, path, error), name)
}

impl Table {
    /// The open file of this name, and how many times names were forgotten before.
    fn find(&mut self, name: &str) -> (Option<Arc<File>>, u64) {
        self.asked += 1;
        let asked = self.asked;
        let open = self.files.get_mut(name).map(|open| {
            open.asked = asked;
            Arc::clone(&open.file)
        });
        (open, self.forgotten)
    }

    /// Keeps a file that was opened when names had been forgotten so many times.
    fn keep(&mut self, name: &str, file: &Arc<File>, forgotten: u64) {
        if self.forgotten != forgotten {
            return;
        }
        if self.files.len() >= FILES
            && let Some(oldest) = self.files.iter().min_by_key(|(_, open)| open.asked).map(|(name, _)| name.clone())
        {
            self.files.remove(&oldest);
        }
        self.files.insert(name.into(), Open { file: Arc::clone(file), asked: self.asked });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }
        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.0.path().join(name), text).unwrap();
        }
        fn size(&self, files: &OpenFiles, name: &str) -> Option<u64> {
            match files.get(name, || Ok(self.0.path().join(name))) {
                Ok((_, size)) => Some(size),
                Err(e) => {
                    assert!(matches!(e, StorageError::NotFound { name: of } if of == name));
                    None
                }
            }
        }
    }

    fn held(files: &OpenFiles) -> usize {
        files.lock().files.len()
    }

    #[test]
    fn a_file_is_opened_once() {
        let (folder, files) = (Folder::new(), OpenFiles::default());
        folder.write("a", "one");
        assert_eq!(folder.size(&files, "a"), Some(3));
        let (file, size) = files.get("a", || panic!("it is open")).unwrap();
        assert_eq!((size, Arc::strong_count(&file)), (3, 2));
        folder.write("a", "longer");
        assert_eq!(folder.size(&files, "a"), Some(6), "it is measured each time");
        files.forget("a");
        assert_eq!((Arc::strong_count(&file), held(&files)), (1, 0));
    }

    #[test]
    fn what_is_gone_or_replaced_is_not_read() {
        let (folder, files) = (Folder::new(), OpenFiles::default());
        folder.write("a", "one");
        assert_eq!(folder.size(&files, "a"), Some(3));
        folder.write("b", "other");
        std::fs::rename(folder.0.path().join("b"), folder.0.path().join("a")).unwrap();
        assert_eq!(folder.size(&files, "a"), Some(5));
        std::fs::remove_file(folder.0.path().join("a")).unwrap();
        assert_eq!((folder.size(&files, "a"), held(&files)), (None, 0));
    }

    #[test]
    fn what_was_opened_before_a_name_was_forgotten_is_not_kept() {
        let (folder, files) = (Folder::new(), OpenFiles::default());
        folder.write("a", "one");
        let path = || {
            // Another thread deletes meanwhile.
            files.forget("a");
            Ok(folder.0.path().join("a"))
        };
        assert_eq!((files.get("a", path).unwrap().1, held(&files)), (3, 0));
    }

    #[test]
    fn a_folder_is_forgotten_whole_and_no_other() {
        let files = OpenFiles::default();
        let file = Arc::new(File::open("/dev/null").unwrap());
        for name in ["d/a", "d/e/b", "d2/a", "d"] {
            files.lock().keep(name, &file, 0);
        }
        files.forget_below("d");
        let mut left: Vec<_> = files.lock().files.keys().cloned().collect();
        left.sort_unstable();
        assert_eq!(left.iter().map(|name| &**name).collect::<Vec<_>>(), ["d", "d2/a"]);
    }

    #[test]
    fn so_many_are_open_and_no_more() {
        let (folder, files) = (Folder::new(), OpenFiles::default());
        for n in 0..FILES + 10 {
            folder.write(&format!("{n}"), "x");
            assert_eq!(folder.size(&files, &format!("{n}")), Some(1));
            assert_eq!(folder.size(&files, "0"), Some(1));
        }
        assert_eq!(held(&files), FILES);
        let open = |name: &str| files.lock().files.contains_key(name);
        assert!(open("0") && !open("1") && !open("10") && open("11"), "what is asked for stays");
    }
}
