//! Tables and numbers for people.

use crate::cli::progress::show_duration;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use std::time::Duration;

/// A table without lines. The columns whose heading begins with `>` are numbers.
pub(in crate::cli) fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING);
    table.set_header(headings.iter().map(|heading| heading.trim_start_matches('>')));
    for (index, heading) in headings.iter().enumerate() {
        if let Some(column) = table.column_mut(index) {
            let left = if index == 0 { 0 } else { 1 };
            column.set_padding((left, 1));
            if heading.starts_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    table
}

/// The table as text, without spaces at the ends of lines.
pub(in crate::cli) fn text(table: &Table) -> String {
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// A time of day: `2026-11-24 13:42:05Z`.
pub(in crate::cli) fn time(microseconds: u64) -> String {
    let timestamp = i64::try_from(microseconds).ok().map(jiff::Timestamp::from_microsecond);
    match timestamp {
        Some(Ok(timestamp)) => timestamp.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        _ => "?".to_string(),
    }
}

/// The same for programs: RFC 3339.
pub(in crate::cli) fn time_for_programs(microseconds: u64) -> Option<String> {
    let timestamp = jiff::Timestamp::from_microsecond(i64::try_from(microseconds).ok()?);
    timestamp.ok().map(|timestamp| timestamp.to_string())
}

/// A duration of microseconds.
pub(in crate::cli) fn duration(microseconds: u64) -> String {
    match microseconds {
        0 => "0 s".to_string(),
        1..1000 => format!("{microseconds} µs"),
        _ => show_duration(Duration::from_micros(microseconds)),
    }
}

/// Seconds for programs.
pub(in crate::cli) fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}

/// A text of somebody else's on one line, without what could move a terminal's cursor.
pub(in crate::cli) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
