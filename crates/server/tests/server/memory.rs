//! The memory of a running server, searched for what must not be there.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    os::unix::fs::FileExt,
};

const PAGE: usize = 4096;

/// How often each of these occurs in what the process can read, page by page of what is really in memory.
pub(crate) fn count(pid: u32, needles: &[[u8; 32]]) -> Vec<usize> {
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let present = File::open(format!("/proc/{pid}/pagemap")).unwrap();
    let maps = BufReader::new(File::open(format!("/proc/{pid}/maps")).unwrap());
    let begins: Vec<u64> = needles.iter().map(|needle| u64::from_ne_bytes(needle[..8].try_into().unwrap())).collect();
    let mut counts = vec![0; needles.len()];
    let mut searched = 0;
    for line in maps.lines() {
        let line = line.unwrap();
        let mut parts = line.split_whitespace();
        let (range, rights) = (parts.next().unwrap(), parts.next().unwrap());
        if !rights.starts_with('r') || line.ends_with("[vvar]") || line.ends_with("[vsyscall]") || line.ends_with("[vvar_vclock]") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let (from, to) = (usize::from_str_radix(from, 16).unwrap(), usize::from_str_radix(to, 16).unwrap());
        let mut entries = vec![0; (to - from) / PAGE * 8];
        if present.read_exact_at(&mut entries, (from / PAGE * 8) as u64).is_err() {
            continue;
        }
        // Runs of pages that are there, in memory or swapped: what spans two pages is found.
        let is_there = |page: usize| entries[page * 8 + 7] & 0xc0 != 0;
        let pages = (to - from) / PAGE;
        let mut page = 0;
        while page < pages {
            let begin = page;
            while page < pages && is_there(page) {
                page += 1;
            }
            if page == begin {
                page += 1;
                continue;
            }
            let mut bytes = vec![0; (page - begin) * PAGE];
            if memory.read_exact_at(&mut bytes, (from + begin * PAGE) as u64).is_err() {
                continue;
            }
            searched += bytes.len();
            for at in 0..bytes.len() - 31 {
                let begins_with = u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
                for (n, needle) in needles.iter().enumerate() {
                    if begins[n] == begins_with && &bytes[at..at + 32] == needle {
                        counts[n] += 1;
                    }
                }
            }
        }
    }
    assert!(searched > 1 << 20, "{searched} bytes are no process");
    counts
}
