//! The columns of the table of videos: which there is room for, how wide, and by which one can sort.

use crate::protocol::row::Column;

/// What one can sort by, with a key and a name for it, from left to right.
pub const SORTED: &[(Column, char, &str)] = &[
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

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Marked or not.
    Mark,
    /// Glyph and word, or how far.
    State,
    /// The file's name.
    Video,
    /// The class.
    Class,
    /// Playing time.
    Length,
    /// Width and height.
    Picture,
    /// The codec.
    Codec,
    /// Bytes.
    Size,
    /// Attempts.
    Tries,
    /// Why it stands where it stands.
    Why,
}

impl Cell {
    /// Its head, what sorts by it, and whether it is a number, which stands to the right.
    pub fn head(self) -> (&'static str, Option<Column>, bool) {
        match self {
            Self::Mark => ("", None, false),
            Self::State => ("State", Some(Column::State), false),
            Self::Video => ("Video", Some(Column::File), false),
            Self::Class => ("Class", Some(Column::Name), false),
            Self::Length => ("Length", Some(Column::Length), true),
            Self::Picture => ("Picture", Some(Column::Picture), true),
            Self::Codec => ("Codec", Some(Column::Codec), false),
            Self::Size => ("Size", Some(Column::Size), true),
            Self::Tries => ("Tries", Some(Column::Attempts), true),
            Self::Why => ("Why", Some(Column::Reason), false),
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
            Self::Tries => 6,
            Self::Why => 12,
        }
    }
}

/// Columns in which the beginning of most reasons can be read.
const READABLE: usize = 26;

/// The order in which columns leave where there is less and less room.
const LEAVING: [Cell; 9] = [
    Cell::Codec,
    Cell::Size,
    Cell::Picture,
    Cell::Class,
    Cell::Tries,
    Cell::Length,
    Cell::Why,
    Cell::Mark,
    Cell::State,
];

/// The columns for so much room with their widths; a space goes between any two. `classes`: the class says something.
pub fn fit(room: usize, classes: bool) -> Vec<(Cell, usize)> {
    use Cell::{Class, Codec, Length, Mark, Picture, Size, State, Tries, Video, Why};
    let mut cells = vec![Mark, State, Video, Class, Length, Picture, Codec, Size, Tries, Why];
    cells.retain(|cell| *cell != Class || classes);
    let needs = |cells: &[Cell]| cells.iter().map(|cell| cell.width() + 1).sum::<usize>().saturating_sub(1);
    for leaving in LEAVING {
        if needs(&cells) <= room {
            break;
        }
        cells.retain(|cell| *cell != leaving);
    }
    // A reason that can be read says more than a class, which the details have too.
    if cells.contains(&Why) && needs(&cells) + READABLE - Why.width() > room {
        cells.retain(|cell| *cell != Class);
    }
    let spare = room.saturating_sub(needs(&cells));
    let has = |cell| cells.contains(&cell);
    // A reason that can be read comes first, then names, up to what names need; the reason takes the rest.
    let readable = if has(Why) { spare.min(READABLE - Why.width()) } else { 0 };
    let video = if has(Why) { ((spare - readable) / 3).min(18) } else { spare };
    let class = if has(Class) { ((spare - readable) / 6).min(14) } else { 0 };
    let why = if has(Why) { spare - video - class } else { 0 };
    let more = |cell| match cell {
        Video => video,
        Class => class,
        Why => why,
        _ => 0,
    };
    let fits = |cell: &Cell| (*cell, (cell.width() + more(*cell)).min(room));
    cells.iter().map(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_leave_in_their_order_and_fill_the_room() {
        let names = |room| fit(room, true).into_iter().map(|(cell, _)| cell.head().0).collect::<Vec<_>>();
        assert_eq!(names(200).len(), 10);
        assert_eq!(names(78), ["", "State", "Video", "Length", "Tries", "Why"]);
        assert_eq!(names(50), ["", "State", "Video", "Why"]);
        assert_eq!(names(38), ["", "State", "Video"]);
        for room in 20..300 {
            for classes in [true, false] {
                let cells = fit(room, classes);
                let width: usize = cells.iter().map(|(_, width)| width + 1).sum::<usize>() - 1;
                assert_eq!(width, room, "{cells:?}");
            }
        }
        assert_eq!(fit(3, true), [(Cell::Video, 3)]);
    }

    #[test]
    fn every_column_that_has_an_order_is_in_the_menu() {
        use Cell::*;
        for cell in [State, Video, Class, Length, Picture, Codec, Size, Tries, Why] {
            let (_, column, _) = cell.head();
            assert!(SORTED.iter().any(|(sorted, ..)| Some(*sorted) == column), "{cell:?}");
        }
        let mut keys: Vec<char> = SORTED.iter().map(|(_, key, _)| *key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), SORTED.len());
    }
}
