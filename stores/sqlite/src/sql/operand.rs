//! Values of expressions: columns, constants, arithmetic and functions.

use synctable_core::query::{BinaryOp, Expr, Function, Literal};

use super::condition::{DEPTH, Translator};
use super::constant::Kind;

/// A translated operand.
#[derive(Debug)]
pub(crate) enum Operand<'a> {
    /// A constant, bound once it is known what it is compared with.
    Constant(&'a Literal),
    Column {
        sql: String,
        kind: Kind<'a>,
    },
    /// A computed value.
    Value {
        sql: String,
        kind: Kind<'a>,
    },
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
            Expr::Field(path) => self
                .column(path)
                .map(|(sql, kind)| Operand::Column { sql, kind }),
            Expr::Negate(inner) => {
                let inner = self.operand(inner)?;
                self.numeric("synctable_negate", &[inner])
            }
            Expr::Binary(op, left, right) if op.is_arithmetic() => {
                let operands = [self.operand(left)?, self.operand(right)?];
                let function = match op {
                    BinaryOp::Add => "synctable_add",
                    BinaryOp::Sub => "synctable_sub",
                    BinaryOp::Mul => "synctable_mul",
                    BinaryOp::Div => "synctable_div",
                    _ => "synctable_mod",
                };
                self.numeric(function, &operands)
            }
            Expr::Call(function, arguments) => self.call(*function, arguments),
            Expr::Not(_) | Expr::Binary(..) | Expr::In(..) => Some(Operand::Value {
                sql: format!("(({}) IS TRUE)", self.condition(expr)?),
                kind: Kind::Bool,
            }),
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
                return self.part(function, operands.first()?);
            }
            F::GeoDistance => return None,
            F::ToLower | F::ToUpper | F::Trim | F::Concat | F::Substring | F::Replace => Kind::Text,
            F::Length | F::IndexOf => Kind::Number,
            F::StartsWith | F::EndsWith | F::Contains => Kind::Bool,
        };
        if let (
            F::StartsWith,
            [
                Operand::Column {
                    sql,
                    kind: Kind::Text,
                },
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
                Some(value) => values.push(value),
                None => return Some(NULL),
            }
        }
        let sql = match (function, values.as_slice()) {
            (F::Contains, [text, part]) => format!("(instr({text},{part}) > 0)"),
            _ => format!("synctable_{}({})", function.name(), values.join(",")),
        };
        Some(Operand::Value { sql, kind })
    }

    /// A prefix is a range, which an index on the column serves.
    fn starts_with(&mut self, column: &str, prefix: &str) -> Operand<'a> {
        let mut sql = format!("({column} >= {}", self.bind(prefix.to_owned().into()));
        if let Some(end) = behind_prefix(prefix) {
            sql.push_str(&format!(" AND {column} < {}", self.bind(end.into())));
        }
        sql.push(')');
        Operand::Value {
            sql,
            kind: Kind::Bool,
        }
    }

    fn part(&mut self, function: Function, operand: &Operand<'a>) -> Option<Operand<'a>> {
        let (sql, kind) = match operand {
            Operand::Constant(_) => return None,
            Operand::Column { sql, kind } | Operand::Value { sql, kind } => (sql, *kind),
        };
        let kind = match kind {
            Kind::DateTime => "datetime",
            Kind::Date => "date",
            Kind::Time => "time",
            Kind::Text => "text",
            Kind::Bool | Kind::Number => return Some(NULL),
            Kind::Enum(_) | Kind::Other | Kind::Any => return None,
        };
        Some(Operand::Value {
            sql: format!("synctable_{}('{kind}',{sql})", function.name()),
            kind: Kind::Number,
        })
    }

    fn numeric(&mut self, function: &str, operands: &[Operand<'a>]) -> Option<Operand<'a>> {
        let mut values = Vec::with_capacity(operands.len());
        for operand in operands {
            match self.number(operand)? {
                Some(value) => values.push(value),
                None => return Some(NULL),
            }
        }
        Some(Operand::Value {
            sql: format!("{function}({})", values.join(",")),
            kind: Kind::Number,
        })
    }

    /// The operand where a number is wanted; `Some(None)` where it is something else for certain.
    fn number(&mut self, operand: &Operand<'a>) -> Option<Option<String>> {
        match operand {
            Operand::Constant(Literal::Int(value)) => Some(Some(self.bind((*value).into()))),
            Operand::Constant(Literal::Float(value)) => Some(Some(self.bind((*value).into()))),
            Operand::Column {
                sql,
                kind: Kind::Number,
            }
            | Operand::Value {
                sql,
                kind: Kind::Number,
            } => Some(Some(sql.clone())),
            Operand::Column {
                kind: Kind::Any, ..
            }
            | Operand::Value {
                kind: Kind::Any, ..
            } => None,
            _ => Some(None),
        }
    }

    /// The operand where a text is wanted; `Some(None)` where it is something else for certain.
    fn text(&mut self, operand: &Operand<'a>) -> Option<Option<String>> {
        match operand {
            Operand::Constant(Literal::String(value)) => {
                Some(Some(self.bind(value.clone().into())))
            }
            Operand::Constant(Literal::Guid(_)) => None,
            Operand::Column { sql, kind } | Operand::Value { sql, kind } => match kind {
                Kind::Text => Some(Some(sql.clone())),
                Kind::Enum(words) => {
                    let mut case = format!("(CASE {sql}");
                    for (at, word) in words.iter().enumerate() {
                        let word = self.bind(word.clone().into());
                        case.push_str(&format!(" WHEN {at} THEN {word}"));
                    }
                    case.push_str(" END)");
                    Some(Some(case))
                }
                Kind::Any => None,
                _ => Some(None),
            },
            Operand::Constant(_) => Some(None),
        }
    }
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
