//! `image ls --tree`: images with the platforms that they are for.

use crate::failure::Failure;
use crate::matches::Matches;
use crate::{streams, terminal};
use hull_api_types::{ImageManifestSummary, ImageSummary};
use hull_types::{short_id, size};

const SPACING: &str = "   ";
/// The first column's width is what the others leave, as long as it is not less than this.
const NARROWEST: usize = 12;
/// Heading, width, and whether it is set to the right.
const COLUMNS: [(&str, usize, bool); 4] =
    [("ID", 12, false), ("DISK USAGE", 10, true), ("CONTENT SIZE", 12, true), ("EXTRA", 5, false)];
/// Branches are counted in bytes.
const BRANCH: usize = "├─ ".len();

const BOLD: &str = "\x1b[39m\x1b[1m";
const NAME: &str = "\x1b[34m\x1b[1m";
const NORMAL: &str = "\x1b[39m";
const FAINT: &str = "\x1b[2m";
const WARNING: &str = "\x1b[93m";

/// What flags a tree does not go with, in the order of their complaints.
pub fn check(matches: &Matches) -> Result<(), Failure> {
    let given = [
        (matches.switch("quiet"), "--quiet"),
        (matches.switch("no-trunc"), "--no-trunc"),
        (matches.switch("digests"), "--show-digest"),
        (!matches.text("format").is_empty(), "--format"),
    ];
    match given.iter().find(|(given, _)| *given) {
        Some((_, flag)) => Err(Failure::new(format!("{flag} is not yet supported with --tree"))),
        None => Ok(()),
    }
}

/// Prints the images that have a tag.
pub fn print(images: &[ImageSummary]) {
    let terminal = streams::is_terminal(rustix::stdio::stdout());
    let width = terminal::size().map_or(80, |(_, columns)| usize::from(columns)).max(20);
    streams::print(&Tree::new(images, width, terminal).text());
}

struct Tree<'a> {
    images: Vec<(&'a ImageSummary, Vec<&'a str>)>,
    width: usize,
    first: usize,
    columns: &'static [(&'static str, usize, bool)],
    // Colours, and names cut to the width.
    terminal: bool,
}

impl<'a> Tree<'a> {
    fn new(images: &'a [ImageSummary], width: usize, terminal: bool) -> Self {
        let named = |image: &'a ImageSummary| {
            let mut names: Vec<&str> = image.repo_tags.iter().map(String::as_str).collect();
            names.sort_unstable();
            (image, names)
        };
        let images: Vec<_> = images.iter().filter(|image| !image.repo_tags.is_empty()).map(named).collect();
        let (mut room, mut shown) = (width, 0);
        for (_, width, _) in COLUMNS {
            match room.checked_sub(width + SPACING.len()).filter(|left| *left >= NARROWEST) {
                Some(left) => (room, shown) = (left, shown + 1),
                None => break,
            }
        }
        let names = images.iter().flat_map(|(_, names)| names).map(|name| name.chars().count());
        let children = images.iter().flat_map(|(image, _)| children(image));
        let children = children.map(|(_, platform)| BRANCH + platform.len());
        let widest = names.chain(children).chain(["IMAGE".len()]).max().unwrap_or(0);
        Self { images, width, first: room.min(widest), columns: &COLUMNS[..shown], terminal }
    }

    fn text(&self) -> String {
        let warning =
            "WARNING: This is an experimental feature. The output may change and shouldn't be depended on.";
        let mut text = format!("{}\n{}\n\n", self.painted(warning, WARNING), self.legend());
        text.push_str(&self.cell("IMAGE", self.first, false, BOLD));
        for (heading, width, _) in self.columns {
            text.push_str(SPACING);
            text.push_str(&self.cell(heading, *width, false, BOLD));
        }
        text.push('\n');
        let spaced = self.images.iter().any(|(image, _)| children(image).next().is_some());
        for (image, names) in &self.images {
            self.image(&mut text, image, names);
            if spaced {
                text.push('\n');
            }
            let mut all = children(image).peekable();
            while let Some((child, platform)) = all.next() {
                let branch = if all.peek().is_some() { '├' } else { '└' };
                let colour = if child.available { NORMAL } else { FAINT };
                text.push_str(&self.cell(&format!("{branch}─ {platform}"), self.first, false, colour));
                let (disk, content) = (child.size.total, child.size.content);
                self.details(&mut text, &child.id, disk, content, is_used(child), colour);
                text.push('\n');
            }
            text.push('\n');
        }
        text
    }

    fn image(&self, text: &mut String, image: &ImageSummary, names: &[&str]) {
        let Some((last, others)) = names.split_last() else { return };
        for name in others {
            let name = if self.terminal { cut(name, self.width) } else { (*name).to_owned() };
            text.push_str(&self.painted(&name, NAME));
            text.push('\n');
        }
        text.push_str(&self.cell(last, self.first, false, NAME));
        let content = children(image).map(|(child, _)| child.size.content).sum();
        let used = image.containers > 0 || children(image).any(|(child, _)| is_used(child));
        self.details(text, &image.id, image.size, content, used, NORMAL);
    }

    fn details(&self, text: &mut String, id: &str, disk: i64, content: i64, used: bool, colour: &str) {
        let bytes = |number: i64| size::decimal_with(number as f64, 3);
        let values = [short_id(id).to_owned(), bytes(disk), bytes(content)];
        for (at, (_, width, right)) in self.columns.iter().enumerate() {
            text.push_str(SPACING);
            match values.get(at) {
                Some(value) => text.push_str(&self.cell(value, *width, *right, colour)),
                None => {
                    let chip = self.chip();
                    let columns = if self.terminal { 3 } else { 1 };
                    text.push_str(if used { &chip } else { "" });
                    text.push_str(&" ".repeat(if used { width - columns } else { *width }));
                }
            }
        }
    }

    fn legend(&self) -> String {
        let (head, columns) = match self.terminal {
            true => ("\x1b[1m\x1b[106m\x1b[30mi\x1b[0m\x1b[0m \x1b[96mInfo → \x1b[0m\x1b[0m", 21),
            false => ("Info -> ", 18),
        };
        format!("{}{head} {} In Use ", " ".repeat(self.width.saturating_sub(columns)), self.chip())
    }

    fn chip(&self) -> String {
        if self.terminal { self.painted(" U ", "\x1b[38;5;0m\x1b[48;5;14m") } else { "U".into() }
    }

    fn cell(&self, value: &str, width: usize, right: bool, colour: &str) -> String {
        let value = cut(value, width);
        let blanks = " ".repeat(width - value.chars().count());
        let painted = self.painted(&value, colour);
        if right { blanks + &painted } else { painted + &blanks }
    }

    fn painted(&self, text: &str, colour: &str) -> String {
        if self.terminal { format!("{colour}{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// An image's manifests that are images, with their platforms.
fn children(image: &ImageSummary) -> impl Iterator<Item = (&ImageManifestSummary, String)> {
    let platform = |child: &ImageManifestSummary| Some(child.image_data.as_ref()?.platform.to_string());
    image.manifests.iter().filter_map(move |child| Some((child, platform(child)?)))
}

fn is_used(child: &ImageManifestSummary) -> bool {
    child.image_data.as_ref().is_some_and(|image| !image.containers.is_empty())
}

fn cut(text: &str, width: usize) -> String {
    match text.chars().count() > width {
        true => text.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn images() -> Vec<ImageSummary> {
        let digest = |letter: &str| format!("sha256:{}", letter.repeat(64));
        let child = |letter: &str, platform: &str, here: bool, used: &[&str]| {
            let (os, architecture) = platform.split_once('/').unwrap();
            json!({"ID": digest(letter), "Available": here, "Kind": "image",
                "Descriptor": {"mediaType": "m", "digest": digest(letter), "size": 400},
                "Size": {"Total": if here { 4_112_126 } else { 0 }, "Content": if here { 2_129_768 } else { 0 }},
                "ImageData": {"Platform": {"os": os, "architecture": architecture}, "Containers": used,
                    "Size": {"Unpacked": 1}}})
        };
        let all = json!([
            {"Id": digest("a"), "RepoTags": ["busybox:1", "a-name/that-is-longer-than-its-column-can-be:1"],
                "Size": 1_982_358, "Containers": 0, "Manifests": [
                    child("b", "linux/amd64", true, &["c1"]), child("c", "linux/s390x", false, &[]),
                    {"ID": digest("d"), "Available": true, "Kind": "attestation", "Size": {"Total": 1, "Content": 1},
                        "Descriptor": {"mediaType": "m", "digest": digest("d"), "size": 1},
                        "AttestationData": {"For": digest("b")}}]},
            {"Id": digest("e"), "RepoTags": [], "Size": 3},
            {"Id": digest("f"), "RepoTags": ["old:1"], "Size": 3, "Containers": 0},
        ]);
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn platforms_stand_below_their_image() {
        let images = images();
        let expected = "\
WARNING: This is an experimental feature. The output may change and shouldn't be depended on.
                                                              Info ->  U In Use \n
IMAGE                           ID             DISK USAGE   CONTENT SIZE   EXTRA
a-name/that-is-longer-than-its-column-can-be:1
busybox:1                       aaaaaaaaaaaa       1.98MB         2.13MB   U    
├─ linux/amd64                  bbbbbbbbbbbb       4.11MB         2.13MB   U    
└─ linux/s390x                  cccccccccccc           0B             0B        

old:1                           ffffffffffff           3B             0B        

";
        assert_eq!(Tree::new(&images, 80, false).text(), expected);
        assert_eq!(Tree::new(&images[2..], 80, false).first, 5);
    }

    #[test]
    fn narrow_terminals_have_fewer_columns() {
        let images = images();
        let narrow = Tree::new(&images, 30, true).text();
        let lines: Vec<&str> = narrow.lines().skip(3).collect();
        assert_eq!(lines[0], "\x1b[39m\x1b[1mIMAGE\x1b[0m             \x1b[39m\x1b[1mID\x1b[0m          ");
        assert_eq!(lines[1], "\x1b[34m\x1b[1ma-name/that-is-longer-than-it…\x1b[0m");
        assert_eq!(lines[4], "\x1b[2m└─ linux/s390x\x1b[0m    \x1b[2mcccccccccccc\x1b[0m");
    }
}
