//! The weights of a run: finds the file, and verifies its digest against its name and the recipe.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use reeldeck_common::digest::sha256_of_file;
use reeldeck_common::feature::CheckpointId;
use reeldeck_common::protocol::CheckpointSource;
use reeldeck_common::recipe::Recipe;
use reeldeck_pickle::checkpoint::CheckpointFile;

use crate::config::Settings;
use crate::dataset::shown;
use crate::fetch::{self, Cache, Download, FetchError, Policy, promised_digest};
use crate::progress::{Progress, Size};

/// Reading a file of this many bytes takes so long that the progress is shown.
const LARGE: u64 = 1 << 29;

/// Why the weights cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckpointError {
    /// The user chose none.
    #[error(
        "no checkpoint chosen; let reeldeck download the published one:\n  --checkpoint published\n\
         or download it yourself and name it:\n  wget {url}\n  --checkpoint {file}\n\
         or try everything out with seeded weights:\n  --checkpoint seeded"
    )]
    NotChosen {
        /// The address of the published file.
        url: String,
        /// Its name.
        file: String,
    },
    /// The user chose none, or the published one, and the recipe has no address.
    #[error(
        "no checkpoint chosen, and the recipe {recipe} has no address to download it from; {source_of}, then name it:\n  \
         --checkpoint FILE\nor try everything out with seeded weights:\n  --checkpoint seeded"
    )]
    NoAddress {
        /// The recipe's name.
        recipe: String,
        /// How to get the file.
        source_of: String,
    },
    /// The recipe's module was changed or replaced.
    #[error(
        "the module {} is not the one that the recipe pins: its SHA-256 is {found} instead of {pinned}; a module is a \
         program: run it only if you trust its source, and then set sha256 under [model]",
        shown(path)
    )]
    OtherModule {
        /// The file.
        path: PathBuf,
        /// The SHA-256 in the recipe.
        pinned: String,
        /// The SHA-256 of the file.
        found: String,
    },
    /// Random weights were chosen, and the recipe's network is in a file.
    #[error("the network of the recipe {recipe} is in a module, which has no seeded weights; omit --checkpoint")]
    NotSeedable {
        /// The recipe's name.
        recipe: String,
    },
    /// It cannot be read.
    #[error("failed to read the checkpoint {}; name an existing .pth file with --checkpoint", shown(path))]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// It is no whole checkpoint.
    #[error("the checkpoint {} cannot be used; name a whole .pth file with --checkpoint", shown(path))]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: reeldeck_pickle::checkpoint::CheckpointError,
    },
    /// They are not downloaded yet.
    #[error("the weights at {} are not downloaded yet; `reeldeck fetch` or a run downloads them", fetch::public(url))]
    NotHere {
        /// Their address, which may contain secrets.
        url: String,
    },
    /// They cannot be downloaded.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The digest differs from the one in the file name.
    #[error(
        "the checkpoint {} is damaged or misnamed: its file name says that its SHA-256 begins with {promised}, but it is {found}; \
         remove it and download it again",
        shown(path)
    )]
    WrongDigest {
        /// The file.
        path: PathBuf,
        /// The digest prefix in the file name.
        promised: String,
        /// The SHA-256 of the file.
        found: String,
    },
}

/// The weights of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChosenWeights {
    /// What the worker loads.
    pub source: CheckpointSource,
    /// What the features record.
    pub id: CheckpointId,
    /// A note for the user.
    pub note: Option<String>,
    /// There are no weights, and this is what an extraction needs, for people.
    pub needs: Option<String>,
}

impl ChosenWeights {
    /// No weights: everything but extraction works.
    pub(crate) fn none(error: CheckpointError) -> Self {
        let needs = format!("extraction needs weights: {:#}", anyhow::Error::from(error));
        let id = CheckpointId { name: String::new(), digest: String::new(), synthetic_weights: false };
        Self { source: CheckpointSource::Seeded, id, note: None, needs: Some(needs) }
    }
}

/// Identifies the chosen weights, after a download if they have an address and are not in the cache. A damaged file in the
/// cache is downloaded again.
///
/// # Errors
/// As [`bring`] and [`choose`], and when the file is no whole checkpoint.
pub(crate) fn obtain(settings: &Settings) -> Result<ChosenWeights, CheckpointError> {
    bring(settings)?;
    let meter = settings.meter();
    let chosen = match choose(settings.checkpoint.as_ref(), &settings.recipe, &meter) {
        Err(error @ CheckpointError::WrongDigest { .. }) => {
            let (CheckpointError::WrongDigest { path, .. }, Some(CheckpointSource::Url(_))) =
                (&error, &settings.checkpoint)
            else {
                return Err(error);
            };
            meter.note(&format!("the downloaded checkpoint {} is damaged; downloading it again", shown(path)));
            fs::remove_file(path).map_err(|source| CheckpointError::Read { path: path.clone(), source })?;
            bring(settings)?;
            choose(settings.checkpoint.as_ref(), &settings.recipe, &meter)
        }
        chosen => chosen,
    };
    check(chosen?, &settings.recipe)
}

/// As [`obtain`], but downloads nothing.
///
/// # Errors
/// As [`choose`], and when the file is no whole checkpoint.
pub(crate) fn look(settings: &Settings) -> Result<ChosenWeights, CheckpointError> {
    check(choose(settings.checkpoint.as_ref(), &settings.recipe, &settings.meter())?, &settings.recipe)
}

/// Checks that the file is a whole checkpoint, so that a run does not start its workers to find out. The worker checks whether
/// it fits the recipe.
fn check(chosen: ChosenWeights, recipe: &Recipe) -> Result<ChosenWeights, CheckpointError> {
    if let CheckpointSource::File(path) = &chosen.source
        && recipe.model.loads_state_dict()
    {
        let checked = CheckpointFile::open(path).and_then(|file| file.state_dict().map(drop));
        checked.map_err(|source| CheckpointError::Broken { path: path.clone(), source })?;
    }
    Ok(chosen)
}

/// Downloads the chosen weights if they have an address and are not in the cache.
///
/// # Errors
/// When they cannot be downloaded.
pub(crate) fn bring(settings: &Settings) -> Result<(), CheckpointError> {
    let Some(CheckpointSource::Url(url)) = &settings.checkpoint else { return Ok(()) };
    let download = download(url, &settings.recipe);
    fetch::get(&download, &Cache::of_user()?, Policy::default(), &settings.meter())?;
    Ok(())
}

/// What is known of a file before the download.
fn download(url: &str, recipe: &Recipe) -> Download {
    let published = &recipe.checkpoint;
    let sha256_prefix =
        if published.url.as_deref() == Some(url) { published.sha256_prefix.clone() } else { String::new() };
    Download { url: url.to_owned(), sha256_prefix }
}

/// Identifies the chosen weights. Reads the whole file once; for an address, the file that [`bring`] has downloaded.
///
/// # Errors
/// When none was chosen, or the file cannot be read or has another digest.
pub(crate) fn choose(
    chosen: Option<&CheckpointSource>,
    recipe: &Recipe,
    progress: &dyn Progress,
) -> Result<ChosenWeights, CheckpointError> {
    match chosen {
        None => {
            let Some(url) = &recipe.checkpoint.url else { return Err(no_address(recipe)) };
            let url = fetch::public(url);
            let file = url.rsplit('/').next().unwrap_or_default().to_owned();
            Err(CheckpointError::NotChosen { url, file })
        }
        Some(CheckpointSource::Seeded) if recipe.model.module().is_some() => {
            Err(CheckpointError::NotSeedable { recipe: recipe.name.clone() })
        }
        Some(CheckpointSource::Seeded) => Ok(ChosenWeights {
            source: CheckpointSource::Seeded,
            id: CheckpointId::seeded(),
            note: Some(
                "seeded weights: the features of this run are meaningless; use them only to try things out".into(),
            ),
            needs: None,
        }),
        Some(CheckpointSource::File(path)) => from_file(path, recipe, progress),
        Some(CheckpointSource::Url(url)) => {
            let place = Cache::of_user()?.place(url)?;
            if fetch::is_there(&place)? {
                from_file(&place, recipe, progress)
            } else {
                Err(CheckpointError::NotHere { url: url.clone() })
            }
        }
    }
}

/// The error for a recipe that does not say where its weights are.
pub(crate) fn no_address(recipe: &Recipe) -> CheckpointError {
    let source_of = match &recipe.checkpoint.source {
        Some(source) => format!("get the file as {source} says"),
        None => "get the file from its authors".into(),
    };
    CheckpointError::NoAddress { recipe: recipe.name.clone(), source_of }
}

fn from_file(path: &Path, recipe: &Recipe, progress: &dyn Progress) -> Result<ChosenWeights, CheckpointError> {
    let failed = |source| CheckpointError::Read { path: path.to_owned(), source };
    let found = digest(path, LARGE, progress).map_err(failed)?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if let Some(promised) = promised_digest(&name).filter(|promised| !found.starts_with(promised)) {
        return Err(CheckpointError::WrongDigest { path: path.to_owned(), promised: promised.into(), found });
    }
    if let Some((_, pinned)) = recipe.model.module().filter(|(_, pinned)| *pinned != found) {
        return Err(CheckpointError::OtherModule { path: path.to_owned(), pinned: pinned.into(), found });
    }
    let published = &recipe.checkpoint.sha256_prefix;
    let note = (!published.is_empty() && !found.starts_with(published.as_str())).then(|| {
        format!("{name} is not the checkpoint that the recipe {} was published with ({published}…)", recipe.name)
    });
    Ok(ChosenWeights {
        source: CheckpointSource::File(path.to_owned()),
        id: CheckpointId { name, digest: found, synthetic_weights: false },
        note,
        needs: None,
    })
}

/// The SHA-256 of a file. The progress of reading at least `large` bytes is shown.
fn digest(path: &Path, large: u64, progress: &dyn Progress) -> io::Result<String> {
    let metadata = fs::metadata(path)?;
    // A pipe or a device may be endless.
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    if metadata.len() < large {
        return sha256_of_file(path, &mut |_| {});
    }
    progress.begin("reading the checkpoint", Size::Bytes { present: 0, total: Some(metadata.len()) });
    let found = sha256_of_file(path, &mut |bytes| progress.step(bytes));
    progress.end();
    found
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Notes what is shown.
    #[derive(Default)]
    struct Notes(RefCell<Vec<String>>);

    impl Progress for Notes {
        fn begin(&self, name: &str, size: Size) {
            self.0.borrow_mut().push(format!("{name} {size:?}"));
        }

        fn step(&self, bytes: u64) {
            self.0.borrow_mut().push(bytes.to_string());
        }

        fn end(&self) {
            self.0.borrow_mut().push("end".into());
        }
    }

    #[test]
    fn reading_a_large_file_shows_its_progress() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.pth");
        std::fs::write(&path, vec![0; (1 << 20) + 7]).unwrap();
        let notes = Notes::default();
        digest(&path, 1 << 20, &notes).unwrap();
        let size = "Bytes { present: 0, total: Some(1048583) }";
        assert_eq!(*notes.0.borrow(), [&format!("reading the checkpoint {size}"), "1048576", "7", "end"]);
        let notes = Notes::default();
        digest(&path, 1 << 21, &notes).unwrap();
        assert!(notes.0.borrow().is_empty());
    }

    #[test]
    fn the_digest_in_a_name_is_verified() {
        let dir = tempfile::tempdir().unwrap();
        let recipe = Recipe::find("slowonly-r50-8x8-k700").unwrap();
        let choose = |name: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, b"abc").unwrap();
            choose(Some(&CheckpointSource::File(path)), &recipe, &Notes::default())
        };
        // SHA-256 of "abc" begins with ba7816bf.
        let good = choose("slowonly_20220901-ba7816bf.pth").unwrap();
        assert!(good.id.digest.starts_with("ba7816bf8f01cfea") && !good.id.synthetic_weights);
        assert!(good.note.unwrap().contains("15b93b10"));
        let error = choose("slowonly_20221013-15b93b10.pth").unwrap_err().to_string();
        assert!(error.contains("begins with 15b93b10") && error.contains("download it again"), "{error}");
        assert!(choose("my-own-weights.pth").is_ok());
        for endless in ["/dev/zero", "/dev"] {
            let error =
                super::choose(Some(&CheckpointSource::File(endless.into())), &recipe, &Notes::default()).unwrap_err();
            assert!(anyhow::Error::from(error).root_cause().to_string().contains("it is not a file"));
        }
    }

    #[test]
    fn without_a_choice_the_message_names_the_published_file() {
        let recipe = Recipe::find("slowonly-r50-8x8-k700").unwrap();
        let text = choose(None, &recipe, &Notes::default()).unwrap_err().to_string();
        assert!(text.contains("wget https://") && text.contains("15b93b10.pth") && text.contains("seeded"), "{text}");
        assert!(choose(Some(&CheckpointSource::Seeded), &recipe, &Notes::default()).unwrap().id.synthetic_weights);
    }
}
