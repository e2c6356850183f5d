//! The control group of this process: its memory limit, and the processes that the kernel has killed in it. Groups are nested,
//! and the smallest limit counts. Versions 1 and 2.

use std::fs;
use std::path::{Path, PathBuf};

/// Version 1 writes a number of this size for no limit.
const NO_LIMIT: u64 = 1 << 60;

/// A memory limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    /// The limit in bytes.
    pub bytes: u64,
    /// The folder of the group that has it.
    pub group: PathBuf,
}

/// The groups of this process that account for memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Groups {
    is_v2: bool,
    /// Folders, from the group of the process to the outermost one that is visible.
    folders: Vec<PathBuf>,
}

impl Groups {
    /// Those of this process. Empty where the kernel shows none.
    pub(crate) fn of_this_process() -> Self {
        Self::below(Path::new("/"))
    }

    /// The same in a copy of the system's files, for tests.
    fn below(root: &Path) -> Self {
        let read = |name: &str| fs::read_to_string(root.join("proc/self").join(name)).unwrap_or_default();
        let (own, mounts) = (read("cgroup"), read("mountinfo"));
        let of = |is_v2: bool| {
            let path = own.lines().find_map(|line| own_group(line, is_v2))?;
            let (within, point) = mounts.lines().find_map(|line| mount(line, is_v2))?;
            let point = root.join(point.trim_start_matches('/'));
            // In a namespace of its own, a process may see a path that leads out of the mount.
            let below = Path::new(path).strip_prefix(within).unwrap_or(Path::new(""));
            let below = if below.components().any(|part| part.as_os_str() == "..") { Path::new("") } else { below };
            let folders: Vec<PathBuf> = below.ancestors().map(|below| point.join(below)).collect();
            let accounts = |folder: &PathBuf| folder.join(names(is_v2).usage).is_file();
            // The root of version 2 has no files of its own.
            folders.iter().any(accounts).then_some(Self { is_v2, folders })
        };
        // With both mounted, version 1 has the memory controller, or version 2 does: only one of them has the files.
        of(false).or_else(|| of(true)).unwrap_or_default()
    }

    /// The smallest limit.
    pub(crate) fn limit(&self) -> Option<Limit> {
        let limit = |folder: &PathBuf| {
            let bytes = number(&folder.join(names(self.is_v2).limit)).filter(|bytes| *bytes < NO_LIMIT)?;
            Some(Limit { bytes, group: folder.clone() })
        };
        self.folders.iter().filter_map(limit).min_by_key(|limit| limit.bytes)
    }

    /// The bytes that may still be used; `None` without a limit. Files in the cache count as free: the kernel drops them.
    pub(crate) fn free(&self) -> Option<u64> {
        let free = |folder: &PathBuf| {
            let limit = number(&folder.join(names(self.is_v2).limit)).filter(|bytes| *bytes < NO_LIMIT)?;
            let used = number(&folder.join(names(self.is_v2).usage))?;
            let cached = value(&folder.join("memory.stat"), names(self.is_v2).cached).unwrap_or(0);
            Some(limit.saturating_sub(used.saturating_sub(cached)))
        };
        self.folders.iter().filter_map(free).min()
    }

    /// How many processes of the group the kernel has killed for lack of memory; `None` where it does not count them.
    pub(crate) fn kills(&self) -> Option<u64> {
        let file = if self.is_v2 { "memory.events" } else { "memory.oom_control" };
        value(&self.folders.first()?.join(file), "oom_kill")
    }
}

struct Names {
    limit: &'static str,
    usage: &'static str,
    cached: &'static str,
}

fn names(is_v2: bool) -> Names {
    match is_v2 {
        true => Names { limit: "memory.max", usage: "memory.current", cached: "inactive_file" },
        false => {
            Names { limit: "memory.limit_in_bytes", usage: "memory.usage_in_bytes", cached: "total_inactive_file" }
        }
    }
}

/// The path of the group in a line of `/proc/self/cgroup`.
fn own_group(line: &str, is_v2: bool) -> Option<&str> {
    let (number, rest) = line.split_once(':')?;
    let (controllers, path) = rest.split_once(':')?;
    let is_it = match is_v2 {
        true => number == "0" && controllers.is_empty(),
        false => controllers.split(',').any(|controller| controller == "memory"),
    };
    is_it.then_some(path)
}

/// The group that is mounted, and where, in a line of `/proc/self/mountinfo`.
fn mount(line: &str, is_v2: bool) -> Option<(&str, &str)> {
    let (mount, kind) = line.split_once(" - ")?;
    let mut kind = kind.split(' ');
    let (kind, options) = (kind.next()?, kind.nth(1)?);
    let is_it = match is_v2 {
        true => kind == "cgroup2",
        false => kind == "cgroup" && options.split(',').any(|option| option == "memory"),
    };
    let mut fields = mount.split(' ').skip(3);
    is_it.then_some((fields.next()?, fields.next()?))
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The value of a key in a file with one `key value` per line.
pub(super) fn value(path: &Path, key: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A copy of the system's files.
    fn system(cgroup: &str, mountinfo: &str, files: &[(&str, &str)]) -> (tempfile::TempDir, Groups) {
        let root = tempfile::tempdir().unwrap();
        let proc = [("proc/self/cgroup", cgroup), ("proc/self/mountinfo", mountinfo)];
        for (path, text) in proc.iter().chain(files) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let groups = Groups::below(root.path());
        (root, groups)
    }

    const V2: &str = "25 1 0:22 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1: &str = "30 25 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      31 25 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      32 25 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn the_smallest_limit_of_nested_groups_counts() {
        let step = "sys/fs/cgroup/slurm/job_7/step_0/task_0";
        let file = |group: &str, name: &str| format!("sys/fs/cgroup/{group}/{name}");
        let files = [
            (file("slurm/job_7/step_0/task_0", "memory.max"), "max\n"),
            (file("slurm/job_7/step_0/task_0", "memory.current"), "100\n"),
            (file("slurm/job_7/step_0/task_0", "memory.events"), "low 0\noom 3\noom_kill 2\noom_group_kill 1\n"),
            (file("slurm/job_7", "memory.max"), "1500\n"),
            (file("slurm/job_7", "memory.current"), "1400\n"),
            (file("slurm/job_7", "memory.stat"), "anon 900\ninactive_file 500\n"),
            (file("slurm", "memory.max"), "20000\n"),
            (file("slurm", "memory.current"), "19000\n"),
        ];
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
        let (root, groups) = system("0::/slurm/job_7/step_0/task_0\n", V2, &files);
        let group = root.path().join("sys/fs/cgroup/slurm/job_7");
        assert_eq!(groups.limit(), Some(Limit { bytes: 1500, group }));
        assert_eq!((groups.free(), groups.kills()), (Some(600), Some(2)), "without the cache");
        assert_eq!(groups.folders.first(), Some(&root.path().join(step)));
    }

    #[test]
    fn version_1_is_read_beside_an_unused_version_2() {
        let files = [
            ("sys/fs/cgroup/memory/slurm/uid_0/job_7/memory.limit_in_bytes", "1610612736\n"),
            ("sys/fs/cgroup/memory/slurm/uid_0/job_7/memory.usage_in_bytes", "10612736\n"),
            (
                "sys/fs/cgroup/memory/slurm/uid_0/job_7/memory.oom_control",
                "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n",
            ),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "7\n"),
        ];
        let own = "4:cpu,cpuacct:/x\n3:memory:/slurm/uid_0/job_7\n0::/elsewhere\n";
        let (_root, groups) = system(own, V1, &files);
        assert_eq!(groups.limit().map(|limit| limit.bytes), Some(1_610_612_736));
        assert_eq!((groups.free(), groups.kills()), (Some(1_600_000_000), Some(5)));
    }

    #[test]
    fn containers_see_their_group_at_the_mount() {
        let files = [
            ("sys/fs/cgroup/memory.max", "900"),
            ("sys/fs/cgroup/memory.current", "1"),
            ("sys/fs/cgroup/memory.events", ""),
        ];
        for (own, mounted) in [("0::/\n", "/"), ("0::/docker/x\n", "/docker/x"), ("0::/../../y\n", "/")] {
            let mounts = V2.replace("0:22 / ", &format!("0:22 {mounted} "));
            let (_root, groups) = system(own, &mounts, &files);
            assert_eq!((groups.limit().map(|limit| limit.bytes), groups.kills()), (Some(900), None), "{own}");
        }
    }

    #[test]
    fn without_limits_there_is_none() {
        let (_root, groups) = system("0::/a\n", V2, &[("sys/fs/cgroup/a/memory.current", "1")]);
        assert_eq!((groups.limit(), groups.free()), (None, None));
        assert_eq!(system("", "", &[]).1, Groups::default());
    }
}
