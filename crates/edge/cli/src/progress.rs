//! Progress of pulls, pushes and builds as the engine tells it: bars that move on a terminal, lines elsewhere.

use crate::failure::Failure;
use hull_api_types::{JsonMessage, JsonProgress};
use hull_client::JsonStream;
use hull_types::size;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Under this width there are no bars.
const BAR_FROM: usize = 110;
const BAR: usize = 50;

/// Turns messages into what is to be written.
#[derive(Debug)]
pub struct Renderer {
    terminal: bool,
    width: usize,
    /// The ids that have a line on the terminal, in their order.
    lines: Vec<String>,
    /// Since when each id does what it does, and how far it was then.
    paces: HashMap<String, Pace>,
}

#[derive(Debug)]
struct Pace {
    status: String,
    since: Instant,
    from: i64,
}

impl Renderer {
    /// For a terminal of this width, or for anything else.
    pub fn new(terminal_width: Option<usize>) -> Self {
        Self {
            terminal: terminal_width.is_some(),
            width: terminal_width.unwrap_or(200),
            lines: Vec::new(),
            paces: HashMap::new(),
        }
    }

    /// Rate and time left of what this message tells of, once there is something to tell them by.
    fn pace(&mut self, message: &JsonMessage) -> String {
        let Some(progress) = message.progress_detail.as_ref().filter(|progress| progress.total > 0) else {
            self.paces.remove(&message.id);
            return String::new();
        };
        let new = || Pace { status: message.status.clone(), since: Instant::now(), from: progress.current };
        let pace = self.paces.entry(message.id.clone()).or_insert_with(new);
        if pace.status != message.status {
            *pace = new();
        }
        match progress.units.is_empty() && !progress.hidecounts {
            true => rate(progress, progress.current - pace.from, pace.since.elapsed()),
            false => String::new(),
        }
    }

    /// What to write for this message; an error in it is the stream's.
    pub fn render(&mut self, message: &JsonMessage) -> Result<String, Failure> {
        let error =
            message.error_detail.as_ref().map(|detail| detail.message.as_str()).unwrap_or(&message.error);
        if !error.is_empty() {
            let code = message.error_detail.as_ref().map_or(0, |detail| detail.code);
            return Err(
                Failure::new(error).with_code(i32::try_from(code).ok().filter(|code| *code > 0).unwrap_or(1))
            );
        }
        if message.aux.is_some() && message.status.is_empty() && message.stream.is_empty() {
            return Ok(String::new());
        }
        let mut out = String::new();
        let mut up = 0;
        let has_line =
            !message.id.is_empty() && (message.progress_detail.is_some() || !message.progress.is_empty());
        if has_line {
            up = self.move_to(&message.id, &mut out);
        } else {
            // Lines printed in between put the numbering out; what comes gets new lines.
            self.lines.clear();
        }
        let pace = if self.terminal { self.pace(message) } else { String::new() };
        self.line(message, &pace, &mut out);
        if self.terminal && up > 0 {
            let _ = write!(out, "\x1b[{up}B");
        }
        Ok(out)
    }

    /// Moves the cursor to this id's line; how far up it is.
    fn move_to(&mut self, id: &str, out: &mut String) -> usize {
        let place = self.lines.iter().position(|known| known == id).unwrap_or_else(|| {
            self.lines.push(id.to_owned());
            if self.terminal {
                out.push('\n');
            }
            self.lines.len() - 1
        });
        let up = self.lines.len() - place;
        if self.terminal {
            let _ = write!(out, "\x1b[{up}A");
        }
        up
    }

    fn line(&self, message: &JsonMessage, pace: &str, out: &mut String) {
        let bar = message.progress_detail.as_ref().map(|progress| bar(progress, self.width));
        let mut end = "";
        match &bar {
            Some(_) if self.terminal && message.stream.is_empty() => {
                out.push_str("\x1b[2K\r");
                end = "\r";
            }
            // Bars are for terminals alone.
            Some(bar) if !bar.is_empty() => return,
            _ => {}
        }
        if !message.id.is_empty() {
            let _ = write!(out, "{}: ", message.id);
        }
        let _ = match bar {
            Some(bar) if self.terminal => write!(out, "{} {bar}{pace}{end}", message.status),
            _ if !message.progress.is_empty() => write!(out, "{} {}{end}", message.status, message.progress),
            _ if !message.stream.is_empty() => write!(out, "{}{end}", message.stream),
            _ => writeln!(out, "{}{end}", message.status),
        };
    }
}

/// `  12.5MB/s  8s` of so many bytes in this time.
fn rate(progress: &JsonProgress, bytes: i64, elapsed: Duration) -> String {
    let left = progress.total - progress.current;
    if bytes <= 0 || left <= 0 || elapsed < Duration::from_millis(500) {
        return String::new();
    }
    let rate = bytes as f64 / elapsed.as_secs_f64();
    let seconds = (left as f64 / rate).ceil() as u64;
    let time = match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds:02}s"),
        (hours, minutes, _) => format!("{hours}h{minutes:02}m"),
    };
    format!("  {}/s  {time}", size::decimal(rate))
}

fn bar(progress: &JsonProgress, width: usize) -> String {
    let (current, total) = (progress.current, progress.total);
    if current <= 0 && total <= 0 {
        return String::new();
    }
    let bytes = |number: i64| size::decimal(number as f64);
    if total <= 0 {
        return match progress.units.as_str() {
            "" => format!("{:>8}", bytes(current)),
            units => format!("{current} {units}"),
        };
    }
    let filled = ((current as f64 / total as f64 * 100.0) as usize / 2).min(BAR);
    let mut out = String::new();
    if width > BAR_FROM {
        let _ = write!(out, "[{}>{}] ", "=".repeat(filled), " ".repeat(BAR - filled));
    }
    let _ = match progress.units.as_str() {
        _ if progress.hidecounts => Ok(()),
        "" if current > total => write!(out, "{:>8}", bytes(current)),
        "" => write!(out, "{:>8}/{}", bytes(current), bytes(total)),
        units if current > total => write!(out, "{current} {units}"),
        units => write!(out, "{current}/{total} {units}"),
    };
    out
}

/// Where progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
    /// Nowhere; errors still count.
    Nowhere,
}

/// Shows a stream to its end. `aux` gets the messages' extra values.
pub async fn show(
    stream: &mut JsonStream<JsonMessage>,
    target: Target,
    mut aux: impl FnMut(&serde_json::Value),
) -> Result<(), Failure> {
    let terminal = match target {
        Target::Output => rustix::termios::tcgetwinsize(rustix::stdio::stdout()).ok(),
        Target::Error => rustix::termios::tcgetwinsize(rustix::stdio::stderr()).ok(),
        Target::Nowhere => None,
    };
    let mut renderer = Renderer::new(terminal.map(|size| match size.ws_col {
        0 => 200,
        columns => usize::from(columns),
    }));
    while let Some(message) = stream.next().await? {
        if let Some(value) = &message.aux {
            aux(value);
        }
        let text = renderer.render(&message)?;
        match target {
            Target::Output => crate::streams::print(&text),
            Target::Error => eprint_text(&text),
            Target::Nowhere => {}
        }
    }
    Ok(())
}

fn eprint_text(text: &str) {
    use std::io::Write as _;
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> JsonMessage {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_terminal_has_a_line_for_each_layer() {
        let mut renderer = Renderer::new(Some(120));
        let mut draw = |text: &str| renderer.render(&message(text)).unwrap();
        assert_eq!(draw(r#"{"status":"Pulling from library/x","id":"1"}"#), "1: Pulling from library/x\n");
        assert_eq!(
            draw(r#"{"status":"Waiting","progressDetail":{},"id":"a"}"#),
            "\n\x1b[1A\x1b[2K\ra: Waiting \r\x1b[1B"
        );
        assert_eq!(
            draw(r#"{"status":"Waiting","progressDetail":{},"id":"b"}"#),
            "\n\x1b[1A\x1b[2K\rb: Waiting \r\x1b[1B"
        );
        let half = draw(r#"{"status":"Downloading","progressDetail":{"current":500,"total":1000},"id":"a"}"#);
        let bar = format!("[{}>{}]     500B/1kB", "=".repeat(25), " ".repeat(25));
        assert_eq!(half, format!("\x1b[2A\x1b[2K\ra: Downloading {bar}\r\x1b[2B"));
    }

    #[test]
    fn rates_tell_how_long_it_takes() {
        let at = |current, total| JsonProgress { current, total, ..JsonProgress::default() };
        let second = Duration::from_secs(1);
        assert_eq!(rate(&at(10_000_000, 100_000_000), 10_000_000, second), "  10MB/s  9s");
        assert_eq!(rate(&at(1_000_000, 601_000_000), 1_000_000, second), "  1MB/s  10m00s");
        assert_eq!(rate(&at(1_000, 7_201_000), 1_000, second), "  1kB/s  2h00m");
        assert_eq!(rate(&at(100, 100), 100, second), "");
        assert_eq!(rate(&at(50, 100), 50, Duration::from_millis(10)), "");
    }

    #[test]
    fn elsewhere_there_are_lines_without_bars() {
        let mut renderer = Renderer::new(None);
        let mut draw = |text: &str| renderer.render(&message(text)).unwrap();
        assert_eq!(draw(r#"{"status":"Pull complete","progressDetail":{},"id":"a"}"#), "a: Pull complete\n");
        assert_eq!(draw(r#"{"status":"Downloading","progressDetail":{"current":1,"total":2},"id":"a"}"#), "");
        assert_eq!(draw(r#"{"stream":"Step 1\n"}"#), "Step 1\n");
        assert!(renderer.render(&message(r#"{"errorDetail":{"message":"no"},"error":"no"}"#)).is_err());
    }
}
