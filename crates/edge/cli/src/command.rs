//! What a command is: a row of a static table. The tables are constants, so that starting costs nothing.

use crate::failure::Failure;
use crate::matches::Matches;
use crate::session::Session;
use std::future::Future;
use std::pin::Pin;

/// A command's work, begun.
pub type Running<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + 'a>>;
/// A command's work.
pub type Run = for<'a> fn(&'a Session, &'a Matches) -> Running<'a>;

/// A command or a group of them. One command may stand in several lists, under different names (`ps`,
/// `container ls`).
#[derive(Debug)]
pub struct Command {
    /// What follows the command's name in the usage line, such as `[OPTIONS] CONTAINER`.
    pub usage: &'static str,
    /// The help's description; its first line is for lists.
    pub about: &'static str,
    /// The help's list of all names, each without the program's; empty for none.
    pub names: &'static [&'static str],
    /// Its flags, sorted by name.
    pub flags: &'static [Flag],
    /// How many arguments it takes.
    pub arguments: Arguments,
    /// Whether flags may follow arguments. `run` and `exec` leave what follows to the container.
    pub interspersed: bool,
    /// What it does.
    pub action: Action,
}

/// What a command does.
pub enum Action {
    /// Nothing of its own: it has commands below it.
    Group(&'static [Entry]),
    /// This.
    Run(Run),
}

impl std::fmt::Debug for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Action::Group(entries) => f.debug_tuple("Group").field(entries).finish(),
            Action::Run(_) => f.write_str("Run"),
        }
    }
}

/// A command in a list.
#[derive(Debug)]
pub struct Entry {
    /// Its name there.
    pub name: &'static str,
    /// Its other names there.
    pub aliases: &'static [&'static str],
    /// Where the program's help lists it.
    pub section: Section,
    /// The command.
    pub command: &'static Command,
}

/// The sections of the program's help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Daily use; the number gives the order.
    Common(u8),
    /// Groups.
    Management,
    /// Groups that need a swarm.
    Swarm,
    /// All others.
    Plain,
    /// Not listed.
    Hidden,
}

impl Entry {
    /// A plain command.
    pub const fn new(name: &'static str, command: &'static Command) -> Self {
        Self { name, aliases: &[], section: Section::Plain, command }
    }
    /// With other names.
    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }
    /// In a section of the program's help.
    pub const fn section(mut self, section: Section) -> Self {
        self.section = section;
        self
    }
    /// Whether `word` names it.
    pub fn answers_to(&self, word: &str) -> bool {
        self.name == word || self.aliases.contains(&word)
    }
}

/// How many arguments a command takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arguments {
    /// Any number.
    Any,
    /// None.
    None,
    /// This many or more.
    AtLeast(usize),
    /// At most this many.
    AtMost(usize),
    /// Exactly this many.
    Exactly(usize),
    /// Between these.
    Between(usize, usize),
}

/// Checks a flag's value while the command line is read.
pub type Check = fn(&str) -> Result<(), String>;

/// A flag.
#[derive(Debug, Clone, Copy)]
pub struct Flag {
    /// Without the dashes.
    pub name: &'static str,
    /// Its letter, or 0.
    pub short: char,
    /// What its value is.
    pub kind: FlagKind,
    /// The value's name in the help.
    pub value_name: &'static str,
    /// The help's text; lines may be given.
    pub help: &'static str,
    /// The value where the flag isn't given.
    pub default: &'static str,
    /// What the help shows as the default, where that isn't `default`.
    pub shown: &'static str,
    /// Checks each value.
    pub check: Option<Check>,
    /// Whether the help leaves it out.
    pub hidden: bool,
    /// The flag that this is another name of.
    pub alias_of: &'static str,
    /// What to say to one who uses it.
    pub deprecated: &'static str,
}

/// What a flag's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlagKind {
    /// `true` where none is given.
    Switch,
    /// The last one counts.
    Text,
    /// All count.
    List,
}

impl Flag {
    const fn of(name: &'static str, kind: FlagKind, value_name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            short: '\0',
            kind,
            value_name,
            help,
            default: "",
            shown: "",
            check: None,
            hidden: false,
            alias_of: "",
            deprecated: "",
        }
    }
    /// On or off.
    pub const fn switch(name: &'static str, help: &'static str) -> Self {
        Self::of(name, FlagKind::Switch, "", help)
    }
    /// One value.
    pub const fn text(name: &'static str, value_name: &'static str, help: &'static str) -> Self {
        Self::of(name, FlagKind::Text, value_name, help)
    }
    /// Any number of values.
    pub const fn list(name: &'static str, value_name: &'static str, help: &'static str) -> Self {
        Self::of(name, FlagKind::List, value_name, help)
    }
    /// Another name of `target`, of the same kind; not in the help.
    pub const fn alias(name: &'static str, target: &'static str, kind: FlagKind) -> Self {
        let mut flag = Self::of(name, kind, "", "");
        flag.alias_of = target;
        flag.hidden = true;
        flag
    }
    /// With a letter.
    pub const fn short(mut self, letter: char) -> Self {
        self.short = letter;
        self
    }
    /// With a value where it isn't given.
    pub const fn default(mut self, value: &'static str) -> Self {
        self.default = value;
        self
    }
    /// With a default that only the help shows.
    pub const fn shown(mut self, value: &'static str) -> Self {
        self.shown = value;
        self
    }
    /// With a check.
    pub const fn check(mut self, check: Check) -> Self {
        self.check = Some(check);
        self
    }
    /// Left out of the help.
    pub const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }
    /// Said to be deprecated when used.
    pub const fn deprecated(mut self, advice: &'static str) -> Self {
        self.deprecated = advice;
        self
    }
}
