//! Frame files: what logs and the key store are made of. Written by one open only, under a key derived for this file alone.
//!
//! Numbers are little-endian. A file is a header and frames; every part is a multiple of 16 bytes long.
//!
//! ```text
//! header, 176 bytes                                   frame n (n = 1, 2, ...)
//!   0   8  magic "PinyFrm\0"                             0  4  plaintext length, at most 256 MiB
//!   8   2  format, 1                                     4  4  place in its group: 0 for the first frame of one write
//!  10   2  kind                                          8  4  crc32c of bytes 0..8 and 12..32
//!  12   1  cipher, 1 = AES-256-GCM                      12  4  crc32c of all that follows byte 32
//!  13   3  zero                                         16  8  frame number n
//!  16  16  file id, random                              24  8  bytes from the start of this frame to the end of its group
//!  32  16  owner id                                     32  p  zeros, 0 to 15, so that the frame's length is a multiple of 16
//!  48  16  id of the key it is sealed under              +  l  ciphertext
//!  64   8  writer epoch                                  + 16  tag
//!  72   8  sequence within the epoch                  file key = HKDF-SHA-256(key, salt, "pinyon frames 1" ‖ bytes 8..13 of the header)
//!  80  16  previous file's id, or zeros               nonce    = four zeros ‖ frame number; the header's tag is frame 0
//!  96   8  how many of its frames count               AAD      = file id ‖ frame number ‖ owner id ‖ epoch ‖
//! 104   8  base: frame n has LSN base + n                        place in its group ‖ bytes to its end
//! 112  32  salt, random                               header's AAD = bytes 0..144
//! 144  16  tag of the header
//! 160  12  zero
//! 172   4  crc32c of bytes 0..172
//! ```
//!
//! **Torn or damaged.** A crash can leave the last group of a file in part: bytes missing at the end, or 512-byte sectors that were never
//! written and read as zeros. A frame that does not fit its checksum is taken for that only if it runs past the end of the file or all of it
//! within one aligned 512-byte sector is zero, and only if nothing of a later group follows: a later group was begun after a sync. All
//! else is damage. The first group is written together with the header, so the same rule holds for the header. Since frames are cut at
//! multiples of 16 bytes, and each such piece of a sound frame holds a checksum, a frame number, ciphertext or tag, a sound frame is
//! never mistaken for a torn one.

use std::ops::Range;

use bytes::Bytes;

use crate::crypto::{self, SALT, Sealer, TAG, counter_nonce};
use crate::key_ring::key_for;
use crate::{KeyId, Opens, Result, StorageError};

pub(crate) const HEADER: usize = 176;
pub(crate) const FRAME_HEADER: usize = 32;
/// Largest plaintext of a frame, in bytes.
pub(crate) const MAX_FRAME: usize = 256 << 20;

const MAGIC: &[u8; 8] = b"PinyFrm\0";
const FORMAT: u16 = 1;
const TAGGED: usize = 144;
const SUMMED: usize = 172;
pub(crate) const SECTOR: usize = 512;
const ALIGN: usize = 16;

/// The plain header of a frame file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub(crate) kind: u16,
    pub(crate) cipher: u8,
    pub(crate) file_id: [u8; 16],
    pub(crate) owner: [u8; 16],
    pub(crate) key_id: KeyId,
    pub(crate) epoch: u64,
    pub(crate) sequence: u64,
    /// The file before this one.
    pub(crate) previous: Option<Previous>,
    /// Frame n has LSN base + n.
    pub(crate) base: u64,
    pub(crate) salt: [u8; SALT],
}

/// The file before, and how many of its frames count: what lies beyond was refused and must never be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Previous {
    pub(crate) file_id: [u8; 16],
    pub(crate) frames: u64,
}

/// A file whose header was written in full, or one whose first write was torn.
#[derive(Debug)]
pub(crate) enum Head {
    Whole(FileHeader),
    Torn,
}

fn le_u16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn le_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

fn le_u64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

impl FileHeader {
    /// A header with a fresh file id and salt.
    pub(crate) fn fresh(kind: u16, owner: [u8; 16], key_id: KeyId, previous: Option<Previous>, base: u64) -> Self {
        let (file_id, salt) = (crypto::random_bytes(), crypto::random_bytes());
        Self { kind, cipher: crypto::current_cipher(), file_id, owner, key_id, epoch: 0, sequence: 0, previous, base, salt }
    }

    /// The sealer of this file's frames.
    pub(crate) fn sealer(&self, key: &[u8; 32]) -> Sealer {
        let bytes = self.plain();
        Sealer::new(self.cipher, key, &self.salt, &[b"pinyon frames 1", &bytes[8..13]])
    }

    fn plain(&self) -> [u8; HEADER] {
        let mut b = [0; HEADER];
        b[..8].copy_from_slice(MAGIC);
        b[8..10].copy_from_slice(&FORMAT.to_le_bytes());
        b[10..12].copy_from_slice(&self.kind.to_le_bytes());
        b[12] = self.cipher;
        b[16..32].copy_from_slice(&self.file_id);
        b[32..48].copy_from_slice(&self.owner);
        b[48..64].copy_from_slice(&self.key_id.0);
        b[64..72].copy_from_slice(&self.epoch.to_le_bytes());
        b[72..80].copy_from_slice(&self.sequence.to_le_bytes());
        if let Some(previous) = self.previous {
            b[80..96].copy_from_slice(&previous.file_id);
            b[96..104].copy_from_slice(&previous.frames.to_le_bytes());
        }
        b[104..112].copy_from_slice(&self.base.to_le_bytes());
        b[112..144].copy_from_slice(&self.salt);
        b
    }

    /// The header's bytes, sealed as frame 0: once for a file.
    pub(crate) fn encode(&self, sealer: &Sealer) -> [u8; HEADER] {
        let mut b = self.plain();
        let tag = sealer.seal(counter_nonce(0), &b[..TAGGED], &mut []);
        b[TAGGED..TAGGED + TAG].copy_from_slice(&tag);
        let sum = crc32c::crc32c(&b[..SUMMED]);
        b[SUMMED..].copy_from_slice(&sum.to_le_bytes());
        b
    }

    /// Reads the header at the start of a file's `bytes`, checking all that can be checked without a key.
    pub(crate) fn decode(bytes: &[u8], file: &str) -> Result<Head> {
        let damaged = |what: &str| Err(StorageError::damaged(file, what));
        let zero = !bytes.is_empty() && bytes[..bytes.len().min(SECTOR)].iter().all(|&b| b == 0);
        if bytes.len() < HEADER || zero {
            // Part of the first write is missing; unless a later one followed, nothing in here was ever acknowledged.
            return if later_group(bytes, HEADER, 1) { damaged("its header is gone") } else { Ok(Head::Torn) };
        }
        let b = &bytes[..HEADER];
        if le_u32(b, SUMMED) != crc32c::crc32c(&b[..SUMMED]) {
            return damaged("its header does not fit its checksum");
        }
        if &b[..8] != MAGIC {
            return damaged("it is no frame file");
        }
        if le_u16(b, 8) != FORMAT {
            return damaged(&format!("its format is {}, and this version reads {FORMAT}", le_u16(b, 8)));
        }
        if !crypto::cipher_known(b[12]) {
            return damaged(&format!("its cipher is number {}, which this version does not know", b[12]));
        }
        let previous = Previous { file_id: array(b, 80), frames: le_u64(b, 96) };
        Ok(Head::Whole(Self {
            kind: le_u16(b, 10),
            cipher: b[12],
            file_id: array(b, 16),
            owner: array(b, 32),
            key_id: KeyId(array(b, 48)),
            epoch: le_u64(b, 64),
            sequence: le_u64(b, 72),
            previous: (previous.file_id != [0; 16]).then_some(previous),
            base: le_u64(b, 104),
            salt: array(b, 112),
        }))
    }

    /// Checks the header's tag: that whoever holds the key wrote it.
    pub(crate) fn authenticate(&self, bytes: &[u8], sealer: &Sealer, file: &str) -> Result<()> {
        let opened = sealer.open(counter_nonce(0), &bytes[..TAGGED], &[], &bytes[TAGGED..TAGGED + TAG], &mut []);
        opened.map_err(|_| StorageError::damaged(file, "its header is not authentic"))
    }

    /// A sealer for this file, once its key and header were checked.
    pub(crate) fn open(&self, bytes: &[u8], keys: &(impl Opens + ?Sized), file: &str) -> Result<Sealer> {
        let key = key_for(keys, self.key_id, file)?;
        let sealer = self.sealer(key.bytes());
        self.authenticate(bytes, &sealer, file)?;
        Ok(sealer)
    }

    fn aad(&self, number: u64, group: InGroup) -> [u8; 60] {
        let mut aad = [0; 60];
        aad[..16].copy_from_slice(&self.file_id);
        aad[16..24].copy_from_slice(&number.to_le_bytes());
        aad[24..40].copy_from_slice(&self.owner);
        aad[40..48].copy_from_slice(&self.epoch.to_le_bytes());
        aad[48..52].copy_from_slice(&group.place.to_le_bytes());
        aad[52..].copy_from_slice(&group.left.to_le_bytes());
        aad
    }
}

/// Where a frame stands in its group, the frames of one write.
#[derive(Debug, Clone, Copy)]
struct InGroup {
    /// 0 for the first.
    place: u32,
    /// Bytes from the start of this frame to the end of the group.
    left: u64,
}

fn padding(plain_len: usize) -> usize {
    (ALIGN - (FRAME_HEADER + plain_len + TAG) % ALIGN) % ALIGN
}

/// Bytes a frame of this plaintext takes in a file.
pub(crate) fn framed_len(plain_len: usize) -> usize {
    FRAME_HEADER + padding(plain_len) + plain_len + TAG
}

fn header_sum(header: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&header[..8]), &header[12..FRAME_HEADER])
}

/// Appends one group of frames to `out`, numbered from `first`.
pub(crate) fn encode_group(header: &FileHeader, sealer: &Sealer, first: u64, frames: &[Bytes], out: &mut Vec<u8>) {
    let mut left: u64 = frames.iter().map(|f| framed_len(f.len()) as u64).sum();
    out.reserve(left as usize);
    for (place, plain) in frames.iter().enumerate() {
        let (number, group) = (first + place as u64, InGroup { place: place as u32, left });
        let start = out.len();
        out.resize(start + FRAME_HEADER + padding(plain.len()), 0);
        let text = out.len();
        out.extend_from_slice(plain);
        let tag = sealer.seal(counter_nonce(number), &header.aad(number, group), &mut out[text..]);
        out.extend_from_slice(&tag);
        let body = crc32c::crc32c(&out[start + FRAME_HEADER..]);
        let head = &mut out[start..start + FRAME_HEADER];
        head[..4].copy_from_slice(&(plain.len() as u32).to_le_bytes());
        head[4..8].copy_from_slice(&group.place.to_le_bytes());
        head[12..16].copy_from_slice(&body.to_le_bytes());
        head[16..24].copy_from_slice(&number.to_le_bytes());
        head[24..].copy_from_slice(&left.to_le_bytes());
        let sum = header_sum(head);
        head[8..12].copy_from_slice(&sum.to_le_bytes());
        left -= framed_len(plain.len()) as u64;
    }
}

/// Where a sound frame lies in its file.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub(crate) number: u64,
    group: InGroup,
    /// Ciphertext and tag.
    body: Range<usize>,
}

/// The sound frames of a file.
#[derive(Debug)]
pub(crate) struct Walk {
    pub(crate) frames: Vec<Placed>,
    /// Where the last of them ends, in bytes.
    pub(crate) end: usize,
}

struct FrameHead {
    len: usize,
    group: InGroup,
    body_sum: u32,
    number: u64,
}

impl FrameHead {
    fn read(bytes: &[u8]) -> Option<Self> {
        let h = bytes.get(..FRAME_HEADER)?;
        (le_u32(h, 8) == header_sum(h)).then(|| Self {
            len: le_u32(h, 0) as usize,
            group: InGroup { place: le_u32(h, 4), left: le_u64(h, 24) },
            body_sum: le_u32(h, 12),
            number: le_u64(h, 16),
        })
    }
}

/// Whether, from byte `from` on, a frame of a group begun after frame `number` can be seen.
fn later_group(bytes: &[u8], from: usize, number: u64) -> bool {
    (from.next_multiple_of(ALIGN)..bytes.len()).step_by(ALIGN).any(|at| {
        FrameHead::read(&bytes[at..]).is_some_and(|head| {
            let first = head.number.checked_sub(u64::from(head.group.place));
            head.len <= MAX_FRAME && first.is_some_and(|first| first > number && first - number <= (at / ALIGN) as u64)
        })
    })
}

/// Whether all of `range` within some aligned sector is zero.
fn zero_sector(bytes: &[u8], range: Range<usize>) -> bool {
    let end = range.end.min(bytes.len());
    let mut at = range.start;
    while at < end {
        let next = ((at / SECTOR + 1) * SECTOR).min(end);
        if bytes[at..next].iter().all(|&b| b == 0) {
            return true;
        }
        at = next;
    }
    false
}

/// Finds the frames of a file and checks their checksums; needs no key.
///
/// `counting` is how many frames count, when a later file says so: fewer is damage, and what follows them is not looked at. Without
/// it the file is the last, and its last group may be torn.
pub(crate) fn walk(bytes: &[u8], counting: Option<u64>, file: &str) -> Result<Walk> {
    let mut walk = Walk { frames: Vec::new(), end: HEADER };
    // Where the last group seen ends, and so where the next begins.
    let mut group_end = HEADER as u64;
    loop {
        let (at, number) = (walk.end, walk.frames.len() as u64 + 1);
        if counting.is_some_and(|n| number > n) || (counting.is_none() && at == bytes.len()) {
            return Ok(walk);
        }
        let (torn, what) = match read_frame(bytes, at, number, group_end) {
            Ok(frame) => {
                group_end = at as u64 + frame.group.left;
                walk.end = frame.body.end;
                walk.frames.push(frame);
                continue;
            }
            Err(Unsound { torn, what, group_end: end }) => {
                let end = end.or((at as u64 != group_end).then_some(group_end));
                (torn && end.is_none_or(|end| bytes.len() as u64 <= end), what)
            }
        };
        if counting.is_some() || !torn || later_group(bytes, at + ALIGN, number) {
            return Err(StorageError::damaged(file, format!("frame {number} at byte {at} {what}")));
        }
        return Ok(walk);
    }
}

/// Why a frame is not sound.
struct Unsound {
    /// Whether that can be a crash's doing.
    torn: bool,
    what: &'static str,
    /// Where its group ends, if its header says so.
    group_end: Option<u64>,
}

fn read_frame(bytes: &[u8], at: usize, number: u64, group_end: u64) -> Result<Placed, Unsound> {
    let left = &bytes[at..];
    let unsound = |torn, what| Err(Unsound { torn, what, group_end: None });
    let Some(head) = FrameHead::read(left) else {
        if left.len() < FRAME_HEADER {
            return unsound(true, "is cut short");
        }
        return unsound(zero_sector(bytes, at..at + FRAME_HEADER), "has a header that does not fit its checksum");
    };
    let (len, start) = (framed_len(head.len), at as u64);
    // The first frame of a group begins where the group before ended; any other agrees with the first about where theirs ends.
    let grouped = if head.group.place == 0 { start == group_end } else { start.checked_add(head.group.left) == Some(group_end) };
    if head.len > MAX_FRAME || head.number != number || !grouped || head.group.left < len as u64 || head.group.left > u64::MAX / 2 {
        return unsound(false, "has a header that does not belong here");
    }
    let unsound = |torn, what| Err(Unsound { torn, what, group_end: Some(start + head.group.left) });
    if left.len() < len {
        return unsound(true, "is cut short");
    }
    if crc32c::crc32c(&left[FRAME_HEADER..len]) != head.body_sum {
        return unsound(zero_sector(bytes, at..at + len), "does not fit its checksum");
    }
    let body = FRAME_HEADER + padding(head.len);
    if left[FRAME_HEADER..body].iter().any(|&b| b != 0) {
        return unsound(false, "has padding that is not zero");
    }
    Ok(Placed { number, group: head.group, body: at + body..at + len })
}

/// Decrypts a frame where it lies in its file's bytes; the range is the plaintext's.
pub(crate) fn open_frame(header: &FileHeader, sealer: &Sealer, bytes: &mut [u8], frame: &Placed, file: &str) -> Result<Range<usize>> {
    let body = &mut bytes[frame.body.clone()];
    match sealer.open_in_place(counter_nonce(frame.number), &header.aad(frame.number, frame.group), body) {
        Ok(len) => Ok(frame.body.start..frame.body.start + len),
        Err(_) => Err(StorageError::damaged(file, format!("frame {} is not authentic", frame.number))),
    }
}

/// Makes the checksums of whatever lies in `bytes` fit, as far as it has the shape of a frame file.
pub(crate) fn fit_checksums(bytes: &mut [u8]) {
    if bytes.len() < HEADER {
        return;
    }
    bytes[..8].copy_from_slice(MAGIC);
    let sum = crc32c::crc32c(&bytes[..SUMMED]);
    bytes[SUMMED..HEADER].copy_from_slice(&sum.to_le_bytes());
    let mut at = HEADER;
    while bytes.len() - at >= FRAME_HEADER {
        let len = framed_len(le_u32(bytes, at) as usize);
        let end = at.saturating_add(len).min(bytes.len());
        let body = crc32c::crc32c(&bytes[at + FRAME_HEADER..end]);
        bytes[at + 12..at + 16].copy_from_slice(&body.to_le_bytes());
        let sum = header_sum(&bytes[at..at + FRAME_HEADER]);
        bytes[at + 8..at + 12].copy_from_slice(&sum.to_le_bytes());
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::DataKey;

    fn file(groups: &[Vec<Bytes>]) -> (FileHeader, DataKey, Vec<u8>) {
        let key = DataKey::generate();
        let previous = Some(Previous { file_id: [3; 16], frames: 9 });
        let header = FileHeader { epoch: 2, sequence: 5, ..FileHeader::fresh(1, [7; 16], key.id(), previous, 41) };
        let sealer = header.sealer(key.bytes());
        let mut bytes = header.encode(&sealer).to_vec();
        let mut first = 1;
        for group in groups {
            encode_group(&header, &sealer, first, group, &mut bytes);
            first += group.len() as u64;
        }
        (header, key, bytes)
    }

    /// Everything a reader gets out of a file; `None` for a torn header.
    fn read(mut bytes: Vec<u8>, key: &DataKey) -> Result<Option<(FileHeader, Vec<Bytes>)>> {
        let Head::Whole(header) = FileHeader::decode(&bytes, "f")? else { return Ok(None) };
        let sealer = header.open(&bytes, key, "f")?;
        let walk = walk(&bytes, None, "f")?;
        let ranges = walk.frames.iter().map(|p| open_frame(&header, &sealer, &mut bytes, p, "f")).collect::<Result<Vec<_>>>()?;
        let bytes = Bytes::from(bytes);
        Ok(Some((header, ranges.into_iter().map(|r| bytes.slice(r)).collect())))
    }

    fn frames(lens: &[usize]) -> Vec<Bytes> {
        lens.iter().map(|&n| Bytes::from(crypto::random_bytes::<3000>()[..n].to_vec())).collect()
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(lens in prop::collection::vec(prop::collection::vec(0usize..2000, 1..5), 0..6)) {
            let groups: Vec<_> = lens.iter().map(|l| frames(l)).collect();
            let (header, key, bytes) = file(&groups);
            prop_assert_eq!(bytes.len() % 16, 0);
            let (read_header, read_frames) = read(bytes, &key).unwrap().unwrap();
            prop_assert_eq!(read_header, header);
            prop_assert_eq!(read_frames, groups.concat());
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = read(bytes, &DataKey::generate());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// Power lost during the last write: any of its sectors may be missing, in any pattern, and the file may be any of the lengths it
        /// went through. What was synced before is read, whole, and of the last group only frames from its beginning.
        #[test]
        fn any_loss_within_the_last_write_is_survived(
            lens in prop::collection::vec(prop::collection::vec(0usize..2500, 1..6), 1..5),
            lost in any::<u64>(),
            cut in 0.0..1.0f64,
        ) {
            let groups: Vec<_> = lens.iter().map(|l| frames(l)).collect();
            let (_, key, mut bytes) = file(&groups);
            let (last, before) = groups.split_last().unwrap();
            let synced = bytes.len() - last.iter().map(|f| framed_len(f.len())).sum::<usize>();
            // The header goes with the first group.
            let synced = if before.is_empty() { 0 } else { synced };
            bytes.truncate(synced + ((bytes.len() - synced) as f64 * cut).round() as usize);
            for sector in 0..bytes.len().div_ceil(SECTOR) {
                let (from, to) = (sector * SECTOR, ((sector + 1) * SECTOR).min(bytes.len()));
                if lost >> (sector % 64) & 1 == 1 && to > synced {
                    bytes[from.max(synced)..to].fill(0);
                }
            }
            let got = read(bytes, &key).unwrap().map_or(Vec::new(), |(_, frames)| frames);
            prop_assert!(got.len() >= before.concat().len());
            prop_assert_eq!(&got[..], &groups.concat()[..got.len()]);
        }
    }

    #[test]
    fn every_flipped_bit_is_damage() {
        let (_, key, bytes) = file(&[frames(&[0, 1]), frames(&[40]), frames(&[17, 300])]);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let answer = read(bad, &key);
            assert!(matches!(answer, Err(StorageError::Damaged { .. })), "bit {bit}: {answer:?}");
        }
    }

    #[test]
    fn a_cut_file_keeps_the_whole_frames_before_the_cut() {
        let groups = [frames(&[5]), frames(&[0, 600]), frames(&[33])];
        let (_, key, bytes) = file(&groups);
        let all = groups.concat();
        for len in 0..=bytes.len() {
            let got = read(bytes[..len].to_vec(), &key).unwrap();
            let mut end = HEADER;
            let whole = all
                .iter()
                .take_while(|f| {
                    end += framed_len(f.len());
                    end <= len
                })
                .count();
            match got {
                None => assert!(len < HEADER),
                Some((_, got)) => assert_eq!(got, all[..whole], "cut at {len}"),
            }
        }
    }

    /// Whatever sectors of the last group were never written, the groups before it are read; a hole in an earlier one is damage.
    #[test]
    fn sectors_missing_in_the_last_group_only_are_torn() {
        let groups = [frames(&[700]), frames(&[900, 3, 1200]), frames(&[2500, 1, 0, 700])];
        let (_, key, bytes) = file(&groups);
        let len_of = |g: &[Bytes]| g.iter().map(|f| framed_len(f.len())).sum::<usize>();
        let last = HEADER + len_of(&groups[0]) + len_of(&groups[1]);
        let before = groups[..2].concat();
        for sector in 0..bytes.len().div_ceil(SECTOR) {
            let (from, to) = (sector * SECTOR, ((sector + 1) * SECTOR).min(bytes.len()));
            // A sector shared with an earlier group keeps what it held: the file system writes whole sectors.
            let mut bad = bytes.clone();
            bad[from.max(last).min(to)..to].fill(0);
            let (_, got) = read(bad, &key).unwrap().unwrap();
            assert!(got.len() >= before.len() && got[..] == groups.concat()[..got.len()], "sector {sector} torn");
            if to <= last {
                let mut bad = bytes.clone();
                bad[from..to].fill(0);
                assert!(read(bad, &key).is_err_and(|e| e.is_damage()), "sector {sector} zeroed");
            }
        }
    }

    #[test]
    fn frames_beyond_the_count_are_not_looked_at() {
        let (_, _, mut bytes) = file(&[frames(&[10]), frames(&[20]), frames(&[30])]);
        let end = bytes.len();
        bytes[end - 1] ^= 1;
        assert_eq!(walk(&bytes, Some(2), "f").unwrap().frames.len(), 2);
        assert!(walk(&bytes, Some(3), "f").is_err_and(|e| e.is_damage()));
        assert!(walk(&bytes[..end - 80], Some(3), "f").is_err_and(|e| e.is_damage()), "a lost tail is noticed");
    }

    #[test]
    fn padding_is_zero_even_where_the_checksums_fit() {
        let (_, _, mut bytes) = file(&[frames(&[5])]);
        fit_checksums(&mut bytes);
        walk(&bytes, None, "f").unwrap();
        bytes[HEADER + FRAME_HEADER + 3] = 1;
        fit_checksums(&mut bytes);
        assert!(walk(&bytes, None, "f").is_err_and(|e| e.to_string().contains("padding")));
    }

    #[test]
    fn a_file_of_another_key_or_owner_does_not_open() {
        let (header, key, bytes) = file(&[frames(&[10])]);
        assert!(read(bytes.clone(), &DataKey::generate()).is_err());
        assert!(read(bytes.clone(), &DataKey::from_parts(key.id(), [0; 32])).is_err());
        // The same key and salt, but another owner: what binds a frame to its owner is its AAD.
        let (sealer, other) = (header.sealer(key.bytes()), FileHeader { owner: [8; 16], ..header });
        let placed = walk(&bytes, None, "f").unwrap().frames.remove(0);
        let mut moved = bytes;
        assert!(open_frame(&other, &sealer, &mut moved, &placed, "f").is_err_and(|e| e.to_string().contains("authentic")));
    }
}
