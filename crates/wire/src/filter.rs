//! The filter language, from JSON and from protobuf structs alike.

use pinyon_model::{Condition, Error, Filter, Result, Scalar, excerpt};

use crate::json::Node;

/// Operators of one field that vector indexes know.
const OPERATORS: &str = "$eq, $ne, $gt, $gte, $lt, $lte, $in, $nin, $exists, $not";

/// Reads a filter: several fields, and several operators of one field, are all required.
pub(crate) fn from_node(node: Node) -> Result<Filter> {
    object(node)?.checked()
}

/// Reads a filter that may be absent or `null`.
pub(crate) fn from_optional_node(node: Option<Node>) -> Result<Option<Filter>> {
    match node {
        None | Some(Node::Null) => Ok(None),
        Some(node) => from_node(node).map(Some),
    }
}

fn object(node: Node) -> Result<Filter> {
    let Node::Object(fields) = node else {
        return Err(Error::invalid(format!("A filter must be an object such as {{\"genre\": {{\"$eq\": \"drama\"}}}}, but got {node}")));
    };
    all(fields.into_iter().map(|(key, value)| clause(key, value)))
}

/// One part stands for itself; of several, all are required.
fn all(parts: impl Iterator<Item = Result<Filter>>) -> Result<Filter> {
    let mut parts = parts.collect::<Result<Vec<_>>>()?;
    Ok(match parts.len() {
        1 => parts.swap_remove(0),
        _ => Filter::And(parts),
    })
}

/// One entry of a filter object.
fn clause(key: String, value: Node) -> Result<Filter> {
    match key.as_str() {
        "$and" => Ok(Filter::And(parts("$and", value)?)),
        "$or" => Ok(Filter::Or(parts("$or", value)?)),
        _ if key.starts_with('$') => Err(unknown(&key, "here, where field names, $and and $or are allowed")),
        _ => field(&key, value),
    }
}

fn parts(operator: &str, value: Node) -> Result<Vec<Filter>> {
    match value {
        Node::List(list) if !list.is_empty() => list.into_iter().map(|part| non_empty_object(operator, part)).collect(),
        other => Err(Error::invalid(format!("{operator} takes a non-empty list of filters, but got {}", shown(&other)))),
    }
}

fn non_empty_object(operator: &str, value: Node) -> Result<Filter> {
    let filter = object(value)?;
    if filter.is_empty() {
        return Err(Error::invalid(format!("{operator} must not hold an empty filter")));
    }
    Ok(filter)
}

/// What is asked of one field: a value it equals, or an object of operators.
fn field(name: &str, value: Node) -> Result<Filter> {
    let Node::Object(operators) = value else {
        let scalar = scalar(value).map_err(|got| {
            Error::invalid(format!(
                "Filter on '{}' compares with {got}; a string, number, boolean or an object of operators is allowed",
                excerpt(name)
            ))
        })?;
        return Ok(Filter::Field(name.to_owned(), Condition::Eq(scalar)));
    };
    if operators.is_empty() {
        return Err(Error::invalid(format!("Filter on '{}' has no operator; {OPERATORS} are allowed", excerpt(name))));
    }
    all(operators.into_iter().map(|(operator, value)| comparison(name, &operator, value)))
}

fn comparison(name: &str, operator: &str, value: Node) -> Result<Filter> {
    let wrong =
        |allowed: &str, got: &Node| Error::invalid(format!("{operator} on '{}' takes {allowed}, but got {}", excerpt(name), shown(got)));
    let number = |value: Node| match value {
        Node::Number(n) => Ok(n),
        other => Err(wrong("a number", &other)),
    };
    let one = |value: Node| scalar(value).map_err(|got| wrong("a string, number or boolean", &got));
    let list = |value: Node| match value {
        Node::List(items) => {
            items.into_iter().map(|item| scalar(item).map_err(|got| wrong("a list of strings, numbers or booleans", &got))).collect()
        }
        other => Err(wrong("a list", &other)),
    };
    let condition = match operator {
        "$eq" => Condition::Eq(one(value)?),
        "$ne" => Condition::Ne(one(value)?),
        "$gt" => Condition::Gt(number(value)?),
        "$gte" => Condition::Gte(number(value)?),
        "$lt" => Condition::Lt(number(value)?),
        "$lte" => Condition::Lte(number(value)?),
        "$in" => Condition::In(list(value)?),
        "$nin" => Condition::Nin(list(value)?),
        "$exists" => match value {
            Node::Bool(b) => Condition::Exists(b),
            other => return Err(wrong("true or false", &other)),
        },
        "$not" => return Ok(Filter::Not(Box::new(field(name, negated(name, value)?)?))),
        "$match_phrase" | "$match_all" | "$match_any" => {
            return Err(Error::invalid(format!(
                "{operator} on '{}' searches text and needs a document index; a vector index knows {OPERATORS}",
                excerpt(name)
            )));
        }
        _ if operator.starts_with('$') => {
            return Err(unknown(operator, &format!("on '{}', where {OPERATORS} are allowed", excerpt(name))));
        }
        _ => {
            return Err(Error::invalid(format!(
                "Filter on '{}' holds '{}', which is not an operator; metadata is flat, and {OPERATORS} are allowed",
                excerpt(name),
                excerpt(operator)
            )));
        }
    };
    Ok(Filter::Field(name.to_owned(), condition))
}

/// `{"f": {"$not": {…}}}` negates operators, not a bare value.
fn negated(name: &str, value: Node) -> Result<Node> {
    match value {
        Node::Object(_) => Ok(value),
        other => Err(Error::invalid(format!("$not on '{}' takes an object of operators, but got {}", excerpt(name), shown(&other)))),
    }
}

fn scalar(value: Node) -> std::result::Result<Scalar, Node> {
    match value {
        Node::String(s) => Ok(Scalar::String(s)),
        Node::Number(n) => Ok(Scalar::Number(n)),
        Node::Bool(b) => Ok(Scalar::Bool(b)),
        other => Err(other),
    }
}

fn unknown(operator: &str, place: &str) -> Error {
    Error::invalid(format!("'{}' is not a valid filter operator {place}", excerpt(operator)))
}

fn shown(node: &Node) -> String {
    match node {
        Node::List(list) if list.is_empty() => "an empty list".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Filter> {
        from_node(serde_json::from_str(json).map_err(|e| Error::invalid(format!("not valid: {e}")))?)
    }

    fn field(name: &str, condition: Condition) -> Filter {
        Filter::Field(name.to_owned(), condition)
    }

    fn text(s: &str) -> Scalar {
        Scalar::String(s.to_owned())
    }

    #[test]
    fn every_operator() {
        let cases = [
            (r#"{"f":"x"}"#, Condition::Eq(text("x"))),
            (r#"{"f":true}"#, Condition::Eq(Scalar::Bool(true))),
            (r#"{"f":2}"#, Condition::Eq(Scalar::Number(2.0))),
            (r#"{"f":{"$eq":"x"}}"#, Condition::Eq(text("x"))),
            (r#"{"f":{"$ne":1.5}}"#, Condition::Ne(Scalar::Number(1.5))),
            (r#"{"f":{"$gt":1}}"#, Condition::Gt(1.0)),
            (r#"{"f":{"$gte":-1}}"#, Condition::Gte(-1.0)),
            (r#"{"f":{"$lt":1e3}}"#, Condition::Lt(1000.0)),
            (r#"{"f":{"$lte":0}}"#, Condition::Lte(0.0)),
            (r#"{"f":{"$in":["a",1,false]}}"#, Condition::In(vec![text("a"), Scalar::Number(1.0), Scalar::Bool(false)])),
            (r#"{"f":{"$nin":[]}}"#, Condition::Nin(vec![])),
            (r#"{"f":{"$exists":false}}"#, Condition::Exists(false)),
        ];
        for (json, condition) in cases {
            assert_eq!(read(json).unwrap(), field("f", condition), "{json}");
        }
    }

    #[test]
    fn several_are_all_required() {
        let both = Filter::And(vec![field("a", Condition::Gte(1.0)), field("a", Condition::Lt(2.0))]);
        assert_eq!(read(r#"{"a":{"$gte":1,"$lt":2}}"#).unwrap(), both);
        let fields = Filter::And(vec![field("a", Condition::Eq(text("x"))), field("b", Condition::Exists(true))]);
        assert_eq!(read(r#"{"a":"x","b":{"$exists":true}}"#).unwrap(), fields);
        let or = Filter::Or(vec![field("a", Condition::Eq(text("x"))), Filter::Not(Box::new(field("b", Condition::Gt(1.0))))]);
        assert_eq!(read(r#"{"$or":[{"a":"x"},{"b":{"$not":{"$gt":1}}}]}"#).unwrap(), or);
        assert!(read("{}").unwrap().is_empty());
        assert_eq!(from_optional_node(Some(Node::Null)).unwrap(), None);
    }

    #[test]
    fn refusals_name_what_was_wrong() {
        for (json, told) in [
            (r#"{"f":{"$like":"x"}}"#, "'$like' is not a valid filter operator on 'f'"),
            (r#"{"$gt":1}"#, "'$gt' is not a valid filter operator here"),
            (r#"{"$and":[]}"#, "$and takes a non-empty list of filters, but got an empty list"),
            (r#"{"$or":{}}"#, "$or takes a non-empty list"),
            (r#"{"$or":[{}]}"#, "$or must not hold an empty filter"),
            (r#"{"f":["a"]}"#, "compares with a list"),
            (r#"{"f":null}"#, "compares with null"),
            (r#"{"f":{}}"#, "has no operator"),
            (r#"{"f":{"g":1}}"#, "'g', which is not an operator"),
            (r#"{"f":{"$gt":"1"}}"#, "$gt on 'f' takes a number, but got \"1\""),
            (r#"{"f":{"$in":"a"}}"#, "$in on 'f' takes a list"),
            (r#"{"f":{"$in":[null]}}"#, "takes a list of strings, numbers or booleans, but got null"),
            (r#"{"f":{"$exists":1}}"#, "takes true or false"),
            (r#"{"f":{"$not":1}}"#, "takes an object of operators"),
            (r#"{"f":{"$match_all":"x"}}"#, "needs a document index"),
            (r#"{"f":1,"f":2}"#, "occurs twice"),
            (r#"[]"#, "must be an object"),
            (r#"{"f":1e400}"#, "out of range"),
            (r#"{"f":NaN}"#, "not valid"),
        ] {
            let error = read(json).unwrap_err();
            assert_eq!(error.code, pinyon_model::ErrorCode::InvalidArgument, "{json}");
            assert!(error.message.contains(told), "{json}: {}", error.message);
        }
    }

    #[test]
    fn depth_and_list_limits() {
        let nested = |n: usize| format!("{}{{\"f\":1}}{}", "{\"$and\":[".repeat(n), "]}".repeat(n));
        assert!(read(&nested(32)).is_ok());
        assert!(read(&nested(33)).unwrap_err().message.contains("nested too deeply"));
        assert!(read(&nested(100_000)).unwrap_err().message.contains("recursion limit"));
        let list = |n: usize| format!("{{\"f\":{{\"$in\":[{}]}}}}", vec!["1"; n].join(","));
        assert!(read(&list(10_000)).is_ok());
        assert!(read(&list(10_001)).unwrap_err().message.contains("at most 10000"));
    }
}
