//! Lists: whole ones, and pages with the token of the next.

use pinyon_model::{Error, ErrorCode, Page as Part, PageMark, PageRequest, Result};
use serde::Serialize;

use crate::{
    json,
    page::{Page, Scope},
    percent::Parameters,
};

/// Entries of one page, also when the caller names no number.
const LIMIT_MAX: u32 = 100;

/// Which page of a listing is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing(Page<PageMark>);

impl Listing {
    /// Reads `limit` and `paginationToken`. A token is good for the listing of this kind with these filters alone.
    pub(super) fn new(parameters: &Parameters, kind: &str, filters: &[&str]) -> Result<Self> {
        let limit = parameters.get_u32("limit")?;
        if let Some(limit) = limit.filter(|limit| !(1..=LIMIT_MAX).contains(limit)) {
            let told = format!("limit is {limit}; it must be between 1 and {LIMIT_MAX}");
            return Err(Error::new(ErrorCode::OutOfRange, told));
        }
        let (token, scope) = (parameters.get("paginationToken"), Scope::new(kind, filters));
        Page::new(limit, LIMIT_MAX, LIMIT_MAX, token, scope, |text| mark(text).ok_or_else(|| Error::invalid("not a mark"))).map(Self)
    }

    /// What the service is asked for.
    pub fn request(&self) -> PageRequest {
        PageRequest { limit: self.0.limit as usize, after: self.0.after }
    }

    /// The body of a page.
    pub(super) fn page<'a, T, O: Serialize>(&self, part: &'a Part<T>, out: impl Fn(&'a T) -> O) -> Vec<u8> {
        let Part { items, next } = part;
        let next = self.0.next_token(next.as_ref().map(mark_text).as_deref());
        json::to_vec(&PageOut { data: items.iter().map(out).collect(), pagination: next.map(|next| NextOut { next }) })
    }
}

/// `1775834580000.` and 32 hexadecimal digits.
fn mark_text((ms, id): &PageMark) -> String {
    format!("{ms}.{:032x}", u128::from_be_bytes(*id))
}

fn mark(text: &str) -> Option<PageMark> {
    let (ms, id) = text.split_once('.')?;
    let mark = (ms.parse().ok()?, u128::from_str_radix(id, 16).ok()?.to_be_bytes());
    // One spelling for each mark.
    (mark_text(&mark) == text).then_some(mark)
}

#[derive(Serialize)]
struct PageOut<T> {
    data: Vec<T>,
    pagination: Option<NextOut>,
}

#[derive(Serialize)]
struct NextOut {
    next: String,
}

#[derive(Serialize)]
struct ListOut<T> {
    data: Vec<T>,
}

/// The body of a list that comes all at once.
pub(crate) fn list<T: Serialize>(items: impl Iterator<Item = T>) -> Vec<u8> {
    json::to_vec(&ListOut { data: items.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_read_back_and_have_one_spelling() {
        for value in [(0, [0; 16]), (u64::MAX, [255; 16]), (1_775_834_580_000, *b"0123456789abcdef")] {
            assert_eq!(mark(&mark_text(&value)), Some(value));
        }
        let good = mark_text(&(1, [16; 16]));
        for bad in ["", ".", "1.", "+1.0", &good.to_uppercase().replace('1', "01"), &format!("{good}0"), &good.replace('.', ".+")] {
            assert_eq!(mark(bad), None, "{bad}");
        }
    }
}
