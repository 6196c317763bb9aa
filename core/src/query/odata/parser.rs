//! Tokens as trees. Both spellings are read, always.

use super::error::{Limits, ODataError, Source, shown};
use super::lexer::{Lexer, Token, is_name};
use super::literal::{self, INFINITY};
use crate::query::{BinaryOp, Direction, Expr, FieldPath, Function, Literal, OrderBy};
use crate::timestamp::Timestamp;

/// Longer chains of `and` or `or` become balanced trees, so that a tree is never deeper than its text.
const LEFT_DEEP: usize = 32;

/// Reads a filter, such as `done eq false and year(due) ge 2026`.
///
/// A chain of up to 32 `and`s or `or`s becomes the tree that [`Expr::and`] and [`Expr::or`] build; a longer
/// one becomes a balanced tree with the same meaning.
///
/// # Errors
/// Text that is not a filter, or that goes beyond the default [`Limits`].
pub fn parse_filter(text: &str) -> Result<Expr, ODataError> {
    parse_filter_with(text, &Limits::default())
}

/// Reads a filter within limits of your own.
///
/// # Errors
/// Text that is not a filter, or that goes beyond the limits.
pub fn parse_filter_with(text: &str, limits: &Limits) -> Result<Expr, ODataError> {
    let mut parser = Parser::new(Source::new("$filter", text).within(limits)?, limits)?;
    let tree = parser.expression(0)?;
    match parser.token {
        Token::End => Ok(tree.expr),
        _ => Err(parser.expected("an operator")),
    }
}

/// Reads an order, such as `priority desc,title`. Without a word the direction is ascending.
///
/// # Errors
/// Text that is not an order, or that goes beyond the default [`Limits`].
pub fn parse_order_by(text: &str) -> Result<Vec<OrderBy>, ODataError> {
    order_by(text, &Limits::default())
}

pub(super) fn order_by(text: &str, limits: &Limits) -> Result<Vec<OrderBy>, ODataError> {
    let mut parser = Parser::new(Source::new("$orderby", text).within(limits)?, limits)?;
    let mut order = Vec::new();
    loop {
        let at = parser.at;
        if order.len() == limits.terms {
            let message = format!("more than {} terms", limits.terms);
            return Err(parser.lexer.error(at, message));
        }
        let path = match parser.advance()? {
            Token::Word(word) => parser.member(at, word)?,
            token => return Err(parser.not_expected(at, "a member", &token)),
        };
        let direction = match parser.token {
            Token::Word("asc") => Direction::Ascending,
            Token::Word("desc") => Direction::Descending,
            Token::Symbol(',') | Token::End => Direction::default(),
            _ => return Err(parser.expected("asc, desc or ','")),
        };
        if let Token::Word(_) = parser.token {
            parser.advance()?;
        }
        order.push(OrderBy { path, direction });
        match parser.token {
            Token::End => return Ok(order),
            Token::Symbol(',') => parser.advance()?,
            _ => return Err(parser.expected("','")),
        };
    }
}

/// The kind of texts.
const TEXT_KIND: &str = "Edm.String";

/// An expression and how deep it is, which bounds the recursion of all who walk it.
struct Tree {
    expr: Expr,
    height: usize,
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    /// The token looked at, and the byte where it starts.
    token: Token<'a>,
    at: usize,
    nodes: usize,
    limits: &'a Limits,
}

#[derive(Clone, Copy, PartialEq)]
enum Operator {
    Binary(BinaryOp),
    In,
}

impl Operator {
    fn from_word(word: &str) -> Option<Self> {
        if word == "in" {
            return Some(Self::In);
        }
        let op = BinaryOp::ALL.into_iter().find(|op| op.name() == word)?;
        Some(Self::Binary(op))
    }

    /// Higher binds tighter.
    fn level(self) -> u8 {
        match self {
            Self::Binary(BinaryOp::Or) => 1,
            Self::Binary(BinaryOp::And) => 2,
            Self::Binary(op) if op.is_comparison() => 3,
            Self::In => 4,
            Self::Binary(BinaryOp::Add | BinaryOp::Sub) => 5,
            Self::Binary(_) => 6,
        }
    }
}

/// Whether operands that follow each other with `op` between them form one chain.
fn is_chained(op: BinaryOp) -> bool {
    matches!(op, BinaryOp::And | BinaryOp::Or)
}

/// Whether `op` gets its operands before an operator of `level` behind them: it binds tighter, or as tight and
/// is not a chain that goes on.
fn joins_before(op: BinaryOp, level: u8) -> bool {
    let own = Operator::Binary(op).level();
    own > level || own == level && !is_chained(op)
}

impl<'a> Parser<'a> {
    fn new(source: Source<'a>, limits: &'a Limits) -> Result<Self, ODataError> {
        let mut lexer = Lexer::new(source);
        let (at, token) = lexer.next()?;
        Ok(Self {
            lexer,
            token,
            at,
            nodes: 0,
            limits,
        })
    }

    /// Moves on and gives the token that was looked at.
    fn advance(&mut self) -> Result<Token<'a>, ODataError> {
        let (at, token) = self.lexer.next()?;
        self.at = at;
        Ok(std::mem::replace(&mut self.token, token))
    }

    fn expect(&mut self, symbol: char) -> Result<(), ODataError> {
        if self.token != Token::Symbol(symbol) {
            return Err(self.expected(&format!("'{symbol}'")));
        }
        self.advance().map(drop)
    }

    fn expected(&self, what: &str) -> ODataError {
        self.not_expected(self.at, what, &self.token)
    }

    fn not_expected(&self, at: usize, what: &str, found: &Token<'_>) -> ODataError {
        let hint = match found {
            Token::Symbol('+') => "; to add, write add",
            Token::Symbol('-') => "; to subtract, write sub",
            Token::Symbol('*') => "; to multiply, write mul",
            Token::Symbol('/') => "; to divide, write div",
            Token::Symbol('%') => "; for the remainder, write mod",
            Token::Symbol('=' | '<' | '>' | '!') => "; to compare, write eq, ne, gt, ge, lt or le",
            Token::Symbol('&' | '|') => "; to combine, write and or or",
            Token::Symbol('"') => "; texts stand in single quotes",
            _ => "",
        };
        self.lexer.error(
            at,
            format!("expected {what}, found {}{hint}", found.shown()),
        )
    }

    /// One level deeper, or an error at the token looked at.
    fn deeper(&self, depth: usize) -> Result<usize, ODataError> {
        if depth >= self.limits.depth {
            return Err(self.lexer.error(
                self.at,
                format!("nested deeper than {} levels", self.limits.depth),
            ));
        }
        Ok(depth + 1)
    }

    /// Counts one operand or operator.
    fn count(&mut self) -> Result<(), ODataError> {
        self.nodes += 1;
        if self.nodes > self.limits.nodes {
            return Err(self.lexer.error(
                self.at,
                format!("more than {} operands and operators", self.limits.nodes),
            ));
        }
        Ok(())
    }

    fn leaf(&mut self, expr: impl Into<Expr>) -> Result<Tree, ODataError> {
        self.count()?;
        Ok(Tree {
            expr: expr.into(),
            height: 0,
        })
    }

    /// An expression `levels` above its deepest part.
    fn node(&mut self, expr: Expr, below: usize, levels: usize) -> Result<Tree, ODataError> {
        self.count()?;
        let height = below + levels;
        self.deeper(height - 1)?;
        Ok(Tree { expr, height })
    }

    /// Operands and operators up to the first token that is neither.
    ///
    /// Operators whose right operand is not complete wait in a list, so that only parentheses take up the stack.
    fn expression(&mut self, depth: usize) -> Result<Tree, ODataError> {
        let mut operands = vec![self.unary(depth)?];
        let mut waiting: Vec<BinaryOp> = Vec::new();
        loop {
            let operator = self.operator();
            let level = operator.map_or(0, Operator::level);
            while let Some(op) = waiting
                .last()
                .copied()
                .filter(|op| joins_before(*op, level))
            {
                self.join(op, &mut waiting, &mut operands)?;
            }
            match operator {
                None => return operands.pop().ok_or_else(|| self.expected("a value")),
                Some(Operator::In) => {
                    self.advance()?;
                    let list = self.list(operands.pop(), depth)?;
                    operands.push(list);
                }
                Some(Operator::Binary(op)) => {
                    self.advance()?;
                    waiting.push(op);
                    operands.push(self.unary(depth)?);
                }
            }
        }
    }

    /// Joins the operands of the last operator, or of a whole chain of it.
    fn join(
        &mut self,
        op: BinaryOp,
        waiting: &mut Vec<BinaryOp>,
        operands: &mut Vec<Tree>,
    ) -> Result<(), ODataError> {
        let same = waiting
            .iter()
            .rev()
            .take_while(|other| **other == op)
            .count();
        let count = if is_chained(op) { same } else { 1 };
        waiting.truncate(waiting.len() - count);
        let mut terms = operands.split_off(operands.len().saturating_sub(count + 1));
        let left_deep = terms.len() <= LEFT_DEEP;
        // Joins neighbours until one is left; the first two only, where the tree is to lean left.
        while terms.len() > 1 {
            let mut joined = Vec::with_capacity(terms.len());
            let mut rest = terms.into_iter();
            while let Some(left) = rest.next() {
                joined.push(match rest.next() {
                    Some(right) => {
                        let below = left.height.max(right.height);
                        self.node(left.expr.binary(op, right.expr), below, 1)?
                    }
                    None => left,
                });
                if left_deep {
                    joined.extend(rest.by_ref());
                }
            }
            terms = joined;
        }
        operands.append(&mut terms);
        Ok(())
    }

    /// Whether `,Edm.String` is next.
    fn is_cast_to_text(&self) -> bool {
        let next = self.lexer.clone().next();
        self.token == Token::Symbol(',') && matches!(next, Ok((_, Token::Word(TEXT_KIND))))
    }

    fn operator(&self) -> Option<Operator> {
        match self.token {
            Token::Word(word) => Operator::from_word(word),
            _ => None,
        }
    }

    /// `(a, b, c)` behind `in`.
    fn list(&mut self, left: Option<Tree>, depth: usize) -> Result<Tree, ODataError> {
        let at = self.at;
        let left = left.ok_or_else(|| self.expected("a value"))?;
        let (items, below) = self.arguments(depth)?;
        if items.is_empty() {
            return Err(self.lexer.error(at, "the list behind in is empty"));
        }
        // Two levels: the older spelling has an `or` of `eq` for it.
        self.node(
            Expr::In(Box::new(left.expr), items),
            below.max(left.height),
            2,
        )
    }

    fn unary(&mut self, depth: usize) -> Result<Tree, ODataError> {
        match self.token {
            Token::Word("not") => {
                let below = self.deeper(depth)?;
                self.advance()?;
                let operand = self.unary(below)?;
                self.node(operand.expr.not(), operand.height, 1)
            }
            Token::Symbol('-') => {
                let below = self.deeper(depth)?;
                self.advance()?;
                if let Token::Number(word) = self.token {
                    let at = self.at;
                    self.advance()?;
                    return self.literal(at, literal::number(&format!("-{word}")));
                }
                if self.token == Token::Word(INFINITY) {
                    self.advance()?;
                    return self.leaf(Literal::Float(f64::NEG_INFINITY));
                }
                let operand = self.unary(below)?;
                // Two levels: the sign and the parentheses that keep it off a number.
                self.node(Expr::Negate(Box::new(operand.expr)), operand.height, 2)
            }
            _ => self.primary(depth),
        }
    }

    fn primary(&mut self, depth: usize) -> Result<Tree, ODataError> {
        let at = self.at;
        if self.token == Token::Symbol('(') {
            let below = self.deeper(depth)?;
            self.advance()?;
            let tree = self.expression(below)?;
            if self.token != Token::Symbol(')') {
                return Err(self.expected("an operator or ')'"));
            }
            self.advance()?;
            return Ok(tree);
        }
        match self.advance()? {
            Token::Text(text) => self.leaf(text),
            Token::Typed(prefix, text) => self.literal(at, literal::typed(prefix, &text)),
            Token::Number(word) => self.literal(at, literal::bare(word)),
            Token::Word(name) if self.token == Token::Symbol('(') => self.call(at, name, depth),
            Token::Word(word) => match literal::word(word) {
                Some(literal) => self.literal(at, literal),
                None => {
                    let path = self.member(at, word)?;
                    self.leaf(Expr::Field(path))
                }
            },
            token => Err(self.not_expected(at, "a value", &token)),
        }
    }

    /// The constant that stood at `at`.
    fn literal(&mut self, at: usize, literal: Result<Literal, String>) -> Result<Tree, ODataError> {
        let literal = literal.map_err(|message| self.lexer.error(at, message))?;
        self.leaf(literal)
    }

    fn member(&self, at: usize, word: &str) -> Result<FieldPath, ODataError> {
        if !word.split('/').all(is_name) {
            return Err(self
                .lexer
                .error(at, format!("{} is not the name of a member", shown(word))));
        }
        Ok(FieldPath::from(word))
    }

    /// A call of the function `name`, whose name stood at `at`.
    fn call(&mut self, at: usize, name: &str, depth: usize) -> Result<Tree, ODataError> {
        if name == Function::CastText.name() {
            return self.cast(depth);
        }
        let bound = match name {
            "mindatetime" => Some(Timestamp::MIN),
            "maxdatetime" => Some(Timestamp::MAX),
            _ => None,
        };
        let turned = name == "substringof";
        let known = if turned {
            Function::Contains.name()
        } else {
            name
        };
        if let Some(time) = bound {
            self.expect('(')?;
            self.expect(')')?;
            return self.leaf(time);
        }
        let Some(function) = Function::ALL
            .into_iter()
            .find(|function| function.name() == known)
        else {
            let message = format!("unknown function {}", shown(name));
            return Err(self.lexer.error(at, message));
        };
        let (mut arguments, below) = self.arguments(depth)?;
        let (fewest, most) = function.arity();
        if !(fewest..=most).contains(&arguments.len()) {
            let takes = match (fewest, most) {
                (0, 0) => "no arguments".to_owned(),
                (1, 1) => "1 argument".to_owned(),
                _ if fewest == most => format!("{most} arguments"),
                _ => format!("{fewest} or {most} arguments"),
            };
            let message = format!("{name} takes {takes}, found {}", arguments.len());
            return Err(self.lexer.error(at, message));
        }
        if turned {
            arguments.reverse();
        }
        self.node(Expr::Call(function, arguments), below, 1)
    }

    /// `(a, b, ..)` and the height of the highest.
    fn arguments(&mut self, depth: usize) -> Result<(Vec<Expr>, usize), ODataError> {
        let below = self.deeper(depth)?;
        self.expect('(')?;
        let mut arguments = Vec::new();
        let mut height = 0;
        while self.token != Token::Symbol(')') {
            if !arguments.is_empty() {
                self.expect(',')?;
            }
            let argument = self.expression(below)?;
            height = height.max(argument.height);
            arguments.push(argument.expr);
            if !matches!(self.token, Token::Symbol(',' | ')')) {
                return Err(self.expected("an operator, ',' or ')'"));
            }
        }
        self.advance()?;
        Ok((arguments, height))
    }

    /// `(text,kind)` behind `cast`: a constant, or anything as a text.
    fn cast(&mut self, depth: usize) -> Result<Tree, ODataError> {
        let below = self.deeper(depth)?;
        self.expect('(')?;
        let at = self.at;
        let start = (self.lexer.clone(), self.token.clone(), self.at);
        let value = match self.advance()? {
            Token::Word(word) | Token::Number(word) if self.token == Token::Symbol(',') => {
                Some(word.to_owned())
            }
            Token::Text(text) if self.token == Token::Symbol(',') => Some(text),
            _ => None,
        };
        if value.is_none() || self.is_cast_to_text() {
            (self.lexer, self.token, self.at) = start;
            let operand = self.expression(below)?;
            self.expect(',')?;
            let kind_at = self.at;
            return match self.advance()? {
                Token::Word(TEXT_KIND) => {
                    self.expect(')')?;
                    self.node(
                        Expr::Call(Function::CastText, vec![operand.expr]),
                        operand.height,
                        1,
                    )
                }
                token => Err(self.not_expected(kind_at, TEXT_KIND, &token)),
            };
        }
        let value = value.unwrap_or_default();
        self.expect(',')?;
        let kind_at = self.at;
        let literal = match self.advance()? {
            Token::Word(kind) => literal::cast(&value, kind),
            token => return Err(self.not_expected(kind_at, "a type", &token)),
        };
        self.expect(')')?;
        self.literal(at, literal)
    }
}
