//! What the servers say to a query that does not fit the class.

use synctable_core::query::{BinaryOp, Expr, Literal, RemoteQuery};

use super::{Kind, Model};

impl Model {
    /// Checks that a query names members of the class only, and compares each with values of its type. The error is the servers' own
    /// sentence.
    pub fn check(&self, asked: &RemoteQuery) -> Result<(), String> {
        let query = &asked.query;
        let orders = query.order.iter().map(|term| term.path.head());
        let selected = asked.select.iter().flatten().map(String::as_str);
        for name in orders.chain(selected) {
            self.type_of(name)?;
        }
        for part in query.filter.iter().flat_map(Expr::walk) {
            match part {
                Expr::Field(path) => {
                    self.type_of(path.head())?;
                }
                Expr::Binary(op, left, right) => self.check_operands(*op, left, right)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn check_operands(&self, op: BinaryOp, left: &Expr, right: &Expr) -> Result<(), String> {
        let operator = match op {
            BinaryOp::Eq => "Equal",
            BinaryOp::Ne => "NotEqual",
            BinaryOp::Gt => "GreaterThan",
            BinaryOp::Ge => "GreaterThanOrEqual",
            BinaryOp::Lt => "LessThan",
            BinaryOp::Le => "LessThanOrEqual",
            _ => return Ok(()),
        };
        let (Some(left), Some(right)) = (self.operand(left)?, self.operand(right)?) else {
            return Ok(());
        };
        if fit(left, right) {
            return Ok(());
        }
        Err(format!(
            "A binary operator with incompatible types was detected. Found operand types '{left}' and '{right}' for operator kind '{operator}'."
        ))
    }

    /// The type of a member or a constant; `None` for what is computed, and for `null`.
    fn operand(&self, expr: &Expr) -> Result<Option<&'static str>, String> {
        Ok(match expr {
            Expr::Field(path) if path.rest().is_empty() => self.type_of(path.head())?,
            Expr::Literal(literal) => match literal {
                Literal::Bool(_) => Some("Edm.Boolean"),
                Literal::Int(number) if i32::try_from(*number).is_ok() => Some("Edm.Int32"),
                Literal::Int(_) => Some("Edm.Int64"),
                Literal::Float(_) => Some("Edm.Double"),
                Literal::String(_) => Some("Edm.String"),
                Literal::DateTime(_) => Some("Edm.DateTimeOffset"),
                Literal::Date(_) => Some("Edm.Date"),
                Literal::Time(_) => Some("Edm.TimeOfDay"),
                Literal::Guid(_) => Some("Edm.Guid"),
                _ => None,
            },
            _ => None,
        })
    }

    /// The type of a member; `None` for one of which the class only knows that it is there.
    fn type_of(&self, name: &str) -> Result<Option<&'static str>, String> {
        match name {
            "id" => return Ok(Some("Edm.String")),
            "deleted" => return Ok(Some("Edm.Boolean")),
            "updatedAt" => return Ok(Some("Edm.DateTimeOffset")),
            "version" => return Ok(None),
            _ => {}
        }
        let member = self.members.iter().find(|member| member.name == name);
        let member = member.ok_or_else(|| {
            let class = self.name();
            format!("Could not find a property named '{name}' on type 'Srv.{class}'.")
        })?;
        Ok(match member.kind {
            Kind::Text { .. } => Some("Edm.String"),
            Kind::Bool => Some("Edm.Boolean"),
            Kind::Int32 => Some("Edm.Int32"),
            Kind::Int64 => Some("Edm.Int64"),
            Kind::Double => Some("Edm.Double"),
            Kind::Decimal => Some("Edm.Decimal"),
            Kind::Instant => Some("Edm.DateTimeOffset"),
            Kind::Date => Some("Edm.Date"),
            Kind::Time => Some("Edm.TimeOfDay"),
            Kind::Guid => Some("Edm.Guid"),
            Kind::Bytes | Kind::Enum(_) | Kind::Json => None,
        })
    }
}

fn fit(left: &str, right: &str) -> bool {
    let number = |ty: &str| matches!(ty, "Edm.Int32" | "Edm.Int64" | "Edm.Double" | "Edm.Decimal");
    let day = |ty: &str| matches!(ty, "Edm.Date" | "Edm.DateTimeOffset");
    left == right || number(left) && number(right) || day(left) && day(right)
}
