//! A build's messages for people and programs.
//!
//! ```text
//!  messages ─► Show ─► rows (what is known of each step) ─► frame: lines ─► drawn on a terminal, again and again
//!                 └──► plain: a line as it comes     └──► rawjson: an object as it comes
//! ```
//!
//! One screen may show several builds at once, each through a [`Show`] of its own.

mod frame;
mod rows;

use crate::failure::Failure;
use crate::streams;
use frame::Look;
use hull_api_types::build::{BuildError, BuildFinding, BuildMessage, BuildStep};
use hull_dockerfile::hint;
use hull_types::Timestamp;
use rows::{Progress, Row};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io::Write;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How often a terminal is drawn anew.
const TICK: Duration = Duration::from_millis(120);

/// How a build is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Plain,
    /// Lines that move, on standard error's terminal.
    Terminal,
    RawJson,
    Quiet,
}

impl Form {
    /// Of `--progress`; where that leaves it open, of BUILDKIT_PROGRESS.
    pub fn of(progress: &str, quiet: bool) -> Result<Self, Failure> {
        let variable = std::env::var("BUILDKIT_PROGRESS").unwrap_or_default();
        let progress = if matches!(progress, "auto" | "") { variable.as_str() } else { progress };
        let on_terminal = streams::is_terminal(rustix::stdio::stderr());
        match progress {
            _ if quiet => Ok(Self::Quiet),
            "auto" | "" if on_terminal => Ok(Self::Terminal),
            "auto" | "" | "plain" => Ok(Self::Plain),
            "tty" if on_terminal => Ok(Self::Terminal),
            "tty" => Err(Failure::new("ERROR: failed to get console: standard error is not a terminal")),
            "rawjson" => Ok(Self::RawJson),
            "quiet" | "none" => Ok(Self::Quiet),
            other => Err(Failure::new(format!(
                "invalid progress type {other:?}{}: auto, plain, tty, quiet and rawjson are known",
                hint(other, ["auto", "plain", "tty", "quiet", "rawjson"])
            ))),
        }
    }
}

/// What all builds on one screen share.
#[derive(Debug)]
struct Screen {
    form: Form,
    began: Instant,
    rows: Vec<Row>,
    current: usize,
    builds: usize,
    /// How many lines the terminal's last frame had.
    drawn: usize,
    /// The time that is shown, where it is another one than now.
    clock: Option<(Instant, Timestamp)>,
}

/// Shows a build.
#[derive(Debug)]
pub struct Show {
    screen: Rc<RefCell<Screen>>,
    /// What goes before the steps' names, where several builds are shown.
    label: String,
    /// The rows of this build's steps.
    steps: HashMap<usize, usize>,
    findings: Vec<BuildFinding>,
    failed: Option<(String, VecDeque<String>)>,
    kept: Option<String>,
    left: RefCell<String>,
}

impl Show {
    pub fn new(form: Form) -> Self {
        let screen = Screen {
            form,
            began: Instant::now(),
            rows: Vec::new(),
            current: 0,
            builds: 0,
            drawn: 0,
            clock: None,
        };
        Self::on(Rc::new(RefCell::new(screen)), "")
    }

    fn on(screen: Rc<RefCell<Screen>>, label: &str) -> Self {
        screen.borrow_mut().builds += 1;
        let label = label.to_owned();
        Self {
            screen,
            label,
            steps: HashMap::new(),
            findings: Vec::new(),
            failed: None,
            kept: None,
            left: RefCell::default(),
        }
    }

    /// From now on it is this time: what was said before is shown again.
    pub fn set_clock(&self, instant: Instant, time: Timestamp) {
        self.screen.borrow_mut().clock = Some((instant, time));
    }

    /// Another build on the same screen.
    pub fn beside(&self, label: &str) -> Self {
        Self::on(Rc::clone(&self.screen), label)
    }

    pub fn form(&self) -> Form {
        self.screen.borrow().form
    }

    /// Draws while `work` goes on, and a last time.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        if self.form() != Form::Terminal {
            return work.await;
        }
        let ticking = async {
            let mut ticks = tokio::time::interval(TICK);
            loop {
                ticks.tick().await;
                self.screen.borrow_mut().draw(false);
            }
        };
        let result = tokio::select! {
            result = work => result,
            never = ticking => never,
        };
        self.screen.borrow_mut().draw(true);
        result
    }

    fn named(&self, name: &str) -> String {
        match (self.label.as_str(), name.strip_prefix('[')) {
            ("", _) => name.to_owned(),
            (label, Some(rest)) => format!("[{label} {rest}"),
            (label, None) => format!("[{label}] {name}"),
        }
    }

    /// A step of the client's own, which is done already.
    pub fn internal(&mut self, name: &str, detail: &str, began: Instant) {
        let name = self.named(&format!("[internal] {name}"));
        let mut screen = self.screen.borrow_mut();
        let at = screen.begin(&name, began);
        let number = screen.rows[at].number;
        if !detail.is_empty() {
            screen.line(&format!("#{number} {detail}"));
        }
        screen.end(at, false, None);
    }

    /// Shows a message; the last one's content is the caller's.
    pub fn message(&mut self, message: &BuildMessage) {
        match message {
            BuildMessage::Finding(finding) => self.findings.push(finding.clone()),
            BuildMessage::Begin(step) => self.begin(step),
            BuildMessage::Output { step, text, stderr } => self.output(*step, text, *stderr),
            BuildMessage::Status { step, message } => self.status(*step, message),
            BuildMessage::End { step, cached } => self.end(*step, *cached, None),
            BuildMessage::Failed { step, error } => self.end(*step, false, Some(error)),
            BuildMessage::Kept(id) => self.kept = Some(id.clone()),
            BuildMessage::Called(_) | BuildMessage::Done { .. } | BuildMessage::Error(_) => {}
        }
    }

    fn begin(&mut self, step: &BuildStep) {
        if !step.name.is_empty() {
            let name = self.named(&step.name);
            let mut screen = self.screen.borrow_mut();
            let began = screen.now().0;
            let row = screen.begin(&name, began);
            drop(screen);
            self.steps.insert(step.id, row);
        }
    }

    fn output(&self, step: usize, text: &str, stderr: bool) {
        if let Some(row) = self.steps.get(&step) {
            self.screen.borrow_mut().output(*row, text, stderr);
        }
    }

    fn status(&self, step: usize, message: &hull_api_types::JsonMessage) {
        let Some(row) = self.steps.get(&step) else { return };
        let id = if message.id.is_empty() { String::new() } else { format!("{}: ", message.id) };
        let mut screen = self.screen.borrow_mut();
        let mut is_bar = false;
        if let Some(detail) = message.progress_detail.as_ref().filter(|detail| detail.total > 0) {
            is_bar = true;
            screen.rows[*row].progress(Progress {
                id: message.id.clone(),
                status: message.status.clone(),
                current: detail.current,
                total: detail.total,
            });
        } else {
            screen.rows[*row].progress.retain(|part| part.id != message.id);
        }
        // Bars' steps in between are for terminals, which in turn need no lines for them.
        if screen.form != Form::Terminal && (!is_bar || message.status.ends_with("complete")) {
            screen.output(*row, &format!("{id}{}\n", message.status), false);
        }
    }

    fn end(&mut self, step: usize, cached: bool, error: Option<&str>) {
        let Some(row) = self.steps.remove(&step) else { return };
        let mut screen = self.screen.borrow_mut();
        screen.end(row, cached, error);
        if error.is_some() {
            let row = &screen.rows[row];
            self.failed = Some((row.name.clone(), row.last.clone()));
        }
    }

    /// Says what is no step's.
    fn say(&self, text: &str) {
        if matches!(self.form(), Form::Plain | Form::Terminal) {
            streams::complain(text);
        }
    }

    /// What the lint rules found, at the end.
    pub fn findings(&self) {
        if self.findings.is_empty() {
            return;
        }
        let plural = if self.findings.len() == 1 { "warning" } else { "warnings" };
        self.say(&format!("\n {} {plural} found (use --check to expand):", self.findings.len()));
        for finding in &self.findings {
            self.say(&format!(" - {}: {} (line {})", finding.rule, finding.message, finding.line));
        }
    }

    /// By which id the engine keeps the result.
    pub fn kept(&self) -> Option<&str> {
        self.kept.as_deref()
    }

    /// The image of what a failed step left.
    pub fn left_image(&self) -> Option<String> {
        Some(self.left.borrow().clone()).filter(|image| !image.is_empty())
    }

    /// Why the build failed: the step's last output, the failing lines, the reason.
    pub fn failure(&self, error: &BuildError) -> Failure {
        self.left.borrow_mut().clone_from(&error.image);
        let mut text = String::new();
        if let Some((name, last)) = self.failed.as_ref().filter(|(_, last)| !last.is_empty()) {
            text.push_str(&format!("------\n > {name}:\n"));
            last.iter().for_each(|line| text.push_str(&format!("{line}\n")));
            text.push_str("------\n");
        }
        text.push_str(&error.excerpt);
        if self.form() == Form::RawJson {
            text.clear();
        }
        text.push_str(&format!("ERROR: failed to build: failed to solve: {}", error.message));
        Failure::new(text)
    }
}

impl Screen {
    fn now(&self) -> (Instant, Timestamp) {
        self.clock.unwrap_or_else(|| (Instant::now(), Timestamp::now()))
    }

    fn line(&self, text: &str) {
        if self.form == Form::Plain {
            streams::complain(text);
        }
    }

    fn json(&self, value: &Value) {
        if self.form == Form::RawJson {
            streams::complain(&value.to_string());
        }
    }

    /// A new row; its place.
    fn begin(&mut self, name: &str, began: Instant) -> usize {
        let mut row = Row::new(self.rows.len() + 1, name, began);
        row.started = self.now().1;
        if row.number > 1 {
            self.line("");
        }
        self.line(&format!("#{} {name}", row.number));
        self.json(&json!({ "vertexes": [{
            "digest": digest(row.number), "name": name, "started": row.started.to_string(),
        }] }));
        self.current = row.number;
        self.rows.push(row);
        self.rows.len() - 1
    }

    /// Says whose lines follow, where they are another step's than the ones before.
    fn turn_to(&mut self, at: usize) {
        let (number, name) = (self.rows[at].number, &self.rows[at].name);
        if self.current != number {
            let text = format!("\n#{number} {name}");
            self.current = number;
            self.line(&text);
        }
    }

    fn output(&mut self, at: usize, text: &str, stderr: bool) {
        self.turn_to(at);
        let number = self.rows[at].number;
        let (now, time) = self.now();
        let lines = self.rows[at].output(text, now);
        lines.iter().for_each(|line| self.line(&format!("#{number} {line}")));
        self.json(&json!({ "logs": [{
            "vertex": digest(number), "stream": if stderr { 2 } else { 1 },
            "data": encode(text), "timestamp": time.to_string(),
        }] }));
    }

    fn end(&mut self, at: usize, cached: bool, error: Option<&str>) {
        if self.rows[at].is_open() {
            self.output(at, "\n", false);
        }
        self.turn_to(at);
        let (now, time) = self.now();
        let row = &mut self.rows[at];
        (row.ended, row.cached, row.failed) = (Some(now), cached, error.is_some());
        let row = &self.rows[at];
        let (number, seconds) = (row.number, now.saturating_duration_since(row.began).as_secs_f64());
        match error {
            Some(error) => self.line(&format!("#{number} ERROR: {error}")),
            None if cached => self.line(&format!("#{number} CACHED")),
            None => self.line(&format!("#{number} DONE {seconds:.1}s")),
        }
        self.json(&json!({ "vertexes": [{
            "digest": digest(number), "name": row.name, "started": row.started.to_string(),
            "completed": time.to_string(), "cached": cached, "error": error.unwrap_or_default(),
        }] }));
    }

    /// Draws over what was drawn before.
    fn draw(&mut self, last: bool) {
        let size = rustix::termios::tcgetwinsize(rustix::stdio::stderr()).ok();
        let (height, width) = size.map_or((24, 80), |size| (size.ws_row, size.ws_col));
        let look = Look {
            width: if width == 0 { 80 } else { width.into() },
            height: if height == 0 { 24 } else { height.into() },
            colours: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            last,
        };
        let lines = frame::lines(&self.rows, self.began, Instant::now(), look);
        let mut text = String::new();
        if self.drawn > 0 {
            text.push_str(&format!("\x1b[{}A", self.drawn));
        }
        for line in &lines {
            text.push_str(&format!("\r{line}\x1b[K\n"));
        }
        // What is left of a longer frame.
        text.push_str("\x1b[J");
        self.drawn = lines.len();
        let mut error = std::io::stderr().lock();
        // A terminal that went away is nobody's loss.
        let _ = error.write_all(text.as_bytes()).and_then(|()| error.flush());
    }
}

fn digest(number: usize) -> String {
    format!("sha256:{number:064x}")
}

fn encode(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}
