//! Values of expressions: columns, constants, arithmetic and functions.

use std::fmt::Write as _;

use synctable_core::FieldType;
use synctable_core::query::{BinaryOp, Expr, Function, Literal, ValueKind as Kind};

use super::condition::{DEPTH, Translator};
use crate::layout::JSON;

/// A translated operand.
#[derive(Debug)]
pub(crate) enum Operand<'a> {
    /// A constant, bound once it is known what it is compared with.
    Constant(&'a Literal),
    /// A column or computed value.
    Value(Typed<'a>),
}

/// SQL with a value of a known kind.
#[derive(Debug)]
pub(crate) struct Typed<'a> {
    pub(crate) sql: String,
    pub(crate) kind: Kind<'a>,
    /// Whether it is a bare column, which an index may serve.
    pub(crate) column: bool,
}

/// An operand where a certain kind of value is wanted.
enum Argument {
    Sql(String),
    /// Something of another kind, for certain.
    Null,
}

const NULL: Operand<'static> = Operand::Constant(&Literal::Null);

impl<'a> Translator<'a> {
    /// The value of an expression; `None` where SQL cannot say it.
    pub(crate) fn operand(&mut self, expr: &'a Expr) -> Option<Operand<'a>> {
        self.depth += 1;
        let operand = if self.depth > DEPTH {
            None
        } else {
            self.operand_of(expr)
        };
        self.depth -= 1;
        operand
    }

    fn operand_of(&mut self, expr: &'a Expr) -> Option<Operand<'a>> {
        match expr {
            Expr::Literal(literal) => Some(Operand::Constant(literal)),
            Expr::Field(path) => {
                let (sql, kind) = self.column(path)?;
                Some(Operand::Value(Typed {
                    sql,
                    kind,
                    column: true,
                }))
            }
            Expr::Negate(inner) => {
                let inner = self.operand(inner)?;
                self.numeric("synctable_negate", &[inner])
            }
            Expr::Binary(op, left, right) if op.is_arithmetic() => {
                let operands = [self.operand(left)?, self.operand(right)?];
                let function = match op {
                    BinaryOp::Div if self.is_number(right) => "synctable_div_number".to_owned(),
                    _ => format!("synctable_{}", op.name()),
                };
                self.numeric(&function, &operands)
            }
            Expr::Call(function, arguments) => self.call(*function, arguments),
            Expr::Not(_) | Expr::Binary(..) | Expr::In(..) => Some(computed(
                format!("(({}) IS TRUE)", self.condition(expr)?),
                Kind::Bool,
            )),
            // The reference knows.
            _ => None,
        }
    }

    fn call(&mut self, function: Function, arguments: &'a [Expr]) -> Option<Operand<'a>> {
        use Function as F;
        let (fewest, most) = function.arity();
        if !(fewest..=most).contains(&arguments.len()) {
            return None;
        }
        let operands: Option<Vec<Operand<'a>>> = arguments
            .iter()
            .map(|argument| self.operand(argument))
            .collect();
        let operands = operands?;
        let kind = match function {
            F::Floor | F::Ceiling | F::Round => {
                return self.numeric(&format!("synctable_{}", function.name()), &operands);
            }
            F::Year | F::Month | F::Day | F::Hour | F::Minute | F::Second => {
                return self.part(
                    function.name(),
                    Kind::Number,
                    arguments.first()?,
                    operands.first()?,
                );
            }
            F::Date => {
                return self.part("to_date", Kind::Date, arguments.first()?, operands.first()?);
            }
            F::Time => {
                return self.part("to_time", Kind::Time, arguments.first()?, operands.first()?);
            }
            F::CastText => return cast_text(operands.into_iter().next()?),
            F::ToLower | F::ToUpper | F::Trim | F::Concat | F::Substring | F::Replace => Kind::Text,
            F::Length | F::IndexOf => Kind::Number,
            F::StartsWith | F::EndsWith | F::Contains => Kind::Bool,
            // Distances, the time of now, and what is new: the reference knows.
            _ => return None,
        };
        if let (
            F::StartsWith,
            [
                Operand::Value(Typed {
                    sql,
                    kind: Kind::Text,
                    column: true,
                }),
                Operand::Constant(Literal::String(prefix)),
            ],
        ) = (function, operands.as_slice())
        {
            return Some(self.starts_with(sql, prefix));
        }
        let mut values = Vec::with_capacity(operands.len());
        for (at, operand) in operands.iter().enumerate() {
            let value = if function == F::Substring && at > 0 {
                self.number(operand)?
            } else {
                self.text(operand)?
            };
            match value {
                Argument::Sql(value) => values.push(value),
                Argument::Null => return Some(NULL),
            }
        }
        // Also `contains`: SQLite's own `instr` looks at each place for the whole text.
        let sql = format!("synctable_{}({})", function.name(), values.join(","));
        Some(computed(sql, kind))
    }

    /// A prefix is a range, which an index on the column serves.
    fn starts_with(&mut self, column: &str, prefix: &str) -> Operand<'a> {
        let mut sql = format!("({column} >= {}", self.bind(prefix.to_owned().into()));
        if let Some(end) = behind_prefix(prefix) {
            let _ = write!(sql, " AND {column} < {}", self.bind(end.into()));
        }
        sql.push(')');
        computed(sql, Kind::Bool)
    }

    fn numeric(&mut self, function: &str, operands: &[Operand<'a>]) -> Option<Operand<'a>> {
        let mut values = Vec::with_capacity(operands.len());
        for operand in operands {
            match self.number(operand)? {
                Argument::Sql(value) => values.push(value),
                Argument::Null => return Some(NULL),
            }
        }
        let sql = format!("{function}({})", values.join(","));
        Some(computed(sql, Kind::Number))
    }

    fn number(&mut self, operand: &Operand<'a>) -> Option<Argument> {
        Some(Argument::Sql(match operand {
            Operand::Constant(Literal::Int(value)) => self.bind((*value).into()),
            Operand::Constant(Literal::Float(value)) => self.bind((*value).into()),
            Operand::Constant(_) => return Some(Argument::Null),
            Operand::Value(value) => match value.kind {
                Kind::Number => value.sql.clone(),
                Kind::Any => return None,
                _ => return Some(Argument::Null),
            },
        }))
    }

    fn text(&mut self, operand: &Operand<'a>) -> Option<Argument> {
        Some(Argument::Sql(match operand {
            Operand::Constant(Literal::String(value) | Literal::Guid(value)) => {
                self.bind(value.clone().into())
            }
            Operand::Constant(_) => return Some(Argument::Null),
            Operand::Value(value) => match value.kind {
                Kind::Text => value.sql.clone(),
                Kind::Enum(words) => self.word(&value.sql, words),
                Kind::Any => return None,
                _ => return Some(Argument::Null),
            },
        }))
    }

    /// Whether this is a field that is declared as a number, and not as an integer.
    fn is_number(&self, expr: &Expr) -> bool {
        let Expr::Field(path) = expr else {
            return false;
        };
        path.rest().is_empty() && self.layout.schema.field(path.head()) == Some(&FieldType::Number)
    }

    /// A part of a time, such as its year.
    fn part(
        &mut self,
        function: &str,
        kind: Kind<'a>,
        argument: &'a Expr,
        operand: &Operand<'a>,
    ) -> Option<Operand<'a>> {
        let Operand::Value(value) = operand else {
            return None;
        };
        let name = match value.kind {
            Kind::Bool | Kind::Number | Kind::Enum(_) | Kind::Other => return Some(NULL),
            kind => kind_name(kind)?,
        };
        // A column has the point in time; with which offset it was written says the body, where there is one.
        let local = match argument {
            Expr::Field(path)
                if value.kind == Kind::DateTime && Kind::of_system(path.head()).is_none() =>
            {
                format!(",t.\"{JSON}\",{}", self.bind(path.head().to_owned().into()))
            }
            _ => String::new(),
        };
        let sql = format!("synctable_{function}('{name}',{}{local})", value.sql);
        Some(computed(sql, kind))
    }

    /// The word of an enum that is kept as its position.
    fn word(&mut self, position: &str, words: &[String]) -> String {
        let mut sql = format!("(CASE {position}");
        for (at, word) in words.iter().enumerate() {
            let word = self.bind(word.clone().into());
            let _ = write!(sql, " WHEN {at} THEN {word}");
        }
        sql + " END)"
    }
}

fn computed(sql: String, kind: Kind<'_>) -> Operand<'_> {
    Operand::Value(Typed {
        sql,
        kind,
        column: false,
    })
}

fn kind_name(kind: Kind<'_>) -> Option<&'static str> {
    Some(match kind {
        Kind::DateTime => "datetime",
        Kind::Date => "date",
        Kind::Time => "time",
        Kind::Text => "text",
        Kind::Bool => "bool",
        Kind::Number => "number",
        _ => return None,
    })
}

/// A value as a text.
fn cast_text(operand: Operand<'_>) -> Option<Operand<'_>> {
    let Operand::Value(value) = operand else {
        return None;
    };
    let name = match value.kind {
        Kind::Text => {
            return Some(Operand::Value(Typed {
                column: false,
                ..value
            }));
        }
        Kind::Other => return Some(NULL),
        kind => kind_name(kind)?,
    };
    Some(computed(
        format!("synctable_cast('{name}',{})", value.sql),
        Kind::Text,
    ))
}

/// The first text behind all texts with this prefix, where there is one.
fn behind_prefix(prefix: &str) -> Option<String> {
    let mut end: Vec<char> = prefix.chars().collect();
    while let Some(last) = end.pop() {
        // Surrogates are no characters.
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            _ => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            end.push(next);
            return Some(end.into_iter().collect());
        }
    }
    None
}
