//! The filter language, from JSON and from protobuf structs alike.

use pinyon_model::{Condition, Error, Filter, Result, Scalar};

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
                name.escape_debug()
            ))
        })?;
        return Ok(Filter::Field(name.to_owned(), Condition::Eq(scalar)));
    };
    if operators.is_empty() {
        return Err(Error::invalid(format!("Filter on '{}' has no operator; {OPERATORS} are allowed", name.escape_debug())));
    }
    all(operators.into_iter().map(|(operator, value)| comparison(name, &operator, value)))
}

fn comparison(name: &str, operator: &str, value: Node) -> Result<Filter> {
    let wrong = |allowed: &str, got: &Node| {
        Error::invalid(format!("{operator} on '{}' takes {allowed}, but got {}", name.escape_debug(), shown(got)))
    };
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
                name.escape_debug()
            )));
        }
        _ if operator.starts_with('$') => {
            return Err(unknown(operator, &format!("on '{}', where {OPERATORS} are allowed", name.escape_debug())));
        }
        _ => {
            return Err(Error::invalid(format!(
                "Filter on '{}' holds '{}', which is not an operator; metadata is flat, and {OPERATORS} are allowed",
                name.escape_debug(),
                operator.escape_debug()
            )));
        }
    };
    Ok(Filter::Field(name.to_owned(), condition))
}

/// `{"f": {"$not": {…}}}` negates operators, not a bare value.
fn negated(name: &str, value: Node) -> Result<Node> {
    match value {
        Node::Object(_) => Ok(value),
        other => Err(Error::invalid(format!("$not on '{}' takes an object of operators, but got {}", name.escape_debug(), shown(&other)))),
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
    Error::invalid(format!("'{}' is not a valid filter operator {place}", operator.escape_debug()))
}

fn shown(node: &Node) -> String {
    match node {
        Node::List(list) if list.is_empty() => "an empty list".to_owned(),
        other => other.to_string(),
    }
}
