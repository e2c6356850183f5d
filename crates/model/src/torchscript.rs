//! Modules that torch.jit saved. A module is a program, so only the one that the recipe pins by its SHA-256 is run.

use std::fs;
use std::path::{Path, PathBuf};

use reeldeck_common::digest::sha256;
use reeldeck_common::error::ErrorKind;
use reeldeck_common::recipe::TorchScript;
use tch::{CModule, Kind, Tensor};

use crate::backbone::{Backbone, Setup};
use crate::device;
use crate::error::ModelError;
use crate::input::Input;
use crate::rows::Rows;

/// Loads the module of a recipe. `file` replaces the path in the recipe.
///
/// # Errors
/// When the file is unreadable or not the pinned one, it fails for a clip or returns NaN, memory runs out, or libtorch fails.
pub(crate) fn load(
    model: &TorchScript,
    file: Option<(&Path, &str)>,
    setup: &Setup<'_>,
) -> Result<Box<dyn Backbone>, ModelError> {
    let (path, _) = file.ok_or(ModelError::NoCheckpoint)?;
    let path = path.to_owned();
    // Read once: what is run are the bytes whose digest was computed.
    let bytes = fs::read(&path).map_err(|source| ModelError::Module { path: path.clone(), source })?;
    let found = sha256(&bytes);
    if found != model.sha256 {
        return Err(ModelError::OtherModule { path, pinned: model.sha256.clone(), found });
    }
    // Otherwise the first calls run other kernels than later ones, and the last digits differ.
    tch::jit::f_set_graph_executor_optimize(false)?;
    let module = CModule::load_data_on_device(&mut bytes.as_slice(), setup.device);
    let mut module =
        module.map_err(|error| blamed(&path, "cannot be loaded; save it with torch.jit.save", error.into()))?;
    module.f_set_eval()?;
    let kind = device::kind(setup.precision);
    if kind != Kind::Float {
        module.to(setup.device, kind, false);
    }
    let input = Input::new(setup.transform, setup.device)?;
    let module = Module { module, path, input, kind, length: setup.length as i64, width: model.width as i64 };
    module.try_clip()?;
    Ok(Box::new(module))
}

/// A module on a device.
struct Module {
    module: CModule,
    /// Its file, for messages.
    path: PathBuf,
    input: Input,
    kind: Kind,
    /// Frames of a clip.
    length: i64,
    /// Channels of the result.
    width: i64,
}

impl Module {
    /// Runs a clip, so that a module that fails for every clip fails here, and not with each video.
    fn try_clip(&self) -> Result<(), ModelError> {
        let bytes = self.length * self.input.frame_bytes() as i64;
        // All pixels differ: a module may divide by their variance.
        let pixels = Tensor::f_arange(bytes, (Kind::Int64, self.input.device()))?.f_remainder(251)?;
        let rows = self.frames(&pixels.f_to_kind(Kind::Uint8)?).and_then(|frames| self.clips(frames));
        let rows = rows.map_err(|error| blamed(&self.path, "fails for a test clip", error))?;
        if rows.pooled.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
            let problem =
                "returns numbers that are not finite for a test clip; it is damaged, or the precision is too low";
            return Err(self.wrong(problem.into()));
        }
        Ok(())
    }

    fn wrong(&self, problem: String) -> ModelError {
        ModelError::WrongModule { path: self.path.clone(), problem }
    }
}

/// Blames the module for an error of libtorch, unless a device or a lack of memory is its cause.
fn blamed(path: &Path, problem: &str, error: ModelError) -> ModelError {
    match (error.kind(), &error) {
        (ErrorKind::Internal, ModelError::Torch(torch)) => {
            // The cause comes last, after the stack of the module.
            let text = torch.to_string();
            let cause = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().trim();
            ModelError::WrongModule { path: path.to_owned(), problem: format!("{problem}: {cause}") }
        }
        _ => error,
    }
}

impl Backbone for Module {
    fn input(&self) -> &Input {
        &self.input
    }

    fn has_fixed_work(&self) -> bool {
        false
    }

    /// A module sees whole clips, so this only normalises: frames × height × width × 3.
    fn frames(&self, pixels: &Tensor) -> Result<Tensor, ModelError> {
        let _guard = tch::no_grad_guard();
        Ok(self.input.normalised(pixels)?.f_to_kind(self.kind)?)
    }

    fn clips(&self, frames: Tensor) -> Result<Rows, ModelError> {
        let _guard = tch::no_grad_guard();
        let (_, height, width, _) = frames.size4()?;
        let clips = frames.f_view([-1, self.length, height, width, 3])?.f_permute([0, 4, 1, 2, 3])?.f_contiguous()?;
        let pooled = self.module.forward_ts(&[&clips])?.f_to_kind(Kind::Float)?;
        let expected = [clips.size()[0], self.width];
        if pooled.size() != expected {
            let (found, given) = (pooled.size(), clips.size());
            let problem = format!("returns {found:?} for {given:?}, and the recipe says {expected:?}");
            return Err(self.wrong(problem));
        }
        Ok(Rows { pooled, logits: None })
    }
}
