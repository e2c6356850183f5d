//! The columns of the video table: which ones fit, how wide they are, and how to sort by them.

use crate::protocol::row::Column;
use crate::tui::table::Widest;

/// The columns to sort by, from left to right, each with its key and name.
pub(crate) const SORTED: &[(Column, char, &str)] = &[
    (Column::State, 's', "state"),
    (Column::File, 'v', "video"),
    (Column::Name, 'c', "class and video"),
    (Column::Length, 'l', "length"),
    (Column::Picture, 'p', "resolution"),
    (Column::Codec, 'd', "codec"),
    (Column::Size, 'z', "size"),
    (Column::Attempts, 't', "attempts"),
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
            Self::Picture => ("Resolution", Some(Column::Picture), true),
            Self::Codec => ("Codec", Some(Column::Codec), false),
            Self::Size => ("Size", Some(Column::Size), true),
            Self::Attempts => ("Attempts", Some(Column::Attempts), true),
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
            Self::Picture => 10,
            Self::Codec => 6,
            Self::Size => 8,
            Self::Attempts => 8,
            Self::Reason => 12,
        }
    }
}

/// The width at which the start of most reasons is readable.
const READABLE_REASON: usize = 26;

/// Names that lack no more than this are shown whole before anything else.
const FEW: usize = 6;

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

/// The columns that fit into `room` with their widths. One space separates two columns. `widest` is what the texts need.
pub(crate) fn fit(room: usize, class: ClassColumn, widest: Widest) -> Vec<(TableColumn, usize)> {
    use TableColumn::{Attempts, Class, Codec, Length, Mark, Picture, Reason, Size, State, Video};
    let mut columns = vec![Mark, State, Video, Class, Length, Picture, Codec, Size, Attempts, Reason];
    columns.retain(|column| *column != Class || class != ClassColumn::Useless);
    let needs =
        |columns: &[TableColumn]| columns.iter().map(|column| column.width() + 1).sum::<usize>().saturating_sub(1);
    // Names that lack a few columns come before other columns.
    let lacking = Some(widest.file.saturating_sub(Video.width())).filter(|lacking| *lacking <= FEW).unwrap_or_default();
    let last = (class == ClassColumn::Sorted).then_some(Class);
    for dropped in DROP_ORDER.into_iter().filter(|column| Some(*column) != last).chain(last) {
        let is_optional = [Codec, Size, Picture, Class].contains(&dropped);
        if needs(&columns) + if is_optional { lacking } else { 0 } <= room {
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
    let more = shares(room.saturating_sub(needs(&columns)), &columns, widest);
    let fits = |column: &TableColumn| (*column, (column.width() + more(*column)).min(room));
    columns.iter().map(fits).collect()
}

/// How the spare columns are shared: names that lack a few columns get them. The reason gets what it needs until it is readable. Then the names get what they need, up
/// to a part of the rest if the reason needs more too. What nothing needs is at the right end.
fn shares(spare: usize, columns: &[TableColumn], widest: Widest) -> impl Fn(TableColumn) -> usize {
    use TableColumn::{Class, Reason, Video};
    let needs = |column: TableColumn, wide: usize| match columns.contains(&column) {
        true => wide.saturating_sub(column.width()),
        false => 0,
    };
    let (of_video, of_class) = (needs(Video, widest.file), needs(Class, widest.class));
    let of_reason = needs(Reason, widest.reason);
    let few = if of_video <= FEW { spare.min(of_video) } else { 0 };
    let (spare, of_video) = (spare - few, of_video - few);
    let readable = spare.min(of_reason).min(READABLE_REASON - Reason.width());
    let rest = spare - readable;
    let mut video = of_video.min(rest / 3);
    let mut class = of_class.min(rest / 6);
    let mut why = readable + (of_reason - readable).min(rest - video - class);
    let left = spare - video - class - why;
    let more = left.min(of_video - video);
    video += more;
    let left = left - more;
    let more = left.min(of_class - class);
    class += more;
    match columns.contains(&Reason) {
        true => why += left - more,
        false => video += left - more,
    }
    move |column| match column {
        Video => few + video,
        Class => class,
        Reason => why,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Widest = Widest { file: 15, class: 12, reason: 10 };
    const LONG: Widest = Widest { file: 60, class: 30, reason: 200 };

    /// The widths of the names, the classes and the reasons.
    fn widths(room: usize, widest: Widest) -> [usize; 3] {
        let columns = fit(room, ClassColumn::Useful, widest);
        let of = |wanted| columns.iter().find(|(column, _)| *column == wanted).map_or(0, |(_, width)| *width);
        [TableColumn::Video, TableColumn::Class, TableColumn::Reason].map(of)
    }

    #[test]
    fn nothing_is_cut_beside_blank_columns() {
        for room in 60..300 {
            for widest in [
                Widest { file: 60, ..SHORT },
                Widest { class: 40, ..SHORT },
                Widest { reason: 90, ..SHORT },
                Widest { file: 30, class: 30, reason: 30 },
                LONG,
            ] {
                let needed = [widest.file, widest.class, widest.reason];
                let widths = widths(room, widest);
                let is_cut = |place: usize| widths[place] > 0 && widths[place] < needed[place];
                let is_blank = |place: usize, least: usize| widths[place] > needed[place].max(least);
                let cut = (0..3).any(is_cut);
                let blank = is_blank(0, 18) || is_blank(1, 16) || is_blank(2, 12);
                assert!(!(cut && blank), "{room}: {widths:?} of {needed:?}");
            }
        }
        let names = Widest { file: 22, ..LONG };
        assert_eq!(widths(78, names)[0], 22, "a longer extension is visible at 80 columns too");
        let of_a_class = fit(78, ClassColumn::Useless, names);
        assert!(of_a_class.contains(&(TableColumn::Video, 22)), "also where the class is not: {of_a_class:?}");
        let all = widths(200, LONG);
        assert!(all[2] > all[0] && all[0] > 30, "the reason gets most, and the names enough: {all:?}");
    }

    #[test]
    fn columns_are_dropped_in_order_and_fill_the_width() {
        let names = |room| {
            fit(room, ClassColumn::Useful, LONG).into_iter().map(|(column, _)| column.header().0).collect::<Vec<_>>()
        };
        assert_eq!(names(200).len(), 10);
        assert_eq!(names(78), ["", "State", "Video", "Length", "Attempts", "Why"]);
        assert_eq!(names(50), ["", "State", "Video", "Why"]);
        assert_eq!(names(38), ["", "State", "Video"]);
        let sorted = |room| {
            fit(room, ClassColumn::Sorted, LONG).into_iter().map(|(column, _)| column.header().0).collect::<Vec<_>>()
        };
        assert_eq!(
            sorted(78),
            ["", "State", "Video", "Class", "Length", "Why"],
            "80 columns show what rows are sorted by"
        );
        assert_eq!(sorted(36), ["Video", "Class"]);
        for room in 20..300 {
            for class in [ClassColumn::Useless, ClassColumn::Useful, ClassColumn::Sorted] {
                let columns = fit(room, class, LONG);
                let width: usize = columns.iter().map(|(_, width)| width + 1).sum::<usize>() - 1;
                assert_eq!(width, room, "{columns:?}");
            }
        }
        assert_eq!(fit(3, ClassColumn::Useful, LONG), [(TableColumn::Video, 3)]);
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
