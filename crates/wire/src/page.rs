//! Pages of a listing: the limit, where to go on, and the opaque token that carries it from one request to the next.

use pinyon_model::{Error, Result};

/// Which page a request asks for. `T` is what the listing is ordered by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// How many entries at most.
    pub limit: u32,
    /// The last entry of the page before.
    pub after: Option<T>,
    scope: Scope,
}

/// What a listing lists. A token is good for the listing it came from alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scope(u64);

impl Scope {
    /// The scope of a listing of this kind with these arguments.
    pub(crate) fn new(kind: &str, arguments: &[&str]) -> Self {
        let mut hash = Fnv::new();
        for part in std::iter::once(&kind).chain(arguments) {
            // The length keeps ("ab", "c") apart from ("a", "bc").
            hash.add(&(part.len() as u64).to_le_bytes());
            hash.add(part.as_bytes());
        }
        Self(hash.0)
    }
}

impl<T> Page<T> {
    /// Checks the limit and reads the token; `position` makes of its text what the listing is ordered by.
    pub(crate) fn new(
        limit: Option<u32>,
        default: u32,
        max: u32,
        token: Option<&str>,
        scope: Scope,
        position: impl FnOnce(&str) -> Result<T>,
    ) -> Result<Self> {
        let limit = limit.unwrap_or(default);
        if limit == 0 || limit > max {
            return Err(Error::invalid(format!("limit is {limit}; it must be between 1 and {max}")));
        }
        let after = match token.filter(|t| !t.is_empty()) {
            None => None,
            Some(token) => Some(position(&open(token, scope).ok_or_else(wrong_token)?).map_err(|_| wrong_token())?),
        };
        Ok(Self { limit, after, scope })
    }

    /// The token of the next page, which starts after `last`; none when nothing follows.
    pub fn next_token(&self, last: Option<&str>) -> Option<String> {
        last.map(|last| seal(last, self.scope))
    }
}

fn wrong_token() -> Error {
    Error::invalid("The pagination token is not valid; pass the token of the page before, with the same namespace, prefix and filter")
}

/// Token bytes: scope (8), check (8), position. The check is no secret: it catches a token that was cut or mixed up.
fn seal(position: &str, scope: Scope) -> String {
    let scope = scope.0.to_le_bytes();
    let bytes = [&scope[..], &check(&scope, position).to_le_bytes(), position.as_bytes()].concat();
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn open(token: &str, scope: Scope) -> Option<String> {
    let digit = |b: u8| char::from(b).to_digit(16);
    let bytes = token.as_bytes();
    if !bytes.len().is_multiple_of(2) {
        return None;
    }
    let bytes: Option<Vec<u8>> = bytes.chunks_exact(2).map(|c| u8::try_from(digit(c[0])? << 4 | digit(c[1])?).ok()).collect();
    let bytes = bytes?;
    let (scope_bytes, rest) = bytes.split_first_chunk::<8>()?;
    let (check_bytes, position) = rest.split_first_chunk::<8>()?;
    let position = std::str::from_utf8(position).ok()?;
    let good = *scope_bytes == scope.0.to_le_bytes() && *check_bytes == check(scope_bytes, position).to_le_bytes();
    good.then(|| position.to_owned())
}

fn check(scope: &[u8; 8], position: &str) -> u64 {
    let mut hash = Fnv::new();
    hash.add(b"page");
    hash.add(scope);
    hash.add(position.as_bytes());
    hash.0
}

/// FNV-1a, which stays the same from build to build.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
    fn add(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.0 = (self.0 ^ u64::from(b)).wrapping_mul(0x100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(token: Option<&str>, namespace: &str) -> Result<Page<String>> {
        Page::new(None, 100, 100, token, Scope::new("list", &[namespace, "p"]), |s| Ok(s.to_owned()))
    }

    #[test]
    fn a_token_carries_the_position_and_its_listing() {
        let first = page(None, "a").unwrap();
        assert_eq!((first.after.as_deref(), first.next_token(None)), (None, None));
        let token = first.next_token(Some("doc#7")).unwrap();
        assert_eq!(page(Some(&token), "a").unwrap().after.as_deref(), Some("doc#7"));
        assert_eq!(page(Some(""), "a").unwrap().after, None);
        assert!(page(Some(&token), "b").is_err(), "another namespace");
        for i in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[i] = if changed[i] == b'0' { b'1' } else { b'0' };
            assert!(page(Some(std::str::from_utf8(&changed).unwrap()), "a").is_err(), "digit {i}");
        }
        for bad in ["x", "00", "é", &token[..token.len() - 2]] {
            assert!(page(Some(bad), "a").is_err(), "{bad}");
        }
    }

    #[test]
    fn limits() {
        let with = |n| Page::new(Some(n), 100, 100, None, Scope::new("", &[]), |s| Ok(s.to_owned()));
        assert_eq!(with(100).unwrap().limit, 100);
        assert!(with(0).is_err());
        assert!(with(101).unwrap_err().message.contains("between 1 and 100"));
    }
}
