//! A build as lines for a terminal: what is drawn again and again while it goes on.
//!
//! ```text
//!  [+] Building 1.2s (2/3)
//!   => [internal] load build definition from Dockerfile     0.0s
//!   => CACHED [2/3] COPY . .                                0.0s
//!   => [3/3] RUN make                                       0.9s
//!   => => # cc -c a.c
//! ```

use super::rows::{Progress, Row};
use hull_types::size;
use std::time::Instant;

/// How many lines of a running step's output are shown.
const OUTPUT_LINES: usize = 6;
/// Below this there is no room to name a step.
const NARROWEST: usize = 12;

/// How a frame is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Columns.
    pub width: usize,
    /// Lines; the last frame, which stays, may have more.
    pub height: usize,
    /// With colours.
    pub colours: bool,
    /// Whether it is the last one.
    pub last: bool,
}

/// The frame's lines, without their ends.
pub fn lines(rows: &[Row], began: Instant, now: Instant, look: Look) -> Vec<String> {
    let done = rows.iter().filter(|row| row.ended.is_some()).count();
    let finished = look.last && done == rows.len() && !rows.is_empty();
    let word = if finished { " FINISHED" } else { "" };
    let seconds = now.saturating_duration_since(began).as_secs_f64();
    let heading = format!("[+] Building {seconds:.1}s ({done}/{}){word}", rows.len());
    let mut out = vec![cut(&heading, look.width)];
    let blocks: Vec<Vec<String>> = rows.iter().map(|row| block(row, now, look)).collect();
    let room = if look.last { usize::MAX } else { look.height.saturating_sub(2).max(1) };
    out.extend(fitting(rows, blocks, room));
    out
}

/// As much as there is room for: steps that ended give way, the oldest first, then output.
fn fitting(rows: &[Row], mut blocks: Vec<Vec<String>>, room: usize) -> Vec<String> {
    let mut total: usize = blocks.iter().map(Vec::len).sum();
    for (row, block) in rows.iter().zip(&mut blocks) {
        if total <= room {
            break;
        }
        if row.ended.is_some() {
            total -= block.len();
            block.clear();
        }
    }
    for block in &mut blocks {
        if total <= room {
            break;
        }
        let keep = block.len().min(1);
        total -= block.len() - keep;
        block.truncate(keep);
    }
    let mut lines = blocks.concat();
    lines.drain(..lines.len().saturating_sub(room));
    lines
}

fn block(row: &Row, now: Instant, look: Look) -> Vec<String> {
    let word = match (row.failed, row.cached) {
        (true, _) => "ERROR ",
        (_, true) => "CACHED ",
        _ => "",
    };
    let seconds = row.ended.unwrap_or(now).saturating_duration_since(row.began).as_secs_f64();
    let colour = match (row.failed, row.ended) {
        (true, _) => "31",
        (_, Some(_)) => "34",
        _ => "",
    };
    let Some(line) = timed(&format!(" => {word}{}", clean(&row.name)), seconds, look.width) else {
        return Vec::new();
    };
    let mut lines = vec![painted(line, colour, look)];
    if row.ended.is_none() {
        let parts = row.progress.iter().filter(|part| part.total > 0 && part.current < part.total);
        lines.extend(parts.filter_map(|part| timed(&progress(part), seconds, look.width)));
        let skipped = row.log.len().saturating_sub(OUTPUT_LINES);
        let output = row.log.iter().skip(skipped);
        lines.extend(output.map(|line| {
            painted(cut(&format!(" => => # {}", clean(line)), look.width.saturating_sub(1)), "2", look)
        }));
    }
    lines
}

fn progress(part: &Progress) -> String {
    let (current, total) = (size::decimal(part.current as f64), size::decimal(part.total as f64));
    format!(" => => {} {} {current} / {total}", part.id, part.status.to_lowercase())
}

/// The text, blanks, and the seconds at the right edge.
fn timed(text: &str, seconds: f64, width: usize) -> Option<String> {
    let seconds = if seconds < 0.05 { 0.0 } else { seconds };
    let time = format!(" {seconds:.1}s");
    let room = width.checked_sub(time.len() + 1).filter(|room| *room >= NARROWEST)?;
    let text = cut(text, room);
    let blanks = width - time.len() - columns(&text);
    Some(format!("{text}{}{time}", " ".repeat(blanks)))
}

fn painted(text: String, code: &str, look: Look) -> String {
    if code.is_empty() || !look.colours { text } else { format!("\x1b[{code}m{text}\x1b[0m") }
}

/// Without what moves a cursor or changes a colour; of a line that was written over, what was written last.
fn clean(text: &str) -> String {
    let text = text.rsplit('\r').next().unwrap_or_default();
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\x1b' => skip_escape(&mut letters),
            '\t' => out.push(' '),
            letter if letter.is_control() => {}
            letter => out.push(letter),
        }
    }
    out
}

fn skip_escape(letters: &mut std::str::Chars<'_>) {
    match letters.next() {
        Some('[') => drop(letters.find(|letter| ('@'..='~').contains(letter))),
        // A title or the like, up to a bell.
        Some(']') => drop(letters.find(|letter| *letter == '\x07')),
        _ => {}
    }
}

fn cut(text: &str, width: usize) -> String {
    let mut used = 0;
    let fits = |letter: &char| {
        used += columns_of(*letter);
        used <= width
    };
    text.chars().take_while(fits).collect()
}

fn columns(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

/// Two for the letters that East Asian terminals draw wide, and for pictures.
fn columns_of(letter: char) -> usize {
    match u32::from(letter) {
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f => 2,
        0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1faff | 0x20000..=0x3fffd => 2,
        0x300..=0x36f | 0x200b..=0x200f | 0xfe00..=0xfe0f => 0,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const LOOK: Look = Look { width: 40, height: 24, colours: false, last: false };

    fn rows(began: Instant) -> Vec<Row> {
        let at = |tenths: u64| began + Duration::from_millis(tenths * 100);
        let mut loaded = Row::new(1, "[internal] load build definition from Dockerfile", began);
        loaded.ended = Some(began);
        let mut copied = Row::new(2, "[2/3] COPY . .", at(1));
        (copied.ended, copied.cached) = (Some(at(1)), true);
        let mut pulled = Row::new(3, "[1/3] FROM 東京", at(1));
        pulled.progress(Progress {
            id: "abc".into(),
            status: "Downloading".into(),
            current: 500,
            total: 1000,
        });
        let mut made = Row::new(4, "[3/3] RUN make", at(2));
        made.output("one\ntwo\x1b[31m red\n10%\r20%\nun", began);
        vec![loaded, copied, pulled, made]
    }

    #[test]
    fn steps_are_drawn() {
        let began = Instant::now();
        let drawn = lines(&rows(began), began, began + Duration::from_millis(1200), LOOK);
        let expected = [
            "[+] Building 1.2s (2/4)",
            " => [internal] load build definiti  0.0s",
            " => CACHED [2/3] COPY . .           0.0s",
            " => [1/3] FROM 東京                 1.1s",
            " => => abc downloading 500B / 1kB   1.1s",
            " => [3/3] RUN make                  1.0s",
            " => => # one",
            " => => # two red",
            " => => # 20%",
        ];
        assert_eq!(drawn, expected);
    }

    #[test]
    fn what_ended_gives_way_to_what_goes_on() {
        let began = Instant::now();
        let look = Look { height: 5, ..LOOK };
        let drawn = lines(&rows(began), began, began, look);
        assert_eq!(drawn.len(), 3);
        assert!(drawn[1].contains("FROM") && drawn[2].contains("RUN make"), "{drawn:?}");
        let narrow = lines(&rows(began), began, began, Look { width: 10, ..LOOK });
        assert_eq!(narrow, ["[+] Buildi"], "no step can be named");
    }

    #[test]
    fn the_last_frame_says_how_it_ended() {
        let began = Instant::now();
        let mut rows = rows(began);
        for row in &mut rows {
            row.ended = Some(began);
        }
        rows[3].failed = true;
        let look = Look { colours: true, last: true, height: 3, ..LOOK };
        let drawn = lines(&rows, began, began, look);
        assert_eq!(drawn[0], "[+] Building 0.0s (4/4) FINISHED");
        assert_eq!(drawn[4], "\x1b[31m => ERROR [3/3] RUN make            0.0s\x1b[0m");
        assert!(drawn[2].starts_with("\x1b[34m => CACHED"));
    }
}
