//! Writes to the terminal. A reader that went away (`| head`) is no error.

use std::io::Write;

use serde::Serialize;

use super::exit::Failure;

/// A line on stdout.
pub(crate) fn say(text: &str) {
    drop(writeln!(std::io::stdout().lock(), "{text}"));
}

/// A line on stderr.
pub(crate) fn complain(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

/// A value as JSON on stdout.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::failed("write JSON", error))?;
    say(&text);
    Ok(())
}

/// Rows under a heading, in columns. Cells must be free of control characters:
/// see [`plain`].
pub(crate) fn table(heading: &[&str], rows: &[Vec<String>]) {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::TableStyle::new());
    table.set_header(heading.iter().copied());
    table.add_rows(rows.iter().map(|row| row.iter().map(|cell| plain(cell))));
    for line in table.lines() {
        say(line.trim_end());
    }
}

/// Text from outside, with control characters made visible: it must not be able
/// to write to the terminal anything but text.
pub(crate) fn plain(text: &str) -> String {
    let visible = |c: char| {
        if c.is_control() {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    };
    text.chars().map(visible).collect()
}
