//! CUDA graphs: the work of a pass is captured once for each usual size, and then submitted with one call instead of one for each
//! kernel. They are off unless the configuration asks for them. **Never run on a GPU so far**; the worker's tests run them on a fake one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{c_char, c_void};
use std::ptr;

use tch::{Device, Tensor};
use tracing::{info, warn};

use crate::backbone::Backbone;
use crate::clips::padded_sizes;
use crate::error::ModelError;
use crate::input::Input;
use crate::native::check;
use crate::rows::Rows;
use crate::streams::{self, CopyStream};

unsafe extern "C" {
    fn reeldeck_graph_check() -> *mut c_char;
    fn reeldeck_graph_capture(
        side: *const c_void,
        beside: *mut c_void,
        pass: unsafe extern "C" fn(*mut c_void) -> bool,
        context: *mut c_void,
        out: &mut *mut c_void,
        is_stuck: &mut bool,
    ) -> *mut c_char;
    fn reeldeck_graph_replay(graph: *mut c_void) -> *mut c_char;
    fn reeldeck_graph_free(graph: *mut c_void);
}

/// The same network with CUDA graphs. `length` is the number of frames of a clip. On a CPU, for a module, and if libtorch has no graphs,
/// it is returned as it is.
pub fn with_graphs(model: Box<dyn Backbone>, length: usize) -> Box<dyn Backbone> {
    let device = model.input().device();
    if device == Device::Cpu {
        return model;
    }
    if !model.has_fixed_work() {
        info!("CUDA graphs are not used: a module may do other work in each pass");
        return model;
    }
    // SAFETY: the call looks up symbols.
    match check(unsafe { reeldeck_graph_check() }).and_then(|()| CopyStream::new(device)) {
        Ok(side) => Box::new(Graphed { model, length, side, captured: RefCell::default() }),
        Err(error) => {
            warn!("CUDA graphs are not used, although `graphs` under [cuda] is on: {error}");
            model
        }
    }
}

/// The parts of a network.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Frames,
    Clips,
}

/// What a pass does: from its input to its outputs.
type Pass<'a> = &'a dyn Fn(&Tensor) -> Result<Vec<Tensor>, ModelError>;

/// A network whose usual passes are captured.
struct Graphed {
    model: Box<dyn Backbone>,
    length: usize,
    /// The stream of captures.
    side: CopyStream,
    captured: RefCell<Captured>,
}

/// What is captured.
#[derive(Default)]
struct Captured {
    /// The most frames of a group, and the most clips of a batch.
    most: [usize; 2],
    /// By the number of frames or clips.
    graphs: BTreeMap<(Part, usize), Recorded>,
    has_failed: bool,
}

impl Graphed {
    /// Runs a pass over `rows` frames or clips by its graph. `None` if it has none.
    fn run(&self, part: Part, rows: usize, input: &Tensor, pass: Pass<'_>) -> Option<Vec<Tensor>> {
        let mut captured = self.captured.borrow_mut();
        if captured.has_failed || !padded_sizes(captured.most[part as usize]).contains(&rows) {
            return None;
        }
        let outputs = self.replayed(&mut captured.graphs, (part, rows), input, pass);
        outputs
            .inspect_err(|error| {
                warn!("CUDA graphs are not used any more: {error}");
                *captured = Captured { has_failed: true, ..Captured::default() };
            })
            .ok()
    }

    fn replayed(
        &self,
        graphs: &mut BTreeMap<(Part, usize), Recorded>,
        key: (Part, usize),
        input: &Tensor,
        pass: Pass<'_>,
    ) -> Result<Vec<Tensor>, ModelError> {
        let _guard = tch::no_grad_guard();
        if !graphs.contains_key(&key) {
            let beside = graphs.values().next().map(|recorded| &recorded.graph);
            let recorded = Recorded::capture(&self.side, beside, input, pass)?;
            graphs.insert(key, recorded);
        }
        let missing = || ModelError::Internal("a graph is missing".into());
        graphs.get_mut(&key).ok_or_else(missing)?.replay(input)
    }
}

impl Backbone for Graphed {
    fn input(&self) -> &Input {
        self.model.input()
    }

    fn convolutions(&self) -> Option<&str> {
        self.model.convolutions()
    }

    fn group_size(&self, batch: usize) -> usize {
        self.model.group_size(batch)
    }

    /// Frees the graphs of other sizes.
    fn announce(&self, group_size: usize, batch: usize) {
        let mut captured = self.captured.borrow_mut();
        if captured.most != [group_size, batch] {
            captured.most = [group_size, batch];
            captured.graphs.clear();
        }
    }

    fn frames(&self, pixels: &Tensor) -> Result<Tensor, ModelError> {
        let rows = pixels.numel() / self.input().frame_bytes();
        let by_graph = self.run(Part::Frames, rows, pixels, &|pixels| Ok(vec![self.model.frames(pixels)?]));
        match by_graph.and_then(|mut outputs| outputs.pop()) {
            Some(frames) => Ok(frames),
            None => self.model.frames(pixels),
        }
    }

    fn clips(&self, frames: Tensor) -> Result<Rows, ModelError> {
        let rows = frames.size().first().map_or(0, |frames| *frames as usize / self.length);
        let by_graph = self.run(Part::Clips, rows, &frames, &|frames| {
            let Rows { pooled, logits } = self.model.clips(frames.shallow_clone())?;
            Ok([Some(pooled), logits].into_iter().flatten().collect())
        });
        let mut outputs = by_graph.into_iter().flatten();
        match outputs.next() {
            Some(pooled) => Ok(Rows { pooled, logits: outputs.next() }),
            None => self.model.clips(frames),
        }
    }
}

/// The captured work of a pass. It always reads and writes the same memory.
struct Recorded {
    graph: Graph,
    input: Tensor,
    outputs: Vec<Tensor>,
}

impl Recorded {
    /// Captures the pass for inputs like this one. `beside` is a graph that is never run at the same time.
    fn capture(side: &CopyStream, beside: Option<&Graph>, like: &Tensor, pass: Pass<'_>) -> Result<Self, ModelError> {
        let mut input = like.f_empty_like()?;
        input.f_copy_(like)?;
        let mut context = Context { pass, input: &input, outcome: None };
        let (mut graph, mut is_stuck) = (ptr::null_mut(), false);
        let beside = beside.map_or(ptr::null_mut(), |graph| graph.0);
        // SAFETY: stream and graph are valid during the call, which calls `run_pass` with the context and writes a pointer that only
        // `reeldeck_graph_free` frees.
        let captured = check(unsafe {
            let context = ptr::from_mut(&mut context).cast();
            reeldeck_graph_capture(side.as_ptr(), beside, run_pass, context, &mut graph, &mut is_stuck)
        });
        if is_stuck {
            streams::avoid();
        }
        let outputs = match context.outcome {
            // It says more than the error of the capture.
            Some(Err(error)) => return Err(error),
            outcome => outcome.transpose()?.unwrap_or_default(),
        };
        captured?;
        Ok(Self { graph: Graph(graph), input, outputs })
    }

    /// Runs the pass. The outputs have memory of their own.
    fn replay(&mut self, input: &Tensor) -> Result<Vec<Tensor>, ModelError> {
        self.input.f_copy_(input)?;
        // SAFETY: the graph is valid, and so is all memory that it uses: this value has its input and its outputs, and the network
        // its weights.
        check(unsafe { reeldeck_graph_replay(self.graph.0) })?;
        let copy = |output: &Tensor| {
            let mut copy = output.f_empty_like()?;
            copy.f_copy_(output)?;
            Ok(copy)
        };
        self.outputs.iter().map(copy).collect()
    }
}

/// What `run_pass` needs.
struct Context<'a> {
    pass: Pass<'a>,
    input: &'a Tensor,
    outcome: Option<Result<Vec<Tensor>, ModelError>>,
}

/// Runs a pass; whether it worked.
///
/// # Safety
/// `context` is a [`Context`] that nothing else uses.
unsafe extern "C" fn run_pass(context: *mut c_void) -> bool {
    // SAFETY: as above.
    let context = unsafe { &mut *context.cast::<Context<'_>>() };
    // Frees the outputs of the first run.
    context.outcome = None;
    context.outcome.insert((context.pass)(context.input)).is_ok()
}

/// A graph of libtorch.
struct Graph(*mut c_void);

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `reeldeck_graph_capture` and is freed once.
        unsafe { reeldeck_graph_free(self.0) };
    }
}
