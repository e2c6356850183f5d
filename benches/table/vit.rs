//! The speed of vision transformers beside the matrix products of their shapes alone.

use std::time::Instant;

use reeldeck_common::recipe::{Model, Recipe, VideoMae};
use reeldeck_model::{Choice, Setup, family, seeded};
use tch::{Device, Kind, Tensor};

use crate::{Options, model};

/// Rows, inner dimension and columns of a matrix product, how many of them run at once, and how often this occurs in a pass.
type Product = (i64, i64, i64, i64, f64);

/// The matrix products of a pass over some clips.
fn products(model: &VideoMae, side: usize, clips: usize) -> Vec<Product> {
    let count = |n: usize| n as i64;
    let tokens = model.frames / model.tubelet * (side / model.patch).pow(2);
    let (rows, width, hidden, depth) =
        (count(clips * tokens), count(model.width), count(model.hidden()), model.depth as f64);
    let (tokens, heads) = (count(tokens), count(model.heads));
    vec![
        (rows, count(3 * model.tubelet * model.patch.pow(2)), width, 1, 1.0),
        (rows, width, 3 * width, 1, depth),
        (tokens, width / heads, tokens, heads * count(clips), depth),
        (tokens, tokens, width / heads, heads * count(clips), depth),
        (rows, width, width, 1, depth),
        (rows, width, hidden, 1, depth),
        (rows, hidden, width, 1, depth),
    ]
}

/// The tensors of a matrix product.
fn operands((rows, inner, columns, many, _): Product) -> [Tensor; 2] {
    let random = |shape: [i64; 3]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
    let [a, b] = [random([many, rows, inner]), random([many, inner, columns])];
    if many == 1 { [a.squeeze_dim(0), b.squeeze_dim(0)] } else { [a, b] }
}

fn row(name: &str, seconds: f64, clips: usize) {
    let _guard = tch::no_grad_guard();
    let recipe = Recipe::find(name).unwrap();
    let Model::Videomae(model) = &recipe.model else { panic!("a recipe of VideoMAE") };
    let network = family(&recipe.model).unwrap();
    let weights = seeded::weights(&*network);
    let network = network.build(&weights, &Setup::of(&recipe, Device::Cpu, Choice::Direct)).unwrap();
    let (side, length) = (recipe.transform.output().0, recipe.sampling.length);
    let frames = model::frames(side, length).concat();
    let shape = [(model::CLIPS * length) as i64, side as i64, side as i64, 3];
    let pixels = Tensor::from_data_size(&frames, &shape, Kind::Uint8).narrow(0, 0, (clips * length) as i64);
    // The recipes resize to numbers of 32 bits, which travel as bytes.
    let pixels = pixels.to_kind(Kind::Float).view([-1, (side * 3) as i64]).view_dtype(Kind::Uint8);
    let products: Vec<_> = products(model, side, clips).into_iter().map(|one| (one, operands(one))).collect();
    let work: f64 = products.iter().map(|((m, k, n, many, times), _)| (m * k * n * many) as f64 * times).sum();
    let (mut best, mut least) = (f64::MAX, vec![f64::MAX; products.len()]);
    let started = Instant::now();
    while started.elapsed().as_secs_f64() < seconds {
        for ((_, [a, b]), least) in products.iter().zip(&mut least) {
            let started = Instant::now();
            drop(a.matmul(b));
            *least = least.min(started.elapsed().as_secs_f64());
        }
        let started = Instant::now();
        drop(network.clips(network.frames(&pixels).unwrap()).unwrap());
        best = best.min(started.elapsed().as_secs_f64());
    }
    let alone: f64 = products.iter().zip(&least).map(|(((.., times), _), least)| times * least).sum();
    let per = |seconds: f64| seconds / clips as f64;
    let speed = 2.0 * work / best / 1e9;
    println!(
        "| {name} | {clips} | {:.3} | {speed:.0} | {:.3} | {:.0} % |",
        per(best),
        per(alone),
        100.0 * alone / best
    );
}

/// Prints the table.
pub fn table(options: &Options) {
    tch::set_num_threads(options.threads);
    tch::manual_seed(1);
    println!(
        "Vision transformers, fp32. `products alone` is the sum of the shortest time of each matrix product of the pass,"
    );
    println!("attention included; both run in turns.\n");
    println!(
        "| recipe | clips of a pass | s/clip | GFLOP/s | products alone, s/clip | of them |\n|---|---|---|---|---|---|"
    );
    let seconds = if options.short { 10.0 } else { 40.0 };
    for clips in [1, 4] {
        row("videomaev2-s-16x4", seconds, clips);
    }
    row("videomaev2-b-16x4", seconds, 2);
    println!();
}
