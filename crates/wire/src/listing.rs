//! Lists of the control and admin planes: whole ones, and pages with the token of the next.

use pinyon_model::{Error, ErrorCode, Page as Part, PageMark, PageRequest, Result};
use serde::Serialize;

use crate::{
    json,
    page::{Page, Scope},
    percent::Parameters,
};

/// Entries of one page.
const LIMIT_MAX: u32 = 100;

/// Which page of a listing is asked for. Its token carries the size of the page with it, for callers that name that once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing(Page<Place>);

/// Where a page ends, and how many entries it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    mark: PageMark,
    limit: u32,
}

impl Listing {
    /// Reads `limit` and `paginationToken` of a listing that has a hundred entries unless told otherwise. A token is good for the listing
    /// of this kind with these filters alone.
    pub(crate) fn new(parameters: &Parameters, kind: &str, filters: &[&str]) -> Result<Self> {
        Self::with_default(parameters, kind, filters, LIMIT_MAX)
    }

    /// The same, of a listing that has so many.
    pub(crate) fn with_default(parameters: &Parameters, kind: &str, filters: &[&str], default: u32) -> Result<Self> {
        let limit = parameters.get_u32("limit")?;
        if let Some(limit) = limit.filter(|limit| !(1..=LIMIT_MAX).contains(limit)) {
            let told = format!("limit is {limit}; it must be between 1 and {LIMIT_MAX}");
            return Err(Error::new(ErrorCode::OutOfRange, told));
        }
        let (token, scope) = (parameters.get("paginationToken"), Scope::new(kind, filters));
        let place = |text: &str| Place::read(text).ok_or_else(|| Error::invalid("not a mark"));
        let mut page = Page::new(limit, default, LIMIT_MAX, token, scope, place)?;
        if let (None, Some(place)) = (limit, &page.after) {
            page.limit = place.limit;
        }
        Ok(Self(page))
    }

    /// What the service is asked for.
    pub fn request(&self) -> PageRequest {
        PageRequest { limit: self.0.limit as usize, after: self.0.after.map(|place| place.mark) }
    }

    /// The body of a page.
    pub(crate) fn page<'a, T, O: Serialize>(&self, part: &'a Part<T>, out: impl Fn(&'a T) -> O) -> Vec<u8> {
        let Part { items, next } = part;
        let text = next.map(|mark| Place { mark, limit: self.0.limit }.text());
        let next = self.0.next_token(text.as_deref());
        json::to_vec(&PageOut { data: items.iter().map(out).collect(), pagination: next.map(|next| NextOut { next }) })
    }
}

impl Place {
    /// `1775834580000.`, 32 hexadecimal digits and `.100`.
    fn text(&self) -> String {
        let (ms, id) = self.mark;
        format!("{ms}.{:032x}.{}", u128::from_be_bytes(id), self.limit)
    }

    fn read(text: &str) -> Option<Self> {
        let (ms, rest) = text.split_once('.')?;
        let (id, limit) = rest.split_once('.')?;
        let mark = (ms.parse().ok()?, u128::from_str_radix(id, 16).ok()?.to_be_bytes());
        let place = Self { mark, limit: limit.parse().ok()? };
        // One spelling for each place.
        (place.text() == text && (1..=LIMIT_MAX).contains(&place.limit)).then_some(place)
    }
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
    fn places_read_back_and_have_one_spelling() {
        for mark in [(0, [0; 16]), (u64::MAX, [255; 16]), (1_775_834_580_000, *b"0123456789abcdef")] {
            for limit in [1, 100] {
                let place = Place { mark, limit };
                assert_eq!(Place::read(&place.text()), Some(place));
            }
        }
        let good = Place { mark: (1, [16; 16]), limit: 7 }.text();
        let bad = [&good.to_uppercase().replace('1', "01"), &format!("{good}0101"), &good.replace('.', ".+"), &good.replace(".7", ".0")];
        for bad in ["", ".", "1.", "+1.0.1", &good.replace(".7", ".101")].into_iter().chain(bad.map(String::as_str)) {
            assert_eq!(Place::read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_token_carries_the_size_of_its_pages() {
        let listing = |query: &str| Listing::with_default(&Parameters::parse(query).unwrap(), "things", &[], 10).unwrap();
        let first = listing("limit=3");
        let body = first.page(&Part { items: vec![1], next: Some((5, [1; 16])) }, |n| n);
        let token = serde_json::from_slice::<serde_json::Value>(&body).unwrap()["pagination"]["next"].as_str().unwrap().to_owned();
        let second = listing(&format!("paginationToken={token}")).request();
        assert_eq!((second.limit, second.after), (3, Some((5, [1; 16]))));
        assert_eq!(listing(&format!("paginationToken={token}&limit=7")).request().limit, 7);
        assert_eq!(listing("").request(), PageRequest { limit: 10, after: None });
    }
}
