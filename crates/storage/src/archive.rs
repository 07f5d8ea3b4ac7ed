//! One file that carries a backup to another installation: named parts, each ended by a checksum of all that came before it.
//!
//! Numbers are little-endian.
//!
//! ```text
//! header, 32 bytes                        part                                   end
//!   0   8  magic "PinyBack"                 0   2  bytes of the name, 1 to 64      0   2  0
//!   8   2  format, 1                        2   n  name                            2   4  number of parts
//!  10   6  zero                           n+2   8  bytes of the part               6  32  SHA-256 of everything before
//!  16  16  id of the backup              n+10   m  the part
//!                                             + 32  SHA-256 of everything before
//! ```
//! The parts are sealed already; the checksums find a file that was cut or changed before anything of it is believed. Blocking.

use std::fs::File;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use pinyon_model::BackupId;

use crate::fs::{self, Handle, Site};
use crate::{Result, StorageError};

const MAGIC: &[u8; 8] = b"PinyBack";
const FORMAT: u16 = 1;
const HEADER: usize = 32;
const SUM: usize = 32;
const NAME_MAX: usize = 64;
/// Bytes of a part that are read and written at once.
pub const ARCHIVE_PIECE: usize = 1 << 20;

/// A file being written, under a temporary name beside its own.
pub struct ArchiveWriter {
    file: Handle,
    path: PathBuf,
    temp: PathBuf,
    at: u64,
    sum: Context,
    parts: u32,
    /// Bytes that the part being written still needs.
    open: u64,
    finished: bool,
}

impl ArchiveWriter {
    /// Begins a file that must not exist. Nobody sees it before [`ArchiveWriter::finish`].
    pub fn create(path: &Path, backup: BackupId) -> Result<Self> {
        if path.symlink_metadata().is_ok() {
            return Err(StorageError::AlreadyExists { name: path.display().to_string() });
        }
        let name = path.file_name().ok_or_else(|| StorageError::invalid(format!("'{}' names no file", path.display())))?;
        let temp = path.with_file_name(format!(".{}.partial", name.to_string_lossy()));
        let file = fs::create_new(Site::BlobCreate, &temp)?;
        let mut writer = Self { file, path: path.to_owned(), temp, at: 0, sum: Context::new(&SHA256), parts: 0, open: 0, finished: false };
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(MAGIC);
        header[8..10].copy_from_slice(&FORMAT.to_le_bytes());
        header[16..].copy_from_slice(backup.as_bytes());
        writer.write(&header)?;
        Ok(writer)
    }

    /// Begins a part of so many bytes, which [`ArchiveWriter::fill`] gives. `Invalid` while another is not full, and for a name that
    /// is none.
    pub fn part(&mut self, name: &str, bytes: u64) -> Result<()> {
        if self.open > 0 || name.is_empty() || name.len() > NAME_MAX {
            return Err(StorageError::invalid("a part begins after the one before it, and has a name of 1 to 64 bytes"));
        }
        self.write(&(name.len() as u16).to_le_bytes())?;
        self.write(name.as_bytes())?;
        self.write(&bytes.to_le_bytes())?;
        self.parts += 1;
        self.open = bytes;
        if bytes == 0 { self.end_part() } else { Ok(()) }
    }

    /// The next bytes of the part.
    pub fn fill(&mut self, bytes: &[u8]) -> Result<()> {
        self.open = self.open.checked_sub(bytes.len() as u64).ok_or_else(|| StorageError::invalid("a part is longer than was said"))?;
        self.write(bytes)?;
        if self.open == 0 && !bytes.is_empty() { self.end_part() } else { Ok(()) }
    }

    /// Ends the file, which is durable under its name when this returns; its size in bytes.
    pub fn finish(mut self) -> Result<u64> {
        if self.open > 0 {
            return Err(StorageError::invalid("a part is shorter than was said"));
        }
        let count = self.parts.to_le_bytes();
        self.write(&0u16.to_le_bytes())?;
        self.write(&count)?;
        self.end_part()?;
        fs::sync(Site::BlobSync, &self.file)?;
        fs::link(Site::BlobLink, &self.temp, &self.path)?;
        self.finished = true;
        fs::unlink(Site::BlobTempUnlink, &self.temp)?;
        let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::sync_dir(Site::BlobDirSync, folder)?;
        Ok(self.at)
    }

    fn end_part(&mut self) -> Result<()> {
        let sum = self.sum.clone().finish();
        self.write(sum.as_ref())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        fs::write_all_at(Site::BlobWrite, &self.file, bytes, self.at)?;
        self.sum.update(bytes);
        self.at += bytes.len() as u64;
        Ok(())
    }
}

impl Drop for ArchiveWriter {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::unlink(Site::BlobTempUnlink, &self.temp);
        }
    }
}

/// Where a reader reads.
enum Source {
    File(File),
    /// For fuzzing.
    Bytes(Vec<u8>),
}

/// A file being read, from its beginning to its end.
pub struct ArchiveReader {
    source: Source,
    path: PathBuf,
    size: u64,
    at: u64,
    sum: Context,
    parts: u32,
    open: u64,
    backup: BackupId,
}

impl ArchiveReader {
    /// Opens a file. `Damaged` when it is none of ours, here and everywhere when it is not what was written.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| fs::io_error("open", path, e))?;
        let size = file.metadata().map_err(|e| fs::io_error("open", path, e))?.len();
        Self::read_header(Source::File(file), path, size)
    }

    fn read_header(source: Source, path: &Path, size: u64) -> Result<Self> {
        let backup = BackupId::from_bytes([0; 16]);
        let mut reader = Self { source, path: path.to_owned(), size, at: 0, sum: Context::new(&SHA256), parts: 0, open: 0, backup };
        let header = reader.take(HEADER)?;
        if header[..8] != *MAGIC || header[10..16] != [0; 6] {
            return Err(reader.damaged("it is no exported backup"));
        }
        if header[8..10] != FORMAT.to_le_bytes() {
            return Err(reader.damaged("it was written by a newer version of Pinyon"));
        }
        let mut id = [0; 16];
        id.copy_from_slice(&header[16..]);
        reader.backup = BackupId::from_bytes(id);
        Ok(reader)
    }

    /// The backup that it carries.
    pub fn backup(&self) -> BackupId {
        self.backup
    }

    /// The next part's name and bytes; none at the end, which is in order then. What was not read of the part before is passed over.
    pub fn next_part(&mut self) -> Result<Option<(String, u64)>> {
        while self.open > 0 {
            self.piece()?;
        }
        let name_len = self.number::<2>()? as usize;
        if name_len == 0 {
            if self.number::<4>()? != u64::from(self.parts) {
                return Err(self.damaged("a part is missing"));
            }
            self.check_sum()?;
            return if self.at == self.size { Ok(None) } else { Err(self.damaged("something follows its end")) };
        }
        if name_len > NAME_MAX {
            return Err(self.damaged("a part's name is too long"));
        }
        let name = String::from_utf8(self.take(name_len)?).map_err(|_| self.damaged("a part's name is no text"))?;
        let bytes = self.number::<8>()?;
        if bytes > self.size - self.at {
            return Err(self.damaged("it ends within a part"));
        }
        self.parts = self.parts.checked_add(1).ok_or_else(|| self.damaged("it has too many parts"))?;
        self.open = bytes;
        if bytes == 0 {
            self.check_sum()?;
        }
        Ok(Some((name, bytes)))
    }

    /// The next bytes of the part; empty at its end. With the last of them, the part is known to be what was written.
    pub fn piece(&mut self) -> Result<Vec<u8>> {
        let len = self.open.min(ARCHIVE_PIECE as u64);
        if len == 0 {
            return Ok(Vec::new());
        }
        let bytes = self.take(len as usize)?;
        self.open -= len;
        if self.open == 0 {
            self.check_sum()?;
        }
        Ok(bytes)
    }

    fn check_sum(&mut self) -> Result<()> {
        let expected = self.sum.clone().finish();
        let found = self.take(SUM)?;
        if found == expected.as_ref() { Ok(()) } else { Err(self.damaged("its checksum does not fit")) }
    }

    fn number<const N: usize>(&mut self) -> Result<u64> {
        let mut bytes = [0; 8];
        bytes[..N].copy_from_slice(&self.take(N)?);
        Ok(u64::from_le_bytes(bytes))
    }

    fn take(&mut self, len: usize) -> Result<Vec<u8>> {
        if len as u64 > self.size - self.at {
            return Err(self.damaged("it ends too early"));
        }
        let bytes = match &self.source {
            Source::File(file) => fs::read_exact_at(file, || self.path.clone(), self.at, len)?,
            Source::Bytes(bytes) => bytes[self.at as usize..][..len].to_vec(),
        };
        self.sum.update(&bytes);
        self.at += len as u64;
        Ok(bytes)
    }

    fn damaged(&self, what: &str) -> StorageError {
        StorageError::damaged(self.path.display().to_string(), what)
    }
}

/// Reads these bytes as a file, to its end.
pub(crate) fn walk(bytes: Vec<u8>) -> Result<u32> {
    let size = bytes.len() as u64;
    let mut reader = ArchiveReader::read_header(Source::Bytes(bytes), Path::new("fuzz"), size)?;
    while reader.next_part()?.is_some() {
        while !reader.piece()?.is_empty() {}
    }
    Ok(reader.parts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn write(path: &Path, parts: &[(&str, &[u8])]) -> u64 {
        let mut writer = ArchiveWriter::create(path, BackupId::from_bytes([7; 16])).unwrap();
        for (name, bytes) in parts {
            writer.part(name, bytes.len() as u64).unwrap();
            for piece in bytes.chunks(5) {
                writer.fill(piece).unwrap();
            }
        }
        writer.finish().unwrap()
    }

    fn read(path: &Path) -> Result<Vec<(String, Vec<u8>)>> {
        let mut reader = ArchiveReader::open(path)?;
        assert_eq!(reader.backup(), BackupId::from_bytes([7; 16]));
        let mut parts = Vec::new();
        while let Some((name, _)) = reader.next_part()? {
            let mut bytes = Vec::new();
            loop {
                let piece = reader.piece()?;
                if piece.is_empty() {
                    break;
                }
                bytes.extend(piece);
            }
            parts.push((name, bytes));
        }
        Ok(parts)
    }

    const PARTS: [(&str, &[u8]); 3] = [("key", b"0123456789"), ("empty", b""), ("manifest", b"abc")];

    #[test]
    fn parts_read_back_and_every_change_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b.pinyon");
        let size = write(&path, &PARTS);
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len() as u64, size);
        let expected: Vec<(String, Vec<u8>)> = PARTS.iter().map(|(n, b)| ((*n).to_owned(), b.to_vec())).collect();
        assert_eq!(read(&path).unwrap(), expected);
        let other = dir.path().join("other");
        for i in 0..bytes.len() {
            // The backup's id is checked by what is done with it.
            if (16..32).contains(&i) {
                continue;
            }
            let mut flipped = bytes.clone();
            flipped[i] ^= 1;
            std::fs::write(&other, &flipped).unwrap();
            assert!(read(&other).is_err(), "byte {i}");
        }
        for len in 0..bytes.len() {
            assert!(walk(bytes[..len].to_vec()).is_err(), "cut to {len}");
        }
        assert!(walk([&bytes[..], b"x"].concat()).is_err(), "longer");
        assert_eq!(walk(bytes).unwrap(), 3);
    }

    #[test]
    fn a_file_is_never_written_over_and_a_begun_one_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b");
        std::fs::write(&path, b"mine").unwrap();
        assert!(matches!(ArchiveWriter::create(&path, BackupId::from_bytes([7; 16])), Err(StorageError::AlreadyExists { .. })));
        std::fs::remove_file(&path).unwrap();
        let mut writer = ArchiveWriter::create(&path, BackupId::from_bytes([7; 16])).unwrap();
        writer.part("p", 3).unwrap();
        assert!(writer.fill(b"1234").is_err(), "more than was said");
        assert!(writer.part("q", 0).is_err(), "the part before is not full");
        drop(writer);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(prop_oneof![Just(0u8), Just(1), any::<u8>()], 0..300), whole in any::<bool>()) {
            let head = [&MAGIC[..], &[1, 0], &[0; 22]].concat();
            let _ = walk(if whole { [head, bytes].concat() } else { bytes });
        }
    }
}
