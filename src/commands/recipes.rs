//! `reeldeck recipes`: lists the built-in recipes.

use reeldeck_common::recipe::{BUILT_IN, Output, Placement, Recipe};

use crate::error::Exit;
use crate::out::outln;

/// Lists the recipes with the width and stride of their features, and their cost relative to the first one.
///
/// # Errors
/// When a built-in recipe is invalid, which is a fault of reeldeck.
pub(crate) fn run_recipes() -> anyhow::Result<Exit> {
    outln!("{:<24}{:>8}{:>9}{:>11}{:>13}{:>8}  weights", "recipe", "width", "window", "stride", "GMAC/clip", "cost");
    let mut unit = None;
    for (name, _) in BUILT_IN {
        let recipe = Recipe::find(name)?;
        let width = recipe.columns(*recipe.outputs.first().unwrap_or(&Output::Pooled));
        let (stride, clips) = match recipe.sampling.placement {
            Placement::Spread { clips } => (format!("{clips} clips"), clips),
            Placement::Windows { stride, .. } => (stride.to_string(), recipe.sampling.usual_rows()),
        };
        let products = recipe.giga_multiplications().unwrap_or_default();
        let cost = products * clips as f64;
        let unit = *unit.get_or_insert(cost);
        let weights = match (&recipe.checkpoint.url, &recipe.checkpoint.source) {
            (Some(_), _) => "--checkpoint published".to_owned(),
            (None, Some(source)) => format!("see {source}"),
            (None, None) => "--checkpoint FILE".to_owned(),
        };
        let span = recipe.sampling.span();
        outln!("{name:<24}{width:>8}{span:>9}{stride:>11}{products:>13.0}{:>8.1}  {weights}", cost / unit);
    }
    outln!(
        "\nwindow, stride: in frames. cost: for a video of four minutes at 30 frames per second, relative to the first recipe"
    );
    Ok(Exit::Done)
}
