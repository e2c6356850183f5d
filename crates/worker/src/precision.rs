//! Whether the precision of a recipe is faster than fp32 on this machine's processor.

use reeldeck_common::protocol::Init;
use reeldeck_common::recipe::Precision;
use reeldeck_model::precisions;
use tracing::debug;

/// A warning if the precision of the recipe has larger errors than fp32 and is not faster.
pub(crate) fn slower(init: &Init) -> Option<String> {
    let precision = init.recipe.precision;
    if init.device != "cpu" || matches!(precision, Precision::Fp32 | Precision::Tf32) {
        return None;
    }
    // Without a file, each worker would measure again.
    let file = init.algorithms.as_deref()?.with_file_name("precisions.json");
    match precisions::speed(&init.recipe, precision, Some(&file)) {
        Ok(speed) => speed.filter(|speed| *speed < 1.0).map(|speed| warning(precision, speed)),
        Err(error) => {
            debug!("failed to measure {}: {error}", precision.name());
            None
        }
    }
}

fn warning(precision: Precision, speed: f64) -> String {
    let name = precision.name();
    format!(
        "{name} is slower than fp32 on this processor, at {speed:.2} times its speed, and less exact; use a recipe with \
         precision = \"fp32\""
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slower_precision_is_named_with_its_speed() {
        let text = warning(Precision::Bf16, 0.649);
        assert!(text.starts_with("bf16 is slower than fp32 on this processor, at 0.65 times"), "{text}");
    }
}
