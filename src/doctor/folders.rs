//! Checks the dataset and output folders: file system, free space, inotify.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use indicatif::DecimalBytes;
use reeldeck_common::machine::{DiskSpace, disk_space};
use reeldeck_common::recipe::{Output, Recipe};
use rustix::fs::{Access, access, statfs};

use super::Area;
use crate::config::Settings;
use crate::dataset::scan::{Scan, scan};
use crate::dataset::shown;
use crate::out::count;

/// Checks the folders.
pub(super) fn look(area: &mut Area<'_>, settings: &Settings) {
    let found = dataset(area, settings);
    output(area, settings, found.as_ref().map_or(0, |scan| scan.videos.len()));
    if let Some(scan) = &found {
        watches(area, scan, settings);
    }
}

fn dataset(area: &mut Area<'_>, settings: &Settings) -> Option<Scan> {
    const NAME: &str = "dataset folder";
    let next = "name the folder that holds the class folders with --root or in config.toml";
    if let Err(error) = settings.check_folders() {
        area.missing(NAME, format!("{:#}", anyhow::Error::from(error)), next);
        return None;
    }
    match scan(&settings.root, &settings.scan) {
        Ok(scan) => {
            let text = format!(
                "{}: {}, {} refused; {}",
                shown(&settings.root),
                count(scan.videos.len(), "video", "videos"),
                scan.refused.len(),
                kind(&settings.root).0
            );
            match (scan.videos.is_empty(), scan.refused.is_empty()) {
                (true, _) => area.missing(NAME, text, "put videos there: Class/video.mp4, or video.mp4"),
                (false, false) => area.warning(NAME, text, "`reeldeck scan` lists them with the reason"),
                (false, true) => area.ok(NAME, text),
            }
            Some(scan)
        }
        Err(error) => {
            area.missing(NAME, format!("{:#}", anyhow::Error::from(error)), next);
            None
        }
    }
}

fn output(area: &mut Area<'_>, settings: &Settings, videos: usize) {
    const NAME: &str = "output folder";
    let out = &settings.out;
    let there = out.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    let (system, kind_of) = kind(there);
    let made = if there == out { "" } else { ", will be created" };
    if access(there, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let found = format!("{} cannot be written to", shown(there));
        return area.missing(NAME, found, "name another with --out, or ask for permission");
    }
    area.ok(NAME, format!("{}{made}; {system}", shown(out)));
    if kind_of == Kind::Memory {
        area.warning(
            "output folder",
            "it is in memory",
            "features there are gone after a restart: name a folder on a disk",
        );
    }
    let Ok(DiskSpace { free, .. }) = disk_space(there) else { return };
    if videos == 0 {
        return area.note("free space", format!("{} free", DecimalBytes(free)));
    }
    let need = estimate(&settings.recipe, videos);
    let found = format!(
        "{} free; about {} needed for features and result.pkl of {}",
        DecimalBytes(free),
        DecimalBytes(need),
        count(videos, "video", "videos")
    );
    if free < need {
        area.warning(
            "free space",
            found,
            "make room, or name another folder with --out; while the disk is full, a run waits",
        );
    } else {
        area.ok("free space", found);
    }
}

/// The size of the features and of `result.pkl`, which repeats their logits, in bytes.
fn estimate(recipe: &Recipe, videos: usize) -> u64 {
    let columns: usize = recipe.outputs.iter().map(|output| recipe.columns(*output)).sum();
    let rows = recipe.sampling.usual_rows();
    let feature = (rows * columns * 4 + 4096) as u64;
    let exported = (rows * recipe.columns(Output::Logits) * 4 + 1024) as u64;
    (feature + exported) * videos as u64
}

fn watches(area: &mut Area<'_>, scan: &Scan, settings: &Settings) {
    const NAME: &str = "inotify";
    if kind(&settings.root).1 == Kind::Network {
        return area.note(
            NAME,
            "a network file system does not announce changes by other machines; reeldeck looks for them at intervals",
        );
    }
    let read = |name: &str| -> Option<u64> {
        fs::read_to_string(format!("/proc/sys/fs/inotify/{name}")).ok()?.trim().parse().ok()
    };
    let Some(most) = read("max_user_watches") else {
        return area.note(NAME, "not on this system; reeldeck looks for changes at intervals");
    };
    let folders: HashSet<&str> = scan.videos.iter().map(|video| video.name.folder()).collect();
    let found = format!("{} to watch, at most {most} allowed", count(folders.len(), "folder", "folders"));
    if folders.len() as u64 + 1 > most {
        area.warning(NAME, found, "reeldeck looks for changes at intervals instead; raise fs.inotify.max_user_watches");
    } else {
        area.ok(NAME, found);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Local,
    Network,
    Memory,
}

/// The file system of a folder. The magic numbers are from linux/magic.h and from the file systems' sources.
fn kind(path: &Path) -> (String, Kind) {
    let Ok(found) = statfs(path) else { return ("file system unknown".into(), Kind::Local) };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "magic numbers have 32 bits")]
    let magic = found.f_type as u32;
    let (name, kind) = match magic {
        0xEF53 => ("ext4", Kind::Local),
        0x5846_5342 => ("xfs", Kind::Local),
        0x9123_683E => ("btrfs", Kind::Local),
        0x2FC1_2FC1 => ("zfs", Kind::Local),
        0xF2F5_2010 => ("f2fs", Kind::Local),
        0x794C_7630 => ("overlay (a container's own layer)", Kind::Local),
        0x0102_1994 => ("tmpfs", Kind::Memory),
        0x8584_58F6 => ("ramfs", Kind::Memory),
        0x6969 => ("nfs", Kind::Network),
        0xFE53_4D42 | 0xFF53_4D42 | 0x517B => ("smb", Kind::Network),
        0x0BD0_0BD0 => ("lustre", Kind::Network),
        0x4750_4653 => ("gpfs", Kind::Network),
        0x00C3_6400 => ("ceph", Kind::Network),
        0x1983_0326 => ("beegfs", Kind::Network),
        0x0102_1997 => ("9p", Kind::Network),
        0x6573_5546 => ("fuse", Kind::Network),
        _ => return (format!("file system 0x{magic:x}"), Kind::Local),
    };
    (name.to_owned(), kind)
}
