//! Metadata, from and to JSON objects and protobuf structs.

use std::collections::BTreeMap;

use pinyon_model::{Error, Metadata, MetadataValue, Result, excerpt};
use prost_types::{ListValue, Struct, Value, value::Kind};
use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::json::Node;

/// Reads metadata: a flat object of texts, numbers, booleans and lists of texts.
pub(crate) fn from_node(node: Node) -> Result<Metadata> {
    let Node::Object(fields) = node else {
        return Err(Error::invalid(format!("Metadata must be an object, but got {node}")));
    };
    let fields = fields.into_iter().map(|(key, node)| {
        let value = value(&key, node)?;
        Ok((key, value))
    });
    Metadata::new(fields.collect::<Result<BTreeMap<_, _>>>()?)
}

/// Reads metadata that may be absent or `null`.
pub(crate) fn from_optional_node(node: Option<Node>) -> Result<Option<Metadata>> {
    match node {
        None | Some(Node::Null) => Ok(None),
        Some(node) => from_node(node).map(Some),
    }
}

fn value(key: &str, node: Node) -> Result<MetadataValue> {
    let wrong = |got: String| {
        Error::invalid(format!(
            "Metadata value must be a string, number, boolean or list of strings, got '{got}' for field '{}'",
            excerpt(key)
        ))
    };
    Ok(match node {
        Node::String(s) => MetadataValue::String(s),
        Node::Number(n) => MetadataValue::Number(n),
        Node::Bool(b) => MetadataValue::Bool(b),
        Node::List(list) => {
            let texts = list.into_iter().map(|item| match item {
                Node::String(s) => Ok(s),
                other => Err(wrong(format!("a list with {other} in it"))),
            });
            MetadataValue::StringList(texts.collect::<Result<_>>()?)
        }
        other => return Err(wrong(other.to_string())),
    })
}

/// A protobuf struct as a node.
pub(crate) fn struct_node(s: Struct) -> Node {
    Node::Object(s.fields.into_iter().map(|(key, value)| (key, value_node(value))).collect())
}

fn value_node(value: Value) -> Node {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Node::Null,
        Some(Kind::BoolValue(b)) => Node::Bool(b),
        Some(Kind::NumberValue(n)) => Node::Number(n),
        Some(Kind::StringValue(s)) => Node::String(s),
        Some(Kind::ListValue(list)) => Node::List(list.values.into_iter().map(value_node).collect()),
        Some(Kind::StructValue(s)) => struct_node(s),
    }
}

/// Metadata as a protobuf struct.
pub(crate) fn into_struct(metadata: Metadata) -> Struct {
    let text = |s| Value { kind: Some(Kind::StringValue(s)) };
    let field = |(key, value)| {
        let kind = match value {
            MetadataValue::String(s) => Kind::StringValue(s),
            MetadataValue::Number(n) => Kind::NumberValue(n),
            MetadataValue::Bool(b) => Kind::BoolValue(b),
            MetadataValue::StringList(l) => Kind::ListValue(ListValue { values: l.into_iter().map(text).collect() }),
        };
        (key, Value { kind: Some(kind) })
    };
    Struct { fields: metadata.into_fields().into_iter().map(field).collect() }
}

/// Metadata as a JSON object.
pub(crate) struct MetadataOut<'a>(pub(crate) &'a Metadata);

impl Serialize for MetadataOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = self.0.fields();
        let mut map = serializer.serialize_map(Some(fields.len()))?;
        for (key, value) in fields {
            match value {
                MetadataValue::String(s) => map.serialize_entry(key, s)?,
                MetadataValue::Bool(b) => map.serialize_entry(key, b)?,
                MetadataValue::StringList(l) => map.serialize_entry(key, l)?,
                MetadataValue::Number(n) => map.serialize_entry(key, &NumberOut(*n))?,
            }
        }
        map.end()
    }
}

/// A number as clients wrote it: a whole one without a fraction.
struct NumberOut(f64);

impl Serialize for NumberOut {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53: from here on f64 skips whole numbers
        let n = self.0;
        if n.fract() == 0.0 && n.abs() < EXACT && !(n == 0.0 && n.is_sign_negative()) {
            serializer.serialize_i64(n as i64)
        } else {
            serializer.serialize_f64(n)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Metadata> {
        from_node(serde_json::from_str(json).map_err(|e| Error::invalid(e.to_string()))?)
    }

    #[test]
    fn every_kind_of_value_round_trips_both_ways() {
        let json = r#"{"b":true,"f":1.5,"i":3,"l":["x","y"],"n":-0.0,"s":"text","u":9007199254740993.0,"z":[]}"#;
        let m = read(json).unwrap();
        let printed = serde_json::to_string(&MetadataOut(&m)).unwrap();
        assert_eq!(printed, r#"{"b":true,"f":1.5,"i":3,"l":["x","y"],"n":-0.0,"s":"text","u":9007199254740992.0,"z":[]}"#);
        assert_eq!(read(&printed).unwrap(), m);
        assert_eq!(from_node(struct_node(into_struct(m.clone()))).unwrap(), m);
    }

    #[test]
    fn what_is_not_metadata() {
        for (json, told) in [
            (r#"{"a":null}"#, "got 'null' for field 'a'"),
            (r#"{"a":{"b":1}}"#, "got 'an object' for field 'a'"),
            (r#"{"a":[1]}"#, "got 'a list with 1 in it' for field 'a'"),
            (r#"{"$a":1}"#, "must not start with '$'"),
            (r#"[1]"#, "must be an object"),
            (r#"{"a":1,"a":2}"#, "occurs twice"),
        ] {
            let message = read(json).unwrap_err().message;
            assert!(message.contains(told), "{json}: {message}");
        }
    }
}
