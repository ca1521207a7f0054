//! Tokens → a tree.

use crate::Error;
use crate::lexer::{Position, Token, lex};
use std::collections::BTreeMap;

/// What a template is made of.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    Text(String),
    /// A pipeline whose value is written, or that only declares.
    Action(Pipeline),
    If(Pipeline, Vec<Node>, Vec<Node>),
    With(Pipeline, Vec<Node>, Vec<Node>),
    Range(Pipeline, Vec<Node>, Vec<Node>),
    /// `template "name" pipeline`.
    Call(Position, String, Option<Pipeline>),
    Break,
    Continue,
}

/// `$a, $b := command | command`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pipeline {
    pub variables: Vec<String>,
    /// `=` rather than `:=`.
    pub assigns: bool,
    pub commands: Vec<Vec<Operand>>,
}

/// One word of a command: a base and the fields taken of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Operand {
    pub position: Position,
    pub base: Base,
    pub fields: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Base {
    Dot,
    Nil,
    Variable(String),
    Function(String),
    Literal(serde_json::Value),
    Group(Box<Pipeline>),
}

impl Operand {
    /// The operand as it stands in the template, for messages.
    pub fn shown(&self) -> String {
        let base = match &self.base {
            Base::Dot if self.fields.is_empty() => ".".into(),
            Base::Dot => String::new(),
            Base::Nil => "nil".into(),
            Base::Variable(name) => format!("${name}"),
            Base::Function(name) => name.clone(),
            Base::Literal(value) => value.to_string(),
            Base::Group(_) => "(…)".into(),
        };
        self.fields.iter().fold(base, |text, field| format!("{text}.{field}"))
    }
}

pub struct Parsed {
    pub root: Vec<Node>,
    pub defined: BTreeMap<String, Vec<Node>>,
}

pub fn parse(text: &str) -> Result<Parsed, Error> {
    let mut parser = Parser {
        tokens: lex(text)?,
        at: 0,
        defined: BTreeMap::new(),
        variables: vec![String::new()],
        loops: 0,
    };
    let (root, end) = parser.list()?;
    if let Some(end) = end {
        return parser.error(format!("unexpected {{{{{}}}}}", end.name()));
    }
    Ok(Parsed { root, defined: parser.defined })
}

/// What may end a list of nodes.
enum End {
    End,
    Else,
}

impl End {
    fn name(&self) -> &'static str {
        match self {
            End::End => "end",
            End::Else => "else",
        }
    }
}

struct Parser {
    tokens: Vec<(Token, Position)>,
    at: usize,
    defined: BTreeMap<String, Vec<Node>>,
    /// Names in scope; the first is `$` itself.
    variables: Vec<String>,
    loops: usize,
}

impl Parser {
    fn error<T>(&self, message: impl Into<String>) -> Result<T, Error> {
        let position =
            self.tokens.get(self.at.min(self.tokens.len().saturating_sub(1))).map_or(1, |(_, p)| p.line);
        Err(Error::Parse { line: position, message: message.into() })
    }
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(token, _)| token)
    }
    fn position(&self) -> Position {
        self.tokens.get(self.at).map(|(_, p)| *p).unwrap_or_default()
    }
    fn space(&mut self) {
        while self.peek() == Some(&Token::Space) {
            self.at += 1;
        }
    }

    /// Nodes up to the end of the text or to an `end` or `else`, which is eaten.
    fn list(&mut self) -> Result<(Vec<Node>, Option<End>), Error> {
        let mut nodes = Vec::new();
        while let Some(token) = self.peek().cloned() {
            self.at += 1;
            match token {
                Token::Text(text) => nodes.push(Node::Text(text)),
                _ => {
                    self.space();
                    let word = match self.peek() {
                        Some(Token::Word(word)) => word.clone(),
                        _ => String::new(),
                    };
                    match word.as_str() {
                        "end" | "else" => {
                            self.at += 1;
                            let end = if word == "end" { End::End } else { End::Else };
                            return Ok((nodes, Some(end)));
                        }
                        _ => nodes.extend(self.action(&word)?),
                    }
                }
            }
        }
        Ok((nodes, None))
    }

    fn action(&mut self, word: &str) -> Result<Option<Node>, Error> {
        let scope = self.variables.len();
        match word {
            "if" | "with" | "range" => {
                self.at += 1;
                let node = self.control(word)?;
                self.variables.truncate(scope);
                Ok(Some(node))
            }
            "break" | "continue" => {
                self.at += 1;
                if self.loops == 0 {
                    return self.error(format!("{{{{{word}}}}} outside {{{{range}}}}"));
                }
                self.close(word)?;
                Ok(Some(if word == "break" { Node::Break } else { Node::Continue }))
            }
            "define" | "block" => {
                self.at += 1;
                self.definition(word)
            }
            "template" => {
                self.at += 1;
                let position = self.position();
                let name = self.name(word)?;
                let pipeline = self.optional_pipeline(word)?;
                Ok(Some(Node::Call(position, name, pipeline)))
            }
            _ => {
                let pipeline = self.pipeline("command", true)?;
                self.close("command")?;
                Ok(Some(Node::Action(pipeline)))
            }
        }
    }

    fn control(&mut self, word: &str) -> Result<Node, Error> {
        let pipeline = self.pipeline(word, true)?;
        self.close(word)?;
        let looping = usize::from(word == "range");
        self.loops += looping;
        let (body, end) = self.list()?;
        self.loops -= looping;
        let otherwise = match end {
            None => return self.error("unexpected EOF"),
            Some(End::End) => {
                self.close("end")?;
                Vec::new()
            }
            Some(End::Else) => self.otherwise(word)?,
        };
        Ok(match word {
            "if" => Node::If(pipeline, body, otherwise),
            "with" => Node::With(pipeline, body, otherwise),
            _ => Node::Range(pipeline, body, otherwise),
        })
    }

    /// After an `else`: `else if …`, `else with …`, or a list up to `end`.
    fn otherwise(&mut self, word: &str) -> Result<Vec<Node>, Error> {
        self.space();
        if let Some(Token::Word(next)) = self.peek().cloned()
            && next == word
            && word != "range"
        {
            self.at += 1;
            // The inner statement's `end` ends both.
            return Ok(vec![self.control(word)?]);
        }
        self.close("else")?;
        match self.list()? {
            (nodes, Some(End::End)) => {
                self.close("end")?;
                Ok(nodes)
            }
            (_, Some(End::Else)) => self.error("expected end; found {{else}}"),
            (_, None) => self.error("unexpected EOF"),
        }
    }

    fn definition(&mut self, word: &str) -> Result<Option<Node>, Error> {
        let position = self.position();
        let name = self.name(word)?;
        let pipeline = self.optional_pipeline(word)?;
        let (body, end) = self.list()?;
        if !matches!(end, Some(End::End)) {
            return self.error("unexpected EOF");
        }
        self.close("end")?;
        self.defined.insert(name.clone(), body);
        Ok((word == "block").then_some(Node::Call(position, name, pipeline)))
    }

    fn optional_pipeline(&mut self, word: &str) -> Result<Option<Pipeline>, Error> {
        self.space();
        let pipeline = match self.peek() {
            Some(Token::Close) => None,
            _ => Some(self.pipeline(word, true)?),
        };
        self.close(word)?;
        Ok(pipeline)
    }

    fn name(&mut self, context: &str) -> Result<String, Error> {
        self.space();
        match self.peek().cloned() {
            Some(Token::String(name)) => {
                self.at += 1;
                Ok(name)
            }
            _ => self.error(format!("unexpected token in {context} clause")),
        }
    }

    fn close(&mut self, context: &str) -> Result<(), Error> {
        self.space();
        match self.peek() {
            Some(Token::Close) => {
                self.at += 1;
                Ok(())
            }
            None => self.error("unclosed action"),
            Some(token) => {
                let shown = shown(token);
                self.error(format!("unexpected {shown} in {context}"))
            }
        }
    }

    fn pipeline(&mut self, context: &str, may_declare: bool) -> Result<Pipeline, Error> {
        let mut pipeline = Pipeline::default();
        if may_declare {
            self.declaration(context, &mut pipeline)?;
        }
        loop {
            let command = self.command(context)?;
            if command.is_empty() {
                return match pipeline.commands.is_empty() {
                    true => self.error(format!("missing value for {context}")),
                    false => self.error(format!("missing value after | in {context}")),
                };
            }
            pipeline.commands.push(command);
            if self.peek() != Some(&Token::Pipe) {
                break;
            }
            self.at += 1;
        }
        if !pipeline.assigns {
            self.variables.extend(pipeline.variables.iter().cloned());
        }
        Ok(pipeline)
    }

    /// `$a :=`, `$a =`, `$i, $v :=`; nothing is eaten where there is none.
    fn declaration(&mut self, context: &str, pipeline: &mut Pipeline) -> Result<(), Error> {
        let start = self.at;
        let mut names = Vec::new();
        loop {
            self.space();
            let Some(Token::Variable(name)) = self.peek().cloned() else { break };
            self.at += 1;
            names.push(name);
            self.space();
            match self.peek() {
                Some(Token::Comma) if context == "range" && names.len() < 2 => self.at += 1,
                Some(Token::Declare | Token::Assign) => {
                    pipeline.assigns = self.peek() == Some(&Token::Assign);
                    self.at += 1;
                    pipeline.variables = names;
                    return Ok(());
                }
                _ => break,
            }
        }
        self.at = start;
        Ok(())
    }

    fn command(&mut self, context: &str) -> Result<Vec<Operand>, Error> {
        let mut operands: Vec<Operand> = Vec::new();
        loop {
            self.space();
            let position = self.position();
            let Some(token) = self.peek().cloned() else { return self.error("unclosed action") };
            let (base, fields) = match token {
                Token::Close | Token::Pipe | Token::RightParen => return Ok(operands),
                Token::Field(name) => (Base::Dot, vec![name]),
                Token::Dot => (Base::Dot, Vec::new()),
                Token::Variable(name) => {
                    if !self.variables.contains(&name) {
                        return self.error(format!("undefined variable \"${name}\""));
                    }
                    (Base::Variable(name), Vec::new())
                }
                Token::Word(word) => (self.word(&word)?, Vec::new()),
                Token::String(text) => (Base::Literal(text.into()), Vec::new()),
                Token::Number(number) => (Base::Literal(serde_json::Value::Number(number)), Vec::new()),
                Token::LeftParen => {
                    self.at += 1;
                    let inner = self.pipeline("parenthesized pipeline", false)?;
                    if self.peek() != Some(&Token::RightParen) {
                        return self.error("unclosed left paren");
                    }
                    (Base::Group(Box::new(inner)), Vec::new())
                }
                other => return self.error(format!("unexpected {} in {context}", shown(&other))),
            };
            self.at += 1;
            let mut operand = Operand { position, base, fields };
            while let Some(Token::Field(name)) = self.peek().cloned() {
                self.at += 1;
                operand.fields.push(name);
            }
            operands.push(operand);
        }
    }

    fn word(&self, word: &str) -> Result<Base, Error> {
        Ok(match word {
            "true" => Base::Literal(true.into()),
            "false" => Base::Literal(false.into()),
            "nil" => Base::Nil,
            _ if crate::functions::exists(word) => Base::Function(word.into()),
            _ => return self.error(format!("function {word:?} not defined")),
        })
    }
}

fn shown(token: &Token) -> String {
    match token {
        Token::Comma => "\",\"".into(),
        Token::Declare => "\":=\"".into(),
        Token::Assign => "\"=\"".into(),
        Token::RightParen => "right paren".into(),
        Token::Word(word) => format!("<{word}>"),
        Token::Field(name) => format!("<.{name}>"),
        Token::String(text) => format!("{text:?}"),
        Token::Number(number) => format!("\"{number}\""),
        other => format!("{other:?}"),
    }
}
