//! Valid input with a few changes, and random bytes. A reader may accept or refuse them, but must not panic, hang, or use
//! much memory.

use proptest::prelude::*;
use proptest::sample::Index;

use crate::changes::{apply, change};
use crate::readers::all;

#[test]
fn unchanged_input_is_accepted() {
    for reader in all() {
        for (number, bytes) in reader.valid.iter().enumerate() {
            // The smaller feature files are complete, but lack outputs of their recipe.
            let lacks = reader.name == "header of a feature" && number > 0;
            assert_eq!(reader.run(bytes), !lacks, "{} {number}", reader.name);
        }
    }
}

#[test]
fn truncated_input_is_refused() {
    for reader in all() {
        for bytes in &reader.valid {
            // Every length up to 300 bytes, and then one in `step`.
            let step = (bytes.len() / 300).max(1);
            for length in (0..bytes.len()).filter(|length| *length < 300 || length % step == 0) {
                let taken = reader.run(&bytes[..length]);
                // A message without its line break is complete. A recipe may be cut within its last number.
                let whole = bytes[length..].iter().all(u8::is_ascii_whitespace) || reader.name == "recipe";
                assert!(!taken || whole, "{}: {length} of {} bytes were taken", reader.name, bytes.len());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn changed_input(which in any::<Index>(), valid in any::<Index>(), changes in prop::collection::vec(change(), 1..6)) {
        let reader = &all()[which.index(all().len())];
        let mut bytes = reader.valid[valid.index(reader.valid.len())].clone();
        for change in &changes {
            apply(&mut bytes, change);
        }
        reader.run(&bytes);
    }

    #[test]
    fn random_bytes(which in any::<Index>(), bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        all()[which.index(all().len())].run(&bytes);
    }

    #[test]
    fn random_text(which in any::<Index>(), text in "([{}\\[\\]\",:.= \n0-9a-z]|\\PC|\"type\":|\"[a-z]{1,8}\"){0,60}") {
        all()[which.index(all().len())].run(text.as_bytes());
    }
}
