//! What is known of a build's steps, for who draws them.

use hull_types::Timestamp;
use std::collections::VecDeque;
use std::time::Instant;

/// How many lines of a failed step's output are shown again.
const LAST_LINES: usize = 25;

/// A step.
#[derive(Debug)]
pub struct Row {
    /// From 1 on, in the order of their beginnings.
    pub number: usize,
    pub name: String,
    pub began: Instant,
    pub started: Timestamp,
    pub ended: Option<Instant>,
    pub cached: bool,
    pub failed: bool,
    /// What a pull or transfer is at: whose, what, how much of how much.
    pub progress: Vec<Progress>,
    /// Its last lines, with the second they came in.
    pub last: VecDeque<String>,
    /// Its last lines as they were.
    pub log: VecDeque<String>,
    // The beginning of a line whose end has not come.
    open: String,
}

/// How far one part of a step is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    pub id: String,
    pub status: String,
    pub current: i64,
    pub total: i64,
}

impl Row {
    pub fn new(number: usize, name: &str, began: Instant) -> Self {
        Self {
            number,
            name: name.to_owned(),
            began,
            started: Timestamp::now(),
            ended: None,
            cached: false,
            failed: false,
            progress: Vec::new(),
            last: VecDeque::new(),
            log: VecDeque::new(),
            open: String::new(),
        }
    }

    /// Whether a line has begun and not ended.
    pub fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Takes output in; the lines that are whole now, each with its second.
    pub fn output(&mut self, text: &str, now: Instant) -> Vec<String> {
        let seconds = now.saturating_duration_since(self.began).as_secs_f64();
        self.open.push_str(text);
        let mut lines = Vec::new();
        while let Some(at) = self.open.find('\n') {
            let line: String = self.open.drain(..=at).collect();
            let line = line.trim_end_matches(['\n', '\r']);
            push(&mut self.log, line.to_owned());
            let line = format!("{seconds:.3} {line}");
            push(&mut self.last, line.clone());
            lines.push(line);
        }
        lines
    }

    /// Notes how far a part is.
    pub fn progress(&mut self, progress: Progress) {
        match self.progress.iter_mut().find(|known| known.id == progress.id) {
            Some(known) => *known = progress,
            None => self.progress.push(progress),
        }
    }
}

fn push(lines: &mut VecDeque<String>, line: String) {
    if lines.len() == LAST_LINES {
        lines.pop_front();
    }
    lines.push_back(line);
}
