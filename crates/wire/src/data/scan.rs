//! A fast reading of the bodies of upserts and queries, which are almost entirely decimal numbers.
//!
//! It understands the plain spelling that clients send and gives up (`None`) on everything else, errors included: the
//! caller then reads the body the general way, which decides what is right and says what is wrong. Whatever is read here is
//! exactly what the general way would have read; a property test holds the two together.

use pinyon_model::limits::UPSERT_RECORDS_MAX;
use serde::{Deserialize, de::IgnoredAny};

use super::{
    upsert::Body,
    vector::{SparseBody, VectorBody},
};
use crate::json::{Bounded, Node, Object};

/// Reads the body of an upsert.
pub(super) fn upsert(body: &[u8]) -> Option<Body> {
    let mut cursor = Cursor { body, at: 0, values: Vec::new() };
    let (mut vectors, mut namespace) = (None, None);
    cursor.object(|cursor, key| match key {
        "vectors" => set(&mut vectors, cursor.vectors()?),
        "namespace" => set(&mut namespace, cursor.value::<Option<String>>()?),
        _ => cursor.value::<IgnoredAny>().map(|_| ()),
    })?;
    cursor.space();
    (cursor.at == body.len()).then_some(Body { vectors: Bounded::new(vectors?), namespace: namespace.flatten() })
}

/// Takes the vector out of the body of a query; the rest is given back as a body of its own.
pub(super) fn query(body: &[u8]) -> Option<(Vec<f32>, Vec<u8>)> {
    let mut cursor = Cursor { body, at: 0, values: Vec::with_capacity(body.len() / NUMBER) };
    let (mut vector, mut rest) = (None, vec![b'{']);
    cursor.object(|cursor, key| {
        if key == "vector" {
            cursor.numbers()?;
            return set(&mut vector, std::mem::take(&mut cursor.values));
        }
        let from = cursor.at;
        cursor.value::<IgnoredAny>()?;
        let before: &[u8] = if rest.len() > 1 { b",\"" } else { b"\"" };
        [before, key.as_bytes(), b"\":", body.get(from..cursor.at)?].into_iter().for_each(|part| rest.extend_from_slice(part));
        Some(())
    })?;
    cursor.space();
    rest.push(b'}');
    (cursor.at == body.len()).then_some((vector?, rest))
}

/// Keeps a field's value; a second one is not plain.
fn set<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

/// Characters of a number, few rather than many.
const NUMBER: usize = 8;

struct Cursor<'a> {
    body: &'a [u8],
    at: usize,
    /// Where values are gathered before their number is known; its room is used again for the next vector.
    values: Vec<f32>,
}

impl<'a> Cursor<'a> {
    fn space(&mut self) {
        while matches!(self.body.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        self.space();
        (self.body.get(self.at) == Some(&byte)).then(|| self.at += 1)
    }

    /// Any value, read the general way.
    fn value<T: Deserialize<'a>>(&mut self) -> Option<T> {
        let mut values = serde_json::Deserializer::from_slice(self.body.get(self.at..)?).into_iter::<T>();
        let value = values.next()?.ok()?;
        self.at += values.byte_offset();
        Some(value)
    }

    fn object(&mut self, mut field: impl FnMut(&mut Self, &'a str) -> Option<()>) -> Option<()> {
        self.take(b'{')?;
        if self.take(b'}').is_some() {
            return Some(());
        }
        loop {
            let key = self.value::<&str>()?;
            self.take(b':')?;
            field(self, key)?;
            if self.take(b',').is_none() {
                return self.take(b'}');
            }
        }
    }

    /// Calls `item` at each element of a list.
    fn list(&mut self, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.take(b'[')?;
        if self.take(b']').is_some() {
            return Some(());
        }
        loop {
            item(self)?;
            if self.take(b',').is_none() {
                return self.take(b']');
            }
        }
    }

    /// The vectors, of which more than are allowed are not plain.
    fn vectors(&mut self) -> Option<Vec<Object<VectorBody>>> {
        let mut vectors = Vec::new();
        self.list(|cursor| {
            vectors.push(cursor.vector()?);
            (vectors.len() <= UPSERT_RECORDS_MAX).then_some(())
        })?;
        Some(vectors)
    }

    fn floats(&mut self) -> Option<Vec<f32>> {
        self.numbers()?;
        Some(self.values.clone())
    }

    /// Gathers a list of numbers.
    fn numbers(&mut self) -> Option<()> {
        self.values.clear();
        self.list(|cursor| {
            cursor.space();
            let (value, length) = float(cursor.body.get(cursor.at..)?)?;
            cursor.at += length;
            cursor.values.push(value);
            Some(())
        })
    }

    fn vector(&mut self) -> Option<Object<VectorBody>> {
        let (mut id, mut values, mut sparse_values, mut metadata) = (None, None, None, None);
        self.object(|cursor, key| match key {
            "id" => set(&mut id, cursor.value::<String>()?),
            "values" => set(&mut values, cursor.floats()?),
            "sparseValues" | "sparse_values" => set(&mut sparse_values, cursor.value::<Option<Object<SparseBody>>>()?),
            "metadata" => set(&mut metadata, cursor.value::<Option<Node>>()?),
            _ => cursor.value::<IgnoredAny>().map(|_| ()),
        })?;
        Some(Object(VectorBody {
            id: id.unwrap_or_default(),
            values: values.unwrap_or_default(),
            sparse_values: sparse_values.flatten().map(|Object(s)| s),
            metadata: metadata.flatten(),
        }))
    }
}

/// Appends the run of digits at `at` to `number`, and says how many there were. With more than fit, the number is worthless.
fn digits(text: &[u8], at: usize, mut number: u64) -> (u64, usize) {
    let run = text.get(at..).unwrap_or_default();
    let mut n = 0;
    while let Some(eight) = run[n..].first_chunk().and_then(|chunk| eight_digits(*chunk)) {
        number = number.wrapping_mul(100_000_000).wrapping_add(eight);
        n += 8;
    }
    while let Some(digit) = run.get(n).map(|b| b.wrapping_sub(b'0')).filter(|d| *d < 10) {
        number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
        n += 1;
    }
    (number, n)
}

/// Eight digits at once: neighbours are joined to pairs, pairs to fours, fours to eight, in the lanes of one word.
fn eight_digits(text: [u8; 8]) -> Option<u64> {
    const LANES: u64 = 0x0101_0101_0101_0101;
    let word = u64::from_le_bytes(text);
    // A byte below '0' borrows into its top bit, one above '9' carries into it.
    let (below, above) = (word.wrapping_sub(LANES * 0x30), word.wrapping_add(LANES * 0x46));
    if (below | above) & (LANES * 0x80) != 0 {
        return None;
    }
    let pairs = below.wrapping_mul(10).wrapping_add(below >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    Some(fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff)
}

/// Powers of ten that a double holds exactly.
const POWERS: [f64; 23] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22];

/// The finite number that `text` begins with, rounded once to the nearest float, and its length.
fn float(text: &[u8]) -> Option<(f32, usize)> {
    let number = Decimal::read(text)?;
    let value = match number.rounded() {
        Some(value) => value,
        None => std::str::from_utf8(&text[..number.length]).ok()?.parse().ok()?,
    };
    value.is_finite().then_some((value, number.length))
}

/// A JSON number: ± `digits` · 10^`exponent`, if `exact`; else more digits than these were written.
struct Decimal {
    negative: bool,
    digits: u64,
    exponent: i32,
    exact: bool,
    length: usize,
}

/// Digits that always fit a `u64`.
const DIGITS: usize = 19;

impl Decimal {
    /// Reads by JSON's grammar: no leading zeros or plus, digits on both sides of a point.
    fn read(text: &[u8]) -> Option<Self> {
        let start = usize::from(text.first() == Some(&b'-'));
        let (digits, whole) = digits(text, start, 0);
        if whole == 0 || (whole > 1 && text[start] == b'0') {
            return None;
        }
        let mut number = Self { negative: start == 1, digits, exponent: 0, exact: true, length: start + whole };
        let mut written = whole;
        if text.get(number.length) == Some(&b'.') {
            let (digits, fraction) = self::digits(text, number.length + 1, number.digits);
            if fraction == 0 {
                return None;
            }
            number.digits = digits;
            number.exponent = -i32::try_from(fraction).ok()?;
            number.length += 1 + fraction;
            written += fraction;
        }
        if written > DIGITS {
            let zeros = text[start..number.length].iter().take_while(|b| matches!(b, b'0' | b'.')).filter(|b| **b == b'0').count();
            number.exact = written - zeros <= DIGITS;
        }
        if matches!(text.get(number.length), Some(b'e' | b'E')) {
            number.power(text)?;
        } else if number.exponent == 0 && whole > 18 {
            // The general way rounds some of these whole numbers twice; nobody sends them.
            return None;
        }
        Some(number)
    }

    fn power(&mut self, text: &[u8]) -> Option<()> {
        self.length += 1;
        let sign = text.get(self.length).copied();
        self.length += usize::from(matches!(sign, Some(b'+' | b'-')));
        let start = self.length;
        let mut power = 0i32;
        while let Some(digit) = text.get(self.length).map(|b| b.wrapping_sub(b'0')).filter(|d| *d < 10) {
            power = power.saturating_mul(10).saturating_add(i32::from(digit));
            self.length += 1;
        }
        self.exponent = self.exponent.saturating_add(if sign == Some(b'-') { -power } else { power });
        (self.length > start).then_some(())
    }

    /// The nearest float, when a double tells which it is.
    ///
    /// Turning the digits into a double and scaling by an exact power of ten are off by half a unit of the last place each,
    /// so by two units at most. A float keeps 24 of a double's 53 bits: rounding to it can only go wrong when the 29 bits
    /// cut off are within that error of one half.
    fn rounded(&self) -> Option<f32> {
        const CUT: u64 = 1 << 29;
        if !self.exact {
            return None;
        }
        let power = *POWERS.get(usize::try_from(self.exponent.unsigned_abs()).ok()?)?;
        let digits = self.digits as f64;
        let value = if self.exponent < 0 { digits / power } else { digits * power };
        let from_half = (value.to_bits() % CUT).abs_diff(CUT / 2);
        let safe = self.digits == 0 || (from_half > 4 && (1e-37..1e38).contains(&value));
        safe.then_some(if self.negative { -value as f32 } else { value as f32 })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::query, *};
    use crate::json;

    fn bits(body: &Body) -> Vec<(String, Vec<u32>, String)> {
        let of = |Object(v): &Object<VectorBody>| (v.id.clone(), v.values.iter().map(|f| f.to_bits()).collect(), format!("{v:?}"));
        body.vectors.kept.iter().map(of).collect()
    }

    fn number() -> impl Strategy<Value = String> {
        let float = any::<u32>().prop_map(f32::from_bits).prop_filter("finite", |f| f.is_finite());
        prop_oneof![
            float.clone().prop_map(|f| format!("{f}")),
            float.clone().prop_map(|f| format!("{f:e}")),
            float.clone().prop_map(|f| format!("{}", f64::from(f))),
            // Halfway between two floats, and a hair beside it.
            float.prop_map(|f| format!("{}", (f64::from(f) + f64::from(f32::from_bits(f.to_bits().wrapping_add(1)))) / 2.0)),
            any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(|f| format!("{f:e}")),
            "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,2})?",
            any::<i64>().prop_map(|i| i.to_string()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn numbers_are_what_the_library_reads(text in number()) {
            let expected: f32 = text.parse().expect("a number");
            if !expected.is_finite() {
                prop_assert!(float(text.as_bytes()).is_none(), "{}", text);
                return Ok(());
            }
            let Some((value, length)) = float(format!("{text},").as_bytes()) else {
                prop_assert!(text.len() > 18 && !text.contains(['.', 'e', 'E']), "{}", text);
                return Ok(());
            };
            prop_assert_eq!((value.to_bits(), length), (expected.to_bits(), text.len()), "{}", text);
            let general: f32 = serde_json::from_str(&text).expect("JSON");
            prop_assert_eq!(value.to_bits(), general.to_bits(), "{}", text);
        }

        #[test]
        fn whatever_is_read_fast_is_read_the_same_in_general(body in damaged(UPSERT)) {
            if let Some(fast) = upsert(&body) {
                let general: Body = json::from_gateway(&body).expect("the general way reads it too");
                prop_assert_eq!(bits(&fast), bits(&general));
                prop_assert_eq!(fast.namespace, general.namespace);
            }
        }

        #[test]
        fn a_query_is_read_the_same_either_way(body in damaged(QUERY)) {
            let general = json::from_gateway::<query::Body>(&body);
            let fast = query::Body::read(&body);
            // Floats are printed so that no two of them look alike.
            prop_assert_eq!(format!("{fast:?}"), format!("{general:?}"));
        }
    }

    const UPSERT: &str = r#"{ "vectors":[{"id":"a","values":[0.1,-2e-3, 7],"sparseValues":{"indices":[1],"values":[1]},"metadata":{"g":["x"],"n":1.5}},{"values":[],"id":"b","metadata":null,"k":[{}]}],"namespace":"n","z":null}"#;
    const QUERY: &str = r#"{ "topK":3,"vector": [0.1,-2e-3, 7],"filter":{"g":{"$in":["x","vector"]}},"includeValues":true,"scan_factor":1.5,"sparseVector":{"indices":[1],"values":[1]},"namespace":"n","id":"","z":null}"#;

    /// A right body with a few bytes changed, so that most are almost right.
    fn damaged(body: &'static str) -> impl Strategy<Value = Vec<u8>> {
        let pieces = prop::sample::select(b"0123456789.-+eE,:[]{}\" \nnullidvaluestrfa".to_vec());
        proptest::collection::vec((any::<prop::sample::Index>(), pieces, 0..3u8), 0..4).prop_map(|cuts| {
            let mut bytes = body.as_bytes().to_vec();
            for (at, byte, what) in cuts {
                let at = at.index(bytes.len());
                match what {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    _ => {
                        bytes.remove(at);
                    }
                }
            }
            bytes
        })
    }

    #[test]
    fn the_plain_spelling_is_read_fast_and_others_are_not() {
        let one = |values: &str| format!(r#"{{"vectors":[{{"id":"a","values":[{values}]}}]}}"#);
        for good in
            [one(""), one("1"), one(" -0 , 1.5e+3 ,0.25"), "{\"vectors\":[]}".to_owned(), "{ \"vectors\" : [ ] , \"x\" : {} }\n".to_owned()]
        {
            assert!(upsert(good.as_bytes()).is_some(), "{good}");
        }
        for (good, rest) in [(r#"{"vector":[1,2],"topK":3}"#, r#"{"topK":3}"#), (r#" {"id" : "" , "vector":[] } "#, r#"{"id": ""}"#)] {
            assert_eq!(query(good.as_bytes()).map(|(_, rest)| rest).as_deref(), Some(rest.as_bytes()), "{good}");
        }
        for not in
            [r#"{"topK":3}"#, r#"{"vector":null}"#, r#"{"vector":[1],"vector":[1]}"#, r#"{"vector":[1]} x"#, r#"{"v\u0065ctor":[1]}"#]
        {
            assert!(query(not.as_bytes()).is_none(), "{not}");
        }
        for not in ["01", "+1", ".5", "1.", "1e", "NaN", "1e39", "null", "\"1\"", "1,", "- 1", "1 2"] {
            assert!(upsert(one(not).as_bytes()).is_none(), "{not}");
        }
        for not in ["", "[]", "{\"vectors\":[],}", "{\"vectors\":[]} x", "{\"vectors\":[],\"vectors\":[]}", "{\"vectors\":null}"] {
            assert!(upsert(not.as_bytes()).is_none(), "{not}");
        }
    }
}
