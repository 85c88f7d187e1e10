//! Tables that fit the terminal: columns that tell nothing are left out, and those that there is no room for, the least
//! important first.

use comfy_table::{Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, presets};

use super::output::{Screen, printable};

/// Spaces between columns.
const GAP: u16 = 2;

/// The width that is enough for a column whose text may go on in the next line.
const WRAPPED_WIDTH: u16 = 24;

/// A column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    title: &'static str,
    /// 0 is never left out; of the others the highest goes first.
    rank: u8,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Number,
    State,
    /// May go on in the next line.
    Wrapped,
}

impl Column {
    /// A column that is left out when it is empty, or when room is needed and no column of a higher `rank` is left; never
    /// with rank 0.
    pub(super) const fn new(title: &'static str, rank: u8) -> Self {
        Self {
            title,
            rank,
            kind: Kind::Plain,
        }
    }

    /// Numbers stand at the right.
    pub(super) const fn number(self) -> Self {
        Self {
            kind: Kind::Number,
            ..self
        }
    }

    /// States of registrations, jobs and mails have colours.
    pub(super) const fn state(self) -> Self {
        Self {
            kind: Kind::State,
            ..self
        }
    }

    /// Long texts go on in the next line.
    pub(super) const fn wrapped(self) -> Self {
        Self {
            kind: Kind::Wrapped,
            ..self
        }
    }
}

/// A table of rows with one text for each column.
pub(super) fn table<const N: usize>(
    screen: Screen,
    columns: [Column; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = comfy_table::Table::new();
    table.set_header(columns.map(|column| column.title));
    for row in rows {
        let mut cells = Vec::with_capacity(N);
        for (column, text) in columns.iter().zip(&row) {
            let cell = Cell::new(printable(text));
            cells.push(match (column.kind, colour(text)) {
                (Kind::State, Some(colour)) => cell.fg(colour),
                (Kind::Number, _) => cell.set_alignment(CellAlignment::Right),
                _ => cell,
            });
        }
        table.add_row(cells);
    }
    arrange(&mut table, screen, &columns);
    table.trim_fmt()
}

/// Names and what they stand for, one a line.
pub(super) fn card(screen: Screen, lines: impl IntoIterator<Item = (&'static str, String)>) -> String {
    let mut table = comfy_table::Table::new();
    for (name, value) in lines {
        table.add_row([name.to_owned(), printable(&value)]);
    }
    arrange(&mut table, screen, &[Column::new("", 0), Column::new("", 0).wrapped()]);
    table.trim_fmt()
}

fn arrange(table: &mut comfy_table::Table, screen: Screen, columns: &[Column]) {
    let widths = table.column_max_content_widths();
    let tells = |at: usize| {
        columns[at].rank == 0
            || table
                .column_cells_iter(at)
                .flatten()
                .any(|cell| !cell.content().is_empty())
    };
    let shown = (0..columns.len()).map(tells).collect();
    let shown = fitting(screen.width, columns, &widths, shown);
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(screen.width);
    if screen.colours {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    let last = shown.iter().rposition(|&shown| shown);
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if Some(at) == last { 0 } else { GAP }));
        if !shown[at] {
            column.set_constraint(ColumnConstraint::Hidden);
        } else if columns[at].kind != Kind::Wrapped {
            // An id that is broken in two cannot be copied.
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
}

/// Those of the `shown` columns that there is room for.
fn fitting(width: u16, columns: &[Column], widths: &[u16], mut shown: Vec<bool>) -> Vec<bool> {
    let wanted = |shown: &[bool]| -> u32 {
        let of = |at: usize| match columns[at].kind {
            Kind::Wrapped => widths[at].min(WRAPPED_WIDTH),
            Kind::Plain | Kind::Number | Kind::State => widths[at],
        };
        let kept = (0..columns.len()).filter(|&at| shown[at]);
        kept.map(|at| u32::from(of(at)) + u32::from(GAP))
            .sum::<u32>()
            .saturating_sub(u32::from(GAP))
    };
    while wanted(&shown) > u32::from(width) {
        let least = (0..columns.len())
            .filter(|&at| shown[at] && columns[at].rank > 0)
            .max_by_key(|&at| columns[at].rank);
        let Some(least) = least else { break };
        shown[least] = false;
    }
    shown
}

/// Green is well, red wants somebody, yellow may.
fn colour(state: &str) -> Option<Color> {
    match state {
        "active" | "succeeded" | "sent" | "ok" => Some(Color::Green),
        "dead" | "failed" | "problem" => Some(Color::Red),
        "warning" | "paused" | "retrying" | "needs_correction" | "in_review" | "awaiting_information" => {
            Some(Color::Yellow)
        }
        "withdrawn" | "expired" | "cancelled" | "discarded" | "skipped" => Some(Color::DarkGrey),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [
        Column::new("ID", 0),
        Column::new("WHY", 1).wrapped(),
        Column::new("AGE", 2),
    ];

    fn shown(width: u16) -> String {
        let row = |id: &str| {
            [
                id.to_owned(),
                "the reason is long, and is told in more than one line".to_owned(),
                "3m ago".to_owned(),
            ]
        };
        table(
            Screen { width, colours: false },
            COLUMNS,
            [row("0123456789"), row("9876543210")],
        )
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in [40, 42, 60, 80, 200] {
            let text = shown(width);
            assert!(
                text.lines().all(|line| line.chars().count() <= width.into()),
                "{width}:\n{text}"
            );
        }
    }

    #[test]
    fn a_column_that_tells_nothing_is_left_out() {
        let rows = [["0123456789".to_owned(), String::new(), "3m ago".to_owned()]];
        let text = table(
            Screen {
                width: 80,
                colours: false,
            },
            COLUMNS,
            rows,
        );
        assert_eq!(text, "ID          AGE\n0123456789  3m ago");
    }

    #[test]
    fn the_least_important_column_goes_first() {
        assert!(shown(44).contains("AGE"));
        assert!(!shown(43).contains("AGE"));
        assert!(shown(36).contains("WHY"));
        assert!(!shown(35).contains("WHY"));
        assert!(shown(5).contains("0123456789"), "what must be shown is shown whole");
    }
}
