/// Where in a list something stands: lists go by the time of making, then by id.
pub type PageMark = (u64, [u8; 16]);

/// A part of a list that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    /// How many at most, 1 to 100.
    pub limit: usize,
    /// Only what comes after this.
    pub after: Option<PageMark>,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// What it holds.
    pub items: Vec<T>,
    /// Where the rest begins; none when there is no more.
    pub next: Option<PageMark>,
}

impl<T> Page<T> {
    /// The part of a list that is asked for; `mark` says where an item stands.
    pub fn cut(items: impl IntoIterator<Item = T>, request: PageRequest, mark: impl Fn(&T) -> PageMark) -> Self {
        let mut items: Vec<T> = items.into_iter().filter(|item| request.after.is_none_or(|after| mark(item) > after)).collect();
        items.sort_unstable_by_key(&mark);
        let more = items.len() > request.limit;
        items.truncate(request.limit);
        let next = if more { items.last().map(&mark) } else { None };
        Self { items, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_without_gap_or_repeat() {
        let all: Vec<u8> = (0..10).rev().collect();
        let mark = |n: &u8| (u64::from(*n / 3), [*n; 16]);
        for limit in 1..12 {
            let (mut after, mut seen) = (None, Vec::new());
            loop {
                let page = Page::cut(all.clone(), PageRequest { limit, after }, mark);
                assert!(page.items.len() <= limit);
                seen.extend(page.items);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(seen, (0..10).collect::<Vec<_>>(), "{limit}");
        }
    }
}
