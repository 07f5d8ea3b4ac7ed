//! The key store's file as `docs/formats.md` draws it, read without any of the code that wrote it: the raw keys, for tests that look
//! for them where they must not be.

use std::{collections::HashMap, path::Path};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf,
};

/// Raw keys by what they are of.
#[derive(Default)]
pub(crate) struct RawKeys {
    pub(crate) projects: Vec<[u8; 32]>,
    pub(crate) indexes: Vec<[u8; 32]>,
    pub(crate) namespaces: Vec<[u8; 32]>,
}

/// What lies under customers' keys. `halves` are what these sealed, in any order.
pub(crate) fn read(file: &Path, root_key: &Path, halves: &[[u8; 32]]) -> RawKeys {
    let bytes = std::fs::read(file).unwrap();
    let text = std::fs::read_to_string(root_key).unwrap();
    let digits = text.trim().strip_prefix("pinyon-root-1-").unwrap().split_once('-').unwrap().0;
    let root: [u8; 32] = std::array::from_fn(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).unwrap());
    let mut raw = RawKeys::default();
    let (mut projects, mut indexes) = (HashMap::<[u8; 16], Vec<[u8; 32]>>::new(), HashMap::<[u8; 16], [u8; 32]>::new());
    for plain in frames(&bytes, &root) {
        let mut r = Entries(&plain);
        while let Some(what) = r.next_byte() {
            match what {
                // A project key: every half may be its other one; the right one opens what is under it.
                6 => {
                    let id = r.array::<16>();
                    r.take(32);
                    let len = u32::from_le_bytes(r.array()) as usize;
                    let kept = kept_half(r.take(len));
                    projects.insert(id, halves.iter().map(|half| std::array::from_fn(|i| half[i] ^ kept[i])).collect());
                }
                7 => {
                    let (index, above) = (r.array::<16>(), r.array::<16>());
                    let whose = [&index[..], &above[..]].concat();
                    let wrapped = r.take(96);
                    let opened = projects[&above].iter().find_map(|key| unwrap(key, 7, &whose, wrapped).map(|opened| (*key, opened)));
                    let (project, opened) = opened.expect("a half opens it");
                    raw.projects.push(project);
                    raw.indexes.push(opened);
                    indexes.insert(index, opened);
                }
                2 => {
                    let whose = r.array::<32>();
                    let wrapped = r.take(96);
                    if let Some(above) = indexes.get(&whose[..16]) {
                        raw.namespaces.push(unwrap(above, 2, &whose, wrapped).expect("the index's key opens it"));
                    }
                }
                1 => drop(r.take(16 + 96)),
                3 => {
                    let len = usize::from(r.next_byte().unwrap());
                    r.take(len + 96);
                }
                9 => drop(r.take(16 + 96)),
                10 => drop(r.take(32 + 96)),
                4 => drop(r.take(32)),
                5 | 11 | 12 => drop(r.take(16)),
                8 => drop(r.take(48)),
                other => panic!("entry {other}"),
            }
        }
    }
    raw.projects.sort_unstable();
    raw.projects.dedup();
    raw
}

/// The plaintexts of the frames of a frame file.
fn frames(bytes: &[u8], root: &[u8; 32]) -> Vec<Vec<u8>> {
    let key = derive(root, &bytes[112..144], &[b"pinyon frames 1", &bytes[8..13]]);
    let (file_id, owner, epoch) = (&bytes[16..32], &bytes[32..48], &bytes[64..72]);
    let (mut found, mut at) = (Vec::new(), 176);
    while at + 32 <= bytes.len() {
        let head = &bytes[at..at + 32];
        let len = u32::from_le_bytes(head[..4].try_into().unwrap()) as usize;
        let padding = (16 - (32 + len + 16) % 16) % 16;
        let body = &bytes[at + 32 + padding..at + 32 + padding + len + 16];
        let aad = [file_id, &head[16..24], owner, epoch, &head[4..8], &head[24..32]].concat();
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&head[16..24]);
        found.push(open(&key, nonce, &aad, body).expect("a frame opens"));
        at += 32 + padding + len + 16;
    }
    found
}

/// The half that is kept here, in what the key store has of a project key.
fn kept_half(kept: &[u8]) -> [u8; 32] {
    let mut r = Entries(kept);
    r.take(1 + 16 * 3);
    let text = |r: &mut Entries<'_>| {
        let len = u32::from_le_bytes(r.array()) as usize;
        r.take(len);
    };
    text(&mut r);
    r.take(16 + 1);
    text(&mut r);
    text(&mut r);
    if r.next_byte() == Some(1) {
        text(&mut r);
    }
    r.array()
}

/// A key that is wrapped: id 16, salt 32, ciphertext 32, tag 16.
fn unwrap(above: &[u8; 32], what: u8, whose: &[u8], wrapped: &[u8]) -> Option<[u8; 32]> {
    let (id, salt, sealed) = (&wrapped[..16], &wrapped[16..48], &wrapped[48..]);
    let aad = [&b"pinyon key"[..], &[what], whose, id].concat();
    Some(open(&derive(above, salt, &[b"pinyon wrap 1"]), [0; 12], &aad, sealed)?.try_into().unwrap())
}

fn derive(key: &[u8; 32], salt: &[u8], info: &[&[u8]]) -> [u8; 32] {
    struct Len;
    impl hkdf::KeyType for Len {
        fn len(&self) -> usize {
            32
        }
    }
    let mut out = [0; 32];
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(key).expand(info, Len).unwrap().fill(&mut out).unwrap();
    out
}

fn open(key: &[u8; 32], nonce: [u8; 12], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap());
    let mut text = sealed.to_vec();
    Some(key.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut text).ok()?.to_vec())
}

struct Entries<'a>(&'a [u8]);

impl<'a> Entries<'a> {
    fn take(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(n);
        self.0 = rest;
        taken
    }
    fn array<const N: usize>(&mut self) -> [u8; N] {
        self.take(N).try_into().unwrap()
    }
    fn next_byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }
}
