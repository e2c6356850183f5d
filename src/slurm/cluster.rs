//! The partitions of a cluster, as `sinfo` shows them.

use std::time::Duration;

use super::job::duration;
use super::{SlurmError, call};

/// The columns of a line: partition, availability, time limit, nodes, cores, MiB of memory, generic resources.
const FORMAT: &str = "%P|%a|%l|%D|%c|%m|%G";

/// Nodes of one kind in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Nodes {
    /// The name of the partition.
    pub partition: String,
    /// Jobs without a partition go there.
    pub is_default: bool,
    /// Jobs may start.
    pub is_up: bool,
    /// The longest time of a job; `None` without a limit.
    pub limit: Option<Duration>,
    /// How many nodes.
    pub count: u64,
    /// The cores of each, at least.
    pub cores: u64,
    /// The memory of each in MiB, at least.
    pub memory_mib: u64,
    /// The GPUs of each.
    pub gpus: u64,
}

/// All partitions.
///
/// # Errors
/// When `sinfo` fails, or prints something else.
pub(crate) fn partitions() -> Result<Vec<Nodes>, SlurmError> {
    let text = call("sinfo", &["--noheader", "--format", FORMAT])?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| parse(line).ok_or_else(|| SlurmError::Unknown { program: "sinfo", said: line.to_owned() }))
        .collect()
}

/// Chooses the kind of nodes for engines: of the named partition, or of the one that suits best. Without `gpus`, the default
/// partition does.
pub(crate) fn choose<'n>(all: &'n [Nodes], named: Option<&str>, gpus: bool) -> Option<&'n Nodes> {
    let suits = |nodes: &&Nodes| match named {
        Some(name) => nodes.partition == name,
        None => nodes.is_up && (!gpus || nodes.gpus > 0),
    };
    // Of equal entries `max_by_key` returns the last one, so the order of `sinfo` is reversed.
    all.iter().rev().filter(suits).max_by_key(|nodes| (gpus && nodes.gpus > 0, nodes.is_default, nodes.count))
}

fn parse(line: &str) -> Option<Nodes> {
    let mut fields = line.trim().split('|');
    let mut field = || fields.next().map(str::trim);
    let name = field()?;
    let (available, limit) = (field()?, field()?);
    // If the nodes differ, `sinfo` prints the smallest number with a plus.
    let number = |text: &str| text.trim_end_matches('+').parse().ok();
    Some(Nodes {
        partition: name.trim_end_matches('*').to_owned(),
        is_default: name.ends_with('*'),
        is_up: available == "up",
        limit: duration(limit),
        count: number(field()?)?,
        cores: number(field()?)?,
        memory_mib: number(field()?)?,
        gpus: gpus(field()?),
    })
}

/// The GPUs in a list of generic resources, such as `gpu:a100:4(S:0-1),gpu:1,license:2`.
fn gpus(resources: &str) -> u64 {
    let count = |resource: &str| {
        let mut parts = resource.split('(').next()?.split(':');
        let is_gpu = parts.next()? == "gpu";
        is_gpu.then(|| parts.next_back().and_then(|count| count.parse::<u64>().ok()).unwrap_or(1))
    };
    resources.split(',').filter_map(count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_read_as_sinfo_prints_them() {
        let nodes = parse("gpu*|up|2-00:00:00|12|64+|515000+|gpu:a100:4(S:0-1),license:2").unwrap();
        let expected = Nodes {
            partition: "gpu".into(),
            is_default: true,
            is_up: true,
            limit: Some(Duration::from_secs(172_800)),
            count: 12,
            cores: 64,
            memory_mib: 515_000,
            gpus: 4,
        };
        assert_eq!(nodes, expected);
        let plain = parse("long|down|infinite|3|8|8000|(null)").unwrap();
        assert_eq!((plain.is_default, plain.is_up, plain.limit, plain.gpus), (false, false, None, 0));
        assert_eq!((gpus("gpu:2"), gpus("gpu:h100:8,gpu:l4:1"), gpus("gpu"), gpus("(null)")), (2, 9, 1, 0));
        assert_eq!(parse("error: no controller"), None);
    }

    #[test]
    fn a_named_partition_or_the_one_that_suits_is_chosen() {
        let lines = [
            "cpu*|up|infinite|90|64|1000|(null)",
            "a100|up|infinite|4|64|1000|gpu:4",
            "h100|up|infinite|9|64|1000|gpu:8",
        ];
        let mut all: Vec<Nodes> = lines.iter().map(|line| parse(line).unwrap()).collect();
        let chosen = |all: &[Nodes], named, gpus| choose(all, named, gpus).map(|nodes| nodes.partition.clone());
        assert_eq!(chosen(&all, None, false).as_deref(), Some("cpu"));
        assert_eq!(chosen(&all, None, true).as_deref(), Some("h100"));
        assert_eq!(chosen(&all, Some("a100"), true).as_deref(), Some("a100"));
        assert_eq!(chosen(&all, Some("gpu"), true), None);
        all[2].is_up = false;
        assert_eq!(chosen(&all, None, true).as_deref(), Some("a100"));
    }
}
