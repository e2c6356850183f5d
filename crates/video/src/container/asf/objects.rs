//! The payloads of ASF data packets. Each is a media object, such as a frame, or a part of one; the objects of a stream have numbers
//! that go up by one.

use super::le;

/// A longer hole in the numbers may be damage to a number.
const LONGEST_HOLE: u64 = 16;

/// Follows the media objects of one stream.
#[derive(Debug)]
pub(super) struct Objects {
    stream: u8,
    /// Number, length and bytes so far of the last object.
    last: Option<Object>,
    /// A number that does not follow the last one. It counts if others follow it.
    doubtful: Option<u64>,
    /// Objects of which all bytes were seen, or some may follow.
    complete: u64,
    /// Objects that were seen in part.
    incomplete: u64,
    /// Objects that were not seen.
    skipped: u64,
    /// Objects that have the number of the one before.
    unnumbered: u64,
}

#[derive(Clone, Copy, Debug)]
struct Object {
    number: u64,
    length: u64,
    there: u64,
}

/// Reads the fields of a packet one after another.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number whose length is coded in the two lowest bits of `code`: 0, 1, 2 or 4 bytes.
    fn number(&mut self, code: u8) -> Option<u64> {
        self.take(width(code)).map(le)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }
}

fn width(code: u8) -> usize {
    [0, 1, 2, 4][usize::from(code & 3)]
}

impl Objects {
    pub(super) fn new(stream: u8) -> Self {
        Self { stream, last: None, doubtful: None, complete: 0, incomplete: 0, skipped: 0, unnumbered: 0 }
    }

    /// Frames that are missing between others, or lack a part. `None` if the objects have no numbers that could tell.
    pub(super) fn lost(&self) -> Option<u64> {
        let is_numbered = self.complete > 1 && self.unnumbered == 0;
        is_numbered.then_some(self.skipped + self.incomplete)
    }

    /// Adds the payloads of a data packet. Stops where they make no sense.
    pub(super) fn add(&mut self, packet: &[u8]) -> Option<()> {
        let mut fields = Fields(packet);
        let first = packet.first()?;
        if first & 0x80 != 0 {
            fields.take(1 + usize::from(first & 0xf))?;
        }
        let (lengths, properties) = (fields.byte()?, fields.byte()?);
        fields.number(lengths >> 5)?;
        fields.number(lengths >> 1)?;
        let padding = fields.number(lengths >> 3)?;
        // Time and duration.
        fields.take(6)?;
        let has_several = lengths & 1 != 0;
        let payloads = if has_several { fields.byte()? } else { 1 };
        for _ in 0..payloads & 0x3f {
            let stream = fields.byte()? & 0x7f;
            let number = fields.number(properties >> 4)?;
            let offset = fields.number(properties >> 2)?;
            let replicated = fields.number(properties)?;
            let head = fields.take(usize::try_from(replicated).ok()?)?;
            let length = match has_several {
                true => fields.number(payloads >> 6)?,
                false => (fields.0.len() as u64).checked_sub(padding)?,
            };
            let mut data = Fields(fields.take(usize::try_from(length).ok()?)?);
            if stream != self.stream {
                continue;
            }
            let modulus = 1 << (8 * width(properties >> 4));
            // With one byte of replicated data, a payload has several objects, each after its length.
            if replicated != 1 {
                self.note(Object { number, length: head.get(..4).map_or(length, le), there: length }, offset, modulus);
                continue;
            }
            let mut number = number;
            while let Some(length) = data.byte() {
                data.take(usize::from(length))?;
                self.note(Object { number, length: length.into(), there: length.into() }, 0, modulus);
                number = (number + 1) % modulus;
            }
        }
        Some(())
    }

    /// Notes a part of an object that begins at this offset in it. Numbers begin anew at `modulus`.
    fn note(&mut self, part: Object, offset: u64, modulus: u64) {
        let Some(last) = &mut self.last else { return self.begin(part) };
        let step = (part.number + modulus - last.number) % modulus;
        match step {
            0 if offset > 0 || modulus == 1 && last.there < last.length => last.there += part.there,
            0 => {
                self.unnumbered += 1;
                self.begin(part);
            }
            _ => {
                let is_likely = step <= LONGEST_HOLE.min(modulus / 2);
                let follows = self.doubtful.is_some_and(|doubtful| (doubtful + 1) % modulus == part.number);
                if !is_likely && !follows {
                    self.doubtful = Some(part.number);
                    return;
                }
                // The doubtful object is there as well.
                let there = if is_likely { 0 } else { 1 };
                self.complete += there;
                // A number that is far behind begins a new count.
                if step <= modulus / 2 {
                    self.skipped += step - 1 - there;
                }
                self.begin(part);
            }
        }
    }

    /// Begins another object. The last one gets no more bytes.
    fn begin(&mut self, part: Object) {
        if self.last.replace(part).is_some_and(|last| last.there < last.length) {
            (self.incomplete, self.complete) = (self.incomplete + 1, self.complete.saturating_sub(1));
        }
        (self.complete, self.doubtful) = (self.complete + 1, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet with these payloads: stream, number, offset, length of the object, bytes of the payload.
    fn packet(payloads: &[(u8, u8, u32, u32, u16)]) -> Vec<u8> {
        let payload = |(stream, number, offset, size, length): &(u8, u8, u32, u32, u16)| {
            let head = [&[*stream, *number][..], &offset.to_le_bytes(), &[8], &size.to_le_bytes(), &[0; 4]].concat();
            [head, length.to_le_bytes().to_vec(), vec![7; usize::from(*length)]].concat()
        };
        let head = [0x82, 0, 0, 0x09, 0x5d, 0, 0, 0, 0, 0, 0, 0, 0x80 | payloads.len() as u8];
        [&head[..], &payloads.iter().flat_map(payload).collect::<Vec<_>>()].concat()
    }

    fn lost(packets: &[Vec<u8>]) -> Option<u64> {
        let mut objects = Objects::new(2);
        packets.iter().for_each(|packet| _ = objects.add(packet));
        objects.lost()
    }

    fn whole(number: u8) -> Vec<u8> {
        packet(&[(1, 200, 0, 9, 9), (0x82, number, 0, 50, 30), (2, number, 30, 50, 20)])
    }

    #[test]
    fn holes_in_the_numbers_and_missing_parts_are_lost() {
        let all: Vec<Vec<u8>> = (0..=255).chain(0..40).map(whole).collect();
        assert_eq!(lost(&all), Some(0));
        assert_eq!(lost(&[&all[..100], &all[103..]].concat()), Some(3));
        assert_eq!(lost(&[&all[..250], &all[260..]].concat()), Some(10), "across the end of the numbers");
        assert_eq!(lost(&[&all[..100], &all[160..]].concat()), Some(60), "a long hole");
        let part = vec![packet(&[(2, 100, 0, 50, 30)])];
        assert_eq!(lost(&[&all[..100], &part, &all[101..]].concat()), Some(1));
        assert_eq!(lost(&[&all[..100], &part].concat()), Some(0), "the rest of the last one may follow");
    }

    #[test]
    fn a_damaged_number_is_no_hole() {
        let all: Vec<Vec<u8>> = (0..200).map(whole).collect();
        assert_eq!(lost(&[&all[..50], &[whole(150)], &all[51..]].concat()), Some(1));
    }

    #[test]
    fn objects_without_numbers_tell_nothing() {
        assert_eq!(lost(&vec![whole(7); 20]), None);
        assert_eq!(lost(&[]), None);
    }

    #[test]
    fn a_payload_may_have_several_objects() {
        let head = [0x82, 0, 0, 0x00, 0x5d, 0, 0, 0, 0, 0, 0];
        let several = |number: u8| [&head[..], &[2, number, 0, 0, 0, 0, 1, 9], &[2, 7, 7, 3, 7, 7, 7]].concat();
        assert_eq!(lost(&[several(0), several(2), several(4)]), Some(0));
        assert_eq!(lost(&[several(0), several(4)]), Some(2));
    }
}
