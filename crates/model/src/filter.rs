use crate::{
    Error, Result, excerpt,
    limits::{FILTER_DEPTH_MAX, FILTER_LIST_MAX, FILTER_NODES_MAX},
};

/// A value that a filter compares with. Values of different types are never equal.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// Text.
    String(String),
    /// A finite number.
    Number(f64),
    /// True or false.
    Bool(bool),
}

/// What is asked of one field.
///
/// A field that is missing, or whose value is of another type, satisfies none of `Eq`, `In` and the four orders, and so
/// satisfies `Ne` and `Nin`, which are exactly their complements. On a list of texts, `Eq` and `In` hold when any element does.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// Equal.
    Eq(Scalar),
    /// Not equal, or missing.
    Ne(Scalar),
    /// Greater than; numbers only.
    Gt(f64),
    /// Greater than or equal; numbers only.
    Gte(f64),
    /// Less than; numbers only.
    Lt(f64),
    /// Less than or equal; numbers only.
    Lte(f64),
    /// Equal to one of these.
    In(Vec<Scalar>),
    /// Equal to none of these, or missing.
    Nin(Vec<Scalar>),
    /// Whether the field is there at all.
    Exists(bool),
}

/// A metadata filter. A fresh value is unchecked; [`Filter::checked`] holds the limits.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// All of these; of none, everything.
    And(Vec<Filter>),
    /// Any of these; of none, nothing.
    Or(Vec<Filter>),
    /// Not this: also what lacks the field.
    Not(Box<Filter>),
    /// A condition on one field.
    Field(String, Condition),
}

impl Filter {
    /// Checks depth, size, list lengths and numbers.
    pub fn checked(self) -> Result<Self> {
        let mut nodes = 0;
        self.check(0, &mut nodes)?;
        Ok(self)
    }

    /// Whether it is the empty object `{}`, which some operations refuse and others read as "everything".
    pub fn is_empty(&self) -> bool {
        matches!(self, Filter::And(parts) if parts.is_empty())
    }

    fn check(&self, depth: usize, nodes: &mut usize) -> Result<()> {
        *nodes += 1;
        if depth > FILTER_DEPTH_MAX {
            return Err(Error::invalid(format!("Filter is nested too deeply; at most {FILTER_DEPTH_MAX} levels are allowed")));
        }
        if *nodes > FILTER_NODES_MAX {
            return Err(Error::invalid(format!("Filter is too large; at most {FILTER_NODES_MAX} conditions are allowed")));
        }
        match self {
            Filter::And(parts) | Filter::Or(parts) => parts.iter().try_for_each(|p| p.check(depth + 1, nodes)),
            Filter::Not(part) => part.check(depth + 1, nodes),
            Filter::Field(field, condition) => {
                if field.starts_with('$') {
                    return Err(Error::invalid(format!("'{}' is not a valid filter operator", excerpt(field))));
                }
                condition.check(field)
            }
        }
    }
}

impl Condition {
    fn check(&self, field: &str) -> Result<()> {
        let finite = |n: f64| {
            if n.is_finite() {
                Ok(())
            } else {
                Err(Error::invalid(format!("Filter on '{}' compares with {n}; numbers must be finite", excerpt(field))))
            }
        };
        let scalar = |s: &Scalar| if let Scalar::Number(n) = s { finite(*n) } else { Ok(()) };
        match self {
            Condition::Eq(s) | Condition::Ne(s) => scalar(s),
            Condition::Gt(n) | Condition::Gte(n) | Condition::Lt(n) | Condition::Lte(n) => finite(*n),
            Condition::In(list) | Condition::Nin(list) => {
                if list.len() > FILTER_LIST_MAX {
                    return Err(Error::invalid(format!(
                        "Filter on '{}' lists {} values; $in and $nin take at most {FILTER_LIST_MAX}",
                        excerpt(field),
                        list.len()
                    )));
                }
                list.iter().try_for_each(scalar)
            }
            Condition::Exists(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> Filter {
        (0..depth).fold(Filter::Field("f".into(), Condition::Exists(true)), |f, _| Filter::Not(Box::new(f)))
    }

    #[test]
    fn limits_at_the_edge_and_one_past() {
        assert!(nested(FILTER_DEPTH_MAX).checked().is_ok());
        assert!(nested(FILTER_DEPTH_MAX + 1).checked().is_err());
        let list = |n| Filter::Field("f".into(), Condition::In(vec![Scalar::Bool(true); n])).checked();
        assert!(list(FILTER_LIST_MAX).is_ok());
        assert!(list(FILTER_LIST_MAX + 1).unwrap_err().message.contains("10000"));
        let wide = |n| Filter::Or(vec![nested(0); n]).checked();
        assert!(wide(FILTER_NODES_MAX - 1).is_ok());
        assert!(wide(FILTER_NODES_MAX).is_err());
        assert!(Filter::Field("f".into(), Condition::Gt(f64::NAN)).checked().is_err());
        assert!(Filter::Field("$and".into(), Condition::Exists(true)).checked().is_err());
    }
}
