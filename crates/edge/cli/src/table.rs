//! Tables: columns set apart by blanks (the layout of Go's `text/tabwriter` with padding by blanks).

/// Docker's list formats: columns of ten and more, three blanks between.
const MINIMUM: usize = 10;
const PADDING: usize = 3;

/// Lays out lines whose cells end with tabs; what follows the last tab of a line is in no column.
pub fn layout(text: &str) -> String {
    layout_with(text, MINIMUM, PADDING)
}

/// The same with another least width of a column.
pub fn layout_with(text: &str, minimum: usize, padding: usize) -> String {
    let ends_with_newline = text.ends_with('\n');
    let body = text.strip_suffix('\n').unwrap_or(text);
    let lines: Vec<Vec<&str>> = body.split('\n').map(|line| line.split('\t').collect()).collect();
    let widths = column_widths(&lines, minimum, padding);
    let mut out = String::with_capacity(text.len() * 2);
    for (index, (cells, widths)) in lines.iter().zip(&widths).enumerate() {
        if index > 0 {
            out.push('\n');
        }
        let Some((last, columns)) = cells.split_last() else { continue };
        for (cell, width) in columns.iter().zip(widths) {
            out.push_str(cell);
            out.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count())));
        }
        out.push_str(last);
    }
    if ends_with_newline {
        out.push('\n');
    }
    out
}

// A column is a run of lines that have a cell in this place, all of them within one run of the column before.
fn column_widths(lines: &[Vec<&str>], minimum: usize, padding: usize) -> Vec<Vec<usize>> {
    let columns = |index: usize| lines[index].len() - 1;
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|cells| vec![0; cells.len() - 1]).collect();
    let most = (0..lines.len()).map(columns).max().unwrap_or(0);
    for column in 0..most {
        let mut start = 0;
        while start < lines.len() {
            let length = (start..lines.len()).take_while(|line| columns(*line) > column).count();
            let run = start..start + length;
            let widest =
                run.clone().map(|line| lines[line][column].chars().count() + padding).max().unwrap_or(0);
            for line in run {
                widths[line][column] = widest.max(minimum);
            }
            start += length.max(1);
        }
    }
    widths
}

/// At most so many characters, the last a mark where there were more.
pub fn ellipsis(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(most - 1).collect();
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_of_ps_is_dockers() {
        let text = "CONTAINER ID\tIMAGE\tCOMMAND\tCREATED\tSTATUS\tPORTS\tNAMES\n";
        let header = "CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES\n";
        assert_eq!(layout(text), header);
    }

    #[test]
    fn columns_end_with_their_run_of_lines() {
        assert_eq!(layout_with("a\tb\tc\nlonger\tb\nx\n", 1, 1), "a      b c\nlonger b\nx\n");
        assert_eq!(layout("äö\tx"), "äö        x");
    }
}
