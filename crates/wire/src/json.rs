//! Reading and writing JSON bodies: one place that decides what a caller is told of a body that cannot be read.

use std::{collections::BTreeSet, fmt, marker::PhantomData};

use pinyon_model::{Error, ErrorCode, MetadataSchema, Result, excerpt};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

/// Reads a body of the vectors and namespaces planes: whatever is wrong with it is a 400. An empty body reads as `{}`.
pub(crate) fn from_gateway<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    read(body).map_err(|e| Error::invalid(format!("Request body is not valid: {e}")))
}

/// Reads a body of the control plane: not JSON is a 400, JSON of the wrong shape a 422.
pub(crate) fn from_control<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    read(body).map_err(|e| match e.classify() {
        serde_json::error::Category::Data => {
            Error::new(ErrorCode::UnprocessableEntity, format!("Failed to deserialize the JSON body into the target type: {e}"))
        }
        _ => Error::invalid(format!("Request body is not valid JSON: {e}")),
    })
}

fn read<T: DeserializeOwned>(body: &[u8]) -> serde_json::Result<T> {
    let body = if body.iter().all(u8::is_ascii_whitespace) { b"{}" } else { body };
    serde_json::from_slice(body).map(|Object(body)| body)
}

/// Writes a body that this crate made itself.
pub(crate) fn to_vec<T: Serialize + ?Sized>(body: &T) -> Vec<u8> {
    serde_json::to_vec(body).expect("string keys and infallible serializers only")
}

/// `null` reads as the type's default, which is how clients spell an argument that was not given.
pub(crate) fn null_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(d: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}

/// Tells a field that is `null` from one that is not there; with `#[serde(default)]`.
pub(crate) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(d).map(Some)
}

/// What only a JSON object can spell. A derived struct would also take a list, by position.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Object)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// An [`Object`] in a field.
pub(crate) fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<T, D::Error> {
    Object::deserialize(d).map(|Object(value)| value)
}

/// An [`Object`] in a field that may be `null`.
pub(crate) fn optional_object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<Option<T>, D::Error> {
    Ok(Option::<Object<T>>::deserialize(d)?.map(|Object(value)| value))
}

/// A list of which at most `MAX` elements are kept; the rest is counted, so that a body of nothing but elements does not fill memory.
pub(crate) struct Bounded<T, const MAX: usize> {
    pub(crate) kept: Vec<T>,
    pub(crate) count: usize,
}

impl<T, const MAX: usize> Bounded<T, MAX> {
    pub(crate) fn new(kept: Vec<T>) -> Self {
        Self { count: kept.len(), kept }
    }
}

impl<T, const MAX: usize> Default for Bounded<T, MAX> {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Bounded<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(BoundedVisitor::<T, MAX>(PhantomData))
    }
}

struct BoundedVisitor<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for BoundedVisitor<T, MAX> {
    type Value = Bounded<T, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut list = Bounded::default();
        while list.kept.len() < MAX {
            let Some(item) = seq.next_element()? else { return Ok(Bounded::new(list.kept)) };
            list.kept.push(item);
        }
        list.count = MAX;
        while seq.next_element::<IgnoredAny>()?.is_some() {
            list.count += 1;
        }
        Ok(list)
    }
}

/// A JSON value that remembers nothing it need not: what metadata and filters are read from, whichever way they came.
/// A key that occurs twice in one object is refused, because the two readings would differ.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Number(f64),
    String(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl fmt::Display for Node {
    /// The value as a caller would recognise it, cut short when long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Null => f.write_str("null"),
            Node::Bool(b) => write!(f, "{b}"),
            Node::Number(n) => write!(f, "{n}"),
            Node::String(s) if s.len() > 64 => f.write_str("a long string"),
            Node::String(s) => write!(f, "\"{}\"", s.escape_debug()),
            Node::List(_) => f.write_str("a list"),
            Node::Object(_) => f.write_str("an object"),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }
    fn visit_bool<E>(self, v: bool) -> Result<Node, E> {
        Ok(Node::Bool(v))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Node, E> {
        Ok(Node::Number(v as f64))
    }
    fn visit_u64<E>(self, v: u64) -> Result<Node, E> {
        Ok(Node::Number(v as f64))
    }
    fn visit_f64<E>(self, v: f64) -> Result<Node, E> {
        Ok(Node::Number(v))
    }
    fn visit_str<E>(self, v: &str) -> Result<Node, E> {
        Ok(Node::String(v.to_owned()))
    }
    fn visit_string<E>(self, v: String) -> Result<Node, E> {
        Ok(Node::String(v))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(node) = seq.next_element()? {
            list.push(node);
        }
        Ok(Node::List(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut fields: Vec<(String, Node)> = Vec::new();
        let mut names = std::collections::HashSet::new();
        while let Some((key, node)) = map.next_entry::<String, Node>()? {
            if !names.insert(key.clone()) {
                return Err(serde::de::Error::custom(format_args!("key '{}' occurs twice in one object", excerpt(&key))));
            }
            fields.push((key, node));
        }
        Ok(Node::Object(fields))
    }
}

/// A whole number, which clients also spell with a zero fraction or as a text.
pub(crate) fn whole_number<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u32>, D::Error> {
    let wrong =
        |got: &dyn fmt::Display| serde::de::Error::custom(format_args!("expected a whole number from 0 to {}, but got {got}", u32::MAX));
    match Node::deserialize(d)? {
        Node::Null => Ok(None),
        Node::Number(n) if n.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&n) => Ok(Some(n as u32)),
        Node::String(s) => s.parse().map(Some).map_err(|_| wrong(&Node::String(s))),
        other => Err(wrong(&other)),
    }
}

/// `{"filterable": true}`: one field of a metadata schema.
#[derive(Deserialize)]
pub(crate) struct FilterableBody {
    #[serde(default, deserialize_with = "null_default")]
    pub(crate) filterable: bool,
}

/// A metadata schema of these fields; of none, none.
pub(crate) fn metadata_schema(fields: impl Iterator<Item = (String, bool)>) -> Result<Option<MetadataSchema>> {
    let names = fields.map(|(name, filterable)| {
        if filterable {
            Ok(name)
        } else {
            Err(Error::invalid(format!("Schema field '{}' must be given as {{\"filterable\": true}}", excerpt(&name))))
        }
    });
    let names = names.collect::<Result<BTreeSet<_>>>()?;
    if names.is_empty() { Ok(None) } else { MetadataSchema::new(names).map(Some) }
}
