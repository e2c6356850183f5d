//! The columns of the video table: which ones fit, how wide they are, and how to sort by them.

use crate::protocol::row::Column;

/// The columns to sort by, from left to right, each with its key and name.
pub(crate) const SORTED: &[(Column, char, &str)] = &[
    (Column::State, 's', "state"),
    (Column::File, 'v', "video"),
    (Column::Name, 'c', "class and video"),
    (Column::Length, 'l', "length"),
    (Column::Picture, 'p', "picture"),
    (Column::Codec, 'd', "codec"),
    (Column::Size, 'z', "size"),
    (Column::Attempts, 't', "tries"),
    (Column::Reason, 'w', "why"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TableColumn {
    Mark,
    /// Glyph and word, or progress.
    State,
    Video,
    Class,
    Length,
    Picture,
    Codec,
    Size,
    Attempts,
    Reason,
}

impl TableColumn {
    /// The title, the order that it stands for, and whether the column is right-aligned.
    pub(crate) fn header(self) -> (&'static str, Option<Column>, bool) {
        match self {
            Self::Mark => ("", None, false),
            Self::State => ("State", Some(Column::State), false),
            Self::Video => ("Video", Some(Column::File), false),
            Self::Class => ("Class", Some(Column::Name), false),
            Self::Length => ("Length", Some(Column::Length), true),
            Self::Picture => ("Picture", Some(Column::Picture), true),
            Self::Codec => ("Codec", Some(Column::Codec), false),
            Self::Size => ("Size", Some(Column::Size), true),
            Self::Attempts => ("Tries", Some(Column::Attempts), true),
            Self::Reason => ("Why", Some(Column::Reason), false),
        }
    }

    fn width(self) -> usize {
        match self {
            Self::Mark => 1,
            Self::State => 16,
            Self::Video => 18,
            Self::Class => 16,
            Self::Length => 7,
            Self::Picture => 9,
            Self::Codec => 6,
            Self::Size => 8,
            Self::Attempts => 6,
            Self::Reason => 12,
        }
    }
}

/// The width at which the start of most reasons is readable.
const READABLE_REASON: usize = 26;

/// The order in which columns are dropped when the table gets narrower.
const DROP_ORDER: [TableColumn; 9] = [
    TableColumn::Codec,
    TableColumn::Size,
    TableColumn::Picture,
    TableColumn::Class,
    TableColumn::Attempts,
    TableColumn::Length,
    TableColumn::Reason,
    TableColumn::Mark,
    TableColumn::State,
];

/// How much the column of classes is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClassColumn {
    /// All rows are of one class.
    Useless,
    /// Less than a readable reason, because the details show the class too.
    Useful,
    /// The rows are sorted by it.
    Sorted,
}

/// The columns that fit into `room` with their widths. One space separates two columns.
pub(crate) fn fit(room: usize, class: ClassColumn) -> Vec<(TableColumn, usize)> {
    use TableColumn::{Attempts, Class, Codec, Length, Mark, Picture, Reason, Size, State, Video};
    let mut columns = vec![Mark, State, Video, Class, Length, Picture, Codec, Size, Attempts, Reason];
    columns.retain(|column| *column != Class || class != ClassColumn::Useless);
    let needs =
        |columns: &[TableColumn]| columns.iter().map(|column| column.width() + 1).sum::<usize>().saturating_sub(1);
    let last = (class == ClassColumn::Sorted).then_some(Class);
    for dropped in DROP_ORDER.into_iter().filter(|column| Some(*column) != last).chain(last) {
        if needs(&columns) <= room {
            break;
        }
        columns.retain(|column| *column != dropped);
    }
    if class == ClassColumn::Useful
        && columns.contains(&Reason)
        && needs(&columns) + READABLE_REASON - Reason.width() > room
    {
        columns.retain(|column| *column != Class);
    }
    let spare = room.saturating_sub(needs(&columns));
    let has = |column| columns.contains(&column);
    // Spare width goes to the reason until it is readable, then to the names up to what they need, then to the reason
    // again.
    let readable = if has(Reason) { spare.min(READABLE_REASON - Reason.width()) } else { 0 };
    let video = if has(Reason) { ((spare - readable) / 3).min(18) } else { spare };
    let names = if has(Class) && has(Reason) { ((spare - readable) / 6).min(14) } else { 0 };
    let why = if has(Reason) { spare - video - names } else { 0 };
    let more = |column| match column {
        Video => video,
        Class => names,
        Reason => why,
        _ => 0,
    };
    let fits = |column: &TableColumn| (*column, (column.width() + more(*column)).min(room));
    columns.iter().map(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_dropped_in_order_and_fill_the_width() {
        let names =
            |room| fit(room, ClassColumn::Useful).into_iter().map(|(column, _)| column.header().0).collect::<Vec<_>>();
        assert_eq!(names(200).len(), 10);
        assert_eq!(names(78), ["", "State", "Video", "Length", "Tries", "Why"]);
        assert_eq!(names(50), ["", "State", "Video", "Why"]);
        assert_eq!(names(38), ["", "State", "Video"]);
        let sorted =
            |room| fit(room, ClassColumn::Sorted).into_iter().map(|(column, _)| column.header().0).collect::<Vec<_>>();
        assert_eq!(
            sorted(78),
            ["", "State", "Video", "Class", "Length", "Why"],
            "80 columns show what rows are sorted by"
        );
        assert_eq!(sorted(36), ["Video", "Class"]);
        for room in 20..300 {
            for class in [ClassColumn::Useless, ClassColumn::Useful, ClassColumn::Sorted] {
                let columns = fit(room, class);
                let width: usize = columns.iter().map(|(_, width)| width + 1).sum::<usize>() - 1;
                assert_eq!(width, room, "{columns:?}");
            }
        }
        assert_eq!(fit(3, ClassColumn::Useful), [(TableColumn::Video, 3)]);
    }

    #[test]
    fn every_sortable_column_is_in_the_sort_menu() {
        use TableColumn::*;
        for column in [State, Video, Class, Length, Picture, Codec, Size, Attempts, Reason] {
            let (_, column, _) = column.header();
            assert!(SORTED.iter().any(|(sorted, ..)| Some(*sorted) == column), "{column:?}");
        }
        let mut keys: Vec<char> = SORTED.iter().map(|(_, key, _)| *key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), SORTED.len());
    }
}
