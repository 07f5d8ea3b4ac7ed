use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use pinyon_model::ObjectId;

use super::ObjectKind;
use super::format::{self, Chunks, HEADER, Header, Layout};
use crate::{BlobStore, Opens, Result, StorageError};

/// Decrypting at most this many bytes is done where it is asked for.
const INLINE_BYTES: usize = 1 << 20;
/// How much is read at a time when all of an object is checked, in bytes.
const PIECE: u64 = 4 << 20;

/// An open object. Cheap to clone; holds no file open.
#[derive(Clone)]
pub struct SealedReader(Arc<Shared>);

struct Shared {
    blobs: Arc<dyn BlobStore>,
    name: String,
    header: Header,
    layout: Layout,
    chunks: Chunks,
}

impl std::fmt::Debug for SealedReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealedReader({})", self.0.name)
    }
}

/// Chunks that are read together.
struct Span {
    first: u64,
    end: u64,
}

impl SealedReader {
    pub(super) async fn open(blobs: Arc<dyn BlobStore>, name: &str, kind: ObjectKind, keys: &(impl Opens + ?Sized)) -> Result<Self> {
        let size = blobs.head(name).await?.size;
        let (header, layout) = read_header(&*blobs, name, size).await?;
        let key = header.key(kind, keys, name)?;
        let chunks = Chunks::new(&header, key);
        Ok(Self(Arc::new(Shared { blobs, name: name.to_owned(), header, layout, chunks })))
    }

    /// Bytes of plaintext.
    pub fn plain_len(&self) -> u64 {
        self.0.layout.plain_len
    }

    /// The format its writer gave.
    pub fn format(&self) -> u16 {
        self.0.header.format
    }

    /// The object's id.
    pub fn id(&self) -> ObjectId {
        self.0.header.id
    }

    /// Its name in the store.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// These ranges of plaintext, in the order asked, with one batched read; only the chunks they touch are read and decrypted, each
    /// once. Ranges that share chunks or touch share memory. A range past the end is `Invalid`, changed bytes are `Damaged`.
    pub async fn read_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let layout = &self.0.layout;
        if let Some(wrong) = ranges.iter().find(|r| r.start > r.end || r.end > layout.plain_len) {
            let what = format!("bytes {} to {} of '{}', which has {}", wrong.start, wrong.end, self.0.name, layout.plain_len);
            return Err(StorageError::invalid(what));
        }
        let spans = self.spans(ranges);
        let stored: Vec<_> = spans.iter().map(|s| layout.stored(s.first, s.end)).collect();
        let stored = self.0.blobs.get_ranges(&self.0.name, &stored).await?;
        let total: usize = stored.iter().map(Bytes::len).sum();
        let firsts: Vec<u64> = spans.iter().map(|s| s.first).collect();
        let shared = self.0.clone();
        let open = move || stored.iter().zip(firsts).map(|(bytes, first)| shared.open(first, bytes)).collect::<Result<Vec<_>>>();
        let plain = if total <= INLINE_BYTES {
            open()?
        } else {
            tokio::task::spawn_blocking(open).await.unwrap_or_else(|_| Err(StorageError::invalid("the server is stopping")))?
        };
        let chunk = layout.chunk as u64;
        let cut = |range: &Range<u64>| {
            if range.is_empty() {
                return Bytes::new();
            }
            let at = spans.partition_point(|s| s.end * chunk <= range.start);
            let from = (range.start - spans[at].first * chunk) as usize;
            plain[at].slice(from..from + (range.end - range.start) as usize)
        };
        Ok(ranges.iter().map(cut).collect())
    }

    /// The chunks that hold `ranges`, merged where they touch, ascending.
    fn spans(&self, ranges: &[Range<u64>]) -> Vec<Span> {
        let chunk = self.0.layout.chunk as u64;
        let of = |r: &Range<u64>| Span { first: r.start / chunk, end: r.end.div_ceil(chunk) };
        let mut spans: Vec<_> = ranges.iter().filter(|r| !r.is_empty()).map(of).collect();
        spans.sort_unstable_by_key(|s| s.first);
        spans.dedup_by(|next, span| {
            let joined = next.first <= span.end;
            span.end = if joined { span.end.max(next.end) } else { span.end };
            joined
        });
        spans
    }

    /// All of the plaintext.
    pub async fn read_all(&self) -> Result<Bytes> {
        if self.0.layout.plain_len == 0 {
            self.verify().await?;
        }
        self.read_range(0..self.0.layout.plain_len).await
    }

    /// One range of plaintext.
    pub async fn read_range(&self, range: Range<u64>) -> Result<Bytes> {
        Ok(self.read_ranges(std::slice::from_ref(&range)).await?.swap_remove(0))
    }

    /// Reads and authenticates every byte, a few MiB at a time.
    pub async fn verify(&self) -> Result<()> {
        // The header may have changed since it was read; that the chunks open says nothing of it.
        let now = self.0.blobs.get_range(&self.0.name, 0..HEADER as u64).await?;
        if now[..] != self.0.header.encode() {
            return Err(StorageError::damaged(&self.0.name, "its header is not what was written"));
        }
        let step = (PIECE / self.0.layout.stride() as u64).max(1);
        for first in (0..self.0.layout.chunks).step_by(step as usize) {
            let range = self.0.layout.stored(first, first + step);
            let stored = self.0.blobs.get_range(&self.0.name, range).await?;
            let shared = self.0.clone();
            let opened = tokio::task::spawn_blocking(move || shared.open(first, &stored).map(drop));
            opened.await.unwrap_or_else(|_| Err(StorageError::invalid("the server is stopping")))?;
        }
        Ok(())
    }
}

impl Shared {
    fn open(&self, first: u64, stored: &[u8]) -> Result<Bytes> {
        self.chunks.open_all(&self.layout, first, stored, &self.name)
    }
}

/// An object is named by its id, unless it has a fixed name. One under another's name is not what was written there.
fn check_name(header: &Header, name: &str) -> Result<()> {
    let own = name.rsplit('/').next().unwrap_or(name);
    let is_id = own.len() == 32 && own.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if is_id && own != header.id.hex() {
        return Err(StorageError::damaged(name, format!("it is the object {}", header.id.hex())));
    }
    Ok(())
}

async fn read_header(blobs: &dyn BlobStore, name: &str, size: u64) -> Result<(Header, Layout)> {
    let head = blobs.get_range(name, 0..size.min(HEADER as u64)).await?;
    let header = Header::decode(&head, name)?;
    check_name(&header, name)?;
    let layout = Layout::of(&header, size, name)?;
    Ok((header, layout))
}

/// Checks header and checksums of an object without any key; the number of its bytes.
pub(super) async fn scrub(blobs: &dyn BlobStore, name: &str) -> Result<u64> {
    let size = blobs.head(name).await?.size;
    let (_, layout) = read_header(blobs, name, size).await?;
    let step = (PIECE / layout.stride() as u64).max(1);
    for first in (0..layout.chunks).step_by(step as usize) {
        let stored = blobs.get_range(name, layout.stored(first, first + step)).await?;
        for (chunk, number) in stored.chunks(layout.stride()).zip(first..) {
            format::check_sum(number, chunk, name)?;
        }
    }
    Ok(size)
}
