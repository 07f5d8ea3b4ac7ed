//! The chain: each entry names the hash of the one before it, so that none can be changed, left out or moved.
//!
//! ```text
//! frame = format u8 (1) ‖ seq u64 ‖ SHA-256 of the frame before (zeros for seq 1) ‖ event
//! ```
//! Frames are sealed by the log they lie in.

use aws_lc_rs::digest;
use bytes::Bytes;
use pinyon_model::{AuditEvent, Error, ErrorCode, Result};

use super::event;
use crate::codec::{Reader, Writer};

const FORMAT: u8 = 1;

/// Where the chain ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Head {
    /// The last entry's number; 0 before the first.
    pub(crate) seq: u64,
    /// The last frame's hash.
    pub(crate) hash: [u8; 32],
    /// The newest generation of the catalog that an entry speaks of.
    pub(crate) generation: u64,
}

impl Head {
    /// The frame of the next entry, and the head once it is written.
    pub(super) fn next(&self, event: &AuditEvent) -> (Bytes, Head) {
        let mut w = Writer::default();
        w.u8(FORMAT).u64(self.seq + 1).raw(&self.hash);
        event::write(event, &mut w);
        let frame = Bytes::from(w.finish());
        let head = Head { seq: self.seq + 1, hash: hash(&frame), generation: self.generation.max(event.catalog_generation.unwrap_or(0)) };
        (frame, head)
    }

    /// The hash of the frame before this one, as it says.
    pub(super) fn hash_before(frame: &[u8]) -> Result<[u8; 32]> {
        let mut r = Reader::new("An entry of the audit log", frame);
        r.raw(9)?;
        r.array()
    }

    /// Reads the frame that must follow; damage when it is another.
    pub(super) fn follow(&self, frame: &[u8]) -> Result<(AuditEvent, Head)> {
        let mut r = Reader::new("An entry of the audit log", frame);
        if r.u8()? != FORMAT {
            return Err(r.malformed());
        }
        let (seq, prev) = (r.u64()?, r.array::<32>()?);
        if seq != self.seq + 1 || prev != self.hash {
            return Err(Error::new(
                ErrorCode::DataLoss,
                format!("The audit log's chain is broken: entry {seq} does not follow entry {}", self.seq),
            ));
        }
        let event = event::read(&mut r)?;
        r.end()?;
        let head = Head { seq, hash: hash(frame), generation: self.generation.max(event.catalog_generation.unwrap_or(0)) };
        Ok((event, head))
    }
}

fn hash(frame: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, frame).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(n: u64) -> Vec<Bytes> {
        let mut head = Head::default();
        (0..n)
            .map(|i| {
                let event = AuditEvent { resource_id: format!("{i}"), catalog_generation: Some(i), count: 1, ..AuditEvent::default() };
                let (frame, next) = head.next(&event);
                head = next;
                frame
            })
            .collect()
    }

    fn verify(frames: &[Bytes]) -> Result<Head> {
        frames.iter().try_fold(Head::default(), |head, frame| Ok(head.follow(frame)?.1))
    }

    #[test]
    fn reads_back() {
        let frames = chain(5);
        let head = verify(&frames).unwrap();
        assert_eq!((head.seq, head.generation), (5, 4));
        assert_eq!(Head::default().follow(&frames[0]).unwrap().0.resource_id, "0");
    }

    #[test]
    fn every_change_is_found() {
        let frames = chain(6);
        for i in 0..5 {
            let mut left_out = frames.clone();
            left_out.remove(i);
            assert!(verify(&left_out).is_err(), "left out {i}");
            let mut swapped = frames.clone();
            swapped.swap(i, i + 1);
            assert!(verify(&swapped).is_err(), "swapped {i}");
        }
        for i in 0..5 {
            for byte in 0..frames[i].len() {
                let mut changed = frames.clone();
                let mut bytes = frames[i].to_vec();
                bytes[byte] ^= 1;
                changed[i] = Bytes::from(bytes);
                assert!(verify(&changed).is_err(), "entry {i} byte {byte}");
            }
        }
    }
}
