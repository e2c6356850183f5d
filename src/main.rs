//! The binary `reeldeck`.

use std::process::ExitCode;

fn main() -> ExitCode {
    reeldeck::main()
}
