//! The bytes of a sealed object: header, where its chunks lie, sealing and opening one chunk.

use bytes::Bytes;
use pinyon_model::ObjectId;

use super::{ChunkSize, ObjectKind};
use crate::crypto::{self, SALT, Sealer, TAG};
use crate::key_ring::key_for;
use crate::{DataKey, KeyId, Opens, Result, StorageError};

pub(crate) const HEADER: usize = 96;
/// What a chunk is longer than its plaintext.
pub(crate) const OVERHEAD: usize = TAG + 4;

const MAGIC: &[u8; 8] = b"PinySeal";
const FORMAT: u16 = 1;
const SUMMED: usize = 92;

/// The plain header of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: ObjectKind,
    pub(crate) format: u16,
    pub(crate) cipher: u8,
    pub(crate) chunk: ChunkSize,
    pub(crate) id: ObjectId,
    pub(crate) key_id: KeyId,
    pub(crate) salt: [u8; SALT],
}

impl Header {
    /// A header with a fresh id and salt.
    pub(crate) fn fresh(kind: ObjectKind, format: u16, key: &DataKey, chunk: ChunkSize) -> Self {
        let (id, salt) = (ObjectId::from_random(crypto::random_bytes()), crypto::random_bytes());
        Self { kind, format, cipher: crypto::current_cipher(), chunk, id, key_id: key.id(), salt }
    }

    pub(crate) fn encode(&self) -> [u8; HEADER] {
        let mut b = [0; HEADER];
        b[..8].copy_from_slice(MAGIC);
        b[8..10].copy_from_slice(&FORMAT.to_le_bytes());
        b[10..12].copy_from_slice(&self.kind.0.to_le_bytes());
        b[12..14].copy_from_slice(&self.format.to_le_bytes());
        b[14] = self.cipher;
        b[15] = self.chunk.0;
        b[16..32].copy_from_slice(self.id.as_bytes());
        b[32..48].copy_from_slice(&self.key_id.0);
        b[48..80].copy_from_slice(&self.salt);
        let sum = crc32c::crc32c(&b[..SUMMED]);
        b[SUMMED..].copy_from_slice(&sum.to_le_bytes());
        b
    }

    /// Reads a header, checking all that can be checked without a key.
    pub(crate) fn decode(bytes: &[u8], name: &str) -> Result<Self> {
        let damaged = |what: String| StorageError::damaged(name, what);
        let b = bytes.get(..HEADER).ok_or_else(|| damaged(format!("it has {} bytes, less than its header", bytes.len())))?;
        let (summed, sum) = b.split_at(SUMMED);
        if sum != crc32c::crc32c(summed).to_le_bytes() {
            return Err(damaged("its header does not fit its checksum".into()));
        }
        if &b[..8] != MAGIC {
            return Err(damaged("it is no sealed object".into()));
        }
        let u16_at = |at: usize| u16::from_le_bytes([b[at], b[at + 1]]);
        if u16_at(8) != FORMAT {
            return Err(damaged(format!("its format is {}, and this version reads {FORMAT}", u16_at(8))));
        }
        if !crypto::cipher_known(b[14]) {
            return Err(damaged(format!("its cipher is number {}, which this version does not know", b[14])));
        }
        let chunk = ChunkSize::from_log2(b[15]).ok_or_else(|| damaged(format!("its chunks are of 2^{} bytes", b[15])))?;
        let mut header = Self {
            kind: ObjectKind(u16_at(10)),
            format: u16_at(12),
            cipher: b[14],
            chunk,
            id: ObjectId::from_bytes([0; 16]),
            key_id: KeyId([0; 16]),
            salt: [0; SALT],
        };
        let mut id = [0; 16];
        id.copy_from_slice(&b[16..32]);
        header.id = ObjectId::from_bytes(id);
        header.key_id.0.copy_from_slice(&b[32..48]);
        header.salt.copy_from_slice(&b[48..80]);
        Ok(header)
    }

    /// The key that the object is sealed under, one of these; and that it is of this kind.
    pub(crate) fn key<'a>(&self, kind: ObjectKind, keys: &'a (impl Opens + ?Sized), name: &str) -> Result<&'a DataKey> {
        if self.kind != kind {
            return Err(StorageError::damaged(name, format!("it is an object of kind {}, not {}", self.kind.0, kind.0)));
        }
        key_for(keys, self.key_id, name)
    }
}

/// Seals and opens the chunks of one object.
pub(crate) struct Chunks {
    sealer: Sealer,
    /// The header, and room for a chunk number.
    aad: [u8; HEADER + 8],
}

impl Chunks {
    pub(crate) fn new(header: &Header, key: &DataKey) -> Self {
        let sealer = Sealer::new(header.cipher, key.bytes(), &header.salt, &[b"pinyon object 1"]);
        let mut aad = [0; HEADER + 8];
        aad[..HEADER].copy_from_slice(&header.encode());
        Self { sealer, aad }
    }

    fn place(&self, number: u64, last: bool) -> ([u8; 12], [u8; HEADER + 8]) {
        let (mut nonce, mut aad) = ([0; 12], self.aad);
        nonce[..8].copy_from_slice(&number.to_le_bytes());
        nonce[11] = u8::from(last);
        aad[HEADER..].copy_from_slice(&number.to_le_bytes());
        (nonce, aad)
    }

    /// Turns the plaintext at the end of `out`, from byte `from` on, into chunk `number`.
    pub(crate) fn seal(&self, number: u64, last: bool, out: &mut Vec<u8>, from: usize) {
        let (nonce, aad) = self.place(number, last);
        let tag = self.sealer.seal(nonce, &aad, &mut out[from..]);
        out.extend_from_slice(&tag);
        let sum = crc32c::crc32c(&out[from..]);
        out.extend_from_slice(&sum.to_le_bytes());
    }

    /// Opens chunk `number` into `plain`, which has its plaintext's length.
    fn open(&self, number: u64, last: bool, chunk: &[u8], plain: &mut [u8], name: &str) -> Result<()> {
        check_sum(number, chunk, name)?;
        let (text, tag) = chunk[..chunk.len() - 4].split_at(chunk.len() - OVERHEAD);
        let (nonce, aad) = self.place(number, last);
        let opened = self.sealer.open(nonce, &aad, text, tag, plain);
        opened.map_err(|_| StorageError::damaged(name, format!("chunk {number} is not authentic")))
    }

    /// Opens the chunks from number `first` on that `stored` holds.
    pub(crate) fn open_all(&self, layout: &Layout, first: u64, stored: &[u8], name: &str) -> Result<Bytes> {
        let mut plain = vec![0; stored.len() - stored.len().div_ceil(layout.stride()) * OVERHEAD];
        let parts = stored.chunks(layout.stride()).zip(plain.chunks_mut(layout.chunk)).zip(first..);
        for ((chunk, plain), number) in parts {
            self.open(number, number + 1 == layout.chunks, chunk, plain, name)?;
        }
        // An empty object has one chunk and no plaintext to zip with.
        if layout.plain_len == 0 && first == 0 {
            self.open(0, true, stored, &mut [], name)?;
        }
        Ok(plain.into())
    }
}

/// Checks a chunk's checksum, for which no key is needed.
pub(crate) fn check_sum(number: u64, chunk: &[u8], name: &str) -> Result<()> {
    let (sealed, sum) = chunk.split_at(chunk.len() - 4);
    if sum == crc32c::crc32c(sealed).to_le_bytes() {
        return Ok(());
    }
    Err(StorageError::damaged(name, format!("chunk {number} does not fit its checksum")))
}

/// Makes the checksum of whatever header lies in `bytes` fit.
pub(crate) fn fit_checksum(bytes: &mut [u8]) {
    if bytes.len() >= HEADER {
        bytes[..8].copy_from_slice(MAGIC);
        let sum = crc32c::crc32c(&bytes[..SUMMED]);
        bytes[SUMMED..HEADER].copy_from_slice(&sum.to_le_bytes());
    }
}

/// Where the chunks of an object of a known size lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Plaintext of a chunk, in bytes.
    pub(crate) chunk: usize,
    /// Number of chunks, at least 1.
    pub(crate) chunks: u64,
    pub(crate) plain_len: u64,
    /// The object's size in the store.
    pub(crate) size: u64,
}

impl Layout {
    /// The layout of an object of `size` bytes.
    pub(crate) fn of(header: &Header, size: u64, name: &str) -> Result<Self> {
        let chunk = header.chunk.bytes();
        let stride = (chunk + OVERHEAD) as u64;
        let body = size.saturating_sub(HEADER as u64);
        let chunks = body.div_ceil(stride);
        let last = body - chunks.saturating_sub(1) * stride;
        // Only the one chunk of an empty object holds nothing.
        if chunks == 0 || last < OVERHEAD as u64 || (chunks > 1 && last == OVERHEAD as u64) {
            return Err(StorageError::damaged(name, format!("its {size} bytes do not end with a whole chunk")));
        }
        Ok(Self { chunk, chunks, plain_len: body - chunks * OVERHEAD as u64, size })
    }

    /// Bytes of a whole chunk in the store.
    pub(crate) fn stride(&self) -> usize {
        self.chunk + OVERHEAD
    }

    /// Where chunks `first..end` lie in the store.
    pub(crate) fn stored(&self, first: u64, end: u64) -> std::ops::Range<u64> {
        let at = |number: u64| (HEADER as u64 + number * self.stride() as u64).min(self.size);
        at(first)..at(end)
    }
}
