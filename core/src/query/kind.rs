//! How the values of a member compare with a constant, told from its declaration alone: the one rule by which stores translate a filter
//! into their own indexes and languages.

use super::Literal;
use super::eval::SortValue;
use super::value::{position, read_datetime};
use crate::schema::FieldType;
use crate::timestamp::Timestamp;

/// The kind of the values that fit a declaration, null aside. Values of one kind have one order.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum ValueKind<'a> {
    /// True or false.
    Bool,
    /// A number.
    Number,
    /// A text.
    Text,
    /// A point in time.
    DateTime,
    /// A date.
    Date,
    /// A time of day.
    Time,
    /// One of these words, which are ordered by their places.
    Enum(&'a [String]),
    /// A point; all of them are equal in an order.
    Other,
    /// Any JSON value: not even its kind is known.
    Any,
}

/// What a constant is to the values of a kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Counterpart {
    /// They compare with it as with this value of their own kind.
    Value(SortValue),
    /// They are never equal to it, smaller or greater.
    Never,
    /// That depends on each of them.
    Depends,
}

impl<'a> ValueKind<'a> {
    /// The kind of the values that fit a type.
    pub fn of_type(ty: &'a FieldType) -> Self {
        match ty {
            FieldType::String | FieldType::Bytes => Self::Text,
            FieldType::Integer | FieldType::Number => Self::Number,
            FieldType::Boolean => Self::Bool,
            FieldType::Date => Self::Date,
            FieldType::Time => Self::Time,
            FieldType::DateTime => Self::DateTime,
            FieldType::Enum(words) => Self::Enum(words),
            FieldType::GeoPoint => Self::Other,
            FieldType::Json => Self::Any,
        }
    }

    /// The kind of a system property. All its values are of it.
    pub fn of_system(name: &str) -> Option<Self> {
        match name {
            "id" | "version" => Some(Self::Text),
            "createdAt" | "updatedAt" => Some(Self::DateTime),
            "deleted" => Some(Self::Bool),
            _ => None,
        }
    }

    /// True when a value other than null is of this kind. Of [`Other`](Self::Other) and [`Any`](Self::Any) no value tells.
    pub fn holds(self, value: &SortValue) -> bool {
        matches!(
            (self, value),
            (Self::Bool, SortValue::Bool(_))
                | (Self::Number, SortValue::Int(_) | SortValue::Float(_))
                | (Self::Text, SortValue::Text(_))
                | (Self::DateTime, SortValue::DateTime(_))
                | (Self::Date, SortValue::Date(_))
                | (Self::Time, SortValue::Time(_))
                | (Self::Enum(_), SortValue::Enum(_))
        )
    }

    /// True where a text that does not fit the declaration may still compare with a constant that has a counterpart of this kind, by being
    /// read as a time or by standing for itself. Other values that do not fit never compare with such a constant.
    pub fn has_text_misfits(self) -> bool {
        matches!(
            self,
            Self::DateTime | Self::Date | Self::Time | Self::Enum(_)
        )
    }

    /// What a constant other than null is to the values of this kind.
    pub fn counterpart(self, literal: &Literal) -> Counterpart {
        use Counterpart::{Depends, Never, Value};
        let found = |value: Option<SortValue>| value.map_or(Never, Value);
        match (self, literal) {
            // Each text may be read as a GUID or a time, and a time may lie within a day.
            (Self::Other | Self::Any, _)
            | (_, Literal::Guid(_) | Literal::Null)
            | (Self::Text, Literal::DateTime(_) | Literal::Date(_) | Literal::Time(_))
            | (Self::Date, Literal::DateTime(_)) => Depends,
            (Self::Bool, Literal::Bool(value)) => Value(SortValue::Bool(*value)),
            (Self::Number, Literal::Int(value)) => Value(SortValue::Int(*value)),
            (Self::Number, Literal::Float(value)) => Value(SortValue::Float(*value)),
            (Self::Text, Literal::String(text)) => Value(SortValue::Text(text.clone())),
            (Self::DateTime, Literal::DateTime(time)) => Value(SortValue::DateTime(*time)),
            (Self::DateTime, Literal::Date(date)) => {
                Value(SortValue::DateTime(Timestamp::at_midnight(*date)))
            }
            (Self::DateTime, Literal::String(text)) => {
                found(read_datetime(text).map(SortValue::DateTime))
            }
            (Self::Date, Literal::Date(date)) => Value(SortValue::Date(*date)),
            (Self::Date, Literal::String(text)) => found(text.parse().ok().map(SortValue::Date)),
            (Self::Time, Literal::Time(time)) => Value(SortValue::Time(*time)),
            (Self::Time, Literal::String(text)) => found(text.parse().ok().map(SortValue::Time)),
            (Self::Enum(words), Literal::String(word)) => {
                let place = position(words, word).and_then(|place| u32::try_from(place).ok());
                found(place.map(SortValue::Enum))
            }
            _ => Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{BinaryOp, Direction, Evaluator, Expr, FieldPath, OrderBy};
    use crate::record::Record;
    use crate::schema::TableSchema;

    /// Types, values that fit them, and texts that do not.
    fn fields() -> Vec<(FieldType, Vec<&'static str>, Vec<&'static str>)> {
        let words = ["G", "PG", "2024-02-29"].map(String::from).to_vec();
        let texts = vec!["\"\"", "\"G\"", "\"2024-02-29\"", "\"12:30:00\""];
        let moment = "\"2024-02-29T12:30:00.000Z\"";
        vec![
            (FieldType::String, texts.clone(), vec![]),
            (FieldType::Bytes, vec!["\"AAAA\""], texts.clone()),
            (FieldType::Integer, vec!["-1", "0", "7"], texts.clone()),
            (FieldType::Number, vec!["-0.5", "7", "7.5"], texts.clone()),
            (FieldType::Boolean, vec!["true", "false"], texts.clone()),
            (
                FieldType::Date,
                vec!["\"2024-02-28\"", "\"2024-02-29\""],
                vec!["\"\"", "\"G\"", moment],
            ),
            (
                FieldType::Time,
                vec!["\"12:30:00\"", "\"00:00:00\""],
                vec!["\"\"", "\"G\"", moment],
            ),
            (
                FieldType::DateTime,
                vec![moment, "\"2024-02-29T00:00:00.000Z\""],
                texts.clone(),
            ),
            (
                FieldType::Enum(words),
                vec!["\"G\"", "\"PG\"", "\"2024-02-29\""],
                vec!["\"\"", "\"12:30:00\"", moment],
            ),
            (FieldType::Json, vec!["1", "\"G\"", "[1]"], vec![]),
        ]
    }

    fn literals() -> Vec<Literal> {
        let date = "2024-02-29".parse().unwrap();
        let mut literals: Vec<Literal> = vec![
            Literal::Bool(true),
            Literal::Int(7),
            Literal::Float(0.5),
            Literal::Date(date),
            Literal::Time("12:30:00".parse().unwrap()),
            Literal::DateTime("2024-02-29T12:30:00.000Z".parse().unwrap()),
            Literal::DateTime(Timestamp::at_midnight(date)),
            Literal::Guid("7d9a5d2e-0000-0000-0000-000000000000".into()),
        ];
        for text in ["", "G", "PG", "AAAA", "2024-02-29", "12:30:00", "24:00:00"] {
            literals.push(Literal::String(text.into()));
        }
        literals.push(Literal::String("2024-02-29T12:30:00.000Z".into()));
        literals
    }

    const COMPARISONS: [BinaryOp; 5] = [
        BinaryOp::Eq,
        BinaryOp::Lt,
        BinaryOp::Le,
        BinaryOp::Gt,
        BinaryOp::Ge,
    ];

    /// Whether the reference finds the comparison true, and the place of the value in an order.
    fn reference(
        schema: &TableSchema,
        json: &str,
        op: BinaryOp,
        literal: &Literal,
    ) -> (bool, SortValue) {
        let record = Record::from_json(&format!(r#"{{"id":"a","x":{json}}}"#)).unwrap();
        let path = FieldPath::new("x");
        let filter = Expr::Binary(
            op,
            Box::new(Expr::Field(path.clone())),
            Box::new(Expr::Literal(literal.clone())),
        );
        let order = [OrderBy {
            path,
            direction: Direction::Ascending,
        }];
        let evaluator = Evaluator::new(schema);
        let key = evaluator.sort_key(&order, &record).values.remove(0);
        (evaluator.matches(&filter, &record), key)
    }

    #[test]
    fn counterparts_compare_as_the_reference_does() {
        let mut told = 0;
        for (ty, fitting, misfits) in fields() {
            let schema = TableSchema::new().with_field("x", ty.clone());
            let kind = ValueKind::of_type(&ty);
            for (literal, op) in literals()
                .iter()
                .flat_map(|literal| COMPARISONS.map(|op| (literal, op)))
            {
                let what = |json: &str| format!("{json} as {ty} {} {literal:?}", op.name());
                let counterpart = kind.counterpart(literal);
                for json in &fitting {
                    assert!(ty.fits(json), "{json} as {ty}");
                    let (matches, value) = reference(&schema, json, op, literal);
                    assert!(
                        kind == ValueKind::Any || kind.holds(&value),
                        "{}",
                        what(json)
                    );
                    let expected = match &counterpart {
                        Counterpart::Value(other) => {
                            let order = value.compare(other);
                            match op {
                                BinaryOp::Eq => order.is_eq(),
                                BinaryOp::Lt => order.is_lt(),
                                BinaryOp::Le => order.is_le(),
                                BinaryOp::Gt => order.is_gt(),
                                _ => order.is_ge(),
                            }
                        }
                        Counterpart::Never => false,
                        Counterpart::Depends => continue,
                    };
                    assert_eq!(matches, expected, "{}", what(json));
                    told += 1;
                }
                // What does not fit only matters where the rule says so.
                if matches!(counterpart, Counterpart::Value(_)) && !kind.has_text_misfits() {
                    for json in misfits.iter().filter(|_| kind != ValueKind::Text) {
                        assert!(!reference(&schema, json, op, literal).0, "{}", what(json));
                    }
                }
            }
        }
        assert!(told > 1_000, "{told}");
    }

    #[test]
    fn system_properties_have_one_kind() {
        for name in crate::record::SYSTEM_PROPERTIES {
            assert!(ValueKind::of_system(name).is_some(), "{name}");
        }
        assert!(ValueKind::of_system("title").is_none());
    }
}
