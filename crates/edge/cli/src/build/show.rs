//! A build's messages for people and programs: `plain`, as BuildKit's, `rawjson`, and nothing.

use crate::failure::Failure;
use crate::streams;
use hull_api_types::build::{BuildError, BuildFinding, BuildMessage, BuildStep};
use hull_types::{Timestamp, size};
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::time::Instant;

/// How many lines of a failed step's output are shown again.
const LAST_LINES: usize = 25;

/// How a build is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Plain,
    RawJson,
    Quiet,
}

impl Form {
    pub fn of(progress: &str, quiet: bool) -> Result<Self, Failure> {
        match progress {
            _ if quiet => Ok(Self::Quiet),
            "auto" | "plain" | "tty" | "" => Ok(Self::Plain),
            "rawjson" => Ok(Self::RawJson),
            "quiet" | "none" => Ok(Self::Quiet),
            other => Err(Failure::new(format!(
                "invalid progress type {other:?}: auto, plain, quiet and rawjson are known"
            ))),
        }
    }
}

/// A step that is shown.
#[derive(Debug)]
struct Shown {
    number: usize,
    name: String,
    began: Instant,
    started: Timestamp,
    // The beginning of a line whose end has not come.
    open: String,
    last: VecDeque<String>,
}

/// Shows a build.
#[derive(Debug)]
pub struct Show {
    form: Form,
    steps: HashMap<usize, Shown>,
    next: usize,
    current: usize,
    findings: Vec<BuildFinding>,
    failed: Option<(String, VecDeque<String>)>,
    out: fn(&str),
}

impl Show {
    pub fn new(form: Form) -> Self {
        Self {
            form,
            steps: HashMap::new(),
            next: 1,
            current: 0,
            findings: Vec::new(),
            failed: None,
            out: streams::complain,
        }
    }

    fn line(&self, text: &str) {
        if self.form == Form::Plain {
            (self.out)(text);
        }
    }

    /// A step of the client's own, which is done already.
    pub fn internal(&mut self, name: &str, detail: &str, began: Instant) {
        let number = self.take_number();
        self.line(&format!("#{number} [internal] {name}"));
        if !detail.is_empty() {
            self.line(&format!("#{number} {detail}"));
        }
        self.line(&format!("#{number} DONE {:.1}s", began.elapsed().as_secs_f64()));
        let (digest, now) = (digest(number), Timestamp::now().to_string());
        self.json(json!({ "vertexes": [{
            "digest": digest, "name": format!("[internal] {name}"), "started": now, "completed": now,
        }] }));
    }

    fn take_number(&mut self) -> usize {
        let number = self.next;
        self.next += 1;
        if number > 1 {
            self.line("");
        }
        self.current = number;
        number
    }

    fn json(&self, value: Value) {
        if self.form == Form::RawJson {
            streams::complain(&value.to_string());
        }
    }

    /// Shows a message; the last one's content is the caller's.
    pub fn message(&mut self, message: &BuildMessage) {
        match message {
            BuildMessage::Finding(finding) => self.findings.push(finding.clone()),
            BuildMessage::Begin(step) => self.begin(step),
            BuildMessage::Output { step, text, stderr } => self.output(*step, text, *stderr),
            BuildMessage::Status { step, message } => {
                let progress = message.progress_detail.as_ref().map_or(String::new(), |detail| {
                    format!(
                        " {} / {}",
                        size::decimal(detail.current as f64),
                        size::decimal(detail.total as f64)
                    )
                });
                // Bars' steps in between are for terminals.
                if progress.is_empty() || message.status.ends_with("complete") {
                    let id = if message.id.is_empty() { String::new() } else { format!("{}: ", message.id) };
                    self.output(*step, &format!("{id}{}\n", message.status), false);
                }
            }
            BuildMessage::End { step, cached } => self.end(*step, *cached, None),
            BuildMessage::Failed { step, error } => self.end(*step, false, Some(error)),
            BuildMessage::Done { .. } | BuildMessage::Error(_) => {}
        }
    }

    fn begin(&mut self, step: &BuildStep) {
        if step.name.is_empty() {
            return;
        }
        let number = self.take_number();
        self.line(&format!("#{number} {}", step.name));
        let started = Timestamp::now();
        self.json(json!({ "vertexes": [{
            "digest": digest(number), "name": step.name, "started": started.to_string(),
        }] }));
        let shown = Shown {
            number,
            name: step.name.clone(),
            began: Instant::now(),
            started,
            open: String::new(),
            last: VecDeque::new(),
        };
        self.steps.insert(step.id, shown);
    }

    /// Says whose lines follow, where they are another step's than the ones before.
    fn turn_to(&mut self, step: usize) {
        let Some(shown) = self.steps.get(&step) else { return };
        if self.current != shown.number {
            let text = format!("\n#{} {}", shown.number, shown.name);
            self.current = shown.number;
            self.line(&text);
        }
    }

    fn output(&mut self, step: usize, text: &str, stderr: bool) {
        if !self.steps.contains_key(&step) {
            return;
        }
        self.turn_to(step);
        let mut lines = Vec::new();
        if let Some(shown) = self.steps.get_mut(&step) {
            let seconds = shown.began.elapsed().as_secs_f64();
            shown.open.push_str(text);
            while let Some(at) = shown.open.find('\n') {
                let line: String = shown.open.drain(..=at).collect();
                let line = format!("{seconds:.3} {}", line.trim_end_matches(['\n', '\r']));
                if shown.last.len() == LAST_LINES {
                    shown.last.pop_front();
                }
                shown.last.push_back(line.clone());
                lines.push(format!("#{} {line}", shown.number));
            }
            let number = shown.number;
            self.json(json!({ "logs": [{
                "vertex": digest(number), "stream": if stderr { 2 } else { 1 },
                "data": encode(text), "timestamp": Timestamp::now().to_string(),
            }] }));
        }
        lines.iter().for_each(|line| self.line(line));
    }

    fn end(&mut self, step: usize, cached: bool, error: Option<&str>) {
        if self.steps.get(&step).is_some_and(|shown| !shown.open.is_empty()) {
            self.output(step, "\n", false);
        }
        if !self.steps.contains_key(&step) {
            return;
        }
        self.turn_to(step);
        let Some(shown) = self.steps.remove(&step) else { return };
        let (number, seconds) = (shown.number, shown.began.elapsed().as_secs_f64());
        match error {
            Some(error) => self.line(&format!("#{number} ERROR: {error}")),
            None if cached => self.line(&format!("#{number} CACHED")),
            None => self.line(&format!("#{number} DONE {seconds:.1}s")),
        }
        self.json(json!({ "vertexes": [{
            "digest": digest(number), "name": shown.name, "started": shown.started.to_string(),
            "completed": Timestamp::now().to_string(), "cached": cached, "error": error.unwrap_or_default(),
        }] }));
        if error.is_some() {
            self.failed = Some((shown.name, shown.last));
        }
    }

    /// What the lint rules found, at the end.
    pub fn findings(&self) {
        if self.findings.is_empty() || self.form == Form::Quiet {
            return;
        }
        let plural = if self.findings.len() == 1 { "warning" } else { "warnings" };
        self.line(&format!("\n {} {plural} found (use --check to expand):", self.findings.len()));
        for finding in &self.findings {
            self.line(&format!(" - {}: {} (line {})", finding.rule, finding.message, finding.line));
        }
    }

    /// The findings in full, for `--check`; whether there are any.
    pub fn report(&self, file: &str, source: &str) -> bool {
        for finding in &self.findings {
            streams::print_line(&format!("\nWARNING: {} - {}", finding.rule, finding.url));
            streams::print_line(&finding.description);
            streams::print_line(&finding.message);
            streams::print_line(&format!("{file}:{}", finding.line));
            streams::print(&hull_dockerfile::excerpt(source, finding.line, finding.end_line, None));
            streams::print_line(&format!("suggested: {}", finding.fix));
        }
        !self.findings.is_empty()
    }

    /// Why the build failed: the step's last output, the failing lines, the reason.
    pub fn failure(&self, error: &BuildError) -> Failure {
        let mut text = String::new();
        if let Some((name, last)) = self.failed.as_ref().filter(|(_, last)| !last.is_empty()) {
            text.push_str(&format!("------\n > {name}:\n"));
            last.iter().for_each(|line| text.push_str(&format!("{line}\n")));
            text.push_str("------\n");
        }
        if !error.excerpt.is_empty() {
            text.push_str(&error.excerpt);
        }
        if !text.is_empty() && self.form != Form::RawJson {
            streams::complain(text.trim_end());
        }
        Failure::new(format!("ERROR: failed to build: failed to solve: {}", error.message))
    }
}

fn digest(number: usize) -> String {
    format!("sha256:{number:064x}")
}

fn encode(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}
