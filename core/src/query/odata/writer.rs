//! Trees as text.

use super::error::{Limits, WriteError, shown};
use super::lexer::is_name;
use super::literal::{self, INFINITY, is_guid, on_globe};
use crate::query::{BinaryOp, Direction, Expr, FieldPath, Function, Literal, OrderBy};
use crate::timestamp::Timestamp;

/// The two spellings of OData that table servers understand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Spelling {
    /// The older one: `substringof('a',title)`, `datetimeoffset'..'`, `$inlinecount=allpages`.
    V2,
    /// The newer one: `contains(title,'a')`, `cast(..,Edm.DateTimeOffset)`, `$count=true`.
    V4,
}

impl Expr {
    /// The filter as OData text, not percent-encoded. Every operation stands in parentheses.
    ///
    /// [`Spelling::V2`] has no words for some things: `in` becomes an `or` of `eq`, a date its midnight in UTC,
    /// and a time of day a text.
    ///
    /// # Errors
    /// A member with a name that filters cannot hold, a constant outside its range, a point in the older
    /// spelling, or a tree deeper, or in the older spelling a list longer, than the [`Limits`] of the reading side.
    pub fn to_odata(&self, spelling: Spelling) -> Result<String, WriteError> {
        let mut writer = Writer {
            spelling,
            out: String::new(),
            depth: Limits::default().depth,
        };
        writer.expr(self, 0)?;
        Ok(writer.out)
    }
}

/// `priority desc,title`.
pub(super) fn order_by(order: &[OrderBy]) -> Result<String, WriteError> {
    let mut terms = Vec::with_capacity(order.len());
    for term in order {
        terms.push(match term.direction {
            Direction::Ascending => member(&term.path)?,
            Direction::Descending => format!("{} desc", member(&term.path)?),
        });
    }
    Ok(terms.join(","))
}

/// `id,title`.
pub(super) fn select(names: &[String]) -> Result<String, WriteError> {
    if names.is_empty() {
        return Err(WriteError::new("a selection without members"));
    }
    match names.iter().find(|name| !is_name(name)) {
        Some(name) => Err(not_a_name(name)),
        None => Ok(names.join(",")),
    }
}

fn member(path: &FieldPath) -> Result<String, WriteError> {
    match path.segments().iter().find(|name| !is_name(name)) {
        Some(name) => Err(not_a_name(name)),
        None => Ok(path.to_string()),
    }
}

fn not_a_name(name: &str) -> WriteError {
    WriteError::new(format!(
        "{} is not a name that a query can hold",
        shown(name)
    ))
}

struct Writer {
    spelling: Spelling,
    out: String,
    depth: usize,
}

impl Writer {
    fn expr(&mut self, expr: &Expr, depth: usize) -> Result<(), WriteError> {
        if depth > self.depth {
            return Err(WriteError::new(format!(
                "nested deeper than {} levels",
                self.depth
            )));
        }
        match expr {
            Expr::Literal(literal) => self.literal(literal),
            Expr::Field(path) => self.field(path),
            Expr::Not(operand) => {
                self.out.push_str("not ");
                self.expr(operand, depth + 1)
            }
            Expr::Negate(operand) => {
                self.out.push('-');
                // The parentheses keep the sign off a number, which would swallow it.
                let bare = matches!(**operand, Expr::Literal(_) | Expr::Negate(_));
                if bare {
                    self.list([&**operand], ",", depth + 2)
                } else {
                    self.expr(operand, depth + 2)
                }
            }
            Expr::Binary(op, left, right) => self.binary(*op, left, right, depth),
            Expr::In(_, items) if items.is_empty() => self.literal(&Literal::Bool(false)),
            Expr::In(operand, items) if self.spelling == Spelling::V4 => {
                self.out.push('(');
                self.expr(operand, depth + 1)?;
                self.out.push_str(" in ");
                self.list(items, ",", depth + 2)?;
                self.out.push(')');
                Ok(())
            }
            Expr::In(operand, items) => self.alternatives(operand, items, depth),
            Expr::Call(function, arguments) => self.call(*function, arguments, depth),
        }
    }

    /// Expressions in one pair of parentheses.
    fn list<'a>(
        &mut self,
        items: impl IntoIterator<Item = &'a Expr>,
        separator: &str,
        depth: usize,
    ) -> Result<(), WriteError> {
        self.out.push('(');
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.out.push_str(separator);
            }
            self.expr(item, depth)?;
        }
        self.out.push(')');
        Ok(())
    }

    /// A chain of the same `and` or `or` needs no parentheses inside, and no recursion.
    fn binary(
        &mut self,
        op: BinaryOp,
        left: &Expr,
        right: &Expr,
        depth: usize,
    ) -> Result<(), WriteError> {
        let mut first = left;
        let mut operands = vec![right];
        while let Expr::Binary(inner, left, right) = first
            && *inner == op
            && matches!(op, BinaryOp::And | BinaryOp::Or)
        {
            operands.push(right);
            first = left;
        }
        operands.push(first);
        self.list(
            operands.into_iter().rev(),
            &format!(" {} ", op.name()),
            depth + 1,
        )
    }

    /// `operand in (a,b)` as `((operand eq a) or (operand eq b))`. As the operand is repeated, one with lists of its own would
    /// grow without end.
    fn alternatives(
        &mut self,
        operand: &Expr,
        items: &[Expr],
        depth: usize,
    ) -> Result<(), WriteError> {
        let several = items.len() > 1;
        if several {
            self.out.push('(');
        }
        for (index, item) in items.iter().enumerate() {
            let longest = Limits::default().length;
            if self.out.len() > longest {
                return Err(WriteError::new(format!(
                    "longer than {longest} bytes in the older spelling, which has no 'in'"
                )));
            }
            if index > 0 {
                self.out.push_str(" or ");
            }
            self.list([operand, item], " eq ", depth + 2)?;
        }
        if several {
            self.out.push(')');
        }
        Ok(())
    }

    fn call(
        &mut self,
        function: Function,
        arguments: &[Expr],
        depth: usize,
    ) -> Result<(), WriteError> {
        let name = function.name();
        let (fewest, most) = function.arity();
        if !(fewest..=most).contains(&arguments.len()) {
            return Err(WriteError::new(format!(
                "{name} with {} arguments",
                arguments.len()
            )));
        }
        match (self.spelling, function) {
            (
                Spelling::V2,
                Function::GeoDistance
                | Function::Date
                | Function::Time
                | Function::CastText
                | Function::Now,
            ) => Err(not_in_v2(name)),
            (_, Function::CastText) => {
                self.out.push_str("cast(");
                for argument in arguments {
                    self.expr(argument, depth + 1)?;
                }
                self.out.push_str(",Edm.String)");
                Ok(())
            }
            (Spelling::V2, Function::Contains) => {
                self.out.push_str("substringof");
                self.list(arguments.iter().rev(), ",", depth + 1)
            }
            _ => {
                self.out.push_str(name);
                self.list(arguments, ",", depth + 1)
            }
        }
    }

    fn field(&mut self, path: &FieldPath) -> Result<(), WriteError> {
        let text = member(path)?;
        if text == "not" || literal::word(&text).is_some() {
            return Err(not_a_name(&text));
        }
        self.out.push_str(&text);
        Ok(())
    }

    fn literal(&mut self, literal: &Literal) -> Result<(), WriteError> {
        let older = self.spelling == Spelling::V2;
        let text = match literal {
            Literal::Null => "null".to_owned(),
            Literal::Bool(value) => value.to_string(),
            Literal::Int(value) => value.to_string(),
            // With a point or an exponent, so that it stays what it is.
            Literal::Float(value) if value.is_finite() => format!("{value:?}"),
            Literal::Float(value) if value.is_nan() => {
                return Err(WriteError::new("a number that is not finite"));
            }
            Literal::Float(value) if *value > 0.0 => INFINITY.to_owned(),
            Literal::Float(_) => format!("-{INFINITY}"),
            Literal::String(value) => quoted(value),
            Literal::DateTime(value) if older => older_date_time(*value),
            Literal::DateTime(value) => format!("cast({value},Edm.DateTimeOffset)"),
            Literal::Date(value) if older => older_date_time(Timestamp::at_midnight(*value)),
            Literal::Date(value) => format!("cast({value},Edm.Date)"),
            Literal::Time(value) if older => quoted(&value.to_string()),
            Literal::Time(value) => format!("cast({value},Edm.TimeOfDay)"),
            Literal::Guid(value) if !is_guid(value) => {
                return Err(WriteError::new("a GUID that is not valid"));
            }
            Literal::Guid(value) if older => format!("guid'{value}'"),
            Literal::Guid(value) => format!("cast({value},Edm.Guid)"),
            Literal::Point { .. } if older => return Err(not_in_v2("points")),
            Literal::Point {
                longitude,
                latitude,
            } if on_globe(*longitude, *latitude) => {
                format!("geography'POINT({longitude} {latitude})'")
            }
            Literal::Point { .. } => {
                return Err(WriteError::new("a point that is not on the globe"));
            }
        };
        self.out.push_str(&text);
        Ok(())
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn older_date_time(time: Timestamp) -> String {
    format!("datetimeoffset'{time}'")
}

fn not_in_v2(what: &str) -> WriteError {
    WriteError::new(format!("the older spelling has no {what}"))
}
