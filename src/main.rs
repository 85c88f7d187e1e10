//! The program `enrolld`. Everything is in the library; see `enrolld::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    enrolld::cli::main()
}
