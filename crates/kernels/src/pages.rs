//! Large pages for memory that is read in many short stretches: small ones make such a scan wait for the page table too.

use std::mem::MaybeUninit;

/// Bytes of a large page.
#[cfg(target_os = "linux")]
const HUGE: usize = 2 << 20;

/// Asks the operating system to put memory that was not written to yet on large pages, as far as it holds whole ones. What the memory
/// holds stays as it is, and it does not matter whether the system can.
pub fn prefer_huge_pages(memory: &mut [MaybeUninit<u8>]) {
    #[cfg(target_os = "linux")]
    if let Some(whole) = memory.get_mut(memory.as_ptr().align_offset(HUGE)..) {
        let bytes = whole.len() / HUGE * HUGE;
        if bytes > 0 {
            // SAFETY: the range is page-aligned and lies inside `memory`, which is borrowed for us alone; this advice changes neither what
            // is mapped nor what it holds.
            unsafe { libc::madvise(whole.as_mut_ptr().cast(), bytes, libc::MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = memory;
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn memory_stays_usable() {
        for len in [0, 1, HUGE - 1, 3 * HUGE + 5] {
            let mut memory: Vec<u8> = Vec::with_capacity(len);
            prefer_huge_pages(memory.spare_capacity_mut());
            memory.resize(len, 7);
            prefer_huge_pages(memory.spare_capacity_mut());
            assert!(memory.iter().all(|byte| *byte == 7));
        }
    }

    #[test]
    fn whole_pages_are_advised() {
        let mut memory: Vec<u8> = Vec::with_capacity(8 * HUGE);
        prefer_huge_pages(memory.spare_capacity_mut());
        let at = memory.as_ptr() as usize + 2 * HUGE;
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut inside = false;
        let mut advised = None;
        for line in maps.lines() {
            if let Some((from, to)) = line.split_whitespace().next().and_then(|range| range.split_once('-'))
                && let (Ok(from), Ok(to)) = (usize::from_str_radix(from, 16), usize::from_str_radix(to, 16))
            {
                inside = (from..to).contains(&at);
            } else if inside && let Some(flags) = line.strip_prefix("VmFlags:") {
                advised = Some(flags.split_whitespace().any(|flag| flag == "hg"));
            }
        }
        assert_eq!(advised, Some(true));
    }
}
