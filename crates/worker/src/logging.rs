//! Logs to standard error, whose last lines the engine keeps. `REELDECK_LOG` selects the messages: a level such as `debug`, or
//! directives such as `warn,reeldeck_worker=debug`. The default is `warn`.

use std::io;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{fmt, registry};

/// Installs the logger.
pub(crate) fn init() {
    let default = || Targets::new().with_default(LevelFilter::WARN);
    let (filter, invalid) = match std::env::var("REELDECK_LOG") {
        Ok(text) => match text.parse::<Targets>() {
            Ok(filter) => (filter, None),
            Err(error) => (default(), Some(error)),
        },
        Err(_) => (default(), None),
    };
    let to_stderr = fmt::layer().with_writer(io::stderr).with_ansi(false).without_time().with_target(false);
    registry().with(to_stderr).with(filter).init();
    if let Some(error) = invalid {
        tracing::warn!("REELDECK_LOG is ignored: {error}; give a level such as `debug`");
    }
}
