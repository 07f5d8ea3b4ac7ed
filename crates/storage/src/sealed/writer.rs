use super::SealedObject;
use super::format::{Chunks, Header};
use crate::{BlobWriter, Result};

/// Sealed bytes are handed on in pieces of about this size.
const PIECE: usize = 1 << 20;

/// An object being written. Holds about a MiB and a chunk, whatever its size. Dropped before `finish`, it leaves nothing.
pub struct SealedWriter {
    blob: Box<dyn BlobWriter>,
    chunks: Chunks,
    header: Header,
    name: String,
    /// Sealed chunks, then the plaintext of one that is not full, or full and perhaps the last.
    buffer: Vec<u8>,
    /// Where that plaintext begins.
    open_from: usize,
    number: u64,
    plain_len: u64,
}

impl std::fmt::Debug for SealedWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealedWriter({}, {} bytes)", self.name, self.plain_len)
    }
}

impl SealedWriter {
    pub(super) fn new(blob: Box<dyn BlobWriter>, header: Header, chunks: Chunks, name: String) -> Self {
        let buffer = header.encode().to_vec();
        let open_from = buffer.len();
        Self { blob, chunks, header, name, buffer, open_from, number: 0, plain_len: 0 }
    }

    /// Appends plaintext.
    pub async fn write(&mut self, mut plain: &[u8]) -> Result<()> {
        let chunk = self.header.chunk.bytes();
        while !plain.is_empty() {
            if self.buffer.len() - self.open_from == chunk {
                self.seal(false);
                if self.buffer.len() >= PIECE {
                    self.hand_on().await?;
                }
            }
            let room = chunk - (self.buffer.len() - self.open_from);
            let (now, later) = plain.split_at(plain.len().min(room));
            self.buffer.extend_from_slice(now);
            self.plain_len += now.len() as u64;
            plain = later;
        }
        Ok(())
    }

    /// Bytes of plaintext written so far.
    pub fn plain_len(&self) -> u64 {
        self.plain_len
    }

    /// Makes the object durable and visible.
    pub async fn finish(mut self) -> Result<SealedObject> {
        self.seal(true);
        self.hand_on().await?;
        let stored_len = self.blob.finish().await?;
        Ok(SealedObject { id: self.header.id, name: self.name, plain_len: self.plain_len, stored_len })
    }

    fn seal(&mut self, last: bool) {
        self.chunks.seal(self.number, last, &mut self.buffer, self.open_from);
        self.number += 1;
        self.open_from = self.buffer.len();
    }

    /// Hands on what is sealed; only called when nothing else is in the buffer.
    async fn hand_on(&mut self) -> Result<()> {
        let sealed = std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE + self.header.chunk.bytes()));
        self.open_from = 0;
        self.blob.write(sealed.into()).await
    }
}
