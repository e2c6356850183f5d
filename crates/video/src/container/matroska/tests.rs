//! Tests of the walk over Matroska files, on files that are put together here.

use std::io::Cursor;

use proptest::prelude::*;

use super::*;

const UNKNOWN: [u8; 8] = [1, 255, 255, 255, 255, 255, 255, 255];

fn element(id: &[u8], body: &[u8]) -> Vec<u8> {
    [id, &(body.len() as u64 | 1 << 56).to_be_bytes(), body].concat()
}

fn cluster(blocks: usize) -> Vec<u8> {
    let block = |n: usize| element(&[0xA3], &vec![n as u8; 20 + n]);
    let body = [element(&[0xE7], &[0, 0])].into_iter().chain((0..blocks).map(block)).collect::<Vec<_>>().concat();
    element(&[0x1F, 0x43, 0xB6, 0x75], &body)
}

fn header() -> Vec<u8> {
    element(&[0x1A, 0x45, 0xDF, 0xA3], &[0; 20])
}

fn segment(body: &[Vec<u8>]) -> Vec<u8> {
    [header(), element(&[0x18, 0x53, 0x80, 0x67], &body.concat())].concat()
}

fn whole(clusters: &[Vec<u8>]) -> Vec<u8> {
    let cues = element(&[0x1C, 0x53, 0xBB, 0x6B], &[7; 40]);
    segment(&[vec![element(&[0xEC], &[0; 9])], clusters.to_vec(), vec![cues]].concat())
}

fn inspected(bytes: &[u8]) -> Structure {
    inspect(&mut Reader::new(Cursor::new(bytes)).unwrap(), 0).unwrap()
}

fn walked(bytes: &[u8]) -> (u64, bool) {
    let structure = inspected(bytes);
    (structure.missing, !structure.breaks.is_empty())
}

#[test]
fn whole_files_have_no_breaks_whatever_follows_them() {
    let file = whole(&[cluster(3), cluster(0), cluster(5)]);
    assert_eq!((walked(&file), inspected(&file).end), ((0, false), End::Complete));
    assert_eq!(walked(&[file, vec![0; 300]].concat()), (0, false));
    for other in [&b""[..], b"\x1a", b"RIFF....AVI LIST", &[0; 100], &header()] {
        assert_eq!(walked(other), (0, false), "{other:?}");
    }
}

#[test]
fn a_cut_is_no_break_and_counts_only_in_front_of_the_cues() {
    let file = whole(&[cluster(3), cluster(5)]);
    let start = header().len() + 12;
    let cues = file.len() - 52;
    for end in start..file.len() {
        assert_eq!(walked(&file[..end]), ((file.len() - end) as u64, false), "{end}");
        // The head of the cues must be there to be recognised.
        let expected = if end < cues + 12 { End::Cut } else { End::Complete };
        assert_eq!(inspected(&file[..end]).end, expected, "{end}");
    }
}

#[test]
fn the_list_of_positions_tells_where_the_clusters_end() {
    let clusters = [cluster(3), cluster(5)].concat();
    let position = |at: u16| {
        let seek =
            [element(&[0x53, 0xAB], &[0x1C, 0x53, 0xBB, 0x6B]), element(&[0x53, 0xAC], &at.to_be_bytes())].concat();
        element(&[0x11, 0x4D, 0x9B, 0x74], &element(&[0x4D, 0xBB], &seek))
    };
    let list = position((position(0).len() + clusters.len()) as u16);
    let file = segment(&[list, clusters, element(&[0x1C, 0x53, 0xBB, 0x6B], &[7; 40])]);
    assert_eq!(inspected(&file[..file.len() - 52]).end, End::Complete);
    assert_eq!(inspected(&file[..file.len() - 53]).end, End::Cut);
}

#[test]
fn zeros_between_elements_are_a_break() {
    let file = whole(&[cluster(3), cluster(5), cluster(2)]);
    let second = header().len() + 12 + 18 + cluster(3).len();
    for at in second..second + cluster(5).len() - 40 {
        let mut damaged = file.clone();
        damaged[at..at + 40].fill(0);
        assert_eq!(walked(&damaged), (0, true), "{at}");
    }
}

#[test]
fn missing_bytes_are_a_break_and_the_walk_goes_on_at_the_next_cluster() {
    let file = whole(&[cluster(3), cluster(5), cluster(2), cluster(4)]);
    let second = header().len() + 12 + 18 + cluster(3).len();
    let mut damaged = file.clone();
    damaged.drain(second + 40..second + 60);
    let structure = inspected(&damaged);
    assert_eq!((structure.missing, structure.breaks.len(), structure.end), (20, 1, End::Complete));
}

#[test]
fn streams_of_unknown_length_end_where_they_end() {
    let open = |body: &[u8]| [&[0x1F, 0x43, 0xB6, 0x75][..], &UNKNOWN, body].concat();
    let body = cluster(4).split_off(12);
    let start = [&header()[..], &[0x18, 0x53, 0x80, 0x67], &UNKNOWN].concat();
    let file = [&start[..], &open(&body), &open(&body)].concat();
    for end in start.len()..=file.len() {
        assert_eq!(walked(&file[..end]), (0, false), "{end}");
    }
    assert_eq!(inspected(&file).end, End::Unknown);
    assert_eq!(inspected(&file[..file.len() - 15]).end, End::Cut, "in the middle of a block");
    let mut damaged = file.clone();
    damaged[start.len() + 30..][..40].fill(0);
    assert_eq!(walked(&damaged), (0, true));
}

/// A file with an encrypted or plain track, and with tags of its statistics.
fn tagged(writer: &str, tags: &[(&str, &str)], encrypted: bool) -> Vec<u8> {
    let info = [element(&[0x44, 0x89], &5000_f64.to_be_bytes()), element(&[0x57, 0x41], writer.as_bytes())].concat();
    let encoding = element(&[0x62, 0x40], &element(&[0x50, 0x33], &[u8::from(encrypted)]));
    let track = [
        element(&[0x83], &[1]),
        element(&[0x73, 0xC5], &[9]),
        element(&[0x86], b"V_VP9"),
        element(&[0x6D, 0x80], &encoding),
    ];
    let simple = |(name, value): &(&str, &str)| {
        let body = [element(&[0x45, 0xA3], name.as_bytes()), element(&[0x44, 0x87], value.as_bytes())].concat();
        element(&[0x67, 0xC8], &body)
    };
    let targets = element(&[0x63, 0xC0], &element(&[0x63, 0xC5], &[9]));
    let tag = [vec![targets], tags.iter().map(simple).collect()].concat().concat();
    segment(&[
        element(&[0x15, 0x49, 0xA9, 0x66], &info),
        element(&[0x16, 0x54, 0xAE, 0x6B], &element(&[0xAE], &track.concat())),
        element(&[0x12, 0x54, 0xC3, 0x67], &element(&[0x73, 0x73], &tag)),
        cluster(5),
    ])
}

#[test]
fn statistics_count_only_from_the_program_that_wrote_the_file() {
    let declarations = |writer: &str, tags: &[(&str, &str)]| {
        let declarations = inspected(&tagged(writer, tags, false)).declarations;
        assert!(declarations.iter().all(|declaration| !declaration.always));
        declarations.into_iter().map(|declaration| declaration.amount).collect::<Vec<_>>()
    };
    let all = Amount::Seconds { seconds: 5.0, from_zero: true };
    let own = |from_zero| Amount::Seconds { seconds: 3.5, from_zero };
    let (duration, frames, app) =
        (("DURATION", "00:00:03.500000000"), ("NUMBER_OF_FRAMES", "84"), ("_STATISTICS_WRITING_APP", "mkvmerge v70"));
    assert_eq!(declarations("Lavf59", &[duration]), [own(true), all]);
    assert_eq!(declarations("Lavf59", &[duration, frames, app]), [own(true), all]);
    assert_eq!(declarations("mkvmerge v70", &[duration, frames, app]), [Amount::Frames(84), own(false), all]);
    assert_eq!(declarations("mkvmerge v71", &[duration, frames, app]), [all]);
    assert_eq!(declarations("Lavf59", &[("DURATION", "00:00:00.000000000")]), [all]);
}

#[test]
fn encryption_is_recognised() {
    assert_eq!(inspected(&tagged("x", &[], false)).encryption, None);
    assert_eq!(inspected(&tagged("x", &[], true)).encryption.unwrap(), "Matroska encryption");
    assert_eq!(inspected(&tagged("x", &[], true)).codec.unwrap(), "V_VP9");
}

proptest! {
    #[test]
    fn any_bytes_are_walked_to_an_end(at in 0..400_usize, noise in proptest::collection::vec(any::<u8>(), 0..100)) {
        for mut file in [whole(&[cluster(3), cluster(5)]), tagged("Lavf", &[("DURATION", "1")], true)] {
            let end = file.len().min(at + noise.len());
            let at = at.min(end);
            file[at..end].copy_from_slice(&noise[..end - at]);
            inspected(&file);
            inspected(&noise);
        }
    }
}
