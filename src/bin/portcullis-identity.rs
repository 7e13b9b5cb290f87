//! The reference identity service's executable; everything is in [`portcullis::identity`].

use std::process::ExitCode;

fn main() -> ExitCode {
    portcullis::identity::cli::main()
}
