//! Shards: the parts of a dataset for several machines.

use std::fmt;
use std::str::FromStr;

use reeldeck_common::video::VideoName;
use xxhash_rust::xxh3::xxh3_64;

/// One part of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shard {
    /// The part, from 0.
    pub index: u32,
    /// The number of parts.
    pub of: u32,
}

impl Shard {
    /// The whole dataset.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    /// Whether this is the whole dataset.
    pub fn is_whole(self) -> bool {
        self.of == 1
    }

    /// Whether a video belongs to this part. Only the name decides, so machines that see different states of a growing
    /// dataset agree about every video.
    pub fn has(self, video: &VideoName) -> bool {
        xxh3_64(video.as_str().as_bytes()) % u64::from(self.of.max(1)) == u64::from(self.index)
    }

    /// The part of a task in a Slurm job array; `None` outside of one.
    ///
    /// # Errors
    /// When Slurm's variables contradict each other.
    pub fn of_slurm(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, String> {
        let number =
            |name: &str| variable(name).map(|text| text.trim().parse::<u32>().map_err(|_| format!("{name}={text}")));
        let (Some(id), Some(count)) = (number("SLURM_ARRAY_TASK_ID"), number("SLURM_ARRAY_TASK_COUNT")) else {
            return Ok(None);
        };
        let first = number("SLURM_ARRAY_TASK_MIN").unwrap_or(Ok(0));
        let step = number("SLURM_ARRAY_TASK_STEP").unwrap_or(Ok(1));
        let odd = |what: String| {
            format!("failed to determine this task's part of the Slurm array ({what}); set it with --shard i/n")
        };
        let (id, count) = (id.map_err(odd)?, count.map_err(odd)?);
        let (first, step) = (first.map_err(odd)?, step.map_err(odd)?.max(1));
        let index = id.checked_sub(first).filter(|past| past % step == 0).map(|past| past / step);
        match index.filter(|index| *index < count) {
            Some(index) => Ok(Some(Self { index, of: count })),
            None => Err(odd(format!("task {id}, first {first}, step {step}, {count} tasks"))),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(i, n)| Some((i.trim().parse().ok()?, n.trim().parse().ok()?)));
        match parts {
            Some((index, of)) if index < of && of <= 100_000 => Ok(Self { index, of }),
            Some((index, of)) if index == of && of > 0 => {
                Err(format!("part {index}/{of} does not exist: parts count from 0, so the last is {}/{of}", of - 1))
            }
            _ => Err("must be i/n with i from 0 to n-1, such as 0/4".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_video_belongs_to_exactly_one_part() {
        let names: Vec<_> = (0..4000).map(|i| VideoName::new(&format!("A/v_{i}.mp4")).unwrap()).collect();
        for of in [1, 2, 7] {
            let parts: Vec<Shard> = (0..of).map(|index| Shard { index, of }).collect();
            assert!(names.iter().all(|name| parts.iter().filter(|part| part.has(name)).count() == 1));
            let sizes: Vec<usize> = parts.iter().map(|part| names.iter().filter(|n| part.has(n)).count()).collect();
            let even = 4000 / of as usize;
            assert!(sizes.iter().all(|size| size.abs_diff(even) < even / 5 + 1), "{sizes:?}");
        }
    }

    #[test]
    fn parts_are_written_as_i_of_n() {
        assert_eq!("2/8".parse(), Ok(Shard { index: 2, of: 8 }));
        assert_eq!(Shard { index: 2, of: 8 }.to_string(), "2/8");
        for (text, says) in [("8/8", "the last is 7/8"), ("1", "i/n"), ("-1/4", "i/n"), ("0/0", "i/n"), ("9/4", "i/n")]
        {
            assert!(text.parse::<Shard>().unwrap_err().contains(says), "{text}");
        }
    }

    #[test]
    fn slurm_variables_determine_the_part() {
        let of = |set: &[(&str, &str)]| {
            Shard::of_slurm(|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        };
        assert_eq!(of(&[]), Ok(None));
        let id = ("SLURM_ARRAY_TASK_ID", "7");
        let all = [id, ("SLURM_ARRAY_TASK_COUNT", "4"), ("SLURM_ARRAY_TASK_MIN", "1"), ("SLURM_ARRAY_TASK_STEP", "2")];
        assert_eq!(of(&all), Ok(Some(Shard { index: 3, of: 4 })));
        assert!(of(&[id, ("SLURM_ARRAY_TASK_COUNT", "4")]).unwrap_err().contains("--shard"));
        assert!(of(&[id, ("SLURM_ARRAY_TASK_COUNT", "x")]).is_err());
    }
}
